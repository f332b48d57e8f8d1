"""The answer as Anthropic's stream of events: bytes out, no I/O (api.md §6).

    message_start  ping  { content_block_start  content_block_delta…  content_block_stop }…  message_delta  message_stop

`event: error` may take the place of any of them and is the last. The prompt's tokens stand in the first event too,
because clients show there how full the context is, and bigmodel.cn's zeroes made them useless (api.md §11).
"""

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError
from openbigmodel.ids import tool_call_id
from openbigmodel.inference.anthropic.blocks import AnswerBlock, Kind
from openbigmodel.inference.anthropic.counts import Counts, estimated_prompt, reply_usage
from openbigmodel.inference.anthropic.errors import render_error
from openbigmodel.inference.anthropic.read import ReplyWishes
from openbigmodel.inference.anthropic.stop_reasons import stop_reason
from openbigmodel.inference.calls_in_order import Call
from openbigmodel.inference.dialect import ReplyFacts
from openbigmodel.schemas.chat import Finding
from openbigmodel.sse import escape_separators, has_separator

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_TEXT_END = b'"}}\n\n'
# So many pieces of hidden reasoning, a second or two of it, and the caller hears that somebody is still there.
_PIECES_PER_PING = 64
_ENCODE = msgspec.json.Encoder().encode
_DELTAS: dict[Kind, bytes] = {
    "thinking": b'"delta":{"type":"thinking_delta","thinking":"',
    "text": b'"delta":{"type":"text_delta","text":"',
    "tool_use": b'"delta":{"type":"input_json_delta","partial_json":"',
}
_STARTS: dict[Kind, bytes] = {
    "thinking": b'{"type":"thinking","thinking":"","signature":""}',
    "text": b'{"type":"text","text":""}',
}


class MessageStart(msgspec.Struct, gc=False):
    """A message that says nothing yet."""

    id: str
    type: str
    role: str
    model: str
    content: tuple[()]
    stop_reason: None
    stop_sequence: None
    usage: Counts


class StreamWriter:
    """Writes the events."""

    __slots__ = (
        "_begun",
        "_calls",
        "_facts",
        "_hidden",
        "_index",
        "_open",
        "_out",
        "_prefix",
        "_waiting",
        "_wishes",
        "content_filter",
    )

    def __init__(self, facts: ReplyFacts, wishes: ReplyWishes) -> None:
        self._facts = facts
        self._wishes = wishes
        self._out: list[bytes] = []
        self._begun = False
        self._hidden = 0
        # Of the block at hand: its place in the answer, and how each of its deltas begins.
        self._index = -1
        self._prefix = b""
        self._open: AnswerBlock | None = None
        self._waiting: list[AnswerBlock] = []
        self._calls: dict[int, Call] = {}
        self.content_filter: tuple[Finding, ...] = ()

    def reasoning(self, text: str) -> None:
        """See ReplyWriter."""
        self._thought([_piece(text)])

    def content(self, text: str) -> None:
        """See ReplyWriter."""
        self._text("text", [_piece(text)])

    def reasoning_run(self, texts: list[bytes]) -> None:
        """See ReplyWriter."""
        self._thought(texts)

    def content_run(self, texts: list[bytes]) -> None:
        """See ReplyWriter."""
        self._text("text", texts)

    def around(self, *, reasoning: bool) -> tuple[bytes, bytes] | None:
        """See AnswerWriter: the deltas of the open block are all alike."""
        block = self._open
        shown = not reasoning or self._wishes.thinking == "text"
        if block is None or self._waiting or not shown or block.kind != ("thinking" if reasoning else "text"):
            return None
        return self._prefix, _TEXT_END

    def _thought(self, texts: list[bytes]) -> None:
        shown = self._wishes.thinking
        if shown == "text":
            self._text("thinking", texts)
            return
        self._begin()
        before, self._hidden = self._hidden, self._hidden + len(texts)
        if before // _PIECES_PER_PING != self._hidden // _PIECES_PER_PING:
            self._out.append(PING)
        if shown == "sign" and not (self._open is not None and self._open.kind == "thinking"):
            self._block("thinking")

    def _text(self, kind: Kind, texts: list[bytes]) -> None:
        block = self._open
        if block is None or block.kind != kind or self._waiting:
            block = self._block(kind)
        if block is not self._open:
            block.pieces += [text.decode() for text in texts]
            return
        prefix = self._prefix
        self._out.append(
            b"%b%b%b" % (prefix, texts[0] if len(texts) == 1 else (_TEXT_END + prefix).join(texts), _TEXT_END)
        )

    def _block(self, kind: Kind) -> AnswerBlock:
        """The block for more of a kind of text: the last one, or a new one."""
        self._begin()
        last = self._waiting[-1] if self._waiting else self._open
        if last is None or last.kind != kind:
            last = AnswerBlock(kind)
            self._waiting.append(last)
            self._advance()
        return last

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """See ReplyWriter."""
        self._begin()
        if self._wishes.one_call and index > 0:
            return
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = Call(index)
            self._waiting.append(AnswerBlock("tool_use", call))
        # Blanks alone may be all that there is: no arguments, which are an empty object.
        call.add(name, arguments if call.pieces or not arguments.isspace() else "")
        self._advance()

    def _advance(self) -> None:
        """Write what the open block has, and go on to the next as long as it is complete."""
        while True:
            block = self._open
            if block is not None:
                self._write(block)
            if not self._waiting or (block is not None and not block.complete()):
                return
            self._next()

    def _next(self) -> None:
        self._close()
        self._index += 1
        self._open = self._waiting.pop(0)

    def _write(self, block: AnswerBlock) -> None:
        """What the caller does not have of the open block."""
        if not block.started:
            if block.call is not None and not block.call.name:
                return
            self._start(block)
        if block.sent == len(block.pieces):
            return
        pieces = block.pieces[block.sent :]
        if block.kind == "tool_use":
            texts = [_piece("".join(pieces))]
            block.sent = len(block.pieces)
        else:
            texts = [piece.encode() for piece in pieces]
            block.pieces.clear()
        self._out.append(b"%b%b%b" % (self._prefix, (_TEXT_END + self._prefix).join(texts), _TEXT_END))

    def _start(self, block: AnswerBlock) -> None:
        block.started = True
        if block.call is not None:
            described = _ENCODE(
                {
                    "type": "tool_use",
                    "id": tool_call_id(self._facts.first_call, block.call.index),
                    "name": self._wishes.names.get(block.call.name, block.call.name),
                    "input": {},
                }
            )
        else:
            described = _STARTS[block.kind]
        self._out.append(
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
            % (self._index, escape_separators(described))
        )
        self._prefix = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,%b' % (
            self._index,
            _DELTAS[block.kind],
        )

    def _close(self) -> None:
        """End the open block, with whatever there is of it."""
        block = self._open
        if block is None:
            return
        if not block.started:
            self._start(block)
        self._write(block)
        if block.kind == "tool_use" and not block.sent:
            self._out.append(b"%b{}%b" % (self._prefix, _TEXT_END))
        if block.kind == "thinking":
            # Opaque to the caller, who must send it back; nothing here depends on it.
            self._out.append(
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"signature_delta","signature":%b}}\n\n'
                % (self._index, _ENCODE(self._facts.id))
            )
        self._out.append(
            b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index
        )
        self._open = None

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        facts = self._facts
        usage = facts.counts()
        if usage.prompt_tokens:
            counts = Counts(usage.prompt_tokens - usage.cached_tokens, 0, usage.cached_tokens)
        else:
            counts = Counts(estimated_prompt(self._wishes), 0)
        message = MessageStart("msg_" + facts.id, "message", "assistant", facts.named, (), None, None, counts)
        self._out.append(
            b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n%b'
            % (escape_separators(_ENCODE(message)), PING)
        )

    def take(self) -> bytes:
        """See ReplyWriter."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """See ReplyWriter. An answer that broke off ends with an error: what there is of it must not look complete."""
        self._begin()
        if finish_reason == "network_error":
            self._out.append(_error_event(self._facts.id))
            return self.take()
        if finish_reason != "sensitive":
            while self._waiting:
                self._next()
        elif self._open is not None and not self._open.started:
            self._open = None
        self._close()
        reason, sequence = stop_reason(
            finish_reason, self._wishes, self._facts.stop_sequence(), called=bool(self._calls)
        )
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        self._out.append(
            b'event: message_delta\ndata: {"type":"message_delta","delta":%b,"usage":%b}\n\n%b'
            % (escape_separators(_ENCODE(delta)), _ENCODE(reply_usage(usage)), _STOP)
        )
        return self.take()


def _piece(text: str) -> bytes:
    """A JSON string without its quotes."""
    encoded = _ENCODE(text)[1:-1]
    return escape_separators(encoded) if has_separator(text) else encoded


def _error_event(log_id: str) -> bytes:
    # Who reads it is a program that has had half an answer; the status is no matter any more.
    return b"event: error\ndata: %b\n\n" % render_error(ApiError("1234", error_id=log_id), "en", log_id)
