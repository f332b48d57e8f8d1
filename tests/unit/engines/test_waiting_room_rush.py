"""A crowd of one account before a small engine: it stays busy, the room stays small, and others get in."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from openbigmodel.engines.waiting_room import WAIT_MAX_S, Waiting, WaitingRoom
from openbigmodel.errors import ApiError
from tests.conftest import SCALE


class Rush:
    """One engine with four seats, a crowd of one account and some polite others, for a minute of virtual time."""

    SEATS = 4
    WORK_S = 0.05

    SIZE = 64

    def __init__(self, seed: int, kind: type[WaitingRoom] = WaitingRoom) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.in_flight = 0
        self.room = kind(lambda _: self.in_flight < self.SEATS, self.random.random, size_max=self.SIZE)
        self.seen: Counter[str] = Counter()
        self.longest_s: Counter[str] = Counter()

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now_s + seconds, next(self.count), what))

    def arrive(self, account: str, rate: float) -> None:
        if self.now_s > 60:
            return
        self.after(self.random.expovariate(rate), lambda: self.arrive(account, rate))
        entered_s = self.now_s

        def resume() -> bool:
            assert self.in_flight < self.SEATS
            self.in_flight += 1
            self.seen[f"{account} served"] += 1
            self.longest_s[account] = max(self.longest_s[account], self.now_s - entered_s)  # type: ignore[assignment]
            self.after(self.random.expovariate(1 / self.WORK_S), self.done)
            return True

        def refuse(error: ApiError) -> None:
            self.seen[f"{account} refused"] += 1

        if self.in_flight < self.SEATS and not len(self.room):
            resume()
            return
        try:
            self.room.enter(account, self.now_s, resume, refuse)
        except ApiError as error:
            refuse(error)
        assert len(self.room) <= self.SIZE

    def done(self) -> None:
        self.in_flight -= 1
        self.room.serve(self.now_s)

    def sweep(self) -> None:
        self.room.expire(self.now_s)
        self.after(1.0, self.sweep)

    def run(self) -> None:
        self.arrive("crowd", 400.0)
        for account in ("b", "c", "d"):
            self.arrive(account, 4.0)
        self.sweep()
        while self.now_s < 90:
            self.now_s, _, what = heapq.heappop(self.events)
            what()
        assert len(self.room) == 0
        assert self.in_flight == 0

    def judge(self) -> None:
        """The engine stays busy, and polite accounts are served, whatever crowd there is."""
        self.run()
        seen = self.seen
        served = sum(count for what, count in seen.items() if what.endswith("served"))
        assert served > 0.9 * 60 * self.SEATS / self.WORK_S, "idle at times"
        assert max(self.longest_s.values()) <= WAIT_MAX_S
        assert seen["crowd refused"] > 10_000
        for account in ("b", "c", "d"):
            assert seen[f"{account} served"] > 150
            assert seen[f"{account} refused"] < 0.02 * seen[f"{account} served"]
            assert self.longest_s[account] < 0.5, "behind the crowd"


@pytest.mark.parametrize("seed", range(max(2, round(2 * SCALE))))
def test_in_a_rush_the_engine_stays_busy_and_polite_accounts_are_served(seed: int) -> None:
    Rush(seed).judge()


class Unbounded(WaitingRoom):
    def enter(self, *arguments: Any, **options: Any) -> Waiting:
        self.size_max = 1_000_000
        return super().enter(*arguments, **options)


class WithoutTurns(WaitingRoom):
    def enter(self, account: str, *arguments: Any, **options: Any) -> Waiting:
        return super().enter("everybody", *arguments, **options)


class LetsInOneAtMost(WaitingRoom):
    def serve(self, now_s: float) -> None:
        if self._random() < 0.5:
            super().serve(now_s)


class Forgets(WaitingRoom):
    def leave(self, waiting: Waiting) -> None:
        if self._random() > 0.01:
            super().leave(waiting)


class Oversells(WaitingRoom):
    def __init__(self, has_place: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(lambda now_s: len(self) > 30 or has_place(now_s), *arguments, **options)


@pytest.mark.parametrize("planted", [Unbounded, WithoutTurns, LetsInOneAtMost, Forgets, Oversells])
def test_a_planted_bug_is_found_in_a_rush(planted: type[WaitingRoom]) -> None:
    rush = Rush(0, planted)
    with pytest.raises((AssertionError, IndexError)):
        rush.judge()
