"""What tells one way of speaking to the platform from another: GLM's own, Anthropic's Messages, OpenAI's Responses.

Between reading a request and writing its reply all of them are the same: same keys, limits, engines and bills.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model
from openbigmodel.engines.translate import Generation
from openbigmodel.errors import ApiError, Language
from openbigmodel.schemas.chat import ChatRequest, Finding


class Asked(msgspec.Struct, gc=False):
    """A request in GLM's words. `body` is its JSON; `extra` is what the dialect's writer needs to know again."""

    request: ChatRequest
    body: bytes
    extra: Any = None


def no_stop_sequence() -> str | None:
    """Of an engine that does not tell where it stopped."""
    return None


class ReplyFacts(msgspec.Struct, frozen=True):
    """What a reply is made of besides the answer.

    `id` is the platform's own for the request, `created_s` Unix time, `named` what the model is called in the reply;
    tool calls count up from `first_call`. `counts` tells what the engine has counted by now, a prompt of 0 tokens
    being one that it has not told yet; `stop_sequence` which of the caller's it has met, if it tells.
    """

    id: str
    request_id: str
    created_s: int
    named: str
    model: Model
    request: ChatRequest
    generation: Generation
    first_call: int
    counts: Callable[[], Usage]
    stop_sequence: Callable[[], str | None] = no_stop_sequence


class AnswerWriter(Protocol):
    """Takes what the engine says, gives what the caller gets."""

    def reasoning(self, text: str) -> None:
        """More of the reasoning."""

    def content(self, text: str) -> None:
        """More of the answer."""

    def reasoning_run(self, texts: list[bytes]) -> None:
        """More of the reasoning: one chunk for each text, all encoded as in JSON, without quotes or separators."""

    def content_run(self, texts: list[bytes]) -> None:
        """The same for the answer."""

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """More of the call with this index; the name comes with its first piece."""

    def around(self, *, reasoning: bool) -> tuple[bytes, bytes] | None:
        """What stands before and after the next text of this kind, encoded as in a run, if it goes out at once and as
        it is; None if the writer has to be told of it. Holds for as long as the writer is told of nothing else.
        """

    def take(self) -> bytes:
        """What can be sent now."""

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """The end of the reply. A whole body was created at `ended_s` (Unix), a stream when it began (api.md §1.1)."""


class ReplyWriter(AnswerWriter, Protocol):
    """Writes a reply as a dialect has it. `content_filter`: what moderation has found."""

    content_filter: tuple[Finding, ...]


class Dialect(Protocol):
    """One way of speaking. `id_header`: where its clients look for a request's id, empty if that is x-log-id."""

    name: str
    id_header: bytes

    def read(self, body: bytes, account_id: str) -> Asked:
        """Read a request. Raises ApiError, whose fields have the dialect's own names."""

    def writer(self, facts: ReplyFacts, asked: Asked) -> ReplyWriter:
        """Who writes the reply to it."""

    def error(
        self, error: ApiError, language: Language, log_id: str, asked: Asked | None = None
    ) -> tuple[int, bytes, bytes]:
        """Status, header lines and body of an error; each line ends in CRLF. `asked`: what the request was read as."""
