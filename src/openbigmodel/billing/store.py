"""What is kept of requests and of money: usage rows, and books with the postings between them.

Rule: everything here is written inside the writer's transactions and never changed. A posting builds on what is really
on disk before it: when the connection is another one, because a commit failed, everything is read again.
"""

from typing import Any

import apsw
import msgspec

from openbigmodel.billing.chain import GENESIS, NO_USAGE, link
from openbigmodel.billing.ledger import NANO_MAX, TOO_MUCH
from openbigmodel.billing.usage import Usage
from openbigmodel.db.queries import QUERIES

# The platform's books, as the schema numbers them.
FUNDING, REVENUE, ADJUSTMENTS = 1, 2, 3
PACKS_SOLD = {"tokens": 4, "calls": 5}
GIFTS = {"tokens": 6, "calls": 7}
PACKS_USED = {"tokens": 8, "calls": 9}
PACKS_EXPIRED = {"tokens": 10, "calls": 11}
CASH_GIFTS = 12
# Below this number are the platform's, from it on the customers'.
CUSTOMERS_FROM = 100
CASH = "cash"

INSERT_USAGE = QUERIES["insert_usage"]
_INSERT_POSTING = QUERIES["insert_posting"]
_FETCH_HEAD = QUERIES["fetch_head"]
_FETCH_BOOK_BALANCE = QUERIES["fetch_book_balance"]
_FIND_BOOK = QUERIES["find_book"]
_INSERT_BOOK = QUERIES["insert_book"]


class UsageLine(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a request.

    `log_id` is the platform's own id of it, `request_id` may be the caller's. Times are Unix milliseconds; `code` is
    empty unless it failed. `source` says who counted the tokens: "engine", "counted" (the platform) or "none", when
    nothing was produced; `note`, what was cut or estimated. What the cashier fills in: `charge` and `overage` in
    nano-yuan, the latter not charged because it went beyond the hold; what packs and a plan paid.
    """

    log_id: str
    request_id: str
    account_id: str
    api_key_id: str
    model: str
    engine: str
    usage: Usage
    finish_reason: str
    code: str
    started_ms: int
    ended_ms: int
    charge: int = 0
    overage: int = 0
    price_version: int = 0
    pack_tokens: int = 0
    pack_calls: int = 0
    plan_credits: int = 0
    source: str = "engine"
    note: str = ""
    stream: bool = False
    batch: bool = False

    @property
    def claims(self) -> bool:
        """Whether something was produced: only that is charged, and only then is the caller's id used up."""
        return self.source != "none"


def usage_row(line: UsageLine, posting: int | None = None) -> tuple[str | int | None, ...]:
    """The parameters of insert_usage; `posting` is the first one of its charge."""
    usage = line.usage
    return (
        line.log_id,
        line.request_id,
        line.account_id,
        line.api_key_id,
        line.model,
        line.engine,
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        line.finish_reason,
        line.code,
        line.started_ms,
        line.ended_ms,
        line.charge,
        line.overage,
        line.price_version,
        line.pack_tokens,
        line.pack_calls,
        line.plan_credits,
        line.source,
        line.note,
        1 if line.stream else 0,
        1 if line.batch else 0,
        0 if line.source == "none" else 1,
        posting,
    )


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Why something is posted: the request or the operator's action, and the request's usage row as it is stored."""

    at_ms: int
    log_id: str
    memo: str = ""
    usage_id: int | None = None
    usage: tuple[Any, ...] = NO_USAGE


class Books:
    """Numbers and running balances of the customers' books, and the end of the chain, as one connection sees them."""

    __slots__ = ("_balances", "_connection", "_hash", "_numbers", "_seq")

    def __init__(self) -> None:
        self._connection: apsw.Connection | None = None
        self._seq = 0
        self._hash = GENESIS
        self._numbers: dict[tuple[str, str], int] = {}
        self._balances: dict[int, int] = {}

    def forget(self) -> None:
        """What was written last is, or may have been, taken back: read everything again when it is needed."""
        self._connection = None
        self._numbers.clear()
        self._balances.clear()

    def next_seq(self, connection: apsw.Connection) -> int:
        """The number that the next posting will have."""
        if connection is not self._connection:
            self._read_again(connection)
        return self._seq + 1

    def open_book(self, connection: apsw.Connection, account_id: str, name: str, unit: str) -> None:
        """Make a book of a customer's if it is not there."""
        if self._find(connection, account_id, name) is None:
            connection.execute(_INSERT_BOOK, (account_id, name, unit))

    def post(
        self,
        connection: apsw.Connection,
        kind: str,
        account_id: str,
        name: str,
        amount: int,
        platform_book: int,
        cause: Cause,
    ) -> int:
        """Move `amount` between a customer's book and one of the platform's: in if positive, out if negative.

        Returns the customer's new balance. Raises ValueError if that would be below 0 or more than the database counts,
        or the book does not exist.
        """
        seq = self.next_seq(connection)
        book = self._find(connection, account_id, name)
        if book is None:
            raise ValueError(f"account {account_id} has no book {name}")
        balance = self._balance(connection, book) + amount
        if balance < 0:
            raise ValueError(f"the book {name} of account {account_id} has {balance - amount}, not {-amount}")
        if balance > NANO_MAX:
            raise ValueError(
                TOO_MUCH if name == CASH else f"the book {name} of account {account_id} would be too full"
            )
        debit, credit = (platform_book, book) if amount > 0 else (book, platform_book)
        posting = (
            seq,
            cause.at_ms,
            kind,
            debit,
            credit,
            abs(amount),
            balance,
            cause.usage_id,
            cause.log_id,
            cause.memo,
        )
        digest = link(self._hash, posting + cause.usage)
        connection.execute(_INSERT_POSTING, (*posting, digest))
        self._seq, self._hash = seq, digest
        self._balances[book] = balance
        return balance

    def known(self) -> list[tuple[str, str]]:
        """Account and name of the books that were written to since the start, or since they were forgotten."""
        return list(self._numbers)

    def _read_again(self, connection: apsw.Connection) -> None:
        self.forget()
        row = connection.execute(_FETCH_HEAD).fetchone()
        self._seq, self._hash = (0, GENESIS) if row is None else (row[0], row[1])
        self._connection = connection

    def _find(self, connection: apsw.Connection, account_id: str, name: str) -> int | None:
        if connection is not self._connection:
            self._read_again(connection)
        key = (account_id, name)
        number = self._numbers.get(key)
        if number is None:
            row = connection.execute(_FIND_BOOK, key).fetchone()
            if row is not None:
                number = self._numbers[key] = row[0]
        return number

    def _balance(self, connection: apsw.Connection, book: int) -> int:
        balance = self._balances.get(book)
        if balance is None:
            row = connection.execute(_FETCH_BOOK_BALANCE, (book,)).fetchone()
            balance = self._balances[book] = 0 if row is None else row[0]
        return balance
