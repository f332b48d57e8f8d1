"""The blocks of an answer, in the order in which they began.

Rule: at Anthropic one block ends before the next begins, whatever order an engine's pieces come in. So a block waits
until the one before it is complete: a text is as soon as something else comes, a call when its arguments are JSON, or
when the answer ends. An engine that says one thing after the other, as all real ones do, never makes anything wait.
"""

from typing import Literal

import msgspec

from openbigmodel.inference.calls_in_order import Call

_DECODE = msgspec.json.Decoder(float_hook=float).decode

Kind = Literal["thinking", "text", "tool_use"]


class AnswerBlock:
    """`pieces` of a text are JSON strings without their quotes, those of a `call` its arguments' text as it came.

    `sent` is how many of them the caller has.
    """

    __slots__ = ("call", "kind", "pieces", "sent", "started")

    def __init__(self, kind: Kind, call: Call | None = None) -> None:
        self.kind = kind
        self.call = call
        self.pieces: list[str] = [] if call is None else call.pieces
        self.sent = 0
        self.started = False

    def complete(self) -> bool:
        """Whether nothing can be missing."""
        return self.call is None or self.call.complete()


def arguments_of(text: str) -> msgspec.Raw | None:
    """A call's arguments if they are a JSON object, else None. No arguments are an empty object."""
    text = text.strip()
    if not text:
        return msgspec.Raw(b"{}")
    if not text.startswith("{"):
        return None
    try:
        _DECODE(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(text.encode())
