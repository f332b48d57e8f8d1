"""The answer as Responses has it: one object, or events that build the same object up (api.md §5).

    created, in_progress
    for each item:  output_item.added
                    content_part.added, …_text.delta …, …_text.done, content_part.done
                    or function_call_arguments.delta …, .done
                    output_item.done
    completed | incomplete | failed and error, [DONE]

What holds: events are numbered without a gap, the deltas of an item are its text, and the object at the end has the
items that were done, as they were done. One text is open at a time; a call stays open while its arguments are no JSON,
because an engine may go back to it. Keys are in alphabetical order, as on bigmodel.cn.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError
from openbigmodel.inference.responses.errors import SERVER_ERROR
from openbigmodel.inference.responses.tools import CUSTOM_INPUT, Called
from openbigmodel.schemas.chat import Finding
from openbigmodel.sse import escape_separators, has_separator

_ENCODE = msgspec.json.Encoder().encode
_ENCODE_SORTED = msgspec.json.Encoder(order="sorted").encode
_DECODE = msgspec.json.Decoder(float_hook=float).decode
DONE = b"data: [DONE]\n\n"
# A call's id is `call_` and 24 of these bits in hexadecimal (api.md §1.1).
_CALL_BITS = 64

TextKind = Literal["reasoning", "message"]
_Json = dict[str, Any]
Status = Literal["completed", "incomplete", "failed"]

# GLM's finish reasons: how the response ended, and why it is incomplete.
_ENDINGS: Mapping[str, tuple[Status, str | None]] = {
    "length": ("incomplete", "max_output_tokens"),
    "model_context_window_exceeded": ("incomplete", "max_output_tokens"),
    "sensitive": ("incomplete", "content_filter"),
    "network_error": ("failed", None),
}


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """What a response says besides its output. `id` is the platform's own of the request, `created_s` Unix time.

    `first_call` is what the ids of calls count up from. The two flags say which token counts the model's replies
    show; the others are 0 (api.md §3.3). `called` tells which tool a function stands for.
    """

    id: str
    created_s: int
    model: str
    first_call: int
    called: Mapping[str, Called] = {}
    instructions: str = ""
    previous_id: str = ""
    prompt_cache_key: str | None = None
    metadata: dict[str, str] | None = None
    parallel: bool = True
    shows_cached_tokens: bool = True
    shows_reasoning_tokens: bool = True

    @property
    def response_id(self) -> str:
        """The id of the response."""
        return f"resp_{self.id}"

    def call_number(self, index: int) -> str:
        """24 hexadecimal digits: of this request, and of this call in it."""
        return f"{self.id[-8:]:0>8}{(self.first_call + index) % (1 << _CALL_BITS):016x}"


class _Text:
    """Reasoning or a message under way; `pieces` are encoded as in JSON, without quotes."""

    __slots__ = ("after", "before", "between", "id", "index", "kind", "pieces")

    def __init__(self, kind: TextKind, item_id: str, index: int) -> None:
        self.kind = kind
        self.id = item_id
        self.index = index
        self.pieces: list[bytes] = []
        name = b"reasoning_text" if kind == "reasoning" else b"output_text"
        logprobs = b"" if kind == "reasoning" else b'"logprobs":[],'
        self.before = b'event: response.%b.delta\ndata: {"content_index":0,"delta":"' % name
        self.between = b'","item_id":%b,%b"output_index":%d,"sequence_number":' % (
            _ENCODE(item_id),
            logprobs,
            index,
        )
        self.after = b',"type":"response.%b.delta"}\n\n' % name

    def part(self, text: msgspec.Raw) -> _Json:
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": []}

    def item(self, status: str, content: list[_Json]) -> _Json:
        item: _Json = {"type": self.kind, "id": self.id, "status": status, "content": content}
        if self.kind == "message":
            return {**item, "role": "assistant"}
        return {**item, "summary": []}

    def text(self) -> msgspec.Raw:
        return msgspec.Raw(b'"%b"' % b"".join(self.pieces))


class _Call:
    """A tool call under way."""

    __slots__ = ("_looked_at", "called", "id", "index", "open", "pieces")

    def __init__(self, called: Called, number: str, index: int) -> None:
        self.called = called
        self.id = f"call_{number}"
        self.index = index
        self.pieces: list[str] = []
        self.open = True
        # How many pieces there were when they were no JSON.
        self._looked_at = 0

    @property
    def item_id(self) -> str:
        return f"{'ctc' if self.called.custom else 'fc'}_{self.id}"

    def item(self, status: str, arguments: str) -> _Json:
        called = self.called
        item: _Json = {"id": self.item_id, "call_id": self.id, "name": called.name, "status": status}
        if called.namespace is not None:
            item["namespace"] = called.namespace
        if called.custom:
            return {**item, "type": "custom_tool_call", "input": arguments}
        return {**item, "type": "function_call", "arguments": arguments}

    def whole(self) -> bool:
        """Whether the arguments are all there, as far as one can see."""
        if len(self.pieces) == self._looked_at:
            return False
        self._looked_at = len(self.pieces)
        try:
            _DECODE("".join(self.pieces))
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return False
        return True


class ResponsesWriter:
    """Writes a response. `keep`, if there is one, is given the finished object before anybody has seen its end."""

    __slots__ = (
        "_calls",
        "_done",
        "_head",
        "_items",
        "_keep",
        "_kinds",
        "_pending",
        "_sequence",
        "_streams",
        "_text",
        "content_filter",
    )

    def __init__(
        self, head: ResponseHead, *, streams: bool, keep: Callable[[bytes], None] | None = None
    ) -> None:
        self._head = head
        self._streams = streams
        self._keep = keep
        self.content_filter: tuple[Finding, ...] = ()
        self._text: _Text | None = None
        self._calls: dict[int, _Call] = {}
        # Items so far, and those that are done, by their place in the output.
        self._items = 0
        self._done: dict[int, _Json] = {}
        self._kinds: set[TextKind] = set()
        self._pending: list[bytes] = []
        self._sequence = 0

    # what the engine says

    def reasoning(self, text: str) -> None:
        """More of the reasoning."""
        if text:
            self._add("reasoning", [_encoded(text)])

    def content(self, text: str) -> None:
        """More of the answer."""
        if text:
            self._add("message", [_encoded(text)])

    def reasoning_run(self, texts: list[bytes]) -> None:
        """More of the reasoning, in chunks."""
        self._add("reasoning", texts)

    def content_run(self, texts: list[bytes]) -> None:
        """More of the answer, in chunks."""
        self._add("message", texts)

    def around(self, *, reasoning: bool) -> None:
        """See AnswerWriter: each event has a number."""

    def _add(self, kind: TextKind, texts: list[bytes]) -> None:
        text = self._text
        if text is None or text.kind != kind:
            text = self._open_text(kind)
        text.pieces += texts
        if not self._streams:
            return
        before, between, after = text.before, text.between, text.after
        number = self._sequence
        for piece in texts:
            self._pending.append(b"%b%b%b%d%b" % (before, piece, between, number, after))
            number += 1
        self._sequence = number

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """More of a call."""
        if index and not self._head.parallel:
            # The caller asked for one at a time; the model will make the others when it has the first one's result.
            return
        call = self._calls.get(index)
        if call is None:
            call = self._open_call(index, name or "")
        if not arguments or not call.open:
            return
        call.pieces.append(arguments)
        if not call.called.custom:
            self._call_event("function_call_arguments.delta", call, delta=arguments)

    # items begin

    def _open_text(self, kind: TextKind) -> _Text:
        self._close_what_is_whole()
        prefix = "rs" if kind == "reasoning" else "msg"
        owner = self._head.response_id if self._streams else self._head.id
        # The first of a kind has the id that it has on bigmodel.cn.
        item_id = f"{prefix}_{owner}_{self._items}" if kind in self._kinds else f"{prefix}_{owner}"
        self._kinds.add(kind)
        text = self._text = _Text(kind, item_id, self._items)
        self._items += 1
        if self._streams:
            empty = msgspec.Raw(b'""')
            self._event("output_item.added", item=text.item("in_progress", []), output_index=text.index)
            self._part_event("content_part.added", text, part=text.part(empty))
        return text

    def _open_call(self, index: int, name: str) -> _Call:
        self._close_what_is_whole()
        head = self._head
        called = head.called.get(name) or Called(name)
        call = self._calls[index] = _Call(called, head.call_number(index), self._items)
        self._items += 1
        self._event("output_item.added", item=call.item("in_progress", ""), output_index=call.index)
        return call

    # items end

    def _close_what_is_whole(self) -> None:
        """Another item begins. Calls whose arguments are not all there may still get more."""
        self._begin()
        if self._text is not None:
            self._close_text("completed")
        for call in self._calls.values():
            if call.open and call.whole():
                self._close_call(call, "completed")

    def _close_text(self, status: str) -> None:
        text = self._text
        assert text is not None
        self._text = None
        whole = text.text()
        item = text.item(status, [text.part(whole)])
        if text.kind == "reasoning":
            item["encrypted_content"] = None
        self._done[text.index] = item
        if self._streams:
            name = "reasoning_text" if text.kind == "reasoning" else "output_text"
            self._part_event(f"{name}.done", text, text=whole)
            self._part_event("content_part.done", text, part=text.part(whole))
            self._event("output_item.done", item=item, output_index=text.index)

    def _close_call(self, call: _Call, status: str) -> None:
        call.open = False
        if status == "completed" and not "".join(call.pieces).strip():
            # A call without arguments; clients parse them unseen.
            call.pieces.append("{}")
            if not call.called.custom:
                self._call_event("function_call_arguments.delta", call, delta="{}")
        said = "".join(call.pieces)
        if call.called.custom:
            said = _custom_input(said)
            self._call_event("custom_tool_call_input.delta", call, delta=said)
            self._call_event("custom_tool_call_input.done", call, input=said)
        else:
            self._call_event("function_call_arguments.done", call, arguments=said)
        item = self._done[call.index] = call.item(status, said)
        self._event("output_item.done", item=item, output_index=call.index)

    # events

    def _begin(self) -> None:
        if self._streams and not self._sequence:
            response = self._response("in_progress")
            self._event("created", response=response)
            self._event("in_progress", response=response)

    def _event(self, kind: str, **fields: Any) -> None:
        """An event of the response; nothing for who gets the object at the end."""
        if not self._streams:
            return
        data = {"type": f"response.{kind}", "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._pending.append(b"event: response.%b\ndata: %b\n\n" % (kind.encode(), _line(data)))

    def _part_event(self, kind: str, of: _Text, **fields: Any) -> None:
        self._event(kind, item_id=of.id, output_index=of.index, content_index=0, **fields)

    def _call_event(self, kind: str, call: _Call, **fields: Any) -> None:
        self._event(kind, item_id=call.item_id, output_index=call.index, **fields)

    def take(self) -> bytes:
        """The events that became ready, in one piece."""
        data = b"".join(self._pending)
        self._pending.clear()
        return data

    # the end

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """The end of the events, or the object."""
        self._begin()
        status, why = _ENDINGS.get(finish_reason, ("completed", None))
        broken = finish_reason in {"network_error", "sensitive"}
        if self._text is not None:
            # Cut by its length, too, a text is told to be completed (api.md §5).
            self._close_text("incomplete" if broken else "completed")
        for call in self._calls.values():
            if not call.open:
                continue
            if status == "completed" or call.whole():
                self._close_call(call, "completed")
            elif not broken:
                self._close_call(call, "incomplete")
            # Of a call that broke off nobody knows the end; half of its arguments could be taken for all.
        response = self._response(status, why, usage)
        if status == "failed":
            response["error"] = self._failure()
        whole = _line(response)
        if self._keep is not None:
            self._keep(whole)
        if not self._streams:
            return whole
        self._event(status, response=msgspec.Raw(whole))
        if status == "failed":
            error = {
                **response["error"],
                "param": None,
                "sequence_number": self._sequence,
                "type": "error",
            }
            self._pending.append(b"event: error\ndata: %b\n\n" % _line(error))
        return self.take() + DONE

    def _failure(self) -> _Json:
        """The engine died in mid-answer. In the words of bigmodel.cn: here nobody knows the caller's language."""
        error = ApiError("1234", error_id=self._head.id)
        return {"code": SERVER_ERROR, "message": error.message("zh")}

    def _response(self, status: str, why: str | None = None, usage: Usage | None = None) -> _Json:
        head = self._head
        response: _Json = {
            "id": head.response_id,
            "object": "response",
            "created_at": head.created_s,
            "model": head.model,
            "status": status,
            "output": [self._done[index] for index in sorted(self._done)],
        }
        if head.prompt_cache_key is not None:
            response["prompt_cache_key"] = head.prompt_cache_key
        if usage is None:
            return response
        return {
            **response,
            "conversation_id": "",
            "error": None,
            "incomplete_details": None if why is None else {"reason": why},
            "instructions": head.instructions,
            "metadata": head.metadata,
            "parallel_tool_calls": head.parallel,
            "previous_response_id": head.previous_id,
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {
                    "cached_tokens": usage.cached_tokens if head.shows_cached_tokens else 0
                },
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {
                    "reasoning_tokens": usage.reasoning_tokens if head.shows_reasoning_tokens else 0
                },
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            },
        }


def _line(data: _Json) -> bytes:
    return escape_separators(_ENCODE_SORTED(data))


def _encoded(text: str) -> bytes:
    encoded = _ENCODE(text)[1:-1]
    return escape_separators(encoded) if has_separator(text) else encoded


def _custom_input(arguments: str) -> str:
    """The text for a custom tool, out of the arguments of the function that stands for it."""
    try:
        decoded = _DECODE(arguments)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return arguments
    said = decoded.get(CUSTOM_INPUT) if isinstance(decoded, dict) else None
    return said if isinstance(said, str) else arguments
