from pathlib import Path

import pytest

from openbigmodel.admin.credit import check_memo
from openbigmodel.admin.protocol import AdminError
from openbigmodel.billing.audit import verify
from openbigmodel.billing.cashier import Payer
from openbigmodel.db.queries import QUERIES
from tests.unit.admin.parts import Platform, run


def test_what_was_charged_is_given_back_in_parts_and_never_more(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="10")
        request = await platform.charge(account)
        part = await platform.ask("credit.refund", request=request, yuan="0.4", memo="half of it")
        assert (part["yuan"], part["balance"], part["account"]) == ("0.400000000", "9.400000000", account)
        assert (await platform.refused("credit.refund", request=request, yuan="0.7")).code == "bad_value"
        rest = await platform.ask("credit.refund", request=request)
        assert (rest["yuan"], rest["balance"]) == ("0.600000000", "10.000000000")
        assert (await platform.refused("credit.refund", request=request)).code == "bad_value"
        assert (await platform.refused("credit.refund", request=request, yuan="0")).code == "bad_value"
        assert (await platform.refused("credit.refund", request="x")).code == "not_found"
        actions = (await platform.ask("credit.list", account=account))["actions"]
        assert [(each["kind"], each["yuan"], each["request"]) for each in actions] == [
            ("refund", "0.600000000", request),
            ("refund", "0.400000000", request),
            ("topup", "10.000000000", None),
        ]

    run(tmp_path, scenario)
    assert verify(tmp_path / "x.db").problems == []


def test_what_packs_paid_is_given_back_to_them(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        pack = await platform.ask("packs.grant", account=account, tokens=5000, to="2099-01-01T00:00:00Z")
        request = await platform.charge(account)
        refund = await platform.ask("credit.refund", request=request)
        assert refund["yuan"] == "0.000000000"
        assert refund["packs"] == [{"id": pack["id"], "unit": "tokens", "amount": 2000}]
        (listed,) = (await platform.ask("packs.list", account=account))["packs"]
        assert listed["left"] == 5000

    run(tmp_path, scenario)


def test_what_is_held_cannot_be_taken(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="3")
        hold = platform.cashier.hold(Payer(account), "priced", 1000, 1000)
        refused = await platform.refused("credit.adjust", account=account, yuan="-2.5")
        assert refused.message == (
            "The balance is 2.000000000 yuan; requests under way hold 1.000000000 besides."
        )
        platform.cashier.void(hold)
        taken = await platform.ask("credit.adjust", account=account, yuan="-2.5")
        assert (taken["yuan"], taken["balance"]) == ("-2.500000000", "0.500000000")

    run(tmp_path, scenario)


def test_the_newest_come_first_and_not_more_than_wanted(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account, other = await platform.account(), await platform.account()
        for number in range(1, 5):
            platform.now_ms += 1
            await platform.ask("credit.add", account=account, yuan=str(number))
            await platform.ask("credit.add", account=other, yuan="100")
        actions = (await platform.ask("credit.list", account=account, limit=2))["actions"]
        assert [each["yuan"] for each in actions] == ["4.000000000", "3.000000000"]
        assert len((await platform.ask("credit.list", account=account, limit=0))["actions"]) == 1

    run(tmp_path, scenario)


def test_a_list_looks_at_no_requests(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        plan = platform.database.read(f"EXPLAIN QUERY PLAN {QUERIES['list_cash_actions']}", ("a", 1))
        steps = [row[3] for row in plan]
        assert any("ledger_actions_by_book (book=?)" in step for step in steps), steps
        assert not any("SCAN" in step or step == "TEMP B-TREE FOR ORDER BY" for step in steps), steps

    run(tmp_path, scenario)


@pytest.mark.parametrize("memo", ["a\nb", "x" * 501, "\x1b[31m"])
def test_a_memo_is_a_line(memo: str) -> None:
    with pytest.raises(AdminError):
        check_memo(memo)


def test_a_memo_may_be_anything_that_can_be_read() -> None:
    for memo in ("", "合同 2026-17: «paid»", "x" * 500):
        assert check_memo(memo) == memo


def test_more_than_the_books_can_count_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        for _ in range(9):
            await platform.ask("credit.add", account=account, yuan="1000000000")
        for command in ("credit.add", "credit.adjust"):
            refused = await platform.refused(command, account=account, yuan="1000000000")
            assert (refused.code, refused.message) == (
                "bad_value",
                "An account can have at most 9223372036.854775807 yuan.",
            )
        added = await platform.ask("credit.add", account=account, yuan="223372036.854775807")
        assert added["balance"] == "9223372036.854775807"

    run(tmp_path, scenario)
    assert verify(tmp_path / "x.db").problems == []
