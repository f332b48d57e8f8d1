"""The audit compares memory with the disk, book by book, wherever nothing is on its way."""

from pathlib import Path

import pytest

from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.ledger_watch import LedgerWatch
from tests.cash_desk import DAY_MS, START_MS, Desk, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.db"


def test_the_audit_tells_when_memory_and_disk_differ(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        assert desk.cashier.audit() == []
        # While something is on its way, they may.
        line, written = desk.start(desk.line())
        assert line.charge == 200
        assert desk.cashier.audit() == []
        await written
        assert desk.cashier.audit() == []
        desk.cashier.ledger.credit("a", 1)
        missing = ["the book cash of account a holds 800 on disk, in memory 801"]
        assert desk.cashier.audit() == missing
        # What was found stays until the two can be compared again.
        _, written = desk.start(desk.line("nothing", account_id="b"), payer=Payer("b", exempt=True))
        assert desk.cashier.audit() == desk.cashier.problems == missing
        await written
        assert desk.cashier.audit() == missing
        desk.cashier.ledger.debit("a", 1)
        assert desk.cashier.audit() == []

    run(path, scenario)


def test_one_who_is_busy_keeps_nobody_else_from_being_compared(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        await desk.cashier.top_up("b", 10)
        _, written = desk.start(desk.line())
        desk.cashier.ledger.credit("b", 1)
        assert desk.cashier.audit() == ["the book cash of account b holds 10 on disk, in memory 11"]
        await written

    run(path, scenario)


def test_packs_are_compared_too(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        pack = await desk.cashier.grant_pack("a", "tokens", 100, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        assert (await desk.bill(desk.line())).pack_tokens == 15
        assert desk.cashier.audit() == []
        hold = desk.cashier.hold(Payer("a"), "plain", 10, 5)
        assert desk.cashier.audit() == []
        (known,) = desk.cashier.packs("a")
        known.left += 5
        assert desk.cashier.audit() == [
            f"the book pack:{pack.id} of account a holds 85 on disk, in memory 90"
        ]
        known.left -= 5
        desk.cashier.void(hold)
        desk.now_ms += DAY_MS
        await desk.cashier.tend()
        assert desk.cashier.audit() == []

    run(path, scenario)


def test_what_is_charged_after_a_snapshot_makes_no_difference_to_it(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        watch = LedgerWatch(path)
        snapshot = desk.cashier.snapshot()
        await desk.bill(desk.line())
        assert snapshot.books[0].amount == 1000
        assert await watch.compare(snapshot) == {}
        desk.cashier.ledger.credit("a", 3)
        found = await watch.compare(desk.cashier.snapshot())
        assert list(found.values()) == ["the book cash of account a holds 800 on disk, in memory 803"]
        watch.close()

    run(path, scenario)
