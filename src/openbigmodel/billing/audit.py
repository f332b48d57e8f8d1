"""`bigmodel verify`: reads a whole database file and says what in it cannot be right.

Rule: it shares no state and no lock with the platform, changes nothing, and believes nothing that it can compute:
hashes, running balances, which postings a request may have, the charge of each usage row from its tokens and its
version of the price. What a Coding Plan paid cannot be computed, because rows name no version of the credit rates; of
that it only sees whether a plan can have paid for the row at all, and adds it up. So it works on a running server's
file, a stopped one's, and one whose server has just been killed.

A chain shows any change but one: that its newest end was cut off together with the usage rows. Whoever wants to see
that as well keeps `head` somewhere else.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import msgspec

from openbigmodel.billing.chain import GENESIS, POSTING_WIDTH, PostingColumns, UsageColumns, link
from openbigmodel.billing.pricing import FREE, HALF_NANO, PARTS_PER_NANO, Price
from openbigmodel.billing.rollup import sums_problems
from openbigmodel.billing.store import (
    ADJUSTMENTS,
    CASH,
    CASH_GIFTS,
    CUSTOMERS_FROM,
    FUNDING,
    GIFTS,
    PACKS_EXPIRED,
    PACKS_SOLD,
    PACKS_USED,
    REVENUE,
)
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import DatabaseError
from openbigmodel.db.migrations import MIGRATIONS, DatabaseTooNew, schema_version
from openbigmodel.db.queries import QUERIES
from openbigmodel.db.reading import open_read_only

PROBLEMS_MAX = 100
# The migration that brought the ledger; files from before it have nothing to verify.
_FIRST_SCHEMA = 4
_FIRST_SCHEMA_WITH_PLANS = 5
_FIRST_SCHEMA_WITH_SUMS = 6

_CHECK_STRUCTURE = QUERIES["check_structure"]
_LIST_POSTINGS = QUERIES["list_postings"]
_FETCH_POSTING = QUERIES["fetch_posting"]
_LIST_UNCHARGED = QUERIES["list_uncharged"]
_LIST_UNPOSTED = QUERIES["list_unposted"]
_LIST_IMPOSSIBLE_CREDITS = QUERIES["list_impossible_credits"]
_COUNT_USAGE = QUERIES["count_usage"]
_LIST_BOOKS = QUERIES["list_books"]
_LIST_PACK_FACTS = QUERIES["list_pack_facts"]
_LIST_PRICES = QUERIES["list_prices"]

# Which kind may move what between a customer's book and which of the platform's: (kind, platform's book, into the
# customer's) → unit.
_MOVES: dict[tuple[str, int, bool], str] = {
    ("topup", FUNDING, True): "nano",
    ("gift", CASH_GIFTS, True): "nano",
    ("adjust", ADJUSTMENTS, True): "nano",
    ("adjust", ADJUSTMENTS, False): "nano",
    ("refund", REVENUE, True): "nano",
    ("post", REVENUE, False): "nano",
    **{("refund", book, True): unit for unit, book in PACKS_USED.items()},
    **{("pack_grant", book, True): unit for unit, book in (*PACKS_SOLD.items(), *GIFTS.items())},
    **{("pack_burn", book, False): unit for unit, book in PACKS_USED.items()},
    **{("pack_expire", book, False): unit for unit, book in PACKS_EXPIRED.items()},
}
# What reading says when something on disk has no sense; the columns of a damaged row can be of any type.
_UNREADABLE = (apsw.Error, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
_NO_WAY_IN = (apsw.CantOpenError, apsw.FullError, apsw.PermissionsError, apsw.ReadOnlyError)
_BILLED = {"post", "pack_burn"}
_PLATFORM_UNITS = {book: unit for (_, book, _), unit in _MOVES.items()}


class Report(msgspec.Struct, frozen=True):
    """What was read, and a sentence for each of the first PROBLEMS_MAX problems.

    `head` is the hash of the newest posting, in hex; empty if there is none.
    """

    ok: bool
    postings: int
    usage_rows: int
    head: str
    problems: list[str]


def verify(path: Path, *, structure: bool = True) -> Report:
    """Verify a database file, as one reader among others: a running server goes on.

    `structure`: SQLite looks at its own pages and indexes first, which is a third of the time.
    Raises FileNotFoundError, DatabaseTooNew for the file of a newer release, DatabaseError where there is no way to
    read it. A file that cannot be read as a database is a problem of the report.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no database {path}")
    try:
        connection = _open(path)
        try:
            return verify_open(connection, structure=structure)
        finally:
            connection.close()
    except _NO_WAY_IN as error:
        # The ledger may be in order for all that.
        raise DatabaseError(
            f"The database {path} cannot be read here ({error}). Look for room on the disk and for permissions, or "
            "verify a copy of the folder elsewhere."
        ) from error
    except _UNREADABLE as error:
        return Report(False, 0, 0, "", [f"The database cannot be read: {type(error).__name__}: {error}"])


def _open(path: Path) -> apsw.Connection:
    try:
        connection = open_read_only(path)
    except apsw.ReadOnlyError:
        # Killed in the first moment of its life, before the log: its first write must be undone, by whoever reads.
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    # A full disk is no reason not to look.
    connection.pragma("temp_store", "MEMORY")
    return connection


def verify_open(connection: apsw.Connection, *, structure: bool = True) -> Report:
    """Verify what a connection reads, in a transaction that stays open. Raises DatabaseTooNew, apsw.Error."""
    # One moment of a file that may be written to meanwhile.
    connection.execute("BEGIN")
    schema = schema_version(connection)
    if schema > len(MIGRATIONS):
        raise DatabaseTooNew(f"{connection.filename} was written by a newer release of Open BigModel")
    damage = _damage(connection) if structure else []
    if schema < _FIRST_SCHEMA:
        return Report(not damage, 0, 0, "", damage)
    audit = _Audit(connection, damage)
    try:
        audit.read()
        if schema >= _FIRST_SCHEMA_WITH_PLANS:
            audit.look_at_plans()
        if schema >= _FIRST_SCHEMA_WITH_SUMS:
            audit.problems.extend(sums_problems(connection))
    except _UNREADABLE as error:
        audit.problems.append(f"The database cannot be read further: {type(error).__name__}: {error}")
    # A damaged row may have anything in the place of its hash; that it is wrong is among the problems by now.
    head = audit.head.hex() if audit.postings and isinstance(audit.head, bytes) else ""
    return Report(not audit.problems, audit.postings, audit.usage_rows, head, audit.problems)


def _damage(connection: apsw.Connection) -> list[str]:
    rows: list[tuple[Any, ...]] = connection.execute(_CHECK_STRUCTURE).fetchall()
    return [f"SQLite says: {sentence}" for (sentence,) in rows if sentence != "ok"]


class _Book:
    """A customer's book, and what its postings so far leave in it."""

    __slots__ = ("account_id", "balance", "name", "postings", "unit")

    def __init__(self, account_id: str, name: str, unit: str) -> None:
        self.account_id = account_id
        self.name = name
        self.unit = unit
        self.balance = 0
        self.postings = 0


class _Request:
    """What the postings of one request take. `usage` is its usage row."""

    __slots__ = ("cash", "first_seq", "id", "packs", "usage")

    def __init__(self, usage_id: int, first_seq: int, usage: UsageColumns) -> None:
        self.id = usage_id
        self.first_seq = first_seq
        self.usage = usage
        self.cash = 0
        self.packs = {"tokens": 0, "calls": 0}


class _Audit:
    """One reading of the ledger, from its first posting to its last."""

    def __init__(self, connection: apsw.Connection, problems: list[str]) -> None:
        self.postings = 0
        self.usage_rows = 0
        self.head = GENESIS
        self.problems = problems
        self._connection = connection
        self._prices = _read_prices(connection)
        self._books = {
            number: _Book(account_id, name, unit)
            for number, account_id, name, unit in connection.execute(_LIST_BOOKS)
            if number >= CUSTOMERS_FROM
        }
        self._packs = {f"pack:{row[0]}": row[1:] for row in connection.execute(_LIST_PACK_FACTS)}
        # What came out of each of the platform's books, less what went in.
        self._given: dict[int, int] = {}
        self._request: _Request | None = None
        self._requests = 0
        self._last_request = 0
        self._refunds: dict[tuple[int, str], int] = {}

    def read(self) -> None:
        """Reads everything."""
        self._read_postings()
        self._end_request()
        self._sum_up()
        self._look_at_usage()

    def look_at_plans(self) -> None:
        """The usage rows that a Coding Plan paid for."""
        for (usage_id,) in self._connection.execute(_LIST_IMPOSSIBLE_CREDITS):
            self._problem(
                f"usage row {usage_id} took credits of a Coding Plan, which cannot have paid for it"
            )

    def _read_postings(self) -> None:
        """The postings in their order. Most are simple, and what is left to check of these is here, for speed."""
        cash = {number: book for number, book in self._books.items() if book.name == CASH}
        rates = {2 * version + batch: _rates(price) for (version, batch), price in self._prices.items()}
        head, seq_before, simple_requests, charged = self.head, 0, 0, 0
        parts_per_nano = PARTS_PER_NANO
        rows: Iterable[tuple[Any, ...]] = self._connection.execute(_LIST_POSTINGS)
        for (
            digest,
            covered,
            simple,
            seq,
            debit,
            amount,
            balance,
            usage_id,
            account_id,
            price,
            prompt,
            cached,
            completion,
        ) in rows:
            chained = sha256(head + covered).digest() == digest
            if seq != seq_before + 1:
                self._problem(f"posting {seq_before + 1} is missing")
            seq_before = seq
            if simple and chained and debit in cash:
                book, rate = cash[debit], rates.get(price)
                if rate is None:
                    cost = self._cost(price, prompt, cached, completion)
                else:
                    fresh, again, output, rest = rate
                    cost = (
                        (prompt - cached) * fresh + cached * again + completion * output + rest
                    ) // parts_per_nano
                if (
                    cost == amount
                    and book.account_id == account_id
                    and book.balance - amount == balance
                    and usage_id > self._last_request
                ):
                    if self._request is not None:
                        self._end_request()
                    book.balance = balance
                    book.postings += 1
                    self._last_request = usage_id
                    simple_requests += 1
                    charged += amount
                    head = digest
                    continue
            self._look_closely(seq, head, digest, chained=chained)
            head = digest
        self.head = head
        self.postings += simple_requests
        self._requests += simple_requests
        self._given[REVENUE] = self._given.get(REVENUE, 0) - charged

    def _cost(self, key: int, prompt: int, cached: int, completion: int) -> int | None:
        price = self._prices.get(divmod(key, 2))
        return None if price is None else price.charge(Usage(prompt, cached, completion))

    def _look_closely(self, seq: int, previous: bytes, digest: bytes, *, chained: bool) -> None:
        """A posting that is not simple, or where something is wrong."""
        self.postings += 1
        found: list[tuple[Any, ...]] = self._connection.execute(_FETCH_POSTING, (seq,)).fetchall()
        if not found:
            self._problem(f"posting {seq} cannot be found by its number")
            return
        fields = found[0]
        # The two ways of writing JSON may differ in how they write a rare character.
        if not chained and link(previous, fields) != digest:
            self._problem(f"posting {seq} or its usage row is not what was written")
        self._posting(PostingColumns._make(fields[:POSTING_WIDTH]), fields[POSTING_WIDTH:])

    def _problem(self, sentence: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(sentence)

    def _posting(self, posting: PostingColumns, usage: Sequence[Any]) -> None:
        """One posting for itself, and what its book holds after it."""
        seq, _, kind, debit, credit, amount, balance, usage_id, _, _ = posting
        incoming = credit >= CUSTOMERS_FROM
        number, platform_book = (credit, debit) if incoming else (debit, credit)
        book = self._books.get(number)
        if book is None:
            self._problem(f"posting {seq} is on book {number}, which does not exist")
            return
        if _MOVES.get((kind, platform_book, incoming)) != book.unit:
            self._problem(f"posting {seq} ({kind}) cannot be between the books {debit} and {credit}")
        moved = amount if incoming else -amount
        if balance != book.balance + moved or balance < 0 or amount <= 0:
            self._problem(f"posting {seq} moves {moved}, leaves {balance}, and found {book.balance}")
        first = not book.postings
        book.balance = balance
        book.postings += 1
        self._given[platform_book] = self._given.get(platform_book, 0) + moved
        if kind in _BILLED:
            self._bill(posting, book, usage)
        elif kind == "refund":
            self._refund(posting, book, usage)
        elif usage_id is not None:
            self._problem(f"posting {seq} ({kind}) names a request")
        elif book.name != CASH:
            self._pack(posting, book, first=first)

    def _bill(self, posting: PostingColumns, book: _Book, fields: Sequence[Any]) -> None:
        seq, usage_id, usage = posting.seq, posting.usage_id, UsageColumns._make(fields)
        if usage_id is None or usage.posting is None:
            self._problem(f"posting {seq} takes something for no request")
            return
        if usage.log_id != posting.log_id or usage.account_id != book.account_id:
            self._problem(f"posting {seq} and usage row {usage_id} are of different requests or accounts")
        request = self._request
        if request is None or request.id != usage_id:
            self._end_request()
            if usage_id <= self._last_request:
                self._problem(
                    f"posting {seq} bills usage row {usage_id}, which is out of turn or billed twice"
                )
            request = self._request = _Request(usage_id, seq, usage)
        if book.unit != "nano":
            request.packs[book.unit] += posting.amount
        elif request.cash:
            self._problem(f"posting {seq} bills usage row {usage_id} a second time")
        else:
            request.cash = posting.amount

    def _end_request(self) -> None:
        """All postings of a request are read: they must be what its usage row says."""
        request = self._request
        if request is None:
            return
        self._request, self._last_request = None, request.id
        self._requests += 1
        usage, packs = request.usage, request.packs
        if (
            usage.posting != request.first_seq
            or usage.charge != request.cash
            or usage.pack_tokens != packs["tokens"]
            or usage.pack_calls != packs["calls"]
            or not usage.claims
        ):
            self._problem(f"usage row {request.id} does not say what posting {request.first_seq} does")
        self._price(request.id, usage)

    def _price(self, usage_id: int, usage: UsageColumns) -> None:
        """The charge must be what the tokens cost by the version of the price."""
        price = self._prices.get((usage.price_version, usage.batch))
        if price is None:
            self._problem(
                f"usage row {usage_id} names price version {usage.price_version}, which does not exist"
            )
            return
        cost = 0
        if not usage.pack_calls:
            tokens = Usage(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
            cost = price.charge(tokens, usage.pack_tokens)
        if cost != usage.charge + usage.overage:
            self._problem(
                f"usage row {usage_id} is charged {usage.charge} nano-yuan ({usage.overage} beyond the hold), "
                f"its tokens cost {cost}"
            )

    def _refund(self, posting: PostingColumns, book: _Book, fields: Sequence[Any]) -> None:
        seq, usage_id, usage = posting.seq, posting.usage_id, UsageColumns._make(fields)
        if usage_id is None or usage.posting is None or usage.account_id != book.account_id:
            self._problem(f"posting {seq} gives back what was not charged")
            return
        key = (usage_id, book.unit)
        self._refunds[key] = refunded = self._refunds.get(key, 0) + posting.amount
        charged = {"nano": usage.charge, "tokens": usage.pack_tokens, "calls": usage.pack_calls}
        if refunded > charged[book.unit]:
            self._problem(f"posting {seq} gives back more than usage row {usage_id} was charged")

    def _pack(self, posting: PostingColumns, book: _Book, *, first: bool) -> None:
        """A grant is the first posting of its pack's book, and gives what the pack says."""
        granted = posting.kind == "pack_grant"
        if granted != first or (
            granted and self._packs.get(book.name) != (book.account_id, book.unit, posting.amount)
        ):
            self._problem(f"posting {posting.seq} ({posting.kind}) does not fit {book.name}")

    def _sum_up(self) -> None:
        """What customers have is what came out of the platform's books; every pack was granted."""
        sums = dict.fromkeys(("nano", "tokens", "calls"), 0)
        for book in self._books.values():
            sums[book.unit] += book.balance
        for number, given in self._given.items():
            # A book that does not exist is a problem already.
            sums[_PLATFORM_UNITS.get(number, "nano")] -= given
        for unit, difference in sums.items():
            if difference:
                self._problem(f"the books do not balance: {difference} {unit} too many")
        granted = {book.name for book in self._books.values() if book.postings}
        for name in self._packs.keys() - granted:
            self._problem(f"{name} was never granted")

    def _look_at_usage(self) -> None:
        """The usage rows that no posting led to."""
        counts: list[tuple[Any, ...]] = self._connection.execute(_COUNT_USAGE).fetchall()
        self.usage_rows, charged = counts[0]
        if charged != self._requests:
            for (usage_id,) in self._connection.execute(_LIST_UNPOSTED):
                self._problem(f"usage row {usage_id} was charged, but its posting is not there")
            if not self.problems:
                self._problem(f"{charged} usage rows were charged, postings are there of {self._requests}")
        for usage_id, *fields in self._connection.execute(_LIST_UNCHARGED):
            usage = UsageColumns._make(fields)
            if usage.charge or usage.pack_tokens or usage.pack_calls:
                self._problem(f"usage row {usage_id} names a charge, but no posting")
            elif usage.claims:
                self._price(usage_id, usage)
            elif usage.overage:
                self._problem(f"usage row {usage_id} has something beyond a hold, but produced nothing")


def _rates(price: Price) -> tuple[int, int, int, int] | None:
    """What to multiply tokens that were not cached, cached and completion tokens with, and what to add.

    The sum is in parts of a nano-yuan (PARTS_PER_NANO) and rounds half-up by leaving them off. Only for a price with
    one band: worked out once more and without calling anything, which matters ten million times.
    """
    if len(price.bands) != 1:
        return None
    band, percent = price.bands[0], price.percent
    cached = band.input if band.cached is None else band.cached
    return (
        band.input * percent,
        cached * percent,
        band.output * percent,
        price.per_call * percent * 1_000_000 + HALF_NANO,
    )


def _read_prices(connection: apsw.Connection) -> dict[tuple[int, int], Price]:
    """By version, and by whether it is for a batch."""
    prices = {(0, 0): FREE, (0, 1): FREE}
    for version, body in connection.execute(_LIST_PRICES):
        price = msgspec.json.decode(body, type=Price | None)
        if price is not None:
            prices[version, 0] = price
            prices[version, 1] = price.for_batch()
    return prices
