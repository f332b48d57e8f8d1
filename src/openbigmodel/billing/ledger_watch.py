"""Reads the ledger behind a running server's back: its chain link by link, and what books hold against memory.

Rule: it works on a thread and a connection of its own, so that requests wait for none of it, and a little at a time. It
follows the end of the chain as it grows, and besides goes round through all of it, so that a posting that somebody
changed is found whenever that happened. What a whole reading finds beyond that is `audit.verify`'s.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import apsw
import msgspec

from openbigmodel.billing.chain import GENESIS, link
from openbigmodel.db.queries import QUERIES
from openbigmodel.db.reading import open_read_only

PROBLEMS_MAX = 100
# 4 ms of a thread's time.
LINKS_AT_ONCE = 1000
# The server writes more in no second.
_NEW_LINKS_MAX = 20_000
# The reader waits for nobody in WAL mode but a recovery.
_BUSY_MS = 2000

_LIST_LINKS = QUERIES["list_links"]
_FETCH_POSTING = QUERIES["fetch_posting"]
_FETCH_HEAD = QUERIES["fetch_head"]
_FIND_BOOK = QUERIES["find_book"]
_BALANCE_AS_OF = QUERIES["fetch_balance_as_of"]

Read = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Held(msgspec.Struct, frozen=True, gc=False):
    """What memory says that a book holds, in nano-yuan, tokens or calls."""

    account_id: str
    book: str
    amount: int


class Snapshot(msgspec.Struct, frozen=True):
    """What memory said of some books when the ledger ended with posting `seq`."""

    seq: int
    books: tuple[Held, ...]


def unlike(read: Read, snapshot: Snapshot) -> dict[tuple[str, str], str]:
    """A sentence for each book, by account and name, that held something else on disk at that moment."""
    found = {}
    for held in snapshot.books:
        number = read(_FIND_BOOK, (held.account_id, held.book))
        rows = read(_BALANCE_AS_OF, (number[0][0], snapshot.seq)) if number else []
        on_disk = rows[0][0] if rows else 0
        if on_disk != held.amount:
            found[held.account_id, held.book] = (
                f"the book {held.book} of account {held.account_id} holds {on_disk} on disk, in memory {held.amount}"
            )
    return found


class _Reader:
    """A place in the chain, and the hash of the posting there."""

    def __init__(self, seq: int, head: bytes) -> None:
        self.seq = seq
        self.head = head

    def go_on(self, read: Read, links: int) -> Iterator[str]:
        """Read on; a sentence for each link that is broken."""
        for digest, covered, seq in read(_LIST_LINKS, (self.seq, links)):
            if seq != self.seq + 1:
                yield f"posting {self.seq + 1} is missing"
            elif sha256(self.head + covered).digest() != digest:
                # The two ways of writing JSON may differ in how they write a rare character.
                fields = read(_FETCH_POSTING, (seq,))
                if not fields or link(self.head, fields[0]) != digest:
                    yield f"posting {seq} or its usage row is not what was written"
            self.seq, self.head = seq, digest


class LedgerWatch:
    """One per server, on the database file at `path`. `problems` are the first broken links that were seen."""

    def __init__(self, path: Path, *, links_at_once: int = LINKS_AT_ONCE) -> None:
        self.problems: list[str] = []
        self._path = path
        self._links_at_once = links_at_once
        self._connection: apsw.Connection | None = None
        self._closed = False
        # Held by whoever uses the connection: a step that was given up goes on to its end.
        self._turn = Lock()
        self._end: _Reader | None = None
        self._round = _Reader(0, GENESIS)

    async def step(self) -> list[str]:
        """Read what was posted since the last time, and a little of what was before.

        New problems. Raises apsw.Error.
        """
        found = await asyncio.to_thread(self._read_on)
        new = [problem for problem in found if problem not in self.problems]
        new = new[: PROBLEMS_MAX - len(self.problems)]
        self.problems += new
        return new

    async def compare(self, snapshot: Snapshot) -> Mapping[tuple[str, str], str]:
        """See `unlike`. Raises apsw.Error."""
        return await asyncio.to_thread(self._compare, snapshot)

    def close(self) -> None:
        """Give the file back, for good; waits for the step that is under way."""
        with self._turn:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _compare(self, snapshot: Snapshot) -> dict[tuple[str, str], str]:
        with self._turn:
            return {} if self._closed else unlike(self._read, snapshot)

    def _read_on(self) -> list[str]:
        with self._turn:
            return [] if self._closed else self._read_links()

    def _read_links(self) -> list[str]:
        rows = self._read(_FETCH_HEAD, ())
        seq, head = rows[0] if rows else (0, GENESIS)
        end = self._end
        if end is None:
            # What is before is the round's.
            self._end = _Reader(seq, head)
            found = []
        elif seq < end.seq:
            found = [f"postings {seq + 1} to {end.seq} are gone"]
            self._end = _Reader(seq, head)
        else:
            found = list(end.go_on(self._read, _NEW_LINKS_MAX))
        found += self._round.go_on(self._read, self._links_at_once)
        if self._round.seq >= seq:
            self._round = _Reader(0, GENESIS)
        return found

    def _read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = open_read_only(self._path)
            self._connection.set_busy_timeout(_BUSY_MS)
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, params).fetchall()
        return rows
