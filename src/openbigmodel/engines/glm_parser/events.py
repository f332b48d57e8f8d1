"""What a raw text says, piece by piece.

Calls come one after the other, never interleaved: CallStarted, CallArguments as often as needed, CallEnded. The
fragments of one call that has ended, put together, are always one JSON object, also where the model wrote something
else. Only a call that was cut off does not end, and its fragments are the beginning of one.
"""

from typing import TypeAlias

import msgspec


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """More of the reasoning."""

    text: str


class Content(msgspec.Struct, frozen=True, gc=False):
    """More of the answer."""

    text: str


class CallStarted(msgspec.Struct, frozen=True, gc=False):
    """A call begins. `index` counts the calls of the answer from 0."""

    index: int
    name: str


class CallArguments(msgspec.Struct, frozen=True, gc=False):
    """More of the JSON text of a call's arguments."""

    index: int
    fragment: str


class CallEnded(msgspec.Struct, frozen=True, gc=False):
    """A call is complete."""

    index: int


Event: TypeAlias = Reasoning | Content | CallStarted | CallArguments | CallEnded


class EventList:
    """Events of one piece of text in the making. Neighbours that say the same kind of thing become one event."""

    __slots__ = ("_events", "_kind", "_pieces", "calls")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._kind: type[Reasoning | Content | CallArguments] = Content
        self._pieces: list[str] = []
        self.calls = 0

    def text(self, text: str, *, reasoning: bool) -> None:
        """More of the reasoning or of the answer."""
        if text:
            self._piece(Reasoning if reasoning else Content, text)

    def call(self, name: str) -> None:
        """A call begins."""
        self._flush()
        self._events.append(CallStarted(self.calls, name))
        self.calls += 1

    def arguments(self, fragment: str) -> None:
        """More of the arguments of the call that began last."""
        if fragment:
            self._piece(CallArguments, fragment)

    def end_call(self) -> None:
        """The call that began last is complete."""
        self._flush()
        self._events.append(CallEnded(self.calls - 1))

    def _piece(self, kind: type[Reasoning | Content | CallArguments], text: str) -> None:
        if kind is not self._kind:
            self._flush()
            self._kind = kind
        self._pieces.append(text)

    def _flush(self) -> None:
        if not self._pieces:
            return
        text = "".join(self._pieces)
        self._pieces.clear()
        if self._kind is CallArguments:
            self._events.append(CallArguments(self.calls - 1, text))
        elif self._kind is Reasoning:
            self._events.append(Reasoning(text))
        else:
            self._events.append(Content(text))

    def take(self) -> list[Event]:
        """What came since the last time."""
        self._flush()
        events, self._events = self._events, []
        return events
