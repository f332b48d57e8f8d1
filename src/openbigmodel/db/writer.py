"""The one writer of the database: gathers what is to be written, commits it together, then tells who waits.

Rule: all changes go through one queue to one connection. Whatever has gathered (at most BATCH_ITEMS_MAX) becomes
one transaction, is committed with a sync, and only then are those told who wait for it. While one batch is being
synced the next one gathers, so all who wait share the cost of a sync.

Who works when: the event loop runs the batch's statements, because each is microseconds and handing the
interpreter to a thread and back costs more than that for every single one. The writer's thread runs functions
and the commit, which waits for the disk. The connection is with one of them at a time. A prepared item is a function
as quick as a statement: it works out what to write when its turn has come, so that it can build on what was really
written before it.

One item that fails takes only itself back. A failure of the disk or the file fails every item of the batch: after
an error at COMMIT nobody knows what is on disk, so the connection is dropped, opened afresh, and no item is
acknowledged. Whoever cares looks its row up again.
"""

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

import apsw

BATCH_ITEMS_MAX = 256
QUEUE_ITEMS_MAX = 4096
# The log is copied back into the database when it has grown by this: 4 MiB of 4 KiB pages.
CHECKPOINT_PAGES = 1024

# How long the thread waits for another program that writes to our file, though the folder is locked.
_OTHER_WRITER_MS = 5000
# When a batch has been with the thread for this long, the loop stands still for a moment (_give_way).
_GIVE_WAY_AFTER_S = 0.001
_GIVE_WAY_AFTER_S_MAX = 0.008
_GIVE_WAY_S = 0.0001

# These say that the disk, the file or the connection is in trouble, not that a statement was wrong.
FATAL_ERRORS = (
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
Work = Callable[[apsw.Connection], object]


class Prepared:
    """Statements that are worked out when they are written; all of them happen or none."""

    def write(self, connection: apsw.Connection) -> None:
        """Runs the statements, within microseconds: the event loop may be waiting.

        The connection is another one after a failure, and only then. What is raised is this item's own failure,
        unless it is one of FATAL_ERRORS.
        """
        raise NotImplementedError

    def undone(self) -> None:
        """What it wrote is taken back with all of its batch, and `write` will be called again."""


_What = str | Prepared | Work
_Item = tuple[_What, Sequence[Value], Done]
_Outcome = tuple[Done, BaseException | None]
# What the event loop itself runs.
_QUICK = (str, Prepared)


class DatabaseError(Exception):
    """The database could not do what was asked; nothing was acknowledged."""


class DatabaseBusy(DatabaseError):  # noqa: N818 - a state, like BlockingIOError's "would block".
    """The queue is full: the disk is slower than what is asked of it."""


class DatabaseFailed(DatabaseError):  # noqa: N818 - it says what happened.
    """The disk or the file failed. What was being written may or may not be on disk."""


class DatabaseClosed(DatabaseError):  # noqa: N818 - a state.
    """The database has been closed."""


def failed(error: Exception) -> DatabaseFailed:
    """What callers are told when SQLite reports trouble with the disk or the file."""
    hint = "; the disk is full" if isinstance(error, apsw.FullError) else ""
    failure = DatabaseFailed(f"The database failed: {error}{hint}")
    failure.__cause__ = error
    return failure


class Writer:
    """Owns the writing connection. Every method without an underscore is for the event loop's thread.

    `connect` opens a connection, now and after a failure. `failure` says what went wrong with the last batch or
    checkpoint, None when it was committed.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], loop: asyncio.AbstractEventLoop) -> None:
        self.failure: str | None = None
        self._connect = connect
        self._loop = loop
        self._connection: apsw.Connection | None = connect()
        self._pages_at_checkpoint = _pages_written(self._connection)
        self._waiting: deque[_Item] = deque()
        # From the moment a batch is due until the thread has finished it.
        self._busy = False
        self._closed = False
        self._nudge: asyncio.TimerHandle | None = None
        # For the thread; None is its last.
        self._errands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="database-writer", daemon=True)
        self._thread.start()

    @property
    def queue_length(self) -> int:
        """How many items wait for the next batches."""
        return len(self._waiting)

    def put(self, what: _What, params: Sequence[Value], done: Done) -> None:
        """Queues a statement that returns no rows, a prepared item or a function.

        Raises DatabaseBusy, DatabaseClosed.
        """
        waiting = self._waiting
        if self._closed:
            raise DatabaseClosed("The database is closed")
        if len(waiting) >= QUEUE_ITEMS_MAX:
            raise DatabaseBusy(f"{QUEUE_ITEMS_MAX} writes are waiting for the disk")
        waiting.append((what, params, done))
        if not self._busy:
            self._busy = True
            # Not at once: what else this turn of the loop has to write shares the batch.
            self._loop.call_soon(self._start_batch)

    def close(self) -> None:
        """Writes what is queued, empties the log and closes; waits for the disk. Once only.

        The callbacks of what was still queued need a further turn of the event loop.
        """
        self._closed = True
        self._stop_giving_way()
        self._errands.put(None)
        self._thread.join()
        while self._waiting:
            self._finish_batch(self._take_batch(), [])
        if self._connection is not None:
            self._checkpoint(self._connection, apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._connection.close()

    def _take_batch(self) -> list[_Item]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(len(waiting), BATCH_ITEMS_MAX))]

    def _start_batch(self) -> None:
        """Loop: begins a transaction and runs the statements before the first function; the thread does the rest."""
        if self._closed:
            return
        batch = self._take_batch()
        try:
            outcomes = [] if self._connection is None else _run_quick_items(self._connection, batch)
        except Exception as error:  # noqa: BLE001 - every item must get an answer.
            self._hand_over(partial(self._fail_batch, batch, error))
        else:
            self._hand_over(partial(self._finish_batch, batch, outcomes))

    def _hand_over(self, errand: Callable[[], None]) -> None:
        self._errands.put(errand)
        self._give_way_after(_GIVE_WAY_AFTER_S)

    def _give_way_after(self, delay_s: float) -> None:
        self._nudge = self._loop.call_later(delay_s, self._give_way, delay_s)

    def _give_way(self, waited_s: float) -> None:
        """Loop: stands still for a moment, so that the thread can have the interpreter.

        A loop that always finds events ready lets go of the interpreter's lock only for a microsecond per turn,
        too short for a waiting thread to wake up: the writer was seen to starve for as long as the load lasted.
        Waits longer each time, so a slow disk costs the loop little.
        """
        time.sleep(_GIVE_WAY_S)
        self._give_way_after(min(2 * waited_s, _GIVE_WAY_AFTER_S_MAX))

    def _stop_giving_way(self) -> None:
        if self._nudge is not None:
            self._nudge.cancel()

    def _work(self) -> None:
        """The thread."""
        while errand := self._errands.get():
            errand()

    def _finish_batch(self, batch: list[_Item], outcomes: list[_Outcome]) -> None:
        """Thread: runs what the loop has left over of a batch, and commits it."""
        try:
            connection = self._connection or self._reconnect()
            if not connection.in_transaction:
                _begin_patiently(connection)
            for what, params, done in batch[len(outcomes) :]:
                outcomes.append((done, _run(connection, what, params)))
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the thread's edge: every item must get an answer.
            self._fail_batch(batch, error)
            return
        self.failure = None
        self._report(outcomes)

    def _fail_batch(self, batch: list[_Item], error: Exception) -> None:
        """Thread: nobody knows what is on disk now, so this connection is not asked again."""
        if self._connection is not None:
            # Closing may report the trouble that made us close.
            with suppress(apsw.Error):
                self._connection.close(force=True)
            self._connection = None
        self.failure = f"{type(error).__name__}: {error}"
        self._report([(done, failed(error)) for _, _, done in batch])

    def _reconnect(self) -> apsw.Connection:
        self._connection = self._connect()
        self._pages_at_checkpoint = _pages_written(self._connection)
        return self._connection

    def _report(self, outcomes: list[_Outcome]) -> None:
        # When the loop is closed, nobody is left to be told.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end_batch, outcomes)

    def _end_batch(self, outcomes: list[_Outcome]) -> None:
        """Loop: tells who was waiting, then goes on with what has gathered meanwhile."""
        self._stop_giving_way()
        for done, error in outcomes:
            try:
                done(error)
            except Exception as failure:  # noqa: BLE001 - one listener's mistake must not keep the others waiting.
                context = {"message": "a callback of the database failed", "exception": failure}
                self._loop.call_exception_handler(context)
        if self._closed:
            return
        connection = self._connection
        if (
            connection is not None
            and _pages_written(connection) - self._pages_at_checkpoint >= CHECKPOINT_PAGES
        ):
            self._hand_over(partial(self._checkpoint_and_report, connection))
        elif self._waiting:
            self._start_batch()
        else:
            self._busy = False

    def _checkpoint_and_report(self, connection: apsw.Connection) -> None:
        """Thread: copies the log back into the database."""
        self._checkpoint(connection, apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._report([])

    def _checkpoint(self, connection: apsw.Connection, mode: int) -> None:
        self._pages_at_checkpoint = _pages_written(connection)
        try:
            connection.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            # What was acknowledged is safe in the log; more pages bring the next attempt.
            self.failure = f"checkpoint: {type(error).__name__}: {error}"


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


def _run_quick_items(connection: apsw.Connection, batch: list[_Item]) -> list[_Outcome]:
    """Begins a transaction and runs what comes before the first function; nothing while somebody else writes.

    Prepared items hardly ever fail, and a savepoint costs a quarter of what they write (2.5 of 12 us). So none is
    made until one has failed; then the batch begins anew with a savepoint for each.
    """
    if not _begin_at_once(connection):
        return []
    outcomes: list[_Outcome] = []
    try:
        for what, params, done in batch:
            if isinstance(what, str):
                outcomes.append((done, _run(connection, what, params)))
            elif isinstance(what, Prepared):
                what.write(connection)
                outcomes.append((done, None))
            else:
                break
    except Exception as error:  # Whatever it is, it comes again in the second round.
        if isinstance(error, FATAL_ERRORS) or not connection.in_transaction:
            raise
        connection.execute("ROLLBACK")
        for what, _, _ in batch[: len(outcomes) + 1]:
            if isinstance(what, Prepared):
                what.undone()
        return _run_quick_items_one_by_one(connection, batch)
    return outcomes


def _run_quick_items_one_by_one(connection: apsw.Connection, batch: list[_Item]) -> list[_Outcome]:
    if not _begin_at_once(connection):
        return []
    quick = itertools.takewhile(lambda item: isinstance(item[0], _QUICK), batch)
    return [(done, _run(connection, what, params)) for what, params, done in quick]


def _run(connection: apsw.Connection, what: _What, params: Sequence[Value]) -> BaseException | None:
    """Runs one item; returns its own failure, raises what concerns the whole batch."""
    if not isinstance(what, str):
        return _run_in_savepoint(connection, what.write if isinstance(what, Prepared) else what)
    try:
        # A single statement takes itself back when it fails.
        connection.execute(what, params)
    except Exception as error:  # Whatever it is, it is handed to whoever asked.
        if isinstance(error, FATAL_ERRORS) or not connection.in_transaction:
            raise
        return error
    return None


def _run_in_savepoint(connection: apsw.Connection, work: Work) -> BaseException | None:
    connection.execute("SAVEPOINT item")
    try:
        work(connection)
    except Exception as error:  # As above.
        if isinstance(error, FATAL_ERRORS) or not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO item")
        connection.execute("RELEASE item")
        return error
    connection.execute("RELEASE item")
    return None


def _pages_written(connection: apsw.Connection) -> int:
    """Pages that this connection has written to the log since it was opened."""
    return connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]
