"""Plans under whatever comes: many requests at once, clocks that step, commits that fail, restarts.

The model is the truth in real time, which no clock of the platform has: what was taken, and how long ago.
"""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from openbigmodel.billing.periods import HOUR_MS
from openbigmodel.billing.plans import PlanHold, Plans
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import MICRO
from openbigmodel.errors import ApiError
from tests.conftest import SCALE
from tests.unit.billing.plans_bench import DAY_MS, Bench, run

EXAMPLES = max(10, round(60 * SCALE))
LIMIT_HOURS, LIMIT_WEEK = 2_000 * MICRO, 10_000 * MICRO
WINDOW_MS = 5 * HOUR_MS
# Tokens, more than any window has credits for.
VERY_MUCH = 10_000_000

step = st.one_of(
    st.tuples(st.just("hold"), st.integers(1, 400_000)),
    st.tuples(st.just("post"), st.integers(0, 500_000)),
    st.tuples(st.just("post"), st.integers(0, 500_000)),
    st.tuples(st.just("void"), st.just(0)),
    st.tuples(st.just("lose"), st.integers(0, 500_000)),
    st.tuples(st.just("pass"), st.integers(0, 6 * HOUR_MS)),
    st.tuples(st.just("step back"), st.integers(1, 400 * DAY_MS)),
    st.tuples(st.just("restart"), st.just(0)),
)


class Model:
    """What an ideal observer knows. `real_ms` runs evenly."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.real_ms = 0
        self.holds: list[PlanHold] = []
        self.opened_ms = -WINDOW_MS
        self.taken = 0
        self.stepped = False

    async def do(self, what: str, amount: int) -> None:
        bench = self.bench
        if what == "pass":
            self.real_ms += amount
            bench.now_ms += amount
        elif what == "step back":
            bench.now_ms = max(bench.now_ms - amount, 0)
            self.stepped = True
        elif what == "restart":
            before = self.used()
            self.holds.clear()
            bench.restart()
            after = self.used()
            # Nothing that counted is forgotten, unless its window is over by the clock that there is now.
            # And a clock that was set back may be within one again that was over.
            assert after[0] in (before[0], 0) or (self.stepped and after[0] == self.taken)
            if after[0] < before[0]:
                assert self.real_ms - self.opened_ms >= WINDOW_MS
        elif what == "hold":
            self.hold(amount)
        elif self.holds:
            await self.end(what, amount)

    def hold(self, tokens: int) -> None:
        used, held = self.used(), self.bench.plans.held("a")
        try:
            self.holds.append(self.bench.hold(tokens))
        except ApiError as error:
            hours_full, week_full = used[0] >= LIMIT_HOURS, used[1] >= LIMIT_WEEK
            assert error.code == ("1310" if week_full else "1308" if hours_full else "1302")
            if error.code == "1302":
                assert held >= min(LIMIT_HOURS - used[0], LIMIT_WEEK - used[1])

    async def end(self, what: str, tokens: int) -> None:
        hold = self.holds.pop(tokens % len(self.holds))
        before = self.used()
        usage = Usage(completion_tokens=tokens)
        if what == "void":
            self.bench.plans.void(hold)
        elif what == "lose":
            self.bench.plans.post(hold, usage, self.bench.now_ms)
            self.bench.plans.take_back(hold)
        else:
            taken = await self.bench.post(hold, usage)
            assert taken <= hold.reserved
            if taken and before[0] == 0:
                # A new window; the one before it was open for its whole length, whatever clocks said.
                assert self.real_ms - self.opened_ms >= WINDOW_MS or self.taken == 0
                self.opened_ms, self.taken = self.real_ms, 0
            self.taken += taken
            assert self.used()[0] == before[0] + taken
            return
        assert self.used() == before

    def used(self) -> tuple[int, int]:
        return self.bench.used()

    def check(self) -> None:
        used, held = self.used(), self.bench.plans.held("a")
        assert held == sum(hold.reserved for hold in self.holds)
        assert used[0] + held <= LIMIT_HOURS
        assert used[1] + held <= LIMIT_WEEK
        assert min(used) >= 0


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 5), st.lists(step, max_size=60))
def test_no_window_is_overdrawn_or_begins_anew(full: int, steps: list[tuple[str, int]]) -> None:
    """`full` windows of the week are used up before."""

    async def test(bench: Bench) -> None:
        # Long enough that no plan ends here, however far the clock stepped.
        await bench.database.write(
            lambda connection: connection.execute(
                "INSERT INTO accounts (id, name, created_ms) VALUES ('a', 'a', 0)"
            )
        )
        await bench.plans.subscribe("a", "lite", 0, 1 << 52)
        model = Model(bench)
        for _ in range(full):
            for what, amount in (("hold", VERY_MUCH), ("post", VERY_MUCH), ("pass", WINDOW_MS)):
                await model.do(what, amount)
                model.check()
        for what, amount in steps:
            await model.do(what, amount)
            model.check()

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), test)


def test_a_plan_that_forgets_is_found() -> None:
    """The planted mistake: windows that are not noted are lost with the process."""
    steps = [("hold", 100_000), ("post", 100_000), ("restart", 0)]

    class Forgetful(Plans):
        def _note(self, *_: object) -> None:
            """Nothing."""

    async def test(bench: Bench) -> None:
        bench.kind = Forgetful
        bench.restart()
        await bench.account()
        model = Model(bench)
        for what, amount in steps:
            await model.do(what, amount)

    with tempfile.TemporaryDirectory() as folder:
        try:
            run(Path(folder), test)
        except AssertionError:
            return
    raise AssertionError("the model did not notice")
