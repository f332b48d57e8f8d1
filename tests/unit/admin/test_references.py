import asyncio
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.billing.audit import verify
from tests.unit.admin.parts import NOW_MS, Platform, run

ADD: dict[str, Any] = {"yuan": "5", "memo": "invoice", "reference": "wx-2026-17"}
GRANT: dict[str, Any] = {"tokens": 100, "to": "2099-01-01T00:00:00Z", "reference": "order 9"}


def test_money_is_added_once_under_a_reference(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        first = await platform.ask("credit.add", account=account, **ADD)
        assert "repeated" not in first
        platform.now_ms += 5000
        await platform.ask("credit.add", account=account, yuan="1")
        again = await platform.ask("credit.add", account=account, **ADD)
        # What was done is told as of then, the balance as of now.
        assert again == first | {
            "balance": "6.000000000",
            "repeated": True,
            "posting": 1,
            "time": "2026-11-18T11:06:40.000Z",
        }
        # The same amount, written otherwise.
        assert (await platform.ask("credit.add", account=account, **ADD | {"yuan": "5.00"}))["repeated"]
        assert len((await platform.ask("credit.list", account=account))["actions"]) == 2
        other = await platform.account()
        assert "repeated" not in await platform.ask("credit.add", account=other, **ADD)

    run(tmp_path, scenario)
    assert verify(tmp_path / "x.db").problems == []


@pytest.mark.parametrize("change", [{"yuan": "6"}, {"memo": "other"}, {"gift": True}])
def test_a_reference_that_stands_for_something_else_is_a_mistake(
    tmp_path: Path, change: dict[str, object]
) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, **ADD)
        refused = await platform.refused("credit.add", account=account, **ADD | change)
        assert refused.code == "reference_used"
        assert "stands for something else, posting 1 of 2026-11-18T11:06:40.000Z" in refused.message
        grant = GRANT | {"reference": ADD["reference"]}
        assert (await platform.refused("packs.grant", account=account, **grant)).code == "reference_used"
        adjust = {"yuan": "5", "memo": "invoice", "reference": ADD["reference"]}
        assert (await platform.refused("credit.adjust", account=account, **adjust)).code == "reference_used"
        assert (await platform.ask("accounts.show", account=account))["balance"] == "5.000000000"

    run(tmp_path, scenario)


def test_a_pack_is_granted_once_under_a_reference(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        first = await platform.ask("packs.grant", account=account, **GRANT)
        # Its default beginning is no part of what was asked for.
        platform.now_ms += 5000
        again = await platform.ask("packs.grant", account=account, **GRANT)
        done = {"repeated": True, "posting": 1, "time": "2026-11-18T11:06:40.000Z"}
        assert again == first | done
        assert (again["from"], again["to"]) == ("2026-11-18T11:06:40.000Z", "2099-01-01T00:00:00.000Z")
        assert len((await platform.ask("packs.list", account=account))["packs"]) == 1
        for change in ({"tokens": 101}, {"models": ["glm-4.6"]}, {"to": "2098-01-01T00:00:00Z"}):
            refused = await platform.refused("packs.grant", account=account, **GRANT | change)
            assert refused.code == "reference_used"

    run(tmp_path, scenario)


def test_a_correction_is_made_once_though_the_balance_would_not_suffice_twice(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="5")
        wanted = {"account": account, "yuan": "-4", "reference": "r"}
        assert (await platform.ask("credit.adjust", **wanted))["balance"] == "1.000000000"
        assert (await platform.ask("credit.adjust", **wanted))["repeated"]
        assert (await platform.ask("accounts.show", account=account))["balance"] == "1.000000000"

    run(tmp_path, scenario)


def test_of_many_at_once_one_is_carried_out(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="100")
        for command, wanted in (
            ("credit.add", ADD),
            ("packs.grant", GRANT),
            ("credit.adjust", {"yuan": "-1", "reference": "c"}),
        ):
            answers = await asyncio.gather(
                *(platform.ask(command, account=account, **wanted) for _ in range(20))
            )
            assert sum("repeated" not in answer for answer in answers) == 1
        # Those that came too late gave back what they had taken.
        assert (await platform.ask("accounts.show", account=account))["balance"] == "104.000000000"
        assert len((await platform.ask("packs.list", account=account))["packs"]) == 1
        assert platform.cashier.audit() == []

    run(tmp_path, scenario)
    assert verify(tmp_path / "x.db").problems == []


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 201, "r1 ", " r1"])
def test_a_reference_is_a_line(tmp_path: Path, text: str) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        refused = await platform.refused("credit.add", account=account, yuan="1", reference=text)
        assert refused.code == "bad_value" and "A reference is one line" in refused.message
        assert platform.now_ms == NOW_MS

    run(tmp_path, scenario)


def test_who_comes_too_late_for_a_correction_is_told_that_it_was_made(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="5")
        wanted = {"account": account, "yuan": "-4", "reference": "r"}
        # The balance would not suffice for two, and the first has taken its part before it is on disk.
        answers = await asyncio.gather(*(platform.ask("credit.adjust", **wanted) for _ in range(3)))
        assert [answer.get("repeated") for answer in answers] == [None, True, True]
        assert {answer["balance"] for answer in answers} == {"1.000000000"}
        first, other = await asyncio.gather(
            platform.ask("credit.adjust", account=account, yuan="-1", reference="s"),
            platform.refused("credit.adjust", account=account, yuan="-2", reference="s"),
        )
        assert first["balance"] == "0.000000000"
        assert other.code == "reference_used"
        # Nothing was done under this one.
        refused = await platform.refused("credit.adjust", account=account, yuan="-1", reference="t")
        assert refused.code == "not_enough"

    run(tmp_path, scenario)
    assert verify(tmp_path / "x.db").problems == []
