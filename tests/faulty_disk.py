"""A disk for SQLite that fails when told to and remembers what would survive a power loss; a writer on it."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import apsw

from openbigmodel.db.connection import configure
from openbigmodel.db.writer import Writer

_numbers = count(1)


class FaultyDisk(apsw.VFS):
    """`fail` is called before each write, sync and read with (operation, file name); what it raises happens.

    `synced` holds each file's content at its last sync: all that a power loss would leave.
    """

    def __init__(self) -> None:
        self.name = f"faulty-{next(_numbers)}"
        self.fail: Callable[[str, str], None] = lambda operation, file: None
        self.synced: dict[str, bytes] = {}
        self.syncs = 0
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802
        return _File(self, name, flags)

    def lose_power(self, folder: Path) -> None:
        """Writes what survives into another folder."""
        folder.mkdir()
        for name, content in self.synced.items():
            (folder / name).write_bytes(content)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk
        self._name = Path(path).name
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.fail("read", self._name)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.fail("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.fail("sync", self._name)
        super().xSync(flags)
        self._disk.syncs += 1
        self._disk.synced[self._name] = super().xRead(self.xFileSize(), 0)


class FaultyStore:
    """A database file with one table, and a writer on a disk that can fail."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.db"
        self.disk = FaultyDisk()
        connection = apsw.Connection(str(self.path))
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB) STRICT")
        connection.close()

    def connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=self.disk.name)
        configure(
            connection, [("synchronous", "FULL", 2), ("wal_autocheckpoint", 0, 0), ("busy_timeout", 0, 0)]
        )
        return connection

    def ids(self) -> list[int]:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id")]
        finally:
            connection.close()

    def run(self, scenario: Callable[[Writer], Awaitable[None]]) -> None:
        async def main() -> None:
            writer = Writer(self.connect, asyncio.get_running_loop())
            try:
                await scenario(writer)
            finally:
                writer.close()

        asyncio.run(main())

    def fail(self, operation: str, ending: str, error: type[apsw.Error]) -> None:
        """From now on this operation on files whose name ends so raises `error`."""

        def fail(actual: str, file: str) -> None:
            if actual == operation and file.endswith(ending):
                raise error("told to fail")

        self.disk.fail = fail

    def heal(self) -> None:
        self.disk.fail = lambda _operation, _file: None
