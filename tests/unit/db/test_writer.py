import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from openbigmodel.db import writer as writer_module
from openbigmodel.db.writer import (
    BATCH_ITEMS_MAX,
    QUEUE_ITEMS_MAX,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseFailed,
    Writer,
)
from tests.faulty_disk import FaultyStore

_INSERT = "INSERT INTO t (id) VALUES (?1)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FaultyStore]:
    store = FaultyStore(tmp_path)
    yield store
    store.disk.unregister()


async def outcomes(
    writer: Writer, items: list[int | Callable[[apsw.Connection], object]]
) -> list[BaseException | None]:
    """Queues inserts of these ids (or these functions) at once; their outcomes, in order."""
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[BaseException | None]] = []
    for item in items:
        future: asyncio.Future[BaseException | None] = loop.create_future()
        if isinstance(item, int):
            writer.put(_INSERT, (item,), future.set_result)
        else:
            writer.put(item, (), future.set_result)
        futures.append(future)
    return list(await asyncio.gather(*futures))


def insert(number: int) -> Callable[[apsw.Connection], object]:
    return lambda connection: connection.execute(_INSERT, (number,))


def test_many_share_one_sync(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        await outcomes(writer, [0])
        before = store.disk.syncs
        assert await outcomes(writer, list(range(1, 1 + BATCH_ITEMS_MAX))) == [None] * BATCH_ITEMS_MAX
        assert store.disk.syncs == before + 1
        assert (
            await outcomes(writer, list(range(1000, 1000 + 3 * BATCH_ITEMS_MAX)))
            == [None] * 3 * BATCH_ITEMS_MAX
        )
        assert store.disk.syncs == before + 4

    store.run(scenario)
    assert len(store.ids()) == 1 + 4 * BATCH_ITEMS_MAX


def test_nothing_is_acknowledged_before_it_would_survive_a_power_loss(
    store: FaultyStore, tmp_path: Path
) -> None:
    acknowledged: list[int] = []

    def done(number: int, error: BaseException | None) -> None:
        assert error is None
        acknowledged.append(number)
        folder = tmp_path / f"after-{number}"
        store.disk.lose_power(folder)
        survivor = apsw.Connection(str(folder / "x.db"))
        ids = {row[0] for row in survivor.execute("SELECT id FROM t")}
        survivor.close()
        assert set(acknowledged) <= ids

    async def scenario(writer: Writer) -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        for number in range(24):
            if number % 3:
                writer.put(_INSERT, (number,), partial(done, number))
            else:
                writer.put(insert(number), (), partial(done, number))
            if number % 5 == 4:
                await asyncio.sleep(0.002)
        await outcomes(writer, [99])
        assert failures == []
        assert acknowledged == list(range(24))

    # What was there before counts as on disk.
    store.disk.synced["x.db"] = store.path.read_bytes()
    store.run(scenario)


def test_the_power_loss_test_would_notice_a_missing_sync(store: FaultyStore, tmp_path: Path) -> None:
    store.disk.synced["x.db"] = store.path.read_bytes()
    connection = store.connect()
    connection.pragma("synchronous", "NORMAL")
    connection.execute(_INSERT, (1,))
    store.disk.lose_power(tmp_path / "after")
    survivor = apsw.Connection(str(tmp_path / "after" / "x.db"))
    assert survivor.execute("SELECT id FROM t").fetchall() == []
    survivor.close()
    connection.close()


def test_a_failing_item_fails_alone(store: FaultyStore) -> None:
    def inserts_then_fails(connection: apsw.Connection) -> None:
        connection.execute(_INSERT, (50,))
        raise ZeroDivisionError

    async def scenario(writer: Writer) -> None:
        results = await outcomes(writer, [1, 1, 2, insert(3), insert(3), inserts_then_fails, 2, 4])
        assert [type(result) for result in results] == [
            type(None),
            apsw.ConstraintError,
            type(None),
            type(None),
            apsw.ConstraintError,
            ZeroDivisionError,
            apsw.ConstraintError,
            type(None),
        ]
        wrong: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        writer.put("INSERT INTO nowhere VALUES (1)", (), wrong.set_result)
        unbound: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        writer.put(_INSERT, (), unbound.set_result)
        assert await outcomes(writer, [5]) == [None]
        assert isinstance(await wrong, apsw.SQLError)
        assert isinstance(await unbound, apsw.BindingsError)
        assert writer.failure is None

    store.run(scenario)
    assert store.ids() == [1, 2, 3, 4, 5]


def test_items_happen_in_the_order_they_were_queued(store: FaultyStore) -> None:
    seen: list[list[int]] = []

    def look(connection: apsw.Connection) -> None:
        seen.append([row[0] for row in connection.execute("SELECT id FROM t ORDER BY id")])

    async def scenario(writer: Writer) -> None:
        await outcomes(writer, [1, look, 2, insert(3), look, 4, look])

    store.run(scenario)
    assert seen == [[1], [1, 2, 3], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("operation", "error", "text"),
    [
        ("sync", apsw.IOError, "told to fail"),
        ("write", apsw.IOError, "told to fail"),
        ("write", apsw.FullError, "the disk is full"),
        ("sync", apsw.CorruptError, "told to fail"),
    ],
)
def test_a_failing_disk_fails_the_batch_and_is_opened_afresh(
    store: FaultyStore, operation: str, error: type[apsw.Error], text: str
) -> None:
    async def scenario(writer: Writer) -> None:
        assert await outcomes(writer, [1]) == [None]
        store.fail(operation, "-wal", error)
        batches: list[list[int | Callable[[apsw.Connection], object]]] = [[2, 3], [insert(4)], [5, insert(6)]]
        for items in batches:
            for result in await asyncio.wait_for(outcomes(writer, items), 5):
                assert isinstance(result, DatabaseFailed)
                assert text in str(result)
        assert writer.failure is not None
        assert "told to fail" in writer.failure
        store.heal()
        assert await outcomes(writer, [8, 9]) == [None, None]
        assert writer.failure is None

    store.run(scenario)
    ids = store.ids()
    assert {1, 8, 9} <= set(ids)
    assert ids == sorted(set(ids))


def test_a_full_database_is_told_and_recovers(store: FaultyStore) -> None:
    def fill(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO t (x) VALUES (zeroblob(1000000))")

    def limit(pages: int, connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", pages)

    async def scenario(writer: Writer) -> None:
        assert await outcomes(writer, [1, partial(limit, 20)]) == [None, None]
        results = await asyncio.wait_for(outcomes(writer, [2, fill, 3]), 5)
        assert [type(result) for result in results] == [DatabaseFailed] * 3
        assert "the disk is full" in str(results[0])
        # The new connection has no limit.
        assert await outcomes(writer, [4]) == [None]

    store.run(scenario)
    assert store.ids() == [1, 4]


def test_a_full_statement_on_the_loop_is_told_too(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        await outcomes(writer, [lambda connection: connection.pragma("max_page_count", 20)])
        future: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        writer.put("INSERT INTO t (x) VALUES (zeroblob(1000000))", (), future.set_result)
        assert isinstance(await asyncio.wait_for(future, 5), DatabaseFailed)

    store.run(scenario)


def test_a_disk_that_cannot_be_read_fails_the_batch(store: FaultyStore) -> None:
    reads_all = "INSERT INTO t (id) SELECT 1000 FROM t WHERE instr(x, x'01')"

    async def scenario(writer: Writer) -> None:
        big = "INSERT INTO t (x) VALUES (zeroblob(8000000))"
        assert await outcomes(writer, [lambda connection: connection.execute(big)]) == [None]
        store.fail("read", "", apsw.IOError)
        told: list[BaseException | None] = []
        writer.put(_INSERT, (2,), told.append)
        writer.put(reads_all, (), told.append)
        # The statement alone is taken back, but a disk in trouble must not commit what comes before or after it.
        results = await outcomes(writer, [3])
        assert [type(result) for result in (*told, *results)] == [DatabaseFailed] * 3
        store.heal()
        assert await outcomes(writer, [4]) == [None]

    store.run(scenario)
    assert store.ids() == [1, 4]


@pytest.mark.parametrize("error", [apsw.FullError, apsw.CorruptError, apsw.NoMemError, apsw.BusyError])
def test_trouble_is_never_one_items_own(store: FaultyStore, error: type[apsw.Error]) -> None:
    def troubled(_connection: apsw.Connection) -> None:
        raise error("trouble")

    async def scenario(writer: Writer) -> None:
        results = await outcomes(writer, [1, troubled, 2])
        assert [type(result) for result in results] == [DatabaseFailed] * 3

    store.run(scenario)
    assert store.ids() == []


def test_a_function_that_commits_fails_its_batch(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        results = await outcomes(writer, [1, lambda connection: connection.execute("COMMIT"), 2])
        assert [type(result) for result in results] == [DatabaseFailed] * 3
        assert await outcomes(writer, [3]) == [None]

    store.run(scenario)


def test_the_queue_is_bounded(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        results: list[BaseException | None] = []
        for number in range(QUEUE_ITEMS_MAX):
            writer.put(_INSERT, (number,), results.append)
        assert writer.queue_length == QUEUE_ITEMS_MAX
        with pytest.raises(DatabaseBusy):
            writer.put(_INSERT, (-1,), results.append)
        while writer.queue_length:
            await asyncio.sleep(0)
        assert await outcomes(writer, [-1]) == [None]
        assert results == [None] * QUEUE_ITEMS_MAX

    store.run(scenario)


def test_closing_writes_what_is_queued(store: FaultyStore) -> None:
    told: list[BaseException | None] = []

    async def main() -> None:
        writer = Writer(store.connect, asyncio.get_running_loop())
        await outcomes(writer, [1])
        writer.put(_INSERT, (2,), told.append)
        await asyncio.sleep(0)
        for number in range(3, 600):
            writer.put(_INSERT, (number,), told.append)
        writer.close()
        with pytest.raises(DatabaseClosed):
            writer.put(_INSERT, (600,), told.append)
        await asyncio.sleep(0.01)
        assert told == [None] * 598

    asyncio.run(main())
    assert store.ids() == list(range(1, 600))


def test_closing_before_the_first_batch_begins(store: FaultyStore) -> None:
    told: list[BaseException | None] = []

    async def main() -> None:
        writer = Writer(store.connect, asyncio.get_running_loop())
        writer.put(_INSERT, (1,), told.append)
        writer.close()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [None]
    assert store.ids() == [1]


def test_closing_after_the_loop_is_gone(store: FaultyStore) -> None:
    async def main() -> Writer:
        writer = Writer(store.connect, asyncio.get_running_loop())
        writer.put(_INSERT, (1,), lambda error: None)
        return writer

    asyncio.run(main()).close()
    assert store.ids() == [1]


def test_closing_after_a_failure(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        store.fail("sync", "-wal", apsw.IOError)
        assert isinstance((await outcomes(writer, [1]))[0], DatabaseFailed)

    store.run(scenario)
    store.heal()
    assert store.ids() in ([], [1])


def test_a_callback_that_raises_does_not_keep_the_others_waiting(store: FaultyStore) -> None:
    def raises(_error: BaseException | None) -> None:
        raise ZeroDivisionError

    async def scenario(writer: Writer) -> None:
        contexts: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: contexts.append(context))
        writer.put(_INSERT, (1,), raises)
        assert await outcomes(writer, [2]) == [None]
        assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]

    store.run(scenario)


def test_the_log_is_copied_back_and_stays_small(store: FaultyStore) -> None:
    big = "INSERT INTO t (x) VALUES (zeroblob(400000))"

    async def scenario(writer: Writer) -> None:
        for _ in range(60):
            future: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
            writer.put(big, (), future.set_result)
            assert await future is None
        log = store.path.with_name("x.db-wal").stat().st_size
        assert log < 3 * writer_module.CHECKPOINT_PAGES * 4096
        assert writer.failure is None

    store.run(scenario)
    assert len(store.ids()) == 60


def test_a_failing_checkpoint_loses_nothing(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_PAGES", 1)

    async def scenario(writer: Writer) -> None:
        store.fail("write", ".db", apsw.IOError)
        assert await outcomes(writer, [1]) == [None]
        assert await outcomes(writer, [2]) == [None]
        await asyncio.sleep(0.05)
        assert writer.failure is not None
        assert writer.failure.startswith("checkpoint: ")
        store.heal()
        assert await outcomes(writer, [3]) == [None]
        await asyncio.sleep(0.05)
        assert writer.failure is None

    store.run(scenario)
    assert store.ids() == [1, 2, 3]


def test_another_program_that_writes_is_waited_for(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        other = apsw.Connection(str(store.path))
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(outcomes(writer, [1, insert(2)]))
        await asyncio.sleep(0.03)
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        assert await waiting == [None, None]

    store.run(scenario)


def test_another_program_that_never_ends_fails_the_batch(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_OTHER_WRITER_MS", 20)

    async def scenario(writer: Writer) -> None:
        other = apsw.Connection(str(store.path))
        other.execute("BEGIN IMMEDIATE")
        assert isinstance((await outcomes(writer, [1]))[0], DatabaseFailed)
        other.execute("ROLLBACK")
        other.close()
        assert await outcomes(writer, [1]) == [None]

    store.run(scenario)


def test_the_loop_gives_way_while_the_thread_works_and_not_after(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def slow(operation: str, _file: str) -> None:
        if operation == "sync":
            threading.Event().wait(0.1)

    async def scenario(writer: Writer) -> None:
        # The log's header has a sync of its own.
        assert await outcomes(writer, [1]) == [None]
        pauses.clear()
        store.disk.fail = slow
        assert await outcomes(writer, [2]) == [None]
        store.heal()
        # After 1, 3, 7, 15, 23 … ms: often at first, then seldom enough to cost a busy loop little.
        assert 4 <= len(pauses) <= 16
        assert max(pauses) <= 0.0001
        pauses.clear()
        await asyncio.sleep(0.03)
        assert pauses == []

    store.run(scenario)


def test_a_loop_without_a_pause_still_gets_answers(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        loop = asyncio.get_running_loop()
        busy = True

        def work() -> None:
            until = time.perf_counter() + 0.0002
            while time.perf_counter() < until:
                pass
            if busy:
                loop.call_soon(work)

        loop.call_soon(work)
        for number in range(10):
            assert await asyncio.wait_for(outcomes(writer, [number]), 5) == [None]
        busy = False

    store.run(scenario)


def test_the_thread_ends_with_the_writer(store: FaultyStore) -> None:
    before = set(threading.enumerate())  # another test's may be on its way out

    async def scenario(writer: Writer) -> None:
        await outcomes(writer, [1])
        assert "database-writer" in {thread.name for thread in set(threading.enumerate()) - before}

    store.run(scenario)
    assert "database-writer" not in {thread.name for thread in set(threading.enumerate()) - before}


@pytest.mark.parametrize("ids", [[1, 1, 2], [1, 2, 2], [9, 1, 2, 3], [1, 1, 1, 2], [7, 8, 9]])
def test_of_alike_statements_each_has_its_own_outcome(store: FaultyStore, ids: list[int]) -> None:
    async def scenario(writer: Writer) -> None:
        assert await outcomes(writer, [9]) == [None]
        results = await outcomes(writer, [*ids])
        twice = [number in [9, *ids[:index]] for index, number in enumerate(ids)]
        assert [isinstance(result, apsw.ConstraintError) for result in results] == twice

    store.run(scenario)
    assert sorted(store.ids()) == sorted({9, *ids})


def test_statements_of_several_kinds_run_in_their_order(store: FaultyStore) -> None:
    delete = "DELETE FROM t WHERE id = ?1"

    async def scenario(writer: Writer) -> None:
        told: list[tuple[str, BaseException | None]] = []
        for name, sql in (("a", _INSERT), ("b", _INSERT), ("c", delete), ("d", _INSERT), ("e", delete)):
            params = (1,) if name != "b" else (2,)
            writer.put(sql, params, lambda error, name=name: told.append((name, error)))  # type: ignore[misc]
        assert await outcomes(writer, [3]) == [None]
        assert told == [(name, None) for name in "abcde"]

    store.run(scenario)
    assert sorted(store.ids()) == [2, 3]
