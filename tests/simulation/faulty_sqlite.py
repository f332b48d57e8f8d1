"""The platform's writer and database on a schedule instead of a thread, and a connection that fails when told to."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import apsw

from openbigmodel.db import connection as real
from openbigmodel.db.connection import Database
from openbigmodel.db.writer import Writer
from tests.simulation.faults import Faults
from tests.simulation.virtual_time import Scope


def may_be_refused(statement: str) -> bool:
    """A window's row breaks no rule, whatever is in it: it meets only what its whole commit meets."""
    return statement.lstrip().startswith("INSERT") and "INTO plan_windows" not in statement


class FaultyConnection(apsw.Connection):
    """Some statements are refused, some commits fail, and half of these are on disk nevertheless."""

    random: Random
    faults: Faults

    def execute(self, statements: str, bindings: Any = None, **options: Any) -> apsw.Cursor:
        random, faults = self.random, self.faults
        if statements == "COMMIT":
            if faults.commit_goes_wrong(random):
                if random.random() < 0.5:
                    super().execute(statements)
                raise apsw.IOError("the commit was told to fail")
        elif may_be_refused(statements) and random.random() < faults.item_refused:
            raise apsw.ConstraintError("the statement was told to fail")
        return super().execute(statements, bindings, **options)


class ScheduledWriter(Writer):
    """What the thread would do happens later, when the schedule says so."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        loop: asyncio.AbstractEventLoop,
        scope: Scope,
        random: Random,
        faults: Faults,
    ) -> None:
        self._scope = scope
        self._random = random
        self._faults = faults
        super().__init__(connect, loop)
        # It has nothing to do.
        self._errands.put(None)
        self._thread.join()

    def _hand_over(self, errand: Callable[[], None]) -> None:
        self._scope.after(self._random.randrange(100, self._faults.commit_us_max), errand)

    def crash(self) -> None:
        """The process is gone; a commit that it had begun may have reached the disk."""
        connection = self._connection
        if connection is not None:
            if connection.in_transaction and self._random.random() < 0.5:
                apsw.Connection.execute(connection, "COMMIT")
            connection.close(force=True)


class FaultyDatabase:
    """A database of one process, on a file."""

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, scope: Scope, random: Random, faults: Faults
    ) -> None:
        def connect() -> apsw.Connection:
            if random.random() < faults.commit_fails / 2:
                raise apsw.CantOpenError("the file was told not to open")
            connection = FaultyConnection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            connection.random, connection.faults = Random(), Faults()
            real.configure(connection, real._WRITER_PRAGMAS)
            connection.random, connection.faults = random, faults
            return connection

        self._reader = real._connect(path, None, real._READER_PRAGMAS)
        quiet, faults.commit_fails = faults.commit_fails, 0.0
        self._writer = ScheduledWriter(connect, loop, scope, random, faults)
        faults.commit_fails = quiet
        self.database = Database(path, self._writer, self._reader, loop)

    def crash(self) -> None:
        """Nothing is written any more but what was on its way to the disk."""
        self._writer.crash()
        self._reader.close()
