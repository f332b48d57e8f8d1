"""Statements of what a real cashier wrote, read beside it while it is open: both must tell the same story."""

import random
from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.audit import verify
from openbigmodel.billing.bill import make_bill
from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.explain import explain, find_requests
from openbigmodel.billing.packs import Unit
from openbigmodel.billing.periods import month_of
from openbigmodel.billing.rollup import RollUp
from openbigmodel.billing.statement import Owner, Statements, open_for_reading
from openbigmodel.billing.store import UsageLine
from tests.cash_desk import DAY_MS, START_MS, Desk, clean, run

MONTH = month_of(START_MS)


@pytest.mark.parametrize("seed", range(3))
def test_a_statement_agrees_with_the_cashier(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "platform.db"

    async def scenario(desk: Desk) -> None:
        chance = random.Random(seed)
        rollup = RollUp(desk.database, pytest.fail, step_rows=7)
        await desk.cashier.top_up("a", 1_000_000)
        lines = []
        for _ in range(80):
            lines.append(await desk.bill(a_line(desk, chance), bounds=chance.choice(((300, 300), (40, 40)))))
            desk.now_ms += chance.randrange(60_000)
            kind = chance.randrange(12)
            if kind == 0:
                unit: Unit = chance.choice(("tokens", "calls"))
                amount = 400 if unit == "tokens" else 3
                await desk.cashier.grant_pack(
                    "a", unit, amount, from_ms=desk.now_ms, to_ms=desk.now_ms + DAY_MS
                )
            elif kind == 1:
                await desk.cashier.adjust("a", chance.choice((-5, 7)))
            elif kind == 2 and lines[-1].charge:
                await desk.cashier.refund(lines[-1].log_id, chance.randrange(1, lines[-1].charge + 1))
            elif kind == 3:
                await rollup.run_once()
        check(path, desk)
        while await rollup.run_once():
            pass
        check(path, desk)
        assert any(line.overage for line in lines)
        assert {line.pack_calls for line in lines} == {0, 1}
        assert {bool(line.pack_tokens) for line in lines} == {False, True}

    run(path, scenario)
    clean(path)


def test_verify_looks_at_the_sums(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"

    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1_000_000)
        await desk.bill(desk.line())
        await RollUp(desk.database, pytest.fail).run_once()

    run(path, scenario)
    clean(path)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE usage_sums SET charge = charge - 1 WHERE span = 'hour'")
    connection.close()
    report = verify(path)
    assert not report.ok
    (problem,) = report.problems
    assert problem.startswith("The sums of usage by hour are not those of its rows")


def a_line(desk: Desk, chance: random.Random) -> UsageLine:
    prompt = chance.randrange(1, 250)
    line = desk.line(
        chance.choice(("plain", "plain", "banded", "call", "nothing", "unpriced")),
        prompt,
        chance.randrange(1, 250),
        cached=chance.randrange(prompt),
        request_id=chance.choice(("", f"mine-{chance.random()}")),
        batch=False,
    )
    if chance.random() < 0.1:
        return desk.line(prompt=0, completion=0, source="none", code="1234")
    return line


def check(path: Path, desk: Desk) -> None:
    with Statements(open_for_reading(path)) as statements:
        used, moment = statements.total("a")
        balance, held = desk.cashier.balance("a")
        assert held == 0
        assert statements.balance("a") == balance
        bill = make_bill(statements, Owner("a", "A", START_MS), MONTH, desk.now_ms)
        # What came in, less what is left, is what is payable.
        assert bill.topups + bill.adjustments - bill.exact.payable == balance
        lines = list(statements.lines("a", moment=moment))
        assert len(lines) == used.requests == 80
        full = paid = 0
        for line in lines:
            explained = explain(statements, line)
            assert explained.unexplained == 0
            full += line.charge + explained.saved
            posted = [posting for posting in explained.postings if posting.kind == "post"]
            assert sum(posting.amount for posting in posted) == line.charge
            paid += line.charge
            burned = [posting for posting in explained.postings if posting.kind == "pack_burn"]
            assert sum(posting.amount for posting in burned) == line.pack_tokens + line.pack_calls
            if line.charge + line.pack_tokens + line.pack_calls:
                assert find_requests(statements, line.log_id) == [line]
        assert used.charge == paid
        assert used.charge + used.saved == full


def test_what_a_plan_paid_is_told(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"

    async def scenario(desk: Desk) -> None:
        await desk.bill(desk.line(account_id="planner"), payer=Payer("planner", plan=True))
        with Statements(open_for_reading(path)) as statements:
            used, _ = statements.total("planner")
            assert (used.plan_credits, used.charge, used.free) == (15, 0, 0)

    run(path, scenario)


def test_a_reader_does_not_keep_the_log_from_being_emptied(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"

    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1_000_000)
        for _ in range(1100):
            desk.start(desk.line())
        await desk.bill(desk.line())
        with Statements(open_for_reading(path)) as statements:
            lines = statements.lines("a")
            next(lines)
            # Between its pages: a checkpoint from another connection gets to the end.
            await desk.bill(desk.line())
            size, done = checkpoint(path)
            assert size == done > 0

    run(path, scenario)


def checkpoint(path: Path) -> tuple[int, int]:
    """How many pages the log has, and how many of them could be copied back. Raises apsw.BusyError."""
    connection = apsw.Connection(str(path))
    try:
        # It does not know of a log before it has read something.
        connection.pragma("user_version")
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)
    finally:
        connection.close()
