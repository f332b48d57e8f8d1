"""Responses that callers asked to be stored: kept for a week, found again by their id, joined to conversations.

Rule: what an account stored is nobody else's; for others an id of it is as unknown as one that never was. A response
is put into the writer's queue before the usage that it cost. So it is on disk when the caller sees the end of the
answer, because what is queued first is committed first.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import apsw
import msgspec

from openbigmodel.db.connection import (
    Database,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseFailed,
    Done,
    Value,
)
from openbigmodel.db.queries import QUERIES
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_MESSAGES
from openbigmodel.inference.long_bodies import check_values
from openbigmodel.inference.responses.fields import illegal
from openbigmodel.inference.responses.items import Item, read_items
from openbigmodel.inference.responses.rereading import Rereading

KEPT_MS = 7 * 24 * 3600 * 1000
# At once, so that nobody who settles waits long behind it.
FORGOTTEN_AT_ONCE = 32
FORGET_INTERVAL_S = 60.0
# Of one account, all in all.
STORED_BYTES_MAX = 1024 * 1024 * 1024
# Of one conversation: as much as a request's own body may have; 500 turns are found in 6 ms.
CONVERSATION_BYTES_MAX = 10 * 1024 * 1024
CONVERSATION_RESPONSES_MAX = 500
# What a row costs besides its content.
_ROW_BYTES = 512

_INSERT = QUERIES["insert_response"]
_FIND = QUERIES["find_response"]
_FIND_SIZE = QUERIES["find_response_size"]
_DELETE = QUERIES["delete_response"]
_FIND_TOTAL = QUERIES["find_response_total"]
_ANY_OLD = QUERIES["any_old_response"]
_DELETE_OLD = QUERIES["delete_old_responses"]


class StoredResponse(msgspec.Struct, frozen=True, gc=False):
    """A response as it was answered, and the JSON of what was asked; `previous_id` is empty for the first of a talk."""

    id: str
    account_id: str
    previous_id: str
    input: bytes
    response: bytes


class _Output(msgspec.Struct, gc=False):
    """What a response adds to its conversation."""

    output: msgspec.Raw


_DECODE_OUTPUT = msgspec.json.Decoder(_Output, float_hook=float).decode
_FIELD = "previous_response_id"


class ResponseStore:
    """Every stored response. For the event loop's thread; `report` takes a line for the log.

    Reading raises DatabaseFailed and DatabaseClosed.
    """

    def __init__(
        self,
        database: Database,
        report: Callable[[str], None],
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._report = report
        self._now_ms = now_ms
        self._forgetting = False
        self._rereading = Rereading(monotonic_s)

    def check_room(self, account_id: str) -> None:
        """Raises ApiError 1214 when the account has stored all that it may."""
        rows = self._database.read(_FIND_TOTAL, (account_id,))
        if rows and rows[0][0] >= STORED_BYTES_MAX:
            mebibytes = STORED_BYTES_MAX // (1024 * 1024)
            raise illegal(
                "store",
                f"已存储的响应超过{mebibytes} MiB，请先删除一些。",
                f"More than {mebibytes} MiB of responses are stored; delete some first.",
            )

    def keep(self, stored: StoredResponse) -> None:
        """Queue a response, to be durable before whatever is queued after it."""
        clock = self._now_ms
        size = len(stored.input) + len(stored.response) + _ROW_BYTES
        row = (
            stored.id,
            stored.account_id,
            stored.previous_id,
            clock(),
            size,
            stored.input,
            stored.response,
        )

        def kept(error: BaseException | None) -> None:
            if isinstance(error, DatabaseFailed):
                # Nobody knows whether it is there. Its usage is tried once more too, after this.
                self._submit(row, again, again)
            else:
                again(error)

        def again(error: BaseException | None) -> None:
            if error is not None:
                self._report(f"response {stored.id} not stored: {error}")

        self._submit(row, kept, again)

    def _submit(self, row: Sequence[Value], done: Done, failed: Done) -> None:
        try:
            self._database.submit(_INSERT, row, done)
        except (DatabaseBusy, DatabaseClosed) as error:
            # The usage, which comes next, finds no room either, and tells the caller.
            failed(error)

    def find(self, account_id: str, response_id: str) -> StoredResponse | None:
        """A response of this account, if it has one of this id. Raises ApiError 1303 when it has read too much."""
        self._rereading.check(account_id)
        stored = self._read(account_id, response_id)
        self._rereading.note(account_id, 0 if stored is None else len(stored.input) + len(stored.response))
        return stored

    def _read(self, account_id: str, response_id: str) -> StoredResponse | None:
        rows = self._database.read(_FIND, (response_id, account_id, self._oldest_ms()))
        if not rows:
            return None
        previous_id, asked, response = rows[0]
        return StoredResponse(response_id, account_id, previous_id, asked, response)

    def conversation(self, account_id: str, response_id: str) -> list[Item]:
        """All that was said up to the end of a response, oldest first.

        Raises ApiError 1214 when a part of it is not there, or it has become too long; 1303 when the account has read
        too much; 500 when the database fails.
        """
        self._rereading.check(account_id)
        try:
            ids, size = self._ids(account_id, response_id)
            found = [self._read(account_id, each) for each in reversed(ids)]
        except DatabaseError as error:
            raise ApiError("500") from error
        self._rereading.note(account_id, size, len(ids))
        texts: list[bytes] = []
        for stored in found:
            assert stored is not None, "nothing else runs between two reads"
            texts += (stored.input, bytes(_DECODE_OUTPUT(stored.response).output))
        check_values(b",".join(texts), _FIELD)
        items: list[Item] = []
        for text in texts:
            items += read_items(text, _FIELD)
            if len(items) > MAX_MESSAGES:
                raise _too_long()
        return items

    def _ids(self, account_id: str, response_id: str) -> tuple[list[str], int]:
        """The ids of a conversation's responses, last one first, and how large they are together."""
        ids: list[str] = []
        size, oldest_ms, each = 0, self._oldest_ms(), response_id
        while each:
            rows = self._database.read(_FIND_SIZE, (each, account_id, oldest_ms))
            if not rows:
                # Looking for nothing costs something, too.
                self._rereading.note(account_id, 0, len(ids) + 1)
                raise illegal(
                    _FIELD,
                    f"响应 {each} 不存在或已过期。",
                    f"Response {each} does not exist, or is not kept any more.",
                )
            ids.append(each)
            size += rows[0][1]
            if size > CONVERSATION_BYTES_MAX or len(ids) > CONVERSATION_RESPONSES_MAX:
                self._rereading.note(account_id, 0, len(ids))
                raise _too_long()
            each = rows[0][0]
        return ids, size

    async def delete(self, account_id: str, response_id: str) -> bool:
        """Forget a response; whether there was one. Durable. Raises DatabaseError."""
        row = (response_id, account_id, self._oldest_ms())

        def work(connection: apsw.Connection) -> int:
            connection.execute(_DELETE, row)
            return connection.changes()

        return await self._database.write(work) > 0

    def _oldest_ms(self) -> int:
        return self._now_ms() - KEPT_MS

    # for a timer

    async def run(self) -> None:
        """Forgets what is older than a week, until cancelled or the database is closed."""
        told = ""
        while True:
            self._rereading.forget_idle()
            try:
                self.forget_old()
                told = ""
            except DatabaseClosed:
                return
            except DatabaseError as error:
                if str(error) != told:
                    told = str(error)
                    self._report(f"old responses are not forgotten: {error}")
            await asyncio.sleep(FORGET_INTERVAL_S)

    def forget_old(self) -> None:
        """Begin to delete what is too old, a few in each batch until none is left. Raises DatabaseError."""
        if self._forgetting:
            return
        oldest_ms = self._oldest_ms()
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


def _too_long() -> ApiError:
    return illegal(
        _FIELD,
        "对话过长，请发送需要保留的内容。",
        "The conversation has become too long; send what is to be kept of it instead.",
    )
