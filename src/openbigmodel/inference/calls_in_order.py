"""The calls of an answer, put together from pieces that may come in any order.

Rule: a call begins when an earlier one has, but an engine may go back to an earlier one until the answer ends. So a
call can be handed on before that only when its arguments are a JSON object by themselves, which nothing can be added
to, and when all before it have been.
"""

from openbigmodel.engines.tool_arguments import is_object

# Finish reasons of answers that nothing is missing from.
WHOLE = frozenset(("stop", "tool_calls"))
# At the arguments of one call, while others wait. What an engine mixes more than this goes out at the end.
_MAX_LOOKS = 64


class Call:
    """A call that is being put together. `gone`: it has been handed on."""

    __slots__ = ("_looked_at", "_looks_left", "gone", "index", "name", "pieces")

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = ""
        self.pieces: list[str] = []
        self.gone = False
        self._looks_left = _MAX_LOOKS
        # How many pieces there were at the last look.
        self._looked_at = 0

    def add(self, name: str | None, arguments: str) -> None:
        """More of it; the first name is its name."""
        self.name = self.name or name or ""
        if arguments:
            self.pieces.append(arguments)

    def arguments(self) -> str:
        """What there is of them."""
        return "".join(self.pieces)

    def complete(self) -> bool:
        """Whether nothing can be missing."""
        if not self.name or len(self.pieces) == self._looked_at or not self._looks_left:
            return False
        self._looked_at = len(self.pieces)
        # The end tells at a glance that it is too early, nearly always.
        if not self.pieces[-1].rstrip().endswith("}"):
            return False
        self._looks_left -= 1
        return is_object(self.arguments())


class CallsInOrder:
    """The calls, by their index."""

    __slots__ = ("_calls", "_first_waiting")

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._first_waiting = 0

    def add(self, index: int, name: str | None, arguments: str) -> Call:
        """More of a call."""
        while index >= len(self._calls):
            self._calls.append(Call(len(self._calls)))
        call = self._calls[index]
        call.add(name, arguments)
        return call

    def ready(self) -> list[Call]:
        """Calls that can go by now. The last one may always get more, as nothing has come after it."""
        begun = self._first_waiting
        while self._first_waiting < len(self._calls) - 1 and self._calls[self._first_waiting].complete():
            self._first_waiting += 1
        return self._leave(begun, self._first_waiting)

    def rest(self) -> list[Call]:
        """The others: nothing more will come."""
        begun, self._first_waiting = self._first_waiting, len(self._calls)
        return self._leave(begun, self._first_waiting)

    def is_last(self, call: Call) -> bool:
        """Whether no other has begun since: where an answer was cut off, this is what it was at."""
        return call.index == len(self._calls) - 1

    def _leave(self, begun: int, end: int) -> list[Call]:
        leaving = self._calls[begun:end]
        for call in leaving:
            call.gone = True
        return leaving
