"""Brings each request to an engine of its route, and remembers what became of it: the parts of routing, put together.

    desk = router.desk(route)
    seat = desk.seat(key)               candidate.Seat; None: nobody can be asked now, `crowded` says if waiting helps
    desk.wait(...)                      until there is one, for a bounded time
    desk.another(key, tried)            the next one, after a failure

Rule: on the event loop, no I/O. Circuit breakers and places belong to engines, whatever route they are asked on; a
route with one engine has no use for a breaker, since keeping away from the only engine there is helps nobody.
"""

import math
import random
import time
from collections.abc import Callable

import msgspec

from openbigmodel.engines.affinity import conversation_key
from openbigmodel.engines.candidate import Candidate, Seat
from openbigmodel.engines.circuit_breaker import CircuitBreaker, OnChange
from openbigmodel.engines.engine_load import EngineLoad
from openbigmodel.engines.policy import Balancer
from openbigmodel.engines.pulse import Pulse
from openbigmodel.engines.registry import Engine, Registry, Route, Target
from openbigmodel.engines.upstream_keys import UpstreamKeys
from openbigmodel.engines.waiting_room import Waiting, WaitingRoom
from openbigmodel.errors import ApiError

# After that a request finds out, if nobody else has.
LOST_S = 30.0

Tried = tuple[Candidate[Target], ...]


class WaitingRequest:
    """A request in a route's waiting room."""

    __slots__ = ("_room", "_waiting")

    def __init__(self, room: WaitingRoom, waiting: Waiting) -> None:
        self._room = room
        self._waiting = waiting

    def cancel(self) -> None:
        """It does not wait any more, and hears nothing."""
        self._room.leave(self._waiting)


class Desk:
    """One route's engines, and the requests that wait for one of them."""

    __slots__ = ("_balancer", "_now_s", "_only", "room")

    def __init__(
        self,
        route: Route,
        candidates: list[Candidate[Target]],
        now_s: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._now_s = now_s
        # Nearly every route has one engine, and no choice.
        self._only = candidates[0] if len(candidates) == 1 else None
        self._balancer = Balancer(route.balance, candidates, chance, now_s(), _is_ready)
        self.room = WaitingRoom(self._balancer.has_place, chance)
        for load in {id(each.load): each.load for each in candidates}.values():
            load.on_free(self.room.serve)

    def key(self, messages: bytes | msgspec.Raw) -> int | None:
        """What keeps the turns of a conversation together, where that is wanted."""
        return conversation_key(bytes(messages)) if self._balancer.sticky else None

    def seat(self, key: int | None) -> Seat[Target] | None:
        """A seat at the engine whose turn it is; None: nobody can be asked now."""
        # Nobody passes those who wait.
        return None if len(self.room) else self.free_seat(key)

    def free_seat(self, key: int | None) -> Seat[Target] | None:
        """The same, for the one whose turn it is of those who wait."""
        clock, only = self._now_s, self._only
        if only is None:
            return self._balancer.first(key, clock())
        load = only.load
        return None if load.in_flight >= load.max_in_flight else only.take(clock())

    def again(self, candidate: Candidate[Target]) -> Seat[Target] | None:
        """A seat at the engine that has just been left, for a request that it may be asked once more."""
        clock = self._now_s
        now_s = clock()
        return candidate.take(now_s) if candidate.takes(now_s) else None

    def another(self, key: int | None, tried: Tried, *, broken: bool) -> Seat[Target] | None:
        """A seat for a request that those in `tried` have failed: see Balancer.another."""
        clock = self._now_s
        return self._balancer.another(key, clock(), tried, broken=broken)

    def elsewhere(self, tried: Tried, now_s: float) -> bool:
        """Whether somebody could take over a request that the last of `tried` has left without a word."""
        return self._only is None and bool(self._balancer.elsewhere(now_s, tried))

    @property
    def crowded(self) -> bool:
        """Whether waiting helps, `seat` having found none."""
        return self._balancer.crowded()

    def wait(
        self, account_id: str, resume: Callable[[], bool], refuse: Callable[[ApiError], None]
    ) -> WaitingRequest:
        """Wait for a seat: see WaitingRoom.enter. Raises ApiError 1305 when there is no room."""
        return WaitingRequest(self.room, self.room.enter(account_id, self._now_s(), resume, refuse))


class Router:
    """All routes of a registry. `on_change` hears of circuit breakers that open and close."""

    def __init__(
        self,
        registry: Registry,
        *,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        on_change: OnChange | None = None,
    ) -> None:
        self._now_s = now_s
        self._loads = {
            engine.name: EngineLoad(engine.name, registry.max_in_flight.get(engine.name))
            for engine in registry.engines
        }
        heard = {} if on_change is None else {"on_change": on_change}
        self._breakers = {
            engine.name: CircuitBreaker(engine.name, chance, **heard) for engine in registry.engines
        }
        self._pulses = {
            engine.name: Pulse(engine.profile.first_token_s or math.inf) for engine in registry.engines
        }
        self._keys = {
            engine.name: UpstreamKeys(engine.keys, wall_s)
            for engine in registry.engines
            if len(engine.keys) > 1
        }
        self._candidates: dict[str, list[Candidate[Target]]] = {}
        self._desks = {id(route): self._desk(route, chance) for route in registry.routes()}

    def _desk(self, route: Route, chance: Callable[[], float]) -> Desk:
        alone = len(route.targets) == 1
        candidates = []
        for target in route.targets:
            name = target.engine.name
            breaker = _AlwaysClosed(name, chance) if alone else self._breakers[name]
            pulse = None if alone else self._pulses[name]
            candidate = Candidate(target, self._loads[name], breaker, target.weight, target.name, pulse)
            candidates.append(candidate)
            self._candidates.setdefault(name, []).append(candidate)
        return Desk(route, candidates, self._now_s, chance)

    def keys(self, engine: Engine) -> UpstreamKeys | None:
        """The credentials that share an engine's work, None where there is but one."""
        return self._keys.get(engine.name)

    def desk(self, route: Route) -> Desk:
        """The desk of one of the registry's routes."""
        return self._desks[id(route)]

    def lost(self, engine: str) -> None:
        """Nobody could connect to this engine: it is asked only where no other can be, for a while or until it is
        back.
        """
        until_s = self._now_s() + LOST_S
        for candidate in self._candidates.get(engine, ()):
            candidate.aside_until_s = max(candidate.aside_until_s, until_s)

    def look_again(self, engine: str) -> None:
        """There is a sign that this engine is back: the next request may try it."""
        now_s = self._now_s()
        if engine in self._breakers:
            self._breakers[engine].look_again(now_s)
        for candidate in self._candidates.get(engine, ()):
            candidate.aside_until_s = min(candidate.aside_until_s, now_s)

    def breaker_states(self) -> dict[tuple[str, ...], float]:
        """(engine, state) → 1 for the state that each circuit breaker is in, for metrics."""
        return {(name, breaker.state): 1.0 for name, breaker in self._breakers.items()}

    def expire(self) -> None:
        """Refuse those who have waited too long, and serve who can be served; about once a second."""
        now_s = self._now_s()
        for desk in self._desks.values():
            if len(desk.room):
                desk.room.expire(now_s)
                # A circuit breaker that is due, or closed, makes room as well, and wakes nobody.
                desk.room.serve(now_s)

    @property
    def in_flight(self) -> int:
        """Requests that engines work on."""
        return sum(load.in_flight for load in self._loads.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for an engine."""
        return sum(len(desk.room) for desk in self._desks.values())


def _is_ready(target: Target) -> bool:
    return target.engine.state == "ready"


class _AlwaysClosed(CircuitBreaker):
    """Of the only engine of a route."""

    __slots__ = ()

    def failed(self, number: int, now_s: float, why: str = "") -> None:
        """Nothing else can be done than to ask it again."""
