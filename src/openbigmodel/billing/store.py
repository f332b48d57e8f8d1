"""The usage table: one line for each request, written once when it ends, never changed."""

from collections.abc import Callable

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES


class UsageLine(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a request. `log_id` is the platform's own id of it, `request_id` may be the caller's. Times are Unix milliseconds; `code` is empty unless it failed."""

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


class UsageStore:
    """Writes usage lines durably, many in one commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = QUERIES["insert_usage"]

    def record(self, line: UsageLine, done: Callable[[BaseException | None], None]) -> None:
        """Queue a line; `done` is called on the event loop once it is durable, or with why it is not."""
        usage = line.usage
        self._database.submit(
            self._insert,
            (
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
            ),
            done,
        )
