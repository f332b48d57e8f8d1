"""Answers kept for a day, so that a caller who sends a request again gets the same answer and pays once.

Rule: the id of a request is used up for ever, and only what was answered is forgotten (reliability.md §4.2).
"""

from collections.abc import Callable

import msgspec

from openbigmodel.db.connection import Database, DatabaseBusy
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

    def find(self, account_id: str, request_id: str) -> StoredReply | Claimed | None:
        """What became of the request with this id; None if it may be made. Raises DatabaseFailed, DatabaseClosed."""
        read = self._database.read
        rows = read(_FIND_REPLY, (account_id, request_id, self._now_ms() - KEPT_MS))
        if rows:
            return StoredReply(*rows[0])
        rows = read(_FIND_CLAIM, (account_id, request_id))
        return Claimed(rows[0][0]) if rows else None

    def forget_old(self) -> None:
        """Delete a few of the answers that are too old; for a timer. Raises DatabaseFailed, DatabaseClosed."""
        oldest_ms = self._now_ms() - KEPT_MS
        if not self._database.read(_ANY_OLD, (oldest_ms,)):
            return
        try:
            self._database.submit(_DELETE_OLD, (oldest_ms, FORGOTTEN_AT_ONCE), _do_nothing)
        except DatabaseBusy:
            # The next time will do.
            return


def reply_row(
    account_id: str, request_id: str, reply: StoredReply
) -> tuple[str, tuple[str | bytes | int, ...]]:
    """The statement that keeps an answer, and its parameters."""
    return _INSERT, (account_id, request_id, reply.body_digest, reply.reply, reply.created_ms)


def _do_nothing(_error: BaseException | None) -> None:
    """Whatever went wrong, the next round tries again."""
