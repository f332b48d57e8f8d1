"""How operators give Coding Plans, and end them."""

import asyncio
from pathlib import Path

import pytest

from openbigmodel.billing.periods import HOUR_MS
from openbigmodel.billing.usage import Usage
from tests.unit.billing.plans_bench import DAY_MS, WEDNESDAY, Bench, run


@pytest.mark.parametrize(
    ("level", "from_ms", "to_ms", "message"),
    [
        ("team", 1, 2, "a Coding Plan is lite, pro or max, not team"),
        ("pro", 2, 2, "a plan must end after it begins"),
        ("pro", -1, 2, "a plan must end after it begins"),
        ("pro", WEDNESDAY, WEDNESDAY + 1, "this account has a plan at that time; end that one first"),
        ("pro", 0, WEDNESDAY, "this account has a plan at that time"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    level: str, from_ms: int, to_ms: int, message: str, tmp_path: Path
) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        with pytest.raises(ValueError, match=message):
            await bench.plans.subscribe("a", level, from_ms, to_ms)

    run(tmp_path, test)


def test_a_plan_for_nobody_is_refused(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ValueError, match="there is no account nobody"):
            await bench.plans.subscribe("nobody", "pro", 1, 2)
        assert bench.plans.list() == []

    run(tmp_path, test)


def test_two_at_once_do_not_overlap_either(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account(level=None)
        both = [bench.plans.subscribe("a", "pro", 1, 9), bench.plans.subscribe("a", "max", 5, 10)]
        results = await asyncio.gather(*both, return_exceptions=True)
        assert [type(result) for result in results].count(ValueError) == 1
        assert len(bench.plans.list("a")) == 1

    run(tmp_path, test)


def test_the_list_of_plans(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account("a")
        await bench.account("b", "max")
        await bench.plans.subscribe("a", "pro", WEDNESDAY + 100 * DAY_MS, WEDNESDAY + 200 * DAY_MS)
        first, second, third = bench.plans.list()
        assert [plan.level for plan in bench.plans.list("a")] == ["lite", "pro"]
        assert (first.account_id, second.account_id, third.level) == ("a", "b", "pro")
        assert bench.plans.list("nobody") == []
        bench.restart()
        assert bench.plans.list() == [first, second, third]

    run(tmp_path, test)


def test_a_plan_ends_once_and_not_before_it_began(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        number = await bench.account()
        bench.hold()
        ended = await bench.plans.end(number, 5)
        assert ended.until_ms == ended.from_ms
        with pytest.raises(ValueError, match="has ended already"):
            await bench.plans.end(number)
        with pytest.raises(ValueError, match="there is no plan 99"):
            await bench.plans.end(99)
        assert bench.refusal().code == "1309"
        bench.restart()
        assert bench.plans.list() == [ended]

    run(tmp_path, test)


def test_a_plan_can_be_told_to_end_later(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        number = await bench.account()
        await bench.use(Usage(completion_tokens=1000))
        await bench.plans.end(number, WEDNESDAY + HOUR_MS)
        assert bench.used() == (2_400_000, 2_400_000)
        bench.now_ms += HOUR_MS
        assert bench.refusal().code == "1309"

    run(tmp_path, test)
