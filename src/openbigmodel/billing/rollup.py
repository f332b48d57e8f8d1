"""Sums of usage by hour and day, kept up in the background, a small batch at a time.

Rule: the sums hold every usage row up to one row and none after it, because a batch and the note of how far it went are
one transaction. So a step may be lost, repeated or never run, and a statement, which adds the rows after that one
itself, is right all the same. Rows are taken by their number and not by their time: a commit may be late, a clock may
be set back, and a row that comes after its hour was summed would never be counted.

    usage rows   1 … summed │ summed+1 … last
                 usage_sums │ read one by one
"""

import asyncio
from collections.abc import Callable
from typing import Any

import apsw

from openbigmodel.billing.price_history import PriceHistory
from openbigmodel.db.connection import Database, DatabaseClosed
from openbigmodel.db.queries import QUERIES

# A step holds up the settlements of its batch: 1 ms, 3 ms if every row has an account and a key of its own.
STEP_ROWS = 200
# When there is nothing more to sum.
PAUSE_S = 1.0
# Between the steps of a server that has much to catch up with: it takes a fifth of the writer's time at most.
BREATH_S = 0.01

_COMPARE_SUMS = QUERIES["compare_sums"]
_FETCH_SUMMED = QUERIES["fetch_summed"]
_ADD_TO_SUMS = QUERIES["add_to_sums"]
_SET_SUMMED = QUERIES["set_summed"]


class RollUp:
    """Keeps the sums of a running server. `note` gets a sentence when something is wrong."""

    def __init__(
        self, database: Database, note: Callable[[str], None], *, step_rows: int = STEP_ROWS
    ) -> None:
        self._database = database
        self._note = note
        self._step_rows = step_rows
        self._prepared: apsw.Connection | None = None

    async def run(self, *, pause_s: float = PAUSE_S, breath_s: float = BREATH_S) -> None:
        """Sums for as long as the database is open. A failure is told once and tried again."""
        told = ""
        while True:
            more = False
            try:
                more = await self.run_once()
                told = ""
            except DatabaseClosed:
                return
            except Exception as error:  # noqa: BLE001  the edge of a task: statements are right without it, only slower
                if str(error) != told:
                    told = str(error)
                    self._note(f"usage is not summed, statements get slower: {error}")
            await asyncio.sleep(breath_s if more else pause_s)

    async def run_once(self) -> bool:
        """One step, if there is anything to sum. Returns whether there is more. Raises what reading and writing do."""
        ((summed, last),) = self._database.read(_FETCH_SUMMED)
        if summed == last:
            return False
        return await self._database.write(self._step)

    def _step(self, connection: apsw.Connection) -> bool:
        if connection is not self._prepared:
            PriceHistory(connection).define_function()
            self._prepared = connection
        return step(connection, self._step_rows)


def step(connection: apsw.Connection, rows: int) -> bool:
    """Adds at most `rows` usage rows to the sums, within the caller's transaction. Returns whether there are more.

    The connection needs `PriceHistory.define_function`.
    """
    summed, last = _ends(connection)
    end = min(last, summed + rows)
    if end > summed:
        connection.execute(_ADD_TO_SUMS, (summed, end))
        connection.execute(_SET_SUMMED, (summed, end))
        # Else another process sums too, and what was just added would be counted twice.
        assert connection.changes() == 1
    return end < last


def sums_problems(connection: apsw.Connection) -> list[str]:
    """A sentence if the sums are not those of the rows; reads all of them, for `verify`."""
    rows: list[tuple[Any, ...]] = connection.execute(_COMPARE_SUMS).fetchall()
    lines = rows[0][1:]
    return [
        f"The sums of usage by {span} are not those of its rows: {list(sums)} instead of {list(lines)}"
        for span, *sums in rows[1:]
        if tuple(sums) != lines
    ]


def _ends(connection: apsw.Connection) -> tuple[int, int]:
    row: Any = connection.execute(_FETCH_SUMMED).fetchall()[0]
    return row[0], row[1]
