import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from openbigmodel.db.connection import Database, DatabaseClosed, DatabaseError, DatabaseFailed, configure
from openbigmodel.db.migrations import MIGRATIONS, DatabaseTooNew
from openbigmodel.db.queries import QUERIES
from tests.faulty_disk import FaultyDisk

_INSERT = "INSERT INTO accounts (id, name, created_ms) VALUES (?1, ?2, 0)"
_SELECT = "SELECT id FROM accounts ORDER BY id"


def run(path: Path, scenario: Callable[[Database], Awaitable[None]], vfs: str | None = None) -> None:
    async def main() -> None:
        database = Database.open(path, vfs=vfs)
        try:
            await scenario(database)
        finally:
            database.close()

    asyncio.run(main())


def insert(account_id: str) -> Callable[[apsw.Connection], None]:
    def work(connection: apsw.Connection) -> None:
        connection.execute(_INSERT, (account_id, "x"))

    return work


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    async def write(database: Database) -> None:
        await database.write(insert("a"))
        assert database.read(_SELECT) == [("a",)]
        assert database.failure is None
        assert database.queue_length == 0

    async def read(database: Database) -> None:
        assert database.read(_SELECT) == [("a",)]

    run(tmp_path / "x.db", write)
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]
    run(tmp_path / "x.db", read)


def test_files_are_private(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        await database.write(insert("a"))
        assert modes_in(tmp_path) == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}

    run(tmp_path / "x.db", scenario)


def test_write_gives_back_the_result(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        assert await database.write(lambda connection: connection.execute("SELECT 7").fetchall()) == [(7,)]

    run(tmp_path / "x.db", scenario)


def test_write_raises_what_its_function_raises_and_takes_its_changes_back(tmp_path: Path) -> None:
    def fails(connection: apsw.Connection) -> None:
        insert("a")(connection)
        raise LookupError("no")

    async def scenario(database: Database) -> None:
        with pytest.raises(LookupError, match="no"):
            await database.write(fails)
        with pytest.raises(apsw.ConstraintError):
            await database.write(lambda connection: connection.execute(_INSERT, (None, "x")))
        await database.write(insert("b"))
        assert database.read(_SELECT) == [("b",)]

    run(tmp_path / "x.db", scenario)


def test_a_cancelled_caller_still_writes(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        for work in (insert("a"), insert("a")):
            task = asyncio.create_task(database.write(work))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await database.write(insert("b"))
        assert database.read(_SELECT) == [("a",), ("b",)]

    run(tmp_path / "x.db", scenario)


def test_reading_cannot_write(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        with pytest.raises(DatabaseFailed, match="readonly"):
            database.read(_INSERT, ("a", "x"))

    run(tmp_path / "x.db", scenario)


def test_a_disk_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    disk = FaultyDisk()

    def fail(operation: str, _file: str) -> None:
        if operation == "read":
            raise apsw.IOError("unreadable")

    async def scenario(database: Database) -> None:
        disk.fail = fail
        with pytest.raises(DatabaseFailed, match="unreadable"):
            database.read("SELECT * FROM usage")
        disk.fail = lambda _operation, _file: None

    run(tmp_path / "x.db", scenario, disk.name)


def test_a_lost_file_is_not_made_anew(tmp_path: Path) -> None:
    disk = FaultyDisk()

    def fail(operation: str, _file: str) -> None:
        if operation == "sync":
            raise apsw.IOError("unwritable")

    async def scenario(database: Database) -> None:
        await database.write(insert("a"))
        disk.fail = fail
        with pytest.raises(DatabaseFailed, match="unwritable"):
            await database.write(insert("b"))
        assert database.failure is not None
        disk.fail = lambda _operation, _file: None
        lost = database.path.rename(tmp_path / "lost")
        with pytest.raises(DatabaseFailed, match="unable to open"):
            await database.write(insert("c"))
        assert not (tmp_path / "x.db").exists()
        lost.rename(database.path)
        await database.write(insert("d"))
        assert database.failure is None

    run(tmp_path / "x.db", scenario, disk.name)


def test_a_closed_database_refuses(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        database.close()
        with pytest.raises(DatabaseClosed):
            database.read(_SELECT)
        with pytest.raises(DatabaseClosed):
            await database.write(insert("a"))
        with pytest.raises(DatabaseClosed):
            database.submit(_INSERT, ("a", "x"), lambda error: None)

    run(tmp_path / "x.db", scenario)


def test_pragmas_are_set_on_both_connections(tmp_path: Path) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
    }

    async def scenario(database: Database) -> None:
        for name, value in {**expected, "query_only": 1}.items():
            assert database.read(f"PRAGMA {name}") == [(value,)]
        for name, value in {**expected, "query_only": 0, "wal_autocheckpoint": 0}.items():
            assert await database.write(lambda connection, name=name: connection.pragma(name)) == value  # type: ignore[misc]

    run(tmp_path / "x.db", scenario)


def test_a_pragma_that_does_not_take_is_an_error() -> None:
    connection = apsw.Connection(":memory:")
    with pytest.raises(DatabaseError, match=r"does not take journal_mode=WAL .*'memory'"):
        configure(connection, [("journal_mode", "WAL", "wal")])
    with pytest.raises(DatabaseError, match="does not take synchronous=FULL"):
        configure(connection, [("synchronous", "FULL", 3)])


def test_opening_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to have a header" * 100)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "text", tmp_path / "folder", tmp_path / "missing" / "x.db"):

        async def main(path: Path = path) -> None:
            with pytest.raises(DatabaseError, match="cannot be opened"):
                Database.open(path)

        asyncio.run(main())


def test_opening_a_newer_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()

    async def main() -> None:
        with pytest.raises(DatabaseTooNew, match="newer release"):
            Database.open(path)

    asyncio.run(main())


def test_needs_a_loop(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Database.open(tmp_path / "x.db")
    loop = asyncio.new_event_loop()
    database = Database.open(tmp_path / "x.db", loop=loop)
    loop.run_until_complete(database.write(insert("a")))
    database.close()
    loop.close()


def test_usage_rows_go_through_the_hot_path(tmp_path: Path) -> None:
    who, used = ("l", "r", "a", "k", "glm-4.6", "local"), (10, 2, 5, 1, "stop", None, 1, 2)
    row = (*who, *used, 0, 0, 0, 0, 0, 0, "engine", "", 0, 0, 0, None)

    async def main() -> None:
        database = Database.open(tmp_path / "x.db")
        told: list[BaseException | None] = []
        for _ in range(1000):
            database.submit(QUERIES["insert_usage"], row, told.append)
        await database.write(lambda connection: None)
        assert told == [None] * 1000
        assert database.read("SELECT request_id, completion_tokens FROM usage LIMIT 1") == [("r", 5)]
        database.close()

    asyncio.run(main())
    assert (tmp_path / "x.db").stat().st_size > 50_000


def test_a_file_that_others_could_read_is_closed_to_them_and_a_link_is_not_followed(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "x.db"
        path.touch(mode=0o666)
        path.chmod(0o666)
        Database.open(path).close()
        assert path.stat().st_mode & 0o777 == 0o600
        (tmp_path / "link.db").symlink_to(path)
        with pytest.raises(DatabaseError):
            Database.open(tmp_path / "link.db")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "free", "said"),
    [
        (apsw.IOError("disk I/O error"), 0, "disk I/O error; the disk is full"),
        (apsw.IOError("disk I/O error"), 2**30, "disk I/O error"),
        (
            apsw.CantOpenError("unable to open database file"),
            0,
            "unable to open database file; the disk is full",
        ),
        (apsw.FullError("database or disk is full"), 2**30, "the disk is full"),
        (apsw.CorruptError("malformed"), 0, "malformed"),
        (OSError(28, "No space left on device"), 0, "No space left on device"),
    ],
    ids=["index", "broken", "no log", "full", "corrupt", "new file"],
)
def test_a_full_disk_is_named_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, free: int, said: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    disk = SimpleNamespace(f_bavail=free // 512, f_frsize=512)
    monkeypatch.setattr("openbigmodel.db.connection.migrate", fails)
    monkeypatch.setattr("openbigmodel.db.connection.os.statvfs", lambda _: disk)

    async def main() -> None:
        with pytest.raises(DatabaseError) as caught:
            Database.open(tmp_path / "x.db")
        assert str(caught.value) == f"The database {tmp_path / 'x.db'} cannot be opened: {said}"

    asyncio.run(main())
