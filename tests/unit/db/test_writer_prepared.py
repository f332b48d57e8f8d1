import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from openbigmodel.db import writer as writer_module
from openbigmodel.db.connection import Database
from openbigmodel.db.writer import DatabaseFailed, Done, Prepared, Writer
from tests.faulty_disk import FaultyStore

_INSERT = "INSERT INTO t (id) VALUES (?1)"
_COUNT = "SELECT count(*) FROM t"


class Numbers(Prepared):
    """Inserts numbers, or what `work_out` says when the turn has come."""

    def __init__(self, *numbers: int, work_out: Callable[[apsw.Connection], list[int]] | None = None) -> None:
        self._numbers = list(numbers)
        self._work_out = work_out
        self.connections: list[apsw.Connection] = []
        self.undos = 0

    def undone(self) -> None:
        self.undos += 1

    def write(self, connection: apsw.Connection) -> None:
        self.connections.append(connection)
        for number in self._numbers if self._work_out is None else self._work_out(connection):
            connection.execute(_INSERT, (number,))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FaultyStore]:
    store = FaultyStore(tmp_path)
    yield store
    store.disk.unregister()


async def outcomes(
    writer: Writer, items: list[int | Prepared | Callable[[apsw.Connection], object]]
) -> list[BaseException | None]:
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


def next_free(connection: apsw.Connection) -> list[int]:
    return [number for (number,) in list[tuple[int]](connection.execute(_COUNT))]


def test_an_item_builds_on_what_was_written_before_it(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        items: list[int | Prepared | Callable[[apsw.Connection], object]] = [
            Numbers(0, 1),
            Numbers(work_out=next_free),
            3,
            Numbers(work_out=next_free),
            lambda connection: connection.execute(_INSERT, (5,)),
            Numbers(work_out=next_free),
        ]
        assert await outcomes(writer, items) == [None] * len(items)

    store.run(scenario)
    assert store.ids() == [0, 1, 2, 3, 4, 5, 6]


def test_all_statements_of_an_item_happen_or_none(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        results = await outcomes(writer, [7, Numbers(1, 2, 7, 3), Numbers(4, 5), Numbers(7), 6])
        assert [type(result) for result in results] == [
            type(None),
            apsw.ConstraintError,
            type(None),
            apsw.ConstraintError,
            type(None),
        ]
        assert writer.failure is None

    store.run(scenario)
    assert store.ids() == [4, 5, 6, 7]


def test_a_failure_has_the_batch_begin_anew_once(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        first, wrong, last, wrong_too = Numbers(1), Numbers(2, 2), Numbers(3), Numbers(1)
        results = await outcomes(writer, [first, 10, 10, wrong, last, wrong_too, insert(11), Numbers(12)])
        assert [result is None for result in results] == [True, True, False, False, True, False, True, True]
        # Only those that were written when the first failure came.
        assert [item.undos for item in (first, wrong, last, wrong_too)] == [1, 1, 0, 0]
        assert [len(item.connections) for item in (first, wrong, last, wrong_too)] == [2, 2, 1, 1]
        assert writer.failure is None

    store.run(scenario)
    assert store.ids() == [1, 3, 10, 11, 12]


def test_a_batch_that_begins_anew_waits_for_another_program(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, answers = writer_module._begin_at_once, iter([True, False])

    def begin_or_not(connection: apsw.Connection) -> bool:
        return next(answers, True) and begin(connection)

    async def scenario(writer: Writer) -> None:
        monkeypatch.setattr(writer_module, "_begin_at_once", begin_or_not)
        results = await outcomes(writer, [Numbers(1), Numbers(2, 2), Numbers(3)])
        assert [result is None for result in results] == [True, False, True]

    store.run(scenario)
    assert store.ids() == [1, 3]


def test_an_item_that_raises_is_taken_back_alone(store: FaultyStore) -> None:
    def fails(connection: apsw.Connection) -> list[int]:
        connection.execute(_INSERT, (50,))
        raise ZeroDivisionError

    async def scenario(writer: Writer) -> None:
        results = await outcomes(writer, [1, Numbers(work_out=fails), 2])
        assert [type(result) for result in results] == [type(None), ZeroDivisionError, type(None)]

    store.run(scenario)
    assert store.ids() == [1, 2]


def test_an_item_never_sees_a_connection_whose_commit_failed_again(store: FaultyStore) -> None:
    async def scenario(writer: Writer) -> None:
        first, second, third, fourth = Numbers(1), Numbers(2), Numbers(3), Numbers(4)
        assert await outcomes(writer, [first, second]) == [None, None]
        store.fail("sync", "-wal", apsw.IOError)
        assert isinstance((await outcomes(writer, [third]))[0], DatabaseFailed)
        store.heal()
        assert await outcomes(writer, [fourth]) == [None]
        assert first.connections == second.connections == third.connections
        assert fourth.connections[0] is not third.connections[0]

    store.run(scenario)
    assert {1, 2, 4} <= set(store.ids())


def test_a_full_disk_within_an_item_fails_the_batch(store: FaultyStore) -> None:
    def fills(connection: apsw.Connection) -> list[int]:
        connection.execute("INSERT INTO t (x) VALUES (zeroblob(1000000))")
        return []

    async def scenario(writer: Writer) -> None:
        await outcomes(writer, [lambda connection: connection.pragma("max_page_count", 20)])
        results = await outcomes(writer, [1, Numbers(work_out=fills), 2])
        assert [type(result) for result in results] == [DatabaseFailed] * 3
        assert await outcomes(writer, [3]) == [None]

    store.run(scenario)
    assert store.ids() == [3]


def test_the_database_takes_prepared_items(tmp_path: Path) -> None:
    class Account(Prepared):
        def write(self, connection: apsw.Connection) -> None:
            connection.execute("INSERT INTO accounts (id, name, created_ms) VALUES ('a', 'b', 1)")

    async def main() -> None:
        database = Database.open(tmp_path / "a.db")
        written: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        done: Done = written.set_result
        database.submit_prepared(Account(), done)
        assert await written is None
        assert database.read("SELECT name FROM accounts") == [("b",)]
        database.close()

    asyncio.run(main())


def test_an_item_must_say_what_it_writes() -> None:
    with pytest.raises(NotImplementedError):
        Prepared().write(apsw.Connection(":memory:"))
