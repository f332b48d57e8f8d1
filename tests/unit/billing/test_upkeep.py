"""The upkeep of a running ledger: it goes on whatever fails, and a ledger that does not add up is told of and shut."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.ledger_watch import LedgerWatch, Snapshot
from openbigmodel.billing.upkeep import Upkeep
from openbigmodel.errors import ApiError
from tests.cash_desk import Desk, run


class Bookkeeper:
    """A cashier as far as the upkeep goes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.found: list[str] = []
        self.unknown = 0
        self.expired = 0
        self.audits = 0
        self.fails = False

    def snapshot(self) -> Snapshot:
        return Snapshot(0, ())

    def audit(
        self, snapshot: Snapshot | None = None, found: Mapping[tuple[str, str], str] | None = None
    ) -> list[str]:
        self.audits += 1
        self.problems = list(self.found)
        return self.problems

    async def tend(self) -> None:
        self.expired += 1
        if self.fails:
            raise RuntimeError("the disk is away")


class Disk:
    failure: str | None = None


class World:
    def __init__(self) -> None:
        self.cashier, self.disk, self.lines, self.now_s = Bookkeeper(), Disk(), list[str](), 0.0
        self.upkeep = Upkeep(
            self.cashier,
            self.disk,
            self.lines.append,
            monotonic_s=lambda: self.now_s,
            expiry_interval_s=0.001,
            audit_interval_s=60.0,
        )


def test_expiry_comes_each_time_and_the_audit_when_it_is_due() -> None:
    async def rounds() -> None:
        world = World()
        for world.now_s in range(0, 180, 20):
            await world.upkeep.step()
        assert (world.cashier.expired, world.cashier.audits) == (9, 3)

    asyncio.run(rounds())


def test_what_is_found_is_told_once_and_shown_until_it_is_gone() -> None:
    async def rounds() -> None:
        world = World()
        world.cashier.found = ["a fen is missing"]
        for world.now_s in (0.0, 60.0):
            await world.upkeep.step()
        assert world.lines == ["THE LEDGER DOES NOT ADD UP, paid requests are refused: a fen is missing"]
        assert world.upkeep.failure == "the ledger does not add up: a fen is missing"
        assert world.upkeep.gauges() == {("problem",): 1.0, ("unknown",): 0.0, ("chain",): 0.0}
        world.cashier.found, world.now_s = [], 120.0
        await world.upkeep.step()
        assert world.lines[1:] == ["the ledger adds up again"]
        assert world.upkeep.failure is None

    asyncio.run(rounds())


def test_a_failure_of_the_disk_comes_first() -> None:
    world = World()
    world.cashier.problems = ["a fen is missing"]
    world.disk.failure = "the disk is full"
    assert world.upkeep.failure == "the disk is full"


def test_one_bad_round_does_not_end_it() -> None:
    async def rounds() -> None:
        world = World()
        world.cashier.fails = True
        running = asyncio.create_task(world.upkeep.run())
        while world.cashier.expired < 3:
            await asyncio.sleep(0.001)
        running.cancel()
        assert world.lines[0] == "upkeep of the ledger failed: RuntimeError('the disk is away')"

    asyncio.run(rounds())


def test_a_ledger_that_does_not_add_up_takes_no_new_money(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        cashier = desk.cashier
        await cashier.top_up("a", 1000)
        lines: list[str] = []
        upkeep = Upkeep(
            cashier,
            desk.database,
            lines.append,
            watch=LedgerWatch(desk.database.path),
            monotonic_s=lambda: desk.now_ms / 1000,
        )
        cashier.ledger.credit("a", 1)  # in memory only
        await upkeep.step()
        assert "cash of account a holds 1000 on disk, in memory 1001" in lines[0]
        with pytest.raises(ApiError) as refused:
            cashier.hold(Payer("a"), "plain", 1, 1)
        assert (refused.value.code, cashier.balance("a")) == ("1120", (1001, 0))
        # Nothing is charged there.
        cashier.void(cashier.hold(Payer("a", exempt=True), "plain", 1, 1))
        cashier.ledger.debit("a", 1)
        desk.now_ms += 60_000
        await upkeep.step()
        cashier.void(cashier.hold(Payer("a"), "plain", 1, 1))

    run(tmp_path / "ledger.db", scenario)


def test_a_chain_that_somebody_broke_is_told_while_the_server_runs(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000, "paid")
        for _ in range(20):
            await desk.bill(desk.line())
            await desk.cashier.top_up("a", 200)
        lines: list[str] = []
        watch = LedgerWatch(desk.database.path, links_at_once=15)
        upkeep = Upkeep(desk.cashier, desk.database, lines.append, watch=watch, monotonic_s=lambda: 0.0)
        for _ in range(10):
            await upkeep.step()
        assert lines == []
        forger = apsw.Connection(str(desk.database.path))
        forger.execute("DROP TRIGGER ledger_is_never_changed")
        forger.execute("UPDATE ledger SET memo = 'forged' WHERE seq = 7")
        forger.close()
        for _ in range(4):
            await upkeep.step()
        assert lines == [
            "THE CHAIN OF THE LEDGER IS BROKEN, bigmodel verify tells more: posting 7 or its usage row is not what was written"
        ]
        assert upkeep.gauges()["chain",] == 1.0
        # What is spent is right all the same: memory and disk agree.
        assert upkeep.failure is None
        desk.cashier.void(desk.cashier.hold(Payer("a"), "plain", 1, 1))
        watch.close()

    run(tmp_path / "ledger.db", scenario)


def test_a_file_that_cannot_be_watched_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        lines: list[str] = []
        watch = LedgerWatch(tmp_path / "nowhere.db")
        upkeep = Upkeep(desk.cashier, desk.database, lines.append, watch=watch, monotonic_s=lambda: 0.0)
        await desk.cashier.top_up("a", 1000)
        for _ in range(3):
            await upkeep.step()
        assert lines == ["the ledger cannot be watched: unable to open database file"]

    run(tmp_path / "ledger.db", scenario)
