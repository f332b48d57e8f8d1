"""Engines that come and go, and requests that have to be served nevertheless: virtual time, all of it from one seed.

What an engine can do to a request before its first token: not be there, reset it, answer 500, say nothing at all, be
busy (429). What a request can deserve: 400 from whomever it asks. Clients leave. When an engine goes down, whatever it
works on breaks.

`Wrong` is raised as soon as something happens that must never happen; what must not happen too often is counted.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from openbigmodel.engines.candidate import Candidate, Seat
from openbigmodel.engines.circuit_breaker import PROBE_PATIENCE_S, CircuitBreaker, State
from openbigmodel.engines.engine_errors import fault_of_engine
from openbigmodel.engines.engine_load import EngineLoad
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.policy import ATTEMPTS_MAX, Balancer
from openbigmodel.engines.pulse import Pulse
from openbigmodel.engines.retry_budget import RETRIES_A_SECOND_MIN, RETRY_SHARE
from openbigmodel.inference.attempt import outcome_of_fault

SECONDS = 60.0
# Before, all is well, so that there are retries to spend; afterwards too, but for engines that are still down, so that
# what was begun comes to its end as it would in between.
CALM_S = 3.0
# Who looks after silent engines looks once a second.
SWEEP_S = 1.0


class Wrong(AssertionError):  # noqa: N818  a verdict
    """The routing did what it must never do."""


@dataclass
class Weather:
    """How bad a world is. Times are means in seconds, the others parts of all requests."""

    engines: int = 10
    requests_a_second: float = 200.0
    up_s: float = 8.0
    down_s: float = 2.0
    refused_429: float = 0.005
    busy_every_s: float = 30.0
    busy_s: float = 1.0
    # A request that hears nothing for so long is asked of the next engine, or lost.
    first_token_s: float = 1.0
    bad_requests: float = 0.1
    leaving: float = 0.03
    # Engines that are up fail so many requests, each on its own.
    failing: float = 0.0
    balance: str = "least-load"
    # So bad that no promise holds of how many are served.
    rough: bool = False


class Engine:
    """One engine: up or down, for random times, in one of several ways."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.target = name
        self.trouble = ""
        self.busy = False
        self.asked: dict[Request, None] = {}
        self.load = EngineLoad(name)
        self.breaker = CircuitBreaker(name, world.random.random, world.breaker_changed)
        # Of the half-open breaker: its number, how many are out, since when the last of them.
        self.probes = (0, 0, 0.0)

    def live(self) -> None:
        """Be up for a while, then down."""
        world, weather = self.world, self.world.weather
        world.after(world.random.expovariate(1 / weather.up_s), self.fall)

    def fall(self) -> None:
        world, weather = self.world, self.world.weather
        if world.now_s >= world.end_s:
            return
        self.trouble = world.random.choice(("refuses", "resets", "500", "hangs"))
        for request in list(self.asked):
            request.broken()
        world.after(world.random.expovariate(1 / weather.down_s), self.rise)

    def rise(self) -> None:
        self.trouble = ""
        # What hung was killed.
        for request in list(self.asked):
            request.broken()
        self.live()

    def be_busy(self, busy: bool) -> None:
        world, weather = self.world, self.world.weather
        self.busy = busy
        mean_s = weather.busy_s if busy else weather.busy_every_s
        world.after(world.random.expovariate(1 / mean_s), lambda: self.be_busy(not busy))


@dataclass(eq=False)
class Request:
    """One request and all that it tries."""

    world: "World"
    bad: bool
    whole: bool
    first_token_s: float
    duration_s: float
    key: int
    tried: list[Candidate[Engine]] = field(default_factory=list)
    seat: Seat[Engine] | None = None
    started: bool = False
    begun_s: float = 0.0

    def begin(self) -> None:
        world = self.world
        self.sit(world.balancer.first(self.key, world.now_s), world.new)

    def sit(self, seat: Seat[Engine] | None, status: Callable[[str], None]) -> None:
        world = self.world
        self.seat = seat
        if seat is None:
            status("lost")
            status(f"lost after {len(self.tried)}")
            return
        world.seen["attempts"] += world.now_s < world.end_s
        engine = seat.target
        world.check_probe(engine, self)
        seat.expect(0 if self.whole else 1000)
        self.tried.append(seat.candidate)
        engine.asked[self] = None
        self.ask(engine, seat)

    def ask(self, engine: Engine, seat: Seat[Engine]) -> None:
        world = self.world
        chance, weather = world.random.random(), world.weather

        def later(seconds: float, what: Callable[[], None]) -> None:
            world.after(seconds, lambda: what() if self.seat is seat else None)

        if engine.trouble == "refuses":
            later(0.001, lambda: self.fails("connect"))
        elif engine.trouble == "resets":
            later(0.01, lambda: self.fails("reset"))
        elif engine.trouble == "hangs":
            later(weather.first_token_s, lambda: self.fails("timeout"))
        elif engine.trouble == "500":
            later(0.01, lambda: self.answers(500))
        elif self.bad:
            later(0.005, lambda: self.answers(400))
        elif engine.busy or chance < weather.refused_429:
            later(0.005, lambda: self.answers(429))
        elif chance < weather.refused_429 + weather.failing:
            later(0.01, lambda: self.answers(500))
        else:
            if not self.whole:
                later(self.first_token_s, self.starts)
            later(self.first_token_s + self.duration_s, self.serves)

    def starts(self) -> None:
        assert self.seat is not None
        self.started = True
        self.seat.answered(self.world.now_s)

    def serves(self) -> None:
        self.leaves(Outcome.SERVED, "an answer")
        self.world.new("served")
        # An answer itself takes 1.1 s at most.
        if self.world.now_s - self.begun_s > 10.0:
            self.world.new("served late")

    def answers(self, status: int) -> None:
        came_to = outcome_of_status(status)
        self.leaves(came_to, f"status {status}")
        if came_to is Outcome.REFUSED:
            self.world.new("served")
        else:
            self.again(broken=False)

    def fails(self, how: str) -> None:
        self.leaves(Outcome.FAILED, how)
        if self.started:
            self.world.new("broken off")
        else:
            self.again(broken=how == "reset")

    def broken(self) -> None:
        """The engine has gone down."""
        self.fails("reset")

    def again(self, *, broken: bool) -> None:
        world = self.world
        self.sit(world.balancer.another(self.key, world.now_s, self.tried, broken=broken), world.new)

    def client_leaves(self) -> None:
        if self.seat is not None:
            self.leaves(Outcome.LEFT, "the client")
            self.world.new("left")

    def leaves(self, came_to: Outcome, cause: str) -> None:
        seat, world = self.seat, self.world
        assert seat is not None
        self.seat = None
        del seat.target.asked[self]
        number, out, since_s = seat.target.probes
        if seat._number == number:
            seat.target.probes = (number, out - 1, since_s)
        world.cause = cause
        seat.leave(came_to, world.now_s, why=cause)
        world.cause = ""


def outcome_of_status(status: int) -> Outcome:
    """What the platform makes of an engine's HTTP status."""
    return outcome_of_fault(fault_of_engine(status, b"", "id"))


class World:
    """Runs for a minute of its own time."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.now_s = 1000.0
        self.end_s = self.now_s + CALM_S + SECONDS
        self.cause = ""
        self.seen: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.engines = [Engine(self, f"e{number}") for number in range(weather.engines)]
        self.balancer = Balancer(
            weather.balance,
            [
                Candidate(engine, engine.load, engine.breaker, pulse=Pulse(weather.first_token_s))
                for engine in self.engines
            ],
            self.random.random,
            self.now_s,
        )

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + seconds, next(self._count), what))

    def sweep(self) -> None:
        """Move those to others who wait for an engine that has been silent for too long; see Asking.too_silent."""
        for engine in self.engines:
            for request in list(engine.asked):
                seat = request.seat
                assert seat is not None
                if request.started and not engine.trouble:
                    seat.spoke(self.now_s)
                if seat.overdue(self.now_s) and self.balancer.elsewhere(self.now_s, request.tried):
                    seat.moves()
                    self.new("moved")
                    request.fails("timeout")
        self.after(SWEEP_S, self.sweep)

    def run(self) -> Counter[str]:
        """All that was seen. Raises Wrong."""
        for engine in self.engines:
            self.after(CALM_S, engine.live)
            engine.be_busy(busy=False)
        self.arrive()
        self.sweep()
        while self._events and self.now_s < self.end_s + 60 + self.weather.first_token_s:
            self.now_s, _, what = heapq.heappop(self._events)
            what()
        for engine in self.engines:
            if engine.load.in_flight:
                raise Wrong(f"{engine.load.in_flight} seats at {engine.target} are still taken")
        return self.seen

    def arrive(self) -> None:
        weather, chance = self.weather, self.random
        if self.now_s >= self.end_s + 10 * CALM_S:
            return
        request = Request(
            self,
            bad=chance.random() < weather.bad_requests,
            whole=chance.random() < 0.2,
            first_token_s=chance.uniform(0.02, 0.1),
            duration_s=chance.uniform(0.05, 1.0),
            key=chance.getrandbits(64),
        )
        self.seen["requests"] += self.now_s < self.end_s
        request.begun_s = self.now_s
        request.begin()
        if chance.random() < weather.leaving:
            self.after(chance.uniform(0.0, 1.0), request.client_leaves)
        self.after(chance.expovariate(weather.requests_a_second), self.arrive)

    def new(self, what: str) -> None:
        self.seen[what] += 1

    def breaker_changed(self, breaker: CircuitBreaker, before: State, why: str) -> None:
        self.seen[breaker.state] += 1
        if breaker.state == "open" and self.cause not in ("connect", "reset", "timeout", "status 500"):
            raise Wrong(f"{breaker.name} was closed to everybody by {self.cause or 'nothing'}")

    def check_probe(self, engine: Engine, request: Request) -> None:
        """One at a time finds out whether an engine is back, unless there is nobody else, or it takes too long."""
        breaker = engine.breaker
        if breaker.state != "half-open":
            return
        number, out, since_s = engine.probes
        if number != breaker.number:
            out = 0
        others = any(
            other.breaker.state == "closed"
            for other in self.engines
            if other is not engine and all(other is not each.target for each in request.tried)
        )
        if out and others and self.now_s - since_s < PROBE_PATIENCE_S:
            raise Wrong(f"{out + 1} requests at once try whether {engine.target} is back")
        engine.probes = (breaker.number, out + 1, self.now_s)


def served_share(seen: Counter[str]) -> float:
    """Of the requests that no engine had begun to answer and whose client waited."""
    return seen["served"] / (seen["served"] + seen["lost"])


def attempts_share(seen: Counter[str]) -> float:
    """Attempts for each request."""
    return seen["attempts"] / seen["requests"]


def too_many_attempts(seen: Counter[str]) -> bool:
    """Whether there were more than 1.1 for each request, but for the last moment of a world: it earns nothing more."""
    assert seen["attempts"] <= ATTEMPTS_MAX * seen["requests"]
    return seen["attempts"] > (1 + RETRY_SHARE) * seen["requests"] + RETRIES_A_SECOND_MIN
