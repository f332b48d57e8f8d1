"""The SQLite database: how it is opened, read, written and closed.

Rule: one connection writes (`writer.py`), another reads, and nothing is acknowledged before it is on disk. What a
connection is told to do for durability is read back, because SQLite ignores what it cannot do, without a word.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw

from openbigmodel.db.data_folder import sync_folder
from openbigmodel.db.migrations import migrate
from openbigmodel.db.writer import (
    FATAL_ERRORS,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseFailed,
    Done,
    Prepared,
    Value,
    Writer,
    failed,
)

__all__ = [
    "Database",
    "DatabaseBusy",
    "DatabaseClosed",
    "DatabaseError",
    "DatabaseFailed",
    "Done",
    "Prepared",
    "Value",
]

# Readers hold up the event loop. In WAL mode only a recovery can make them wait at all.
_READER_BUSY_MS = 200

# On the disk, to open a database: the index of its log, and a page or two.
_NEEDED_BYTES = 64 * 1024

Pragma = tuple[str, str | int, str | int]

# Name, value to set, value to be read back. FULL, because NORMAL loses acknowledged commits when the power fails.
# No automatic checkpoints, because only the writer knows when nobody waits for it.
_PRAGMAS: tuple[Pragma, ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("wal_autocheckpoint", 0, 0),
)
_WRITER_PRAGMAS: tuple[Pragma, ...] = (*_PRAGMAS, ("busy_timeout", 0, 0))
_READER_PRAGMAS: tuple[Pragma, ...] = (
    *_PRAGMAS,
    ("busy_timeout", _READER_BUSY_MS, _READER_BUSY_MS),
    ("query_only", "ON", 1),
)

_Result = TypeVar("_Result")


class Database:
    """An open database. Every method is for the event loop's thread."""

    def __init__(
        self, path: Path, writer: Writer, reader: apsw.Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._loop = loop
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, loop: asyncio.AbstractEventLoop | None = None, vfs: str | None = None
    ) -> Self:
        """Opens or creates the database and brings its schema up to date. Blocks; for use while starting.

        `loop` is where callbacks run, by default the running one; `vfs` is SQLite's name for the disk. Raises
        DatabaseError for a file or disk that will not do, DatabaseTooNew for a file of a newer release.
        """
        loop = loop or asyncio.get_running_loop()
        try:
            # SQLite would create it readable for everybody; its -wal and -shm files take over this mode.
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.fchmod(file, 0o600)
            finally:
                os.close(file)
            first = _connect(path, vfs, _WRITER_PRAGMAS)
            try:
                migrate(first)
                reader = _connect(path, vfs, _READER_PRAGMAS)
                writer = Writer(partial(_connect, path, vfs, _WRITER_PRAGMAS), loop)
            finally:
                first.close()
            sync_folder(path.parent)
        except (OSError, apsw.Error) as error:
            raise DatabaseError(f"The database {path} cannot be opened: {_reason(path, error)}") from error
        return cls(path, writer, reader, loop)

    @property
    def failure(self) -> str | None:
        """What went wrong with the last batch of writes; None when it was committed. For a health check."""
        return self._writer.failure

    @property
    def queue_length(self) -> int:
        """How many writes wait."""
        return self._writer.queue_length

    def submit(self, sql: str, params: Sequence[Value], done: Done) -> None:
        """Queues one statement that returns no rows; the hot path.

        `done` is called on the event loop after the commit is on disk, with None, or with what went wrong: an
        apsw.Error for this statement alone, DatabaseFailed for the batch. Raises DatabaseBusy, DatabaseClosed.
        """
        self._writer.put(sql, params, done)

    def submit_prepared(self, item: Prepared, done: Done) -> None:
        """Queues statements that are worked out when their turn has come, as `submit` does one."""
        self._writer.put(item, (), done)

    async def write(self, work: Callable[[apsw.Connection], _Result]) -> _Result:
        """Runs `work` on the writer's thread in a savepoint of its own; returns when its changes are on disk.

        What `work` raises is raised here, and its changes are taken back. Once queued it runs even if the caller
        is cancelled. Raises DatabaseBusy, DatabaseClosed, DatabaseFailed.
        """
        results: list[_Result] = []
        written: asyncio.Future[None] = self._loop.create_future()

        def tell(error: BaseException | None) -> None:
            if written.done():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

        self._writer.put(lambda connection: results.append(work(connection)), (), tell)
        await written
        return results[0]

    def read(self, sql: str, params: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Runs a query on the reading connection, at once and on the caller's thread.

        That is the event loop's: only for reads of a few rows by an index. Sees everything acknowledged. Raises
        DatabaseFailed, DatabaseClosed.
        """
        if self._closed:
            raise DatabaseClosed("The database is closed")
        try:
            return self._reader.execute(sql, params).fetchall()
        except FATAL_ERRORS as error:
            raise failed(error) from error

    def close(self) -> None:
        """Writes what is queued, then closes; waits for the disk. Harmless when repeated.

        The callbacks of what was still queued need a further turn of the event loop.
        """
        if self._closed:
            return
        self._closed = True
        # The reader first: the last connection to go removes the log, and only the writer can.
        self._reader.close()
        self._writer.close()


def configure(connection: apsw.Connection, pragmas: Sequence[Pragma]) -> None:
    """Sets pragmas one by one and reads each back. Raises DatabaseError for one that did not take."""
    for name, value, expected in pragmas:
        connection.pragma(name, value)
        actual = connection.pragma(name)
        if actual != expected:
            raise DatabaseError(
                f"The database {connection.filename} does not take {name}={value} (it says {actual!r}). "
                "Is it on a network file system? Choose a folder on a local disk."
            )


def _reason(path: Path, error: OSError | apsw.Error) -> str:
    """Why it cannot be opened. SQLite cannot map a log's index on a full disk, and calls that an I/O error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, apsw.FullError):
        return "the disk is full"
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        with suppress(OSError):
            disk = os.statvfs(path.parent)
            if disk.f_bavail * disk.f_frsize < _NEEDED_BYTES:
                return f"{error}; the disk is full"
    return str(error)


def _connect(path: Path, vfs: str | None, pragmas: Sequence[Pragma]) -> apsw.Connection:
    # Never creates the file: after a failure, an empty one in its place would hide the loss.
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    try:
        configure(connection, pragmas)
    except BaseException:
        connection.close(force=True)
        raise
    return connection
