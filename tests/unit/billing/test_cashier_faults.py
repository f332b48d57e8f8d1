"""When a commit fails: what is on disk counts, and memory follows it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.replies import StoredReply
from openbigmodel.db.connection import DatabaseFailed
from openbigmodel.db.writer import QUEUE_ITEMS_MAX
from tests.cash_desk import DAY_MS, START_MS, Desk, clean, run, until_known
from tests.faulty_disk import FaultyDisk

Scenario = Callable[[Desk, FaultyDisk], Coroutine[Any, Any, None]]
Action = Callable[[Desk], Coroutine[Any, Any, object]]

_CHARGED_LINES = "SELECT charge, source, note FROM usage ORDER BY id"


class BrokenDisk(FaultyDisk):
    """Fails the next syncs of the log."""

    def fail_syncs(self, times: int) -> None:
        left = times

        def fail(operation: str, file: str) -> None:
            nonlocal left
            if operation == "sync" and file.endswith("-wal") and left:
                left -= 1
                raise apsw.IOError("told to fail")

        self.fail = fail


@pytest.fixture
def disk() -> Iterator[BrokenDisk]:
    disk = BrokenDisk()
    yield disk
    disk.unregister()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.db"


async def with_money(desk: Desk) -> None:
    await desk.cashier.top_up("a", 10_000)
    await desk.bill(desk.line())


async def fail_after_commit(desk: Desk, then: Callable[[], None] = lambda: None) -> None:
    """The next commit reaches the disk, and says that it failed; then something else happens."""
    armed = True

    def hook(_connection: apsw.Connection, _name: str, _pages: int) -> int:
        nonlocal armed
        if armed:
            armed = False
            then()
            raise apsw.IOError("told to fail after the commit")
        return apsw.SQLITE_OK

    # Set outside of a batch, or it would be this one's commit that fails.
    await desk.database.write(lambda connection: connection.set_wal_hook(hook))


def test_a_charge_whose_commit_failed_is_written_again(path: Path, disk: BrokenDisk) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        disk.fail_syncs(1)
        line, written = desk.start(desk.line())
        assert await written is None
        assert line.charge == 200
        assert desk.cashier.balance("a") == (9600, 0)
        assert desk.cashier.unknown == 0
        # The chain goes on from what is really there.
        assert desk.postings() == [("topup", 10_000, 10_000), ("post", 200, 9800), ("post", 200, 9600)]
        assert desk.cashier.audit() == []

    run(path, scenario, disk.name)
    assert clean(path).postings == 3


def test_a_charge_that_was_on_disk_all_along_is_not_written_again(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        reply = StoredReply(b"d" * 32, b"{}", START_MS)
        await fail_after_commit(desk)
        _, first = desk.start(desk.line())
        _, second = desk.start(desk.line(request_id="mine"), reply=reply)
        assert await desk.cashier.top_up("a", 5) == 9405
        assert (await first, await second) == (None, None)
        assert desk.cashier.balance("a") == (9405, 0)
        assert len(desk.postings()) == 5
        assert desk.cashier.audit() == []
        assert desk.database.failure is None

    run(path, scenario)
    report = clean(path)
    assert (report.postings, report.usage_rows) == (5, 3)


def test_a_charge_that_cannot_be_stored_is_taken_back_once_that_is_certain(
    path: Path, disk: BrokenDisk
) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        disk.fail_syncs(3)
        line, written = desk.start(desk.line(note="estimated"))
        assert isinstance(await written, DatabaseFailed)
        # Told, but not known: the money stays taken, for it may be on disk.
        assert desk.cashier.unknown == 1
        assert desk.cashier.balance("a") == (9600, 0)
        await desk.cashier.tend()
        await asyncio.sleep(0.02)
        assert desk.cashier.unknown == 1
        await desk.cashier.tend()
        while desk.cashier.balance("a") != (9800, 0):
            await asyncio.sleep(0.001)
        assert desk.cashier.unknown == 0
        assert line.charge == 200
        # The row is there all the same, and says why nobody pays for it.
        assert desk.database.read(_CHARGED_LINES)[1:] == [
            (0, "none", "estimated; not charged, because it could not be stored in time")
        ]
        await desk.bill(desk.line())
        assert desk.cashier.audit() == []

    run(path, scenario, disk.name)
    assert clean(path).postings == 3


def test_a_charge_that_turns_up_late_stays(path: Path, disk: BrokenDisk) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        await fail_after_commit(desk, lambda: disk.fail_syncs(1))
        line, written = desk.start(desk.line())
        # It is on disk; but the batch in which it is looked for fails as well.
        await asyncio.sleep(0)
        desk.start(desk.line("unheard-of"))
        assert isinstance(await written, DatabaseFailed)
        assert desk.cashier.unknown == 1
        await desk.cashier.tend()
        while desk.cashier.unknown or desk.cashier.audit():
            await asyncio.sleep(0.001)
        assert desk.cashier.balance("a") == (9600, 0)
        assert line.charge == 200

    run(path, scenario, disk.name)
    clean(path)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_many_at_once_are_each_charged_once_or_not_at_all(path: Path, disk: BrokenDisk, times: int) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1_000_000)
        await desk.cashier.grant_pack("b", "tokens", 300, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        disk.fail_syncs(times)
        waiting = [desk.start(desk.line(account_id="ab"[number % 2], prompt=1))[1] for number in range(100)]
        errors = await asyncio.gather(*waiting)
        await until_known(desk)
        assert desk.cashier.audit() == []
        charged = desk.database.read("SELECT count(*) FROM usage WHERE posting IS NOT NULL")[0][0]
        assert charged == errors.count(None)
        assert desk.cashier.balance("a")[0] == 1_000_000 - 110 * charged / 2
        assert [pack.left for pack in desk.cashier.packs("b")] == [300 - 6 * charged // 2]

    run(path, scenario, disk.name)
    clean(path)


async def _top_up(desk: Desk) -> object:
    return await desk.cashier.top_up("a", 100)


async def _take_away(desk: Desk) -> object:
    return await desk.cashier.adjust("a", -100)


async def _refund(desk: Desk) -> object:
    return await desk.cashier.refund("id-0-2")


async def _grant(desk: Desk) -> object:
    return await desk.cashier.grant_pack("a", "calls", 7, from_ms=START_MS, to_ms=START_MS + DAY_MS)


@pytest.mark.parametrize("action", [_top_up, _take_away, _refund, _grant])
@pytest.mark.parametrize("times", [1, 4])
def test_what_an_operator_does_happens_once_or_not_at_all(
    path: Path, disk: BrokenDisk, action: Action, times: int
) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        before = (desk.cashier.balance("a"), len(desk.cashier.packs("a")), len(desk.postings()))
        disk.fail_syncs(times)
        if times == 1:
            await action(desk)
        else:
            with pytest.raises(DatabaseFailed):
                await action(desk)
            await until_known(desk)
        after = (desk.cashier.balance("a"), len(desk.cashier.packs("a")), len(desk.postings()))
        assert (after == before) is (times > 1)
        assert desk.cashier.audit() == []
        disk.fail_syncs(0)
        await desk.bill(desk.line())

    run(path, scenario, disk.name)
    clean(path)


def test_what_is_left_of_a_pack_is_written_off_when_the_disk_is_well_again(
    path: Path, disk: BrokenDisk
) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.grant_pack("a", "calls", 7, from_ms=START_MS, to_ms=START_MS + 1)
        desk.now_ms += 1
        disk.fail_syncs(3)
        await desk.cashier.tend()
        assert desk.postings() == [("pack_grant", 7, 7)]
        await until_known(desk)
        await desk.cashier.tend()
        assert desk.postings() == [("pack_grant", 7, 7), ("pack_expire", 7, 0)]

    run(path, scenario, disk.name)
    clean(path)


def test_a_write_off_that_fails_by_itself_is_made_by_the_next_round(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.grant_pack("a", "calls", 7, from_ms=START_MS, to_ms=START_MS + 1)
        desk.now_ms += 1
        await desk.database.write(
            lambda connection: connection.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON ledger BEGIN SELECT RAISE (ABORT, 'no'); END"
            )
        )
        await desk.cashier.tend()
        assert len(desk.postings()) == 1
        await desk.database.write(lambda connection: connection.execute("DROP TRIGGER refuse"))
        await desk.cashier.tend()
        assert desk.postings()[1:] == [("pack_expire", 7, 0)]

    run(path, scenario)
    clean(path)


def test_a_plan_gets_its_credits_back(path: Path, disk: BrokenDisk) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        payer = Payer("planner", plan=True)
        disk.fail_syncs(2)
        _, written = desk.start(desk.line(account_id="planner"), payer=payer)
        assert isinstance(await written, DatabaseFailed)
        assert desk.plan.left == 985
        await desk.cashier.tend()
        await desk.database.write(lambda _connection: None)
        assert desk.plan.left == 1000

    run(path, scenario, disk.name)
    clean(path)


def test_a_full_disk_is_told_and_costs_nothing(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        pages = desk.database.read("PRAGMA page_count")[0][0]
        await desk.database.write(lambda connection: connection.pragma("max_page_count", pages))
        memo = "x" * 100_000
        # The second attempt has a new connection, and with it room.
        assert await desk.cashier.top_up("a", 100, memo) == 9900
        assert desk.cashier.audit() == []

    run(path, scenario)
    clean(path)


def test_a_failed_charge_that_nobody_can_look_for_yet_is_looked_for_later(
    path: Path, disk: BrokenDisk
) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        disk.fail_syncs(1)
        _, written = desk.start(desk.line())
        await asyncio.sleep(0)
        # While the batch is on its way, the queue fills up.
        for _ in range(QUEUE_ITEMS_MAX):
            desk.database.submit("SELECT 1 WHERE 0", (), lambda _error: None)
        assert isinstance(await written, DatabaseFailed)
        assert desk.cashier.unknown == 1
        while desk.database.queue_length:
            await asyncio.sleep(0)
        await desk.cashier.tend()
        await desk.database.write(lambda _connection: None)
        assert desk.cashier.balance("a") == (9800, 0)
        assert desk.cashier.audit() == []

    run(path, scenario, disk.name)
    clean(path)


def test_what_cannot_be_written_again_is_taken_back(path: Path, disk: BrokenDisk) -> None:
    async def scenario(desk: Desk) -> None:
        await with_money(desk)
        disk.fail_syncs(1)
        _, first = desk.start(desk.line(request_id="mine"))
        await asyncio.sleep(0)
        # Meanwhile somebody else uses the id up, so the second attempt is refused by the disk.
        _, second = desk.start(desk.line(request_id="mine"))
        assert sorted(type(error).__name__ for error in (await first, await second)) == [
            "ConstraintError",
            "NoneType",
        ]
        assert desk.cashier.balance("a") == (9600, 0)
        assert desk.cashier.audit() == []

    run(path, scenario, disk.name)
    clean(path)


def test_a_full_queue_keeps_no_pack_from_being_written_off(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        for _ in range(5):
            await desk.cashier.grant_pack("a", "tokens", 10, from_ms=START_MS, to_ms=START_MS + 1)
        desk.now_ms += 1
        for _ in range(QUEUE_ITEMS_MAX - 2):
            desk.database.submit("SELECT 1 WHERE 0", (), lambda _error: None)
        await desk.cashier.tend()
        assert [kind for kind, _, _ in desk.postings()].count("pack_expire") == 2
        await desk.cashier.tend()
        assert [kind for kind, _, _ in desk.postings()].count("pack_expire") == 5
        assert desk.cashier.audit() == []

    run(path, scenario)
    clean(path)
