"""The reply as the caller reads it: chunks of a stream or one body; bytes out, no I/O.

Shapes and key orders are those of bigmodel.cn (api.md §3.3, §3.6): every delta repeats the role, reasoning and
content never share one, `finish_reason` is absent until the last chunk, which alone carries the usage.
"""

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.ids import tool_call_id
from openbigmodel.inference.calls_in_order import WHOLE, Call, CallsInOrder
from openbigmodel.inference.dialect import ReplyFacts
from openbigmodel.schemas.chat import (
    BodyChoice,
    BodyFunction,
    BodyMessage,
    BodyToolCall,
    BodyUsage,
    CachedTokens,
    Finding,
    ReasoningTokens,
    ReplyBody,
    ReplyFunction,
    ReplyToolCall,
    ReplyUsage,
)
from openbigmodel.sse import escape_separators, has_separator

_ENCODE = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"
_REASONING = b'"delta":{"role":"assistant","reasoning_content":'
_CONTENT = b'"delta":{"role":"assistant","content":'
_END_OF_TEXT = b'"}}]}\n\n'


class ReplyHead(msgspec.Struct, frozen=True, gc=False):
    """What all chunks of a reply share. `created` is Unix seconds.

    The two flags say which usage details the model's replies carry (api.md §3.3).
    """

    id: str
    request_id: str
    created: int
    model: str
    shows_cached_tokens: bool = True
    shows_reasoning_tokens: bool = True


def _arguments(call: Call, *, cut: bool) -> str:
    """The JSON text; `{}` for a call without arguments, which clients parse unseen.

    `cut`: the answer broke off at this call, and whether it was to have arguments nobody knows.
    """
    return call.arguments().strip() or ("" if cut else "{}")


class StreamWriter:
    """Server-sent events. With `tool_stream`, arguments go out as they come; else each call goes out whole."""

    __slots__ = ("_calls", "_first_call", "_head", "_pending", "_prefix", "_tool_stream", "content_filter")

    def __init__(self, head: ReplyHead, first_call: int, *, tool_stream: bool) -> None:
        self._head = head
        self._first_call = first_call
        self._tool_stream = tool_stream
        self.content_filter: tuple[Finding, ...] = ()
        self._calls = CallsInOrder()
        self._pending: list[bytes] = []
        self._prefix = (
            b'data: {"id":%b,"created":%d,"object":"chat.completion.chunk","model":%b,"choices":[{"index":0,'
            % (_ENCODE(head.id), head.created, escape_separators(_ENCODE(head.model)))
        )

    def reasoning(self, text: str) -> None:
        """A chunk of reasoning."""
        self._text(_REASONING, text)

    def content(self, text: str) -> None:
        """A chunk of the answer."""
        self._text(_CONTENT, text)

    def _text(self, key: bytes, text: str) -> None:
        encoded = _ENCODE(text)
        if has_separator(text):
            encoded = escape_separators(encoded)
        self._pending.append(b"%b%b%b}}]}\n\n" % (self._prefix, key, encoded))

    def reasoning_run(self, texts: list[bytes]) -> None:
        """Chunks of reasoning."""
        self._run(_REASONING, texts)

    def content_run(self, texts: list[bytes]) -> None:
        """Chunks of the answer."""
        self._run(_CONTENT, texts)

    def _run(self, key: bytes, texts: list[bytes]) -> None:
        text = texts[0]
        if len(texts) > 1:
            text = b'%b%b%b"' % (_END_OF_TEXT, self._prefix, key)
            text = text.join(texts)
        self._pending.append(b'%b%b"%b%b' % (self._prefix, key, text, _END_OF_TEXT))

    def around(self, *, reasoning: bool) -> tuple[bytes, bytes]:
        """See AnswerWriter: texts are all alike."""
        return b'%b%b"' % (self._prefix, _REASONING if reasoning else _CONTENT), _END_OF_TEXT

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """A fragment of a call, or nothing until the call is complete."""
        call = self._calls.add(index, name, arguments)
        if self._tool_stream:
            if arguments or name:
                self._emit_call(call, arguments)
            return
        if call.gone:
            # It was complete, so this makes it no JSON. That is for the caller to see.
            if arguments.strip():
                self._emit_call(call, arguments)
            return
        for whole in self._calls.ready():
            self._emit_call(whole, _arguments(whole, cut=False))

    def _emit_rest(self, *, cut: bool) -> None:
        """The reply ends: nothing more will come of any call."""
        for call in self._calls.rest():
            if not self._tool_stream or not call.arguments().strip():
                self._emit_call(call, _arguments(call, cut=cut and self._calls.is_last(call)))

    def _emit_call(self, call: Call, arguments: str) -> None:
        entry = ReplyToolCall(
            index=call.index,
            id=tool_call_id(self._first_call, call.index),
            type="function",
            function=ReplyFunction(call.name, arguments),
        )
        encoded = escape_separators(_ENCODE([entry]))
        self._pending.append(
            b'%b"delta":{"role":"assistant","tool_calls":%b}}]}\n\n' % (self._prefix, encoded)
        )

    def take(self) -> bytes:
        """The events that became ready, in one piece."""
        pending = self._pending
        if not pending:
            return b""
        if len(pending) == 1:
            return pending.pop()
        data = b"".join(pending)
        pending.clear()
        return data

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """What was held back, the one final chunk with reason and usage, and `[DONE]`."""
        if finish_reason not in {"network_error", "sensitive"}:
            # Of a call that broke off nobody knows the end, and half of its arguments could be taken for all.
            self._emit_rest(cut=finish_reason not in WHOLE)
        found = self.content_filter
        final = b'%b"finish_reason":%b,"delta":{"role":"assistant","content":""}}],"usage":%b%b}\n\n' % (
            self._prefix,
            _ENCODE(finish_reason),
            _ENCODE(reply_usage(self._head, usage)),
            b',"content_filter":%b' % _ENCODE(found) if found else b"",
        )
        return self.take() + final + DONE


class BodyWriter:
    """One JSON body, its keys in alphabetical order."""

    __slots__ = ("_calls", "_content", "_first_call", "_head", "_reasoning", "content_filter")

    def __init__(self, head: ReplyHead, first_call: int) -> None:
        self._head = head
        self._first_call = first_call
        self.content_filter: tuple[Finding, ...] = ()
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._calls: CallsInOrder | None = None

    def reasoning(self, text: str) -> None:
        """More of the reasoning."""
        self._reasoning.append(text)

    def content(self, text: str) -> None:
        """More of the answer."""
        self._content.append(text)

    def reasoning_run(self, texts: list[bytes]) -> None:
        """More of the reasoning."""
        self._reasoning.append(decoded(texts))

    def content_run(self, texts: list[bytes]) -> None:
        """More of the answer."""
        self._content.append(decoded(texts))

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """More of a call."""
        if self._calls is None:
            self._calls = CallsInOrder()
        self._calls.add(index, name, arguments)

    def around(self, *, reasoning: bool) -> None:
        """See AnswerWriter: nothing goes out at once."""

    def take(self) -> bytes:
        """Nothing: a body goes out in one piece."""
        return b""

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """The body."""
        head = self._head
        message = BodyMessage(content="".join(self._content), role="assistant")
        if self._reasoning:
            message.reasoning_content = "".join(self._reasoning)
        if (calls := self._calls) is not None:
            message.tool_calls = [
                self._call(call, cut=finish_reason not in WHOLE and calls.is_last(call))
                for call in calls.rest()
            ]
        return _ENCODE(
            ReplyBody(
                choices=[BodyChoice(finish_reason, 0, message)],
                content_filter=self.content_filter,
                created=ended_s,
                id=head.id,
                model=head.model,
                object="chat.completion",
                request_id=head.request_id,
                usage=BodyUsage(
                    completion_tokens=usage.completion_tokens,
                    completion_tokens_details=ReasoningTokens(usage.reasoning_tokens)
                    if head.shows_reasoning_tokens
                    else None,
                    prompt_tokens=usage.prompt_tokens,
                    prompt_tokens_details=CachedTokens(usage.cached_tokens)
                    if head.shows_cached_tokens
                    else None,
                    total_tokens=usage.prompt_tokens + usage.completion_tokens,
                ),
            )
        )

    def _call(self, call: Call, *, cut: bool) -> BodyToolCall:
        function = BodyFunction(_arguments(call, cut=cut), call.name)
        return BodyToolCall(function, tool_call_id(self._first_call, call.index), call.index)


def decoded(texts: list[bytes]) -> str:
    """The text of a run of chunks."""
    return msgspec.json.decode(b'"%b"' % b"".join(texts), type=str)


def reply_usage(head: ReplyHead, usage: Usage) -> ReplyUsage:
    """The usage object of a reply."""
    return ReplyUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=CachedTokens(usage.cached_tokens) if head.shows_cached_tokens else None,
        completion_tokens_details=ReasoningTokens(usage.reasoning_tokens)
        if head.shows_reasoning_tokens
        else None,
    )


def new_writer(facts: ReplyFacts) -> StreamWriter | BodyWriter:
    """The writer for a reply in GLM's own words."""
    model, request = facts.model, facts.request
    shown = model.reasoning_tokens
    head = ReplyHead(
        facts.id,
        facts.request_id,
        facts.created_s,
        facts.named,
        model.cached_tokens,
        shown == "always" or (shown == "thinking" and facts.generation.thinking is not False),
    )
    if request.stream:
        return StreamWriter(head, facts.first_call, tool_stream=bool(request.tool_stream))
    return BodyWriter(head, facts.first_call)
