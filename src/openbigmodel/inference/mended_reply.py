"""Stands before the writer of a reply where what the model writes is to keep to a schema: mends what can be mended.

    arguments of calls    each call is handed on whole, mended if it does not keep to the function's parameters
    answers in JSON       a body's answer, where the engine does not see to it: without its fence, mended likewise

Rule: only what has come to its end is looked at. Arguments or an answer that were cut off stay as they are, and so does
what nobody can mend; `broken` says so, for the log.
"""

from typing import Any

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.tool_arguments import check_answer, mended_arguments, schema_of_call
from openbigmodel.inference.dialect import ReplyWriter
from openbigmodel.inference.reply import decoded
from openbigmodel.schemas.chat import ChatRequest, Finding, ResponseFormat

# Of answers that nothing is missing from.
_WHOLE = frozenset(("stop", "tool_calls"))
_ANY_OBJECT = {"type": "object"}


class _Call:
    """A call that is being put together."""

    __slots__ = ("name", "pieces")

    def __init__(self) -> None:
        self.name = ""
        self.pieces: list[str] = []


class MendedReply:
    """A ReplyWriter before another one."""

    __slots__ = ("_answer", "_call", "_index", "_schema", "_tools", "_writer", "broken")

    def __init__(self, writer: ReplyWriter, tools: list[dict[str, Any]] | None, schema: object) -> None:
        """`schema`: what the answer must keep to, None if nobody has to look."""
        self._writer = writer
        self._tools = tools
        self._schema = schema
        # What of the answer has come, where it is looked at as a whole.
        self._answer: list[str] = []
        self._index = -1
        self._call = _Call()
        self.broken = ""

    @property
    def content_filter(self) -> tuple[Finding, ...]:
        """See ReplyWriter."""
        return self._writer.content_filter

    @content_filter.setter
    def content_filter(self, found: tuple[Finding, ...]) -> None:
        self._writer.content_filter = found

    def reasoning(self, text: str) -> None:
        """More of the reasoning."""
        self._writer.reasoning(text)

    def reasoning_run(self, texts: list[bytes]) -> None:
        """The same, many pieces at once."""
        self._writer.reasoning_run(texts)

    def content(self, text: str) -> None:
        """More of the answer."""
        if self._schema is None:
            self._writer.content(text)
        else:
            self._answer.append(text)

    def content_run(self, texts: list[bytes]) -> None:
        """The same, many pieces at once."""
        if self._schema is None:
            self._writer.content_run(texts)
        else:
            self._answer.append(decoded(texts))

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """More of a call. The one before is whole when the next one begins."""
        if index != self._index:
            self._hand_on(whole=True)
            self._index, self._call = index, _Call()
        call = self._call
        call.name = call.name or name or ""
        call.pieces.append(arguments)

    def _hand_on(self, *, whole: bool) -> None:
        if self._index < 0:
            return
        call = self._call
        arguments = "".join(call.pieces)
        if whole:
            arguments = mended_arguments(arguments, schema_of_call(self._tools, call.name))
        self._writer.tool_call(self._index, call.name, arguments)
        self._index = -1

    def take(self) -> bytes:
        """What can be sent now."""
        return self._writer.take()

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """The end of the reply."""
        whole = finish_reason in _WHOLE
        self._hand_on(whole=whole)
        answer = "".join(self._answer)
        if answer:
            self._writer.content(self._checked(answer) if whole else answer)
        return self._writer.finish(finish_reason, usage, ended_s)

    def _checked(self, answer: str) -> str:
        mended = check_answer(answer, self._schema)
        if mended is None:
            self.broken = "the answer does not keep to its schema"
            return answer
        return mended


def mended(writer: ReplyWriter, request: ChatRequest, profile: Profile) -> ReplyWriter:
    """The writer itself, or one before it that mends, if there is anything to mend.

    Whoever wants arguments as they come (`tool_stream`) gets them as they come.
    """
    tools = None if request.stream and request.tool_stream else request.tools
    schema = None if request.stream or profile.enforces_schemas else _schema_of(request.response_format)
    if not tools and schema is None:
        return writer
    return MendedReply(writer, tools, schema)


def _schema_of(wanted: ResponseFormat | None) -> object:
    """What an answer has to keep to; None for a text."""
    if wanted is None or wanted.type == "text":
        return None
    named = wanted.json_schema or {}
    schema = named.get("schema", named)
    return schema if wanted.type == "json_schema" and isinstance(schema, dict) and schema else _ANY_OBJECT
