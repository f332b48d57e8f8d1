"""How many requests an engine works on, and how many it may. One for each engine entry, shared by all routes to it.

Whoever waits for a place is told when one is free; those who wait on different routes take turns.
"""

import sys
from collections import deque
from collections.abc import Callable

# More than there will ever be; cheaper to compare with than None.
UNLIMITED = sys.maxsize


class EngineLoad:
    """`max_in_flight` None: the engine has a queue of its own, or no limit."""

    __slots__ = ("_waiters", "in_flight", "max_in_flight", "name")

    def __init__(self, name: str, max_in_flight: int | None = None) -> None:
        assert max_in_flight is None or max_in_flight > 0
        self.name = name
        self.in_flight = 0
        self.max_in_flight = UNLIMITED if max_in_flight is None else max_in_flight
        self._waiters: deque[Callable[[float], None]] = deque()

    @property
    def full(self) -> bool:
        """Whether `take` must not be called."""
        return self.in_flight >= self.max_in_flight

    def on_free(self, wake: Callable[[float], None]) -> None:
        """Have `wake` called with the time when a place becomes free on an engine that was full."""
        self._waiters.append(wake)

    def take(self) -> None:
        """One more request."""
        assert self.in_flight < self.max_in_flight, "more requests than the engine takes"
        self.in_flight += 1

    def give_back(self, now_s: float) -> None:
        """One less."""
        assert self.in_flight > 0, "given back more often than taken"
        was_full = self.in_flight >= self.max_in_flight
        self.in_flight -= 1
        if was_full and self._waiters:
            waiters = tuple(self._waiters)
            # Else the room that comes first would have every place.
            self._waiters.rotate(-1)
            for wake in waiters:
                wake(now_s)
