"""Answers kept for a day, so that a caller who sends a request again gets the same answer and pays once.

Rule: the id of a request is used up for ever, and only what was answered is forgotten (reliability.md §4.2).
"""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from openbigmodel.db.connection import Database, DatabaseBusy, DatabaseError
from openbigmodel.db.queries import QUERIES

MAX_REPLY_BYTES = 256 * 1024
KEPT_MS = 24 * 3600 * 1000
# At once, so that nobody who settles waits long behind it.
FORGOTTEN_AT_ONCE = 32

_INSERT = QUERIES["insert_reply"]
_FIND_REPLY = QUERIES["find_reply"]
_FIND_CLAIM = QUERIES["find_claim"]
_ANY_OLD = QUERIES["any_old_reply"]
_DELETE_OLD = QUERIES["delete_old_replies"]


class StoredReply(msgspec.Struct, frozen=True, gc=False):
    """A whole answer, and the SHA-256 of the body that it answers. `created_ms` is Unix milliseconds."""

    body_digest: bytes
    reply: bytes
    created_ms: int


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A request id that is used up, by the request with this log id, whose answer is not kept."""

    log_id: str


class Replies:
    """What is kept of earlier requests."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._forgetting = False

    def find(self, account_id: str, request_id: str) -> StoredReply | Claimed | None:
        """What became of the request with this id; None if it may be made. Raises DatabaseFailed, DatabaseClosed."""
        read = self._database.read
        rows = read(_FIND_REPLY, (account_id, request_id, self._now_ms() - KEPT_MS))
        if rows:
            return StoredReply(*rows[0])
        rows = read(_FIND_CLAIM, (account_id, request_id))
        return Claimed(rows[0][0]) if rows else None

    def forget_old(self) -> None:
        """Begin to delete the answers that are too old, a few in each batch until none is left; for a timer.

        Raises DatabaseFailed, DatabaseClosed.
        """
        if self._forgetting:
            return
        oldest_ms = self._now_ms() - KEPT_MS
        if not self._database.read(_ANY_OLD, (oldest_ms,)):
            return
        # The next time will do.
        with suppress(DatabaseBusy):
            self._database.submit(_DELETE_OLD, (oldest_ms, FORGOTTEN_AT_ONCE), self._forgotten)
            self._forgetting = True

    def _forgotten(self, error: BaseException | None) -> None:
        self._forgetting = False
        if error is None:
            # Later rounds are the timer's again if this fails.
            with suppress(DatabaseError):
                self.forget_old()


def reply_row(
    account_id: str, request_id: str, reply: StoredReply
) -> tuple[str, tuple[str | bytes | int, ...]]:
    """The statement that keeps an answer, and its parameters."""
    return _INSERT, (account_id, request_id, reply.body_digest, reply.reply, reply.created_ms)
