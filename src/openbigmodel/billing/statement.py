"""Statements: what an account used and was charged, in sum and line by line.

Rule: a statement is of one moment. It takes the sums that the server keeps and adds the rows that are not in them yet,
as far as the last row that there was when it began, so that totals and lines agree however much is written meanwhile.
It reads on a connection of its own, which cannot write, and never holds a read transaction while its reader is slow:
the server could not empty its log.
"""

from collections.abc import Iterator
from operator import add
from pathlib import Path
from typing import Any, Self

import apsw
import msgspec

from openbigmodel.billing.periods import DAY_MS, HOUR_MS, Period, day_start, split
from openbigmodel.billing.price_history import PriceHistory
from openbigmodel.db.connection import DatabaseError
from openbigmodel.db.data_folder import DATABASE_FILE
from openbigmodel.db.migrations import MIGRATIONS, DatabaseTooNew, schema_version
from openbigmodel.db.queries import QUERIES
from openbigmodel.db.reading import open_read_only

# Lines that are read at once. Between pages nothing is held, neither memory nor a transaction.
PAGE_LINES = 1000
# In WAL mode a reader waits only for a recovery.
_BUSY_MS = 5000
_CACHE_KIB = 64 * 1024


class UnknownOwner(LookupError):  # noqa: N818  it names the state
    """There is no account with this id."""


class Used(msgspec.Struct, frozen=True, gc=False):
    """Usage in sum. `failed` of the requests ended with an error code, `free` of them neither failed nor cost anything.

    `charge` was paid in cash, `saved` is what packs covered, at the price of each request; both in nano-yuan.
    """

    requests: int = 0
    failed: int = 0
    free: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    charge: int = 0
    saved: int = 0
    pack_tokens: int = 0
    pack_calls: int = 0
    plan_credits: int = 0


class Group(msgspec.Struct, frozen=True):
    """A part of the usage. What it was not grouped by is empty; `from_ms` is when its hour or day began."""

    from_ms: int
    model: str
    api_key_id: str
    used: Used


class Line(msgspec.Struct, frozen=True, gc=False):
    """A request. Times are Unix milliseconds, `charge` and `overage` nano-yuan; `code` is empty unless it failed.

    `source` says who counted the tokens, `note` what was cut or estimated; `overage` went beyond the hold and was not
    charged.
    """

    id: int
    log_id: str
    request_id: str
    api_key_id: str
    model: str
    engine: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    finish_reason: str
    code: str
    started_ms: int
    ended_ms: int
    charge: int
    price_version: int
    pack_tokens: int
    pack_calls: int
    source: str
    note: str
    stream: int
    batch: int
    plan_credits: int
    overage: int
    account_id: str


class Refunded(msgspec.Struct, frozen=True, gc=False):
    """Money that was given back: when, how much in nano-yuan, and of which request."""

    at_ms: int
    amount: int
    memo: str
    log_id: str
    request_id: str
    model: str
    api_key_id: str


class Filter(msgspec.Struct, frozen=True):
    """Which requests; None: all. `code` and `failed` are for lines only: sums are not kept by them."""

    model: str | None = None
    api_key_id: str | None = None
    code: str | None = None
    failed: bool = False


class By(msgspec.Struct, frozen=True):
    """What to group by. `span_ms` is 0, HOUR_MS or DAY_MS."""

    span_ms: int = 0
    model: bool = False
    key: bool = False


class Owner(msgspec.Struct, frozen=True):
    """Whose statement it is, and since when there is anything to tell."""

    account_id: str
    name: str
    first_ms: int


class Moment(msgspec.Struct, frozen=True):
    """What a statement is about: rows up to `last`, of which those up to `summed` are in the sums."""

    summed: int
    last: int


EVERYTHING = Filter()
TOTAL = By()
ALWAYS = Period()

_ACCOUNT = QUERIES["account_of_statement"]
_FETCH_SUMMED = QUERIES["fetch_summed"]
_FIND_CASH_BOOK = QUERIES["find_cash_book"]
_HOURS = QUERIES["hours_of_usage"]
_KEY_NAMES = QUERIES["key_names"]
_LAST_BALANCE = QUERIES["last_balance"]
_LIST_FAILED = QUERIES["list_failed"]
_LIST_REFUNDS = QUERIES["list_refunds"]
_LIST_USAGE = QUERIES["list_usage"]
_SUM_ACTIONS = QUERIES["sum_actions"]
_SUM_LINES = QUERIES["sum_lines"]
_SUM_UNSUMMED = QUERIES["sum_unsummed"]
_SUMS_AS_KEPT = QUERIES["sums_as_kept"]
_SUMS_BY_KIND = QUERIES["sums_by_kind"]
_SUMS_BY_TIME = QUERIES["sums_by_time"]


def open_for_reading(path: Path) -> apsw.Connection:
    """A connection to a database file, of a running, stopped or killed server, that reads and never writes to it.

    Raises DatabaseError for a file that is not there, not a database or of an older release, DatabaseTooNew.
    """
    if not path.is_file():
        raise DatabaseError(f"There is no database {path}. Is this the data folder of a server?")
    try:
        connection = open_read_only(path)
        connection.set_busy_timeout(_BUSY_MS)
        connection.pragma("query_only", "ON")
        connection.pragma("trusted_schema", "OFF")
        connection.pragma("cache_size", -_CACHE_KIB)
        version = schema_version(connection)
    except apsw.Error as error:
        raise DatabaseError(f"The database {path} cannot be read: {error}") from error
    if version > len(MIGRATIONS):
        connection.close()
        raise DatabaseTooNew(f"{path} was written by a newer release of Open BigModel. Use that one.")
    if version < len(MIGRATIONS):
        connection.close()
        raise DatabaseError(
            f"The database {path} is of an older release. Start the server once, to bring it up to date."
        )
    return connection


class Statements:
    """Reads statements. For any one thread but the server's event loop: a statement may take 100 ms."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.prices = PriceHistory(connection)
        self.prices.define_function()

    @classmethod
    def open(cls, data: Path) -> Self:
        """For the database in a data folder. Raises what `open_for_reading` does."""
        return cls(open_for_reading(data / DATABASE_FILE))

    def close(self) -> None:
        """Gives the file back."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def owner(self, account_id: str) -> Owner:
        """Raises UnknownOwner."""
        rows = self._rows(_ACCOUNT, (account_id,))
        if not rows:
            raise UnknownOwner(f"There is no account {account_id}")
        name, created_ms, first_ms = rows[0]
        return Owner(account_id, name, min(created_ms, first_ms))

    def key_names(self, account_id: str) -> dict[str, str]:
        """What the account's keys are called, by id."""
        return dict(self._rows(_KEY_NAMES, (account_id,)))

    def saved(self, line: Line) -> int:
        """Nano-yuan that packs covered of a request."""
        if not line.pack_tokens + line.pack_calls:
            return 0
        tokens = (line.prompt_tokens, line.cached_tokens, line.completion_tokens)
        return self.prices.saved(line.price_version, line.batch, *tokens, line.charge + line.overage)

    def balance(self, account_id: str) -> int:
        """Nano-yuan in the file; what a running server holds is still part of it."""
        book = self._cash_book(account_id)
        rows = self._rows(_LAST_BALANCE, (book,)) if book is not None else []
        return int(rows[0][0]) if rows else 0

    def actions(self, account_id: str, period: Period) -> dict[str, int]:
        """Nano-yuan by kind of posting that is no request's: topup, gift, adjust (may be negative), refund."""
        book = self._cash_book(account_id)
        if book is None:
            return {}
        return dict(self._rows(_SUM_ACTIONS, (book, period.from_ms, period.to_ms)))

    def refunds(self, account_id: str, period: Period, only: Filter = EVERYTHING) -> list[Refunded]:
        """What was given back in a period, newest first, whenever it was charged. Only an operator gives back."""
        book = self._cash_book(account_id)
        place = (book, period.from_ms, period.to_ms, only.model, only.api_key_id)
        return [] if book is None else [Refunded(*row) for row in self._rows(_LIST_REFUNDS, place)]

    def snapshot(self) -> "Snapshot":
        """For sums that must agree: what is read within it is of one moment. Only for a moment."""
        return Snapshot(self.connection)

    def moment(self) -> Moment:
        """Now: the rows that there are."""
        return Moment(*self._rows(_FETCH_SUMMED, ())[0])

    def total(
        self, account_id: str, period: Period = ALWAYS, only: Filter = EVERYTHING
    ) -> tuple[Used, Moment]:
        """All usage of a period in one sum, and the moment for lines that agree with it."""
        groups, moment = self.groups(account_id, TOTAL, period, only)
        return (groups[0].used if groups else Used()), moment

    def groups(
        self, account_id: str, by: By, period: Period = ALWAYS, only: Filter = EVERYTHING
    ) -> tuple[list[Group], Moment]:
        """Usage of a period in groups, by time, then model, then key."""
        assert only.code is None
        assert not only.failed
        # The sums and how far they reach must be of one moment.
        with self.snapshot():
            moment = self.moment()
            rows = list(self._summed(account_id, by, period, only, moment))
        merged: dict[tuple[int, str, str], list[int]] = {}
        for from_ms, model, key, *sums in rows:
            place = (from_ms if by.span_ms else 0, model, key)
            known = merged.get(place)
            merged[place] = sums if known is None else list(map(add, known, sums))
        return [Group(*place, Used(*merged[place])) for place in sorted(merged)], moment

    def _summed(
        self, account_id: str, by: By, period: Period, only: Filter, moment: Moment
    ) -> Iterator[tuple[Any, ...]]:
        """Sums of the parts of a period, in groups that may come more than once."""
        cut = split(period, whole_days=by.span_ms != HOUR_MS)
        kind = (only.model, only.api_key_id, by.span_ms, by.model, by.key)
        for span, from_ms, to_ms in (
            ("hour", cut.hours_ms, cut.days_ms),
            ("day", cut.days_ms, cut.days_end_ms),
            ("hour", cut.days_end_ms, cut.hours_end_ms),
        ):
            place = (account_id, span, from_ms, to_ms)
            finest = by.span_ms > 0 and by.model and by.key
            if finest or not (by.model or by.key):
                # In the order in which they are kept, so nothing is sorted; hours may be parts of a day.
                for row in self._rows(_SUMS_AS_KEPT if finest else _SUMS_BY_TIME, (*place, *kind[:2])):
                    yield (day_start(row[0]), *row[1:]) if by.span_ms == DAY_MS else row
            else:
                yield from self._rows(_SUMS_BY_KIND, (*place, *kind))
        for from_ms, to_ms in ((cut.from_ms, cut.hours_ms), (cut.hours_end_ms, cut.to_ms)):
            yield from self._rows(_SUM_LINES, (account_id, moment.summed, from_ms, to_ms, *kind))
        rest = (account_id, moment.summed, period.from_ms, period.to_ms)
        yield from self._rows(_SUM_UNSUMMED, (*rest, *kind, moment.last))

    def lines(
        self,
        account_id: str,
        period: Period = ALWAYS,
        only: Filter = EVERYTHING,
        *,
        limit: int | None = None,
        moment: Moment | None = None,
    ) -> Iterator[Line]:
        """Requests, newest first; of those at the same millisecond, the later written first."""
        moment = moment or self.moment()
        left = limit
        for part in self._parts(account_id, period, only, moment):
            for line in self._lines_of(account_id, part, only, moment, left):
                yield line
                if left is not None:
                    left -= 1
            if left == 0:
                return

    def _parts(self, account_id: str, period: Period, only: Filter, moment: Moment) -> list[Period]:
        """The period, or the hours of it that can have what is looked for: one model's requests may be far between."""
        if only.model is None and only.api_key_id is None:
            return [period]
        first = period.from_ms // HOUR_MS * HOUR_MS
        hours = self._rows(
            _HOURS,
            (account_id, first, period.to_ms, moment.summed, moment.last, only.model, only.api_key_id),
        )
        return [Period(max(hour, period.from_ms), min(hour + HOUR_MS, period.to_ms)) for (hour,) in hours]

    def _lines_of(
        self, account_id: str, period: Period, only: Filter, moment: Moment, limit: int | None
    ) -> Iterator[Line]:
        # Every id that there is comes before this place.
        at_ms, before = period.to_ms - 1, moment.last + 1
        failed = only.failed or only.code is not None
        while limit is None or limit > 0:
            wanted = PAGE_LINES if limit is None else min(PAGE_LINES, limit)
            place = (account_id, period.from_ms, at_ms, before, moment.last)
            which = (only.model, only.api_key_id, wanted, *((only.code,) if failed else ()))
            rows = self._rows(_LIST_FAILED if failed else _LIST_USAGE, (*place, *which))
            yield from (Line(*row) for row in rows)
            if len(rows) < wanted:
                return
            last = Line(*rows[-1])
            at_ms, before = last.ended_ms, last.id
            if limit is not None:
                limit -= len(rows)

    def _cash_book(self, account_id: str) -> int | None:
        rows = self._rows(_FIND_CASH_BOOK, (account_id,))
        return rows[0][0] if rows else None

    def _rows(self, query: str, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, params).fetchall()


class Snapshot:
    """What is read within it is of one moment. May stand within another."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._nested = connection.in_transaction

    def __enter__(self) -> None:
        if not self._nested:
            self._connection.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        if not self._nested:
            self._connection.execute("COMMIT")
