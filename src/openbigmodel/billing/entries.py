"""What the cashier has the writer write: the end of a request, a top-up, a refund, a pack that comes or goes.

Rule: an entry is written as a whole or not at all, by what the books say when its turn comes. It remembers the number
of the row that it wrote, so that after a commit of unknown outcome it can see whether that row is there.

    write ──► stored                            durable
          ├─► lost                              its own failure: nothing of it is on disk
          └─► unknown ── is_there ──► stored | written again | lost
"""

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from openbigmodel.billing.ledger import Charge, Ledger
from openbigmodel.billing.money import format_yuan
from openbigmodel.billing.packs import Pack
from openbigmodel.billing.replies import StoredReply, reply_row
from openbigmodel.billing.store import (
    CASH,
    GIFTS,
    INSERT_USAGE,
    PACKS_EXPIRED,
    PACKS_SOLD,
    PACKS_USED,
    REVENUE,
    Books,
    Cause,
    UsageLine,
    usage_row,
)
from openbigmodel.db.queries import QUERIES
from openbigmodel.db.writer import Done, Prepared

_USAGE_AT = QUERIES["usage_at"]
_POSTING_AT = QUERIES["posting_at"]
_INSERT_PACK = QUERIES["insert_pack"]
_FETCH_PACK = QUERIES["fetch_pack"]
_CHARGED_USAGE = QUERIES["charged_usage"]
_REFUNDABLE = QUERIES["list_refundable"]


PACK_PREFIX = "pack:"

# Writes something beside a posting, whose number it is given: both are on disk, or neither.
Beside = Callable[[apsw.Connection, int], None]


def pack_book(pack_id: str) -> str:
    """The name of a pack's book."""
    return PACK_PREFIX + pack_id


class Entry(Prepared):
    """Something that changes the books. `done` is told what became of it, once."""

    __slots__ = ("_books", "_row", "done", "log_id", "told")

    def __init__(self, books: Books, log_id: str, done: Done) -> None:
        self._books = books
        self._row = 0
        self.log_id = log_id
        self.done = done
        self.told = False

    def write(self, connection: apsw.Connection) -> None:
        """Writes all of it. Raises what is wrong with this entry alone."""
        try:
            self._row = self._write(connection)
        except BaseException:
            self._books.forget()
            raise

    def undone(self) -> None:
        """It will be written again, on other books than it left."""
        self._books.forget()

    @property
    def owner(self) -> str:
        """Whose books it moves something in; empty while that is not known."""
        raise NotImplementedError

    def _write(self, connection: apsw.Connection) -> int:
        """Writes, and returns the number of the row by which it can be found again."""
        raise NotImplementedError

    def is_there(self, connection: apsw.Connection) -> bool:
        """Whether the last attempt is on disk."""
        row = connection.execute(_POSTING_AT, (self._row,)).fetchone()
        return row is not None and row[0] == self.log_id

    def write_instead(self, connection: apsw.Connection) -> bool:
        """What is written when somebody has been told that it failed, and it did. Whether that makes up for it."""
        return False

    def stored(self) -> None:
        """It is durable: what memory has to learn from it."""

    def lost(self) -> None:
        """It will never be: what memory has to take back."""

    def tell(self, error: BaseException | None) -> None:
        """Tells whoever waits, once."""
        if not self.told:
            self.told = True
            self.done(error)


class Inquiry(Prepared):
    """Whether an entry is on disk. If it is not, it is written again, unless somebody was told that it failed."""

    __slots__ = ("entry", "there")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.there = False

    def write(self, connection: apsw.Connection) -> None:
        entry = self.entry
        self.there = entry.is_there(connection)
        if self.there:
            return
        if entry.told:
            self.there = entry.write_instead(connection)
        else:
            entry.write(connection)
            self.there = True

    def undone(self) -> None:
        self.entry.undone()


class Settlement(Entry):
    """The end of a request: its usage row, the postings of its charge, and the answer if it is kept."""

    __slots__ = ("_at_ms", "_charge", "_free_row", "_take_back", "line", "reply")

    def __init__(
        self,
        books: Books,
        line: UsageLine,
        charge: Charge,
        at_ms: int,
        done: Done,
        take_back: Callable[[], None],
        reply: StoredReply | None = None,
    ) -> None:
        super().__init__(books, line.log_id, done)
        self.line = line
        self.reply = reply
        self._charge = charge
        self._at_ms = at_ms
        self._take_back = take_back
        self._free_row = 0

    @property
    def owner(self) -> str:
        return self.line.account_id

    def _write(self, connection: apsw.Connection) -> int:
        line, charge = self.line, self._charge
        charged = charge.nano or charge.burns
        row = usage_row(line, self._books.next_seq(connection) if charged else None)
        connection.execute(INSERT_USAGE, row)
        usage_id = connection.last_insert_rowid()
        if charged:
            cause = Cause(self._at_ms, line.log_id, "", usage_id, row)
            post = self._books.post
            for burn in charge.burns:
                book, used = pack_book(burn.pack_id), PACKS_USED[burn.unit]
                post(connection, "pack_burn", line.account_id, book, -burn.amount, used, cause)
            if charge.nano:
                post(connection, "post", line.account_id, CASH, -charge.nano, REVENUE, cause)
        if self.reply is not None:
            connection.execute(*reply_row(line.account_id, line.request_id, self.reply))
        return usage_id

    def is_there(self, connection: apsw.Connection) -> bool:
        """Whether its usage row is on disk; with it is all the rest."""
        if self._free_row:
            # It was not there before, and the row without the charge may have taken its number.
            return False
        row = connection.execute(_USAGE_AT, (self._row,)).fetchone()
        return row is not None and row[0] == self.log_id

    def write_instead(self, connection: apsw.Connection) -> bool:
        """The row without the charge: evidence of work that nobody pays for."""
        free = msgspec.structs.replace(
            self.line,
            charge=0,
            overage=0,
            pack_tokens=0,
            pack_calls=0,
            plan_credits=0,
            source="none",
            note=f"{self.line.note}; not charged, because it could not be stored in time".removeprefix("; "),
        )
        # Of this row, too, nobody may know whether it is there.
        found = connection.execute(_USAGE_AT, (self._free_row,)).fetchone()
        if found is None or found[0] != self.log_id:
            connection.execute(INSERT_USAGE, usage_row(free))
            self._free_row = connection.last_insert_rowid()
        return False

    def lost(self) -> None:
        """As if it had been voided."""
        self._take_back()


class CashMove(Entry):
    """Money that comes in or goes out besides requests: a top-up, a gift or an adjustment, which may be negative.

    `beside` writes what belongs to it, such as the account, in the same unit.
    """

    __slots__ = ("_amount", "_at_ms", "_beside", "_kind", "_ledger", "_memo", "_platform_book", "account_id")

    def __init__(
        self,
        books: Books,
        ledger: Ledger,
        log_id: str,
        done: Done,
        *,
        kind: str,
        account_id: str,
        amount: int,
        platform_book: int,
        at_ms: int,
        memo: str,
        beside: Beside | None = None,
    ) -> None:
        super().__init__(books, log_id, done)
        self._ledger = ledger
        self._beside = beside
        self._kind = kind
        self.account_id = account_id
        self._amount = amount
        self._platform_book = platform_book
        self._at_ms = at_ms
        self._memo = memo

    @property
    def owner(self) -> str:
        return self.account_id

    def _write(self, connection: apsw.Connection) -> int:
        seq = self._books.next_seq(connection)
        if self._beside is not None:
            self._beside(connection, seq)
        self._books.open_book(connection, self.account_id, CASH, "nano")
        cause = Cause(self._at_ms, self.log_id, self._memo)
        self._books.post(
            connection, self._kind, self.account_id, CASH, self._amount, self._platform_book, cause
        )
        return seq

    def stored(self) -> None:
        """What comes in can be spent once it is durable; what goes out was taken before."""
        if self._amount > 0:
            self._ledger.credit(self.account_id, self._amount)

    def lost(self) -> None:
        """What was to go out is there again."""
        if self._amount < 0:
            self._ledger.credit(self.account_id, -self._amount)


class Grant(Entry):
    """A new pack. `beside` writes what belongs to it, in the same unit."""

    __slots__ = ("_at_ms", "_beside", "_ledger", "_memo", "pack")

    def __init__(
        self,
        books: Books,
        ledger: Ledger,
        log_id: str,
        done: Done,
        pack: Pack,
        at_ms: int,
        memo: str,
        beside: Beside | None = None,
    ) -> None:
        super().__init__(books, log_id, done)
        self._ledger = ledger
        self._beside = beside
        self.pack = pack
        self._at_ms = at_ms
        self._memo = memo

    @property
    def owner(self) -> str:
        return self.pack.account_id

    def _write(self, connection: apsw.Connection) -> int:
        pack, seq, name = self.pack, self._books.next_seq(connection), pack_book(self.pack.id)
        if self._beside is not None:
            self._beside(connection, seq)
        models = None if pack.models is None else msgspec.json.encode(sorted(pack.models)).decode()
        connection.execute(
            _INSERT_PACK,
            (
                pack.id,
                pack.account_id,
                pack.unit,
                pack.left,
                models,
                int(pack.gift),
                pack.from_ms,
                pack.to_ms,
                self._at_ms,
            ),
        )
        self._books.open_book(connection, pack.account_id, name, pack.unit)
        source = (GIFTS if pack.gift else PACKS_SOLD)[pack.unit]
        cause = Cause(self._at_ms, self.log_id, self._memo)
        self._books.post(connection, "pack_grant", pack.account_id, name, pack.left, source, cause)
        return seq

    def stored(self) -> None:
        """It can be used."""
        self._ledger.grant(msgspec.structs.replace(self.pack))


class Expiry(Entry):
    """What is left of a pack that has ended."""

    __slots__ = ("_at_ms", "_ledger", "_pack")

    def __init__(self, books: Books, ledger: Ledger, log_id: str, done: Done, pack: Pack, at_ms: int) -> None:
        super().__init__(books, log_id, done)
        self._ledger = ledger
        self._pack = pack
        self._at_ms = at_ms

    @property
    def owner(self) -> str:
        return self._pack.account_id

    def _write(self, connection: apsw.Connection) -> int:
        pack, seq = self._pack, self._books.next_seq(connection)
        cause = Cause(self._at_ms, self.log_id)
        self._books.post(
            connection,
            "pack_expire",
            pack.account_id,
            pack_book(pack.id),
            -pack.left,
            PACKS_EXPIRED[pack.unit],
            cause,
        )
        return seq

    def write_instead(self, connection: apsw.Connection) -> bool:
        """It comes late, and that makes no difference."""
        self.write(connection)
        return True

    def lost(self) -> None:
        """The next round writes it off again."""
        self._ledger.put_back(self._pack, self._pack.left)


class Refund(Entry):
    """The charge of a request given back: `nano` of it, or with None all that is left of it and what packs paid."""

    __slots__ = ("_at_ms", "_ledger", "_memo", "_nano", "_of_log_id", "account_id", "cash", "packs")

    def __init__(
        self,
        books: Books,
        ledger: Ledger,
        log_id: str,
        done: Done,
        *,
        of_log_id: str,
        nano: int | None,
        at_ms: int,
        memo: str,
    ) -> None:
        super().__init__(books, log_id, done)
        self._ledger = ledger
        self._of_log_id = of_log_id
        self._nano = nano
        self._at_ms = at_ms
        self._memo = memo
        self.account_id = ""
        self.cash = 0
        self.packs: list[tuple[Pack, int]] = []

    @property
    def owner(self) -> str:
        return self.account_id

    def _write(self, connection: apsw.Connection) -> int:
        found: Sequence[Any] | None = connection.execute(_CHARGED_USAGE, (self._of_log_id,)).fetchone()
        if found is None:
            raise ValueError(f"no request {self._of_log_id} was charged")
        usage_id, *usage = found
        seq, self.account_id = self._books.next_seq(connection), usage[2]
        refundable: list[tuple[Any, ...]] = connection.execute(_REFUNDABLE, (usage_id,)).fetchall()
        self.cash, self.packs = 0, []
        cause = Cause(self._at_ms, self.log_id, self._memo, usage_id, tuple(usage))
        for name, unit, left in refundable:
            if unit == "nano":
                self._give_back_cash(connection, left, cause)
            elif self._nano is None and left:
                self._books.post(connection, "refund", self.account_id, name, left, PACKS_USED[unit], cause)
                self.packs.append((_read_pack(connection, name.removeprefix(PACK_PREFIX)), left))
        if not self.cash and not self.packs:
            raise ValueError(f"nothing is left to give back of request {self._of_log_id}")
        return seq

    def _give_back_cash(self, connection: apsw.Connection, left: int, cause: Cause) -> None:
        nano = left if self._nano is None else self._nano
        if nano > left:
            raise ValueError(f"of request {self._of_log_id}, {format_yuan(left)} yuan can be given back")
        if nano:
            self._books.post(connection, "refund", self.account_id, CASH, nano, REVENUE, cause)
            self.cash = nano

    def stored(self) -> None:
        """It can be spent again."""
        if self.cash:
            self._ledger.credit(self.account_id, self.cash)
        for pack, amount in self.packs:
            self._ledger.refill(pack, amount)


def _read_pack(connection: apsw.Connection, pack_id: str) -> Pack:
    facts: Sequence[Any] | None = connection.execute(_FETCH_PACK, (pack_id,)).fetchone()
    assert facts is not None, "a pack's book without the pack"
    return pack_of_row(facts, 0)


def pack_of_row(row: Sequence[Any], left: int) -> Pack:
    """A pack from its columns id, account_id, unit, models, gift, from_ms, to_ms."""
    pack_id, account_id, unit, models, gift, from_ms, to_ms = row
    scope = None if models is None else frozenset(msgspec.json.decode(models, type=list[str]))
    assert unit in {"tokens", "calls"}
    return Pack(pack_id, account_id, unit, scope, bool(gift), from_ms, to_ms, left)
