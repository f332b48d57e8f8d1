"""The SQLite database: one connection writes, everybody may read, nothing is acknowledged before it is on disk.

Rule: all changes go through one queue to one writing connection. Whatever has gathered (at most BATCH_ITEMS_MAX)
becomes one transaction, is committed with a sync, and only then are those told who wait for it. While one batch
is being synced the next one gathers, so all who wait share the cost of a sync.

Who works when: the event loop runs the batch's statements, because each is microseconds and handing the
interpreter to a thread and back costs more than that for every single one. The writer's thread runs functions
(`write`) and the commit, which waits for the disk. The connection is with one of them at a time.

One item that fails takes only itself back. A failure of the disk or the file fails every item of the batch: after
an error at COMMIT nobody knows what is on disk, so the connection is dropped, opened afresh, and no item is
acknowledged. Whoever cares looks its row up again.
"""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self, TypeVar

import apsw

from openbigmodel.db.migrations import migrate

BATCH_ITEMS_MAX = 256
QUEUE_ITEMS_MAX = 4096
# The writer copies the log back into the database when it has grown to this: 4 MiB of 4 KiB pages.
CHECKPOINT_PAGES = 1024

# When a batch has been with the writer's thread for this long, the loop stands still for a moment (_give_way).
_GIVE_WAY_AFTER_S = 0.001
_GIVE_WAY_AFTER_S_MAX = 0.008
_GIVE_WAY_S = 0.0001
# How long the writer's thread waits for another program that writes to our file, though the folder is locked.
_OTHER_WRITER_MS = 5000
# Readers hold up the event loop. In WAL mode only a recovery can make them wait at all.
_READER_BUSY_MS = 200

# Each with the value that reading it back must give. FULL, because NORMAL loses acknowledged commits when the
# power fails.
_PRAGMAS: tuple[tuple[str, str | int, str | int], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("wal_autocheckpoint", 0, 0),
)
_WRITER_PRAGMAS = (*_PRAGMAS, ("busy_timeout", 0, 0))
_READER_PRAGMAS = (*_PRAGMAS, ("busy_timeout", _READER_BUSY_MS, _READER_BUSY_MS), ("query_only", "ON", 1))

# These say that the disk, the file or the connection is in trouble, not that a statement was wrong.
_FATAL_ERRORS = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.InternalError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
)

Value = str | int | float | bytes | None
Done = Callable[[BaseException | None], None]
_Work = Callable[[apsw.Connection], None]
_Item = tuple[str | _Work, Sequence[Value], Done]
_Outcome = tuple[Done, BaseException | None]
_Result = TypeVar("_Result")


class DatabaseError(Exception):
    """The database could not do what was asked; nothing was acknowledged."""


class DatabaseBusy(DatabaseError):  # noqa: N818 - a state, like BlockingIOError's "would block".
    """The queue is full: the disk is slower than what is asked of it."""


class DatabaseFailed(DatabaseError):  # noqa: N818 - it says what happened.
    """The disk or the file failed while this was being written. It may or may not be on disk."""


class DatabaseClosed(DatabaseError):  # noqa: N818 - a state.
    """The database has been closed."""


class Database:
    """An open database. Every method is for the event loop's thread.

    `failure` says what went wrong with the last batch, None when it was committed: a health check shows it.
    """

    def __init__(
        self,
        path: Path,
        writer: apsw.Connection,
        reader: apsw.Connection,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.path = path
        self.failure: str | None = None
        self._loop = loop
        self._reader = reader
        self._writer: apsw.Connection | None = writer
        self._waiting: deque[_Item] = deque()
        # True from the moment a batch is due until the thread has finished it: the writer is not free.
        self._writing = False
        self._closed = False
        self._nudge: asyncio.TimerHandle | None = None
        self._pages_at_checkpoint = _pages_written(writer)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="database-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, *, loop: asyncio.AbstractEventLoop | None = None) -> Self:
        """Opens or creates the database and brings its schema up to date. Blocks; for use while starting.

        `loop` is where callbacks run; by default the running one. Raises DatabaseError for a file or disk that
        will not do, DatabaseTooNew for a file of a newer release.
        """
        loop = loop or asyncio.get_running_loop()
        try:
            # SQLite would create it readable for everybody; its -wal and -shm files take over this mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            writer = _connect(path, _WRITER_PRAGMAS)
            migrate(writer)
            reader = _connect(path, _READER_PRAGMAS)
            _sync_folder(path.parent)
        except (OSError, apsw.Error) as error:
            raise DatabaseError(f"The database {path} cannot be opened: {error}") from error
        return cls(path, writer, reader, loop)

    @property
    def queue_length(self) -> int:
        """How many items wait for the next batches."""
        return len(self._waiting)

    def submit(self, sql: str, params: Sequence[Value], done: Done) -> None:
        """Queues one statement that returns no rows; the hot path.

        `done` is called on the event loop after the commit is on disk, with None, or with what went wrong: an
        apsw.Error for this statement alone, DatabaseFailed for the batch. Raises DatabaseBusy, DatabaseClosed.
        """
        waiting = self._waiting
        if len(waiting) >= QUEUE_ITEMS_MAX or self._closed:
            raise self._refusal()
        waiting.append((sql, params, done))
        if not self._writing:
            self._writing = True
            # Not at once: what else this turn of the loop has to write shares the batch.
            self._loop.call_soon(self._start_batch)

    async def write(self, work: Callable[[apsw.Connection], _Result]) -> _Result:
        """Runs `work` on the writer's thread in a savepoint of its own; returns when its changes are on disk.

        What `work` raises is raised here, and its changes are taken back. Once queued it runs even if the caller
        is cancelled. Raises DatabaseBusy, DatabaseClosed, DatabaseFailed.
        """
        results: list[_Result] = []
        written: asyncio.Future[None] = self._loop.create_future()

        def settle(error: BaseException | None) -> None:
            if written.done():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

        if len(self._waiting) >= QUEUE_ITEMS_MAX or self._closed:
            raise self._refusal()
        self._waiting.append((lambda connection: results.append(work(connection)), (), settle))
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._start_batch)
        await written
        return results[0]

    def read(self, sql: str, params: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Runs a query on the reading connection, at once and on the caller's thread.

        That is the event loop's: only for reads of a few rows by an index. Sees everything acknowledged.
        """
        if self._closed:
            raise self._refusal()
        return self._reader.execute(sql, params).fetchall()

    def close(self) -> None:
        """Writes what is queued, then closes; waits for the disk. Harmless when repeated.

        The callbacks of what was still queued need a further turn of the event loop.
        """
        if self._closed:
            return
        self._closed = True
        if self._nudge is not None:
            self._nudge.cancel()
        self._jobs.put(None)
        self._thread.join()
        while self._waiting:
            self._finish_batch(self._take_batch(), [])
        # The reader first: the last connection to go may remove the log, and only the writer can.
        self._reader.close()
        if self._writer is not None:
            self._checkpoint(self._writer, apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._writer.close()

    def _refusal(self) -> DatabaseError:
        if self._closed:
            return DatabaseClosed(f"The database {self.path} is closed")
        return DatabaseBusy(f"{QUEUE_ITEMS_MAX} writes are waiting for the disk")

    def _take_batch(self) -> list[_Item]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(len(waiting), BATCH_ITEMS_MAX))]

    def _start_batch(self) -> None:
        """Loop: begins a transaction, runs the statements up to the first function; the thread does the rest."""
        if self._closed:
            return
        batch = self._take_batch()
        outcomes: list[_Outcome] = []
        connection = self._writer
        try:
            if connection is not None and _begin_at_once(connection):
                for what, params, done in batch:
                    if not isinstance(what, str):
                        break
                    outcomes.append((done, _run_statement(connection, what, params)))
        except Exception as error:  # noqa: BLE001 - every item must get an answer.
            self._hand_over(partial(self._fail_batch, batch, error))
        else:
            self._hand_over(partial(self._finish_batch, batch, outcomes))

    def _hand_over(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        self._give_way_later(_GIVE_WAY_AFTER_S)

    def _give_way_later(self, after_s: float) -> None:
        self._nudge = self._loop.call_later(after_s, self._give_way, after_s)

    def _give_way(self, waited_s: float) -> None:
        """Loop: stands still for a moment, so that the thread can have the interpreter.

        A loop that always finds events ready lets go of the interpreter's lock only for a microsecond per turn,
        too short for a waiting thread to wake up: the writer was seen to starve for as long as the load lasted.
        Waits longer each time, so a slow disk costs the loop little.
        """
        time.sleep(_GIVE_WAY_S)
        self._give_way_later(min(2 * waited_s, _GIVE_WAY_AFTER_S_MAX))

    def _work(self) -> None:
        """The writer's thread: finishes batches, waits for the disk."""
        while job := self._jobs.get():
            job()

    def _finish_batch(self, batch: list[_Item], outcomes: list[_Outcome]) -> None:
        """Thread: runs what the loop has left over of a batch, and commits it."""
        try:
            connection = self._writer or self._reopen()
            if not connection.in_transaction:
                _begin_patiently(connection)
            for what, params, done in batch[len(outcomes) :]:
                if isinstance(what, str):
                    outcomes.append((done, _run_statement(connection, what, params)))
                else:
                    outcomes.append((done, _run_function(connection, what)))
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the thread's edge: every item must get an answer.
            self._fail_batch(batch, error)
            return
        self.failure = None
        self._report(outcomes)

    def _fail_batch(self, batch: list[_Item], error: Exception) -> None:
        """Thread: nobody knows what is on disk now, so this connection is not asked again."""
        if self._writer is not None:
            # Closing may report the trouble that made us close.
            with suppress(apsw.Error):
                self._writer.close(force=True)
            self._writer = None
        self.failure = f"{type(error).__name__}: {error}"
        self._report([(done, _failed(self.path, error)) for _, _, done in batch])

    def _report(self, outcomes: list[_Outcome]) -> None:
        # When the loop is closed, nobody is left to be told.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end_batch, outcomes)

    def _end_batch(self, outcomes: list[_Outcome]) -> None:
        """Loop: tells who was waiting, then goes on with what has gathered meanwhile."""
        if self._nudge is not None:
            self._nudge.cancel()
        for done, error in outcomes:
            try:
                done(error)
            except Exception as failure:  # noqa: BLE001 - one listener's mistake must not keep the others waiting.
                self._loop.call_exception_handler(
                    {"message": "a write's callback failed", "exception": failure}
                )
        if self._closed:
            return
        if self._writer is not None and self._pages_since_checkpoint(self._writer) >= CHECKPOINT_PAGES:
            self._hand_over(partial(self._checkpoint_and_report, self._writer))
        elif self._waiting:
            self._start_batch()
        else:
            self._writing = False

    def _checkpoint_and_report(self, connection: apsw.Connection) -> None:
        """Thread: copies the log back into the database."""
        self._checkpoint(connection, apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._report([])

    def _checkpoint(self, connection: apsw.Connection, mode: int) -> None:
        self._pages_at_checkpoint = _pages_written(connection)
        try:
            connection.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            # What was acknowledged is safe in the log, and the next commits will try again.
            self.failure = f"checkpoint: {type(error).__name__}: {error}"

    def _pages_since_checkpoint(self, connection: apsw.Connection) -> int:
        return _pages_written(connection) - self._pages_at_checkpoint

    def _reopen(self) -> apsw.Connection:
        """Connects again after a failure. Never creates the file: an empty one in its place would hide the loss."""
        self._writer = _connect(self.path, _WRITER_PRAGMAS)
        self._pages_at_checkpoint = _pages_written(self._writer)
        return self._writer


def configure(connection: apsw.Connection, pragmas: Sequence[tuple[str, str | int, str | int]]) -> None:
    """Sets pragmas one by one and reads each back: SQLite ignores what it does not like, without a word.

    Each is (name, value to set, value to be read). Raises DatabaseError.
    """
    for name, value, expected in pragmas:
        connection.pragma(name, value)
        actual = connection.pragma(name)
        if actual != expected:
            raise DatabaseError(
                f"The database {connection.filename} does not take {name}={value} (it says {actual!r}). "
                "Is it on a network file system? Choose a folder on a local disk."
            )


def _connect(path: Path, pragmas: Sequence[tuple[str, str | int, str | int]]) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        configure(connection, pragmas)
    except BaseException:
        connection.close(force=True)
        raise
    return connection


def _begin_at_once(connection: apsw.Connection) -> bool:
    """False if another program is writing to the file: the thread can wait for it, the event loop cannot."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        return False
    return True


def _begin_patiently(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(_OTHER_WRITER_MS)
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.set_busy_timeout(0)


def _run_statement(connection: apsw.Connection, sql: str, params: Sequence[Value]) -> BaseException | None:
    """Runs one statement; returns its own failure, raises what concerns the whole batch."""
    try:
        # A single statement takes itself back when it fails.
        connection.execute(sql, params)
    except Exception as error:
        if isinstance(error, _FATAL_ERRORS) or not connection.in_transaction:
            raise
        return error
    return None


def _run_function(connection: apsw.Connection, work: _Work) -> BaseException | None:
    """Runs one function in a savepoint; returns its own failure, raises what concerns the whole batch."""
    connection.execute("SAVEPOINT item")
    try:
        work(connection)
        connection.execute("RELEASE item")
    except Exception as error:
        if isinstance(error, _FATAL_ERRORS) or not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO item")
        connection.execute("RELEASE item")
        return error
    return None


def _pages_written(connection: apsw.Connection) -> int:
    """Pages that this connection has written to the log since it was opened."""
    return connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]


def _failed(path: Path, error: Exception) -> DatabaseFailed:
    hint = " The disk is full." if isinstance(error, apsw.FullError) else ""
    failure = DatabaseFailed(f"The database {path} could not be written: {error}.{hint}")
    failure.__cause__ = error
    return failure


def _sync_folder(folder: Path) -> None:
    """Makes the names of new files durable, not just their contents."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
