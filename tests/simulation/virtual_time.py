"""Time that passes only when something happens, in an order that a seed decides."""

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

SECOND_US = 1_000_000


class Schedule:
    """What happens when, in microseconds. What happens at the same time does so in a random order."""

    def __init__(self, random: Random) -> None:
        self.now_us = 0
        self.happened = 0
        self._random = random
        self._events: list[tuple[int, float, int, Scope, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def add(self, at_us: int, scope: "Scope", call: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_us, self._random.random(), self._number, scope, call, args))

    def run(self, until_us: int, after_each: Callable[[], None]) -> None:
        """Let everything happen that is due until then."""
        events = self._events
        while events and events[0][0] <= until_us:
            at_us, _, _, scope, call, args = heapq.heappop(events)
            if scope.alive:
                self.now_us = at_us
                self.happened += 1
                call(*args)
                after_each()
        self.now_us = until_us


class Scope:
    """Something that can end at once with all it was going to do, like a process."""

    def __init__(self, schedule: Schedule) -> None:
        self.alive = True
        self.schedule = schedule

    def after(self, delay_us: int, call: Callable[..., None], *args: Any) -> None:
        self.schedule.add(self.schedule.now_us + delay_us, self, call, args)


class WallClock:
    """The clock on the wall, which somebody may set."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._offset_ms = 1_000_000

    def now_ms(self) -> int:
        """Unix milliseconds, so to speak."""
        return self._offset_ms + self._schedule.now_us // 1000

    def step(self, by_ms: int) -> None:
        self._offset_ms = max(0, self._offset_ms + by_ms)
