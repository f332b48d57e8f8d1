"""The blocks of an answer, in the order in which they began.

Rule: at Anthropic one block ends before the next begins, whatever order an engine's pieces come in. So a block waits
until the one before it is complete: a text is as soon as something else comes, a call when its arguments are JSON, or
when the answer ends. An engine that says one thing after the other, as all real ones do, never makes anything wait.
"""

from typing import Literal

import msgspec

# At the arguments of one call, while others wait. An engine that mixes its calls this much ends without them.
_MAX_LOOKS = 64
_DECODE = msgspec.json.Decoder(float_hook=float).decode

Kind = Literal["thinking", "text", "tool_use"]


class AnswerBlock:
    """`pieces` of a text are JSON strings without their quotes, those of a call its arguments' text as it came.

    `sent` is how many of them the caller has.
    """

    __slots__ = ("_looks_left", "call", "kind", "name", "pieces", "sent", "started")

    def __init__(self, kind: Kind, call: int = 0) -> None:
        self.kind = kind
        self.call = call
        self.name = ""
        self.pieces: list[str] = []
        self.sent = 0
        self.started = False
        self._looks_left = _MAX_LOOKS

    def arguments(self) -> str:
        """A call's, as far as they have come."""
        return "".join(self.pieces).strip()

    def complete(self) -> bool:
        """Whether nothing can be missing."""
        if self.kind != "tool_use":
            return True
        # The end tells at a glance that it is too early, nearly always.
        last = self.pieces[-1].rstrip() if self.pieces else ""
        if not self.name or not last.endswith("}") or not self._looks_left:
            return False
        self._looks_left -= 1
        return arguments_of(self.arguments()) is not None


def arguments_of(text: str) -> msgspec.Raw | None:
    """A call's arguments if they are a JSON object, else None. No arguments are an empty object."""
    if not text:
        return msgspec.Raw(b"{}")
    if not text.startswith("{"):
        return None
    try:
        _DECODE(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(text.encode())
