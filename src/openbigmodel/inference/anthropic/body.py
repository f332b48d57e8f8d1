"""The answer as one message (api.md §6): bytes out, no I/O."""

from typing import Any

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError
from openbigmodel.ids import tool_call_id
from openbigmodel.inference.anthropic.blocks import AnswerBlock, Kind, arguments_of
from openbigmodel.inference.anthropic.counts import FinalCounts, reply_usage
from openbigmodel.inference.anthropic.errors import render_error
from openbigmodel.inference.anthropic.read import ReplyWishes
from openbigmodel.inference.anthropic.stop_reasons import stop_reason
from openbigmodel.inference.calls_in_order import Call
from openbigmodel.inference.dialect import ReplyFacts
from openbigmodel.inference.reply import decoded
from openbigmodel.schemas.chat import Finding

_ENCODE = msgspec.json.Encoder().encode


class Message(msgspec.Struct, gc=False):
    """A message on the wire."""

    id: str
    type: str
    role: str
    model: str
    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    usage: FinalCounts


class BodyWriter:
    """Collects the answer."""

    __slots__ = ("_blocks", "_calls", "_facts", "_wishes", "content_filter")

    def __init__(self, facts: ReplyFacts, wishes: ReplyWishes) -> None:
        self._facts = facts
        self._wishes = wishes
        self._blocks: list[AnswerBlock] = []
        self._calls: dict[int, Call] = {}
        self.content_filter: tuple[Finding, ...] = ()

    def reasoning(self, text: str) -> None:
        """See ReplyWriter."""
        if self._wishes.thinking != "nothing":
            self._text("thinking", text)

    def content(self, text: str) -> None:
        """See ReplyWriter."""
        self._text("text", text)

    def reasoning_run(self, texts: list[bytes]) -> None:
        """See ReplyWriter."""
        self.reasoning(decoded(texts))

    def content_run(self, texts: list[bytes]) -> None:
        """See ReplyWriter."""
        self._text("text", decoded(texts))

    def around(self, *, reasoning: bool) -> None:
        """See AnswerWriter: nothing goes out at once."""

    def _text(self, kind: Kind, text: str) -> None:
        if not self._blocks or self._blocks[-1].kind != kind:
            self._blocks.append(AnswerBlock(kind))
        self._blocks[-1].pieces.append(text)

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """See ReplyWriter."""
        if self._wishes.one_call and index > 0:
            return
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = Call(index)
            self._blocks.append(AnswerBlock("tool_use", call))
        call.add(name, arguments)

    def take(self) -> bytes:
        """Nothing: a body goes out in one piece."""
        return b""

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """See ReplyWriter."""
        facts = self._facts
        if finish_reason == "network_error":
            return render_error(ApiError("1234", error_id=facts.id), "en", facts.id)
        content = [
            block
            for each in self._blocks
            if (block := self._block(each, cut=finish_reason in {"length", "sensitive"})) is not None
        ]
        called = any(block["type"] == "tool_use" for block in content)
        reason, sequence = stop_reason(finish_reason, self._wishes, facts.stop_sequence(), called=called)
        return _ENCODE(
            Message(
                "msg_" + facts.id,
                "message",
                "assistant",
                facts.named,
                content,
                reason,
                sequence,
                reply_usage(usage),
            )
        )

    def _block(self, block: AnswerBlock, *, cut: bool) -> dict[str, Any] | None:
        if block.call is not None:
            return self._tool_use(block.call, cut=cut)
        text = "".join(block.pieces)
        if block.kind == "text":
            return {"type": "text", "text": text}
        shown = text if self._wishes.thinking == "text" else ""
        return {"type": "thinking", "thinking": shown, "signature": self._facts.id}

    def _tool_use(self, call: Call, *, cut: bool) -> dict[str, Any] | None:
        arguments = arguments_of(call.arguments())
        if arguments is None and cut:
            # Half a call, which would be taken for a whole one.
            return None
        return {
            "type": "tool_use",
            "id": tool_call_id(self._facts.first_call, call.index),
            "name": self._wishes.names.get(call.name, call.name),
            # As Anthropic wants what is no JSON to be handed on: the tool refuses it, and the model sees why.
            "input": {"INVALID_JSON": call.arguments().strip()} if arguments is None else arguments,
        }
