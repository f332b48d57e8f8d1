"""Stands before the writer of a reply where what the model writes is to keep to a schema: mends what can be mended.

    arguments of calls    each call is handed on whole, mended if it does not keep to the function's parameters
    answers in JSON       where the engine does not see to it: a body's without its fence, mended likewise; a stream's
                          as it comes, and held against the schema when it has ended

Rule: only what has come to its end is looked at. Arguments or an answer that were cut off stay as they are, and so does
what nobody can mend; `broken` says so, for the log. Text that the caller has seen cannot be mended any more, so of a
stream only the log hears.
"""

from typing import Any

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.tool_arguments import check_answer, mended_arguments, schema_of_call
from openbigmodel.engines.translate_tools import keeps_to_format
from openbigmodel.inference.calls_in_order import WHOLE, Call, CallsInOrder
from openbigmodel.inference.dialect import ReplyWriter
from openbigmodel.inference.reply import decoded
from openbigmodel.schemas.chat import ChatRequest, Finding, ResponseFormat

_ANY_OBJECT = {"type": "object"}
_BROKEN = "the answer does not keep to its schema"
# Of a stream's answer, so much is kept to be looked at. Of a body it is there anyway.
MAX_KEPT_CHARACTERS = 1024 * 1024


class MendedReply:
    """A ReplyWriter before another one."""

    __slots__ = (
        "_answer",
        "_calls",
        "_kept_characters",
        "_mends_calls",
        "_schema",
        "_streams",
        "_tools",
        "_writer",
        "broken",
    )

    def __init__(
        self,
        writer: ReplyWriter,
        tools: list[dict[str, Any]] | None,
        schema: object,
        *,
        streams: bool = False,
        mends_calls: bool = True,
    ) -> None:
        """`schema`: what the answer must keep to, None if nobody has to look.

        `streams`: the caller reads the answer as it comes. Without `mends_calls` calls go on as they come.
        """
        self._writer = writer
        self._tools = tools
        self._schema = schema
        self._streams = streams
        self._mends_calls = mends_calls
        # What of the answer has come, where it is looked at as a whole.
        self._answer: list[str] = []
        self._kept_characters = 0
        self._calls = CallsInOrder()
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
        if self._schema is not None:
            self._keep(text)
        if self._schema is None or self._streams:
            self._writer.content(text)

    def content_run(self, texts: list[bytes]) -> None:
        """The same, many pieces at once."""
        if self._schema is not None:
            self._keep(decoded(texts))
        if self._schema is None or self._streams:
            self._writer.content_run(texts)

    def _keep(self, text: str) -> None:
        self._kept_characters += len(text)
        if self._streams and self._kept_characters > MAX_KEPT_CHARACTERS:
            self._answer.clear()
        else:
            self._answer.append(text)

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """More of a call. An engine may go back to an earlier one."""
        if not self._mends_calls:
            self._writer.tool_call(index, name, arguments)
            return
        call = self._calls.add(index, name, arguments)
        if call.gone:
            # It was complete, so this makes it no JSON. That is for the caller to see.
            self._writer.tool_call(index, None, arguments)
        for ready in self._calls.ready():
            self._hand_on(ready, whole=True)

    def _hand_on(self, call: Call, *, whole: bool) -> None:
        arguments = call.arguments()
        if whole:
            arguments = mended_arguments(arguments, schema_of_call(self._tools, call.name))
        self._writer.tool_call(call.index, call.name, arguments)

    def around(self, *, reasoning: bool) -> tuple[bytes, bytes] | None:
        """See AnswerWriter: an answer that has to keep to a schema is looked at."""
        return self._writer.around(reasoning=reasoning) if reasoning or self._schema is None else None

    def take(self) -> bytes:
        """What can be sent now."""
        return self._writer.take()

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """The end of the reply."""
        whole = finish_reason in WHOLE
        for call in self._calls.rest():
            self._hand_on(call, whole=whole)
        # What is said beside calls is not the answer yet.
        answered = finish_reason == "stop"
        if self._streams:
            if answered:
                self._judge()
        elif answer := "".join(self._answer):
            self._writer.content(self._checked(answer) if answered else answer)
        return self._writer.finish(finish_reason, usage, ended_s)

    def _checked(self, answer: str) -> str:
        mended = check_answer(answer, self._schema)
        if mended is None:
            self.broken = _BROKEN
            return answer
        return mended

    def _judge(self) -> None:
        """The caller has the answer as it was."""
        if self._kept_characters > MAX_KEPT_CHARACTERS:
            self.broken = f"{self._kept_characters} characters are too many to be held against their schema"
            return
        answer = "".join(self._answer).strip()
        if answer:
            mended = check_answer(answer, self._schema)
            if mended is None:
                self.broken = _BROKEN
            elif mended != answer:
                self.broken = f"{_BROKEN}, and was streamed before it could be mended"


def mended(writer: ReplyWriter, request: ChatRequest, profile: Profile) -> ReplyWriter:
    """The writer itself, or one before it that mends or judges, if there is anything to look at.

    Whoever wants arguments as they come (`tool_stream`) gets them as they come.
    """
    streams = bool(request.stream)
    mends_calls = bool(request.tools) and not (streams and request.tool_stream)
    wanted = request.response_format
    schema = None if wanted is None or keeps_to_format(wanted, profile) else _schema_of(wanted)
    if not mends_calls and schema is None:
        return writer
    return MendedReply(writer, request.tools, schema, streams=streams, mends_calls=mends_calls)


def _schema_of(wanted: ResponseFormat) -> object:
    """What an answer has to keep to; None for a text."""
    if wanted.type == "text":
        return None
    named = wanted.json_schema or {}
    schema = named.get("schema", named)
    return schema if wanted.type == "json_schema" and isinstance(schema, dict) and schema else _ANY_OBJECT
