"""An engine that computes answers, or dies, stalls and lies; it keeps its own record of what it made."""

from random import Random
from typing import Protocol

from openbigmodel.billing.usage import Usage
from tests.simulation.faults import Faults
from tests.simulation.requests import Ask, Log
from tests.simulation.virtual_time import Scope


class EngineAway(Exception):  # noqa: N818 - a state.
    """It cannot be reached."""


class Listener(Protocol):
    """Whoever asked."""

    def engine_chunk(self) -> None: ...
    def engine_usage(self, usage: Usage, *, final: bool) -> None: ...
    def engine_ended(self) -> None: ...
    def engine_failed(self) -> None: ...


class Call:
    """One answer in the making. Each chunk has one or more tokens; only the engine knows how many."""

    def __init__(self, engine: "Engine", ask: Ask, listener: Listener) -> None:
        self._engine = engine
        self._ask = ask
        self._listener = listener
        self._over = False
        random, faults = engine.random, engine.faults
        self._dies = random.random() < faults.engine_dies
        self._stalls = random.random() < faults.engine_stalls
        self._says_usage = random.random() >= faults.engine_says_no_usage
        self._says_early = random.random() < faults.engine_tells_usage_early
        self._lies = random.random() < faults.engine_lies
        self._chunks_left = random.randrange(13)
        self._pause_us = random.choice((100, 5_000, 400_000))
        self._next()

    def cancel(self) -> None:
        """The asker has gone: nothing more is made."""
        if not self._over:
            self._stop()

    def _stop(self) -> None:
        self._over = True
        self._ask.stopped_us = self._engine.scope.schedule.now_us

    def _next(self) -> None:
        self._engine.scope.after(1 + self._engine.random.randrange(2 * self._pause_us), self._go_on)

    def _go_on(self) -> None:
        if self._over:
            return
        ask, random = self._ask, self._engine.random
        room = ask.max_tokens - ask.produced
        if self._stalls and random.random() < 0.3:
            return
        if self._dies and random.random() < 0.3:
            self._stop()
            self._listener.engine_failed()
        elif self._chunks_left and room:
            self._chunks_left -= 1
            ask.produced += random.randrange(1, min(4, room) + 1)
            ask.chunks += 1
            self._listener.engine_chunk()
            if self._says_early and not self._over:
                self._report(self._truth(), final=False)
            self._next()
        else:
            self._end()

    def _end(self) -> None:
        self._stop()
        self._ask.finished = True
        if self._says_usage:
            self._report(self._lie() if self._lies else self._truth(), final=True)
        self._listener.engine_ended()

    def _truth(self) -> Usage:
        ask = self._ask
        return Usage(
            prompt_tokens=ask.prompt,
            cached_tokens=ask.cached,
            completion_tokens=ask.produced,
            measured=True,
        )

    def _lie(self) -> Usage:
        ask, random = self._ask, self._engine.random
        self._engine.log.add("engine lied")
        return Usage(
            prompt_tokens=random.randrange(2 * ask.prompt_bound + 2),
            completion_tokens=random.randrange(2 * ask.max_tokens + 2),
            measured=True,
        )

    def _report(self, usage: Usage, *, final: bool) -> None:
        self._ask.reported = usage
        self._listener.engine_usage(usage, final=final)


class Engine:
    """Lives in a process of its own, so a crash of the platform does not end it."""

    def __init__(self, scope: Scope, random: Random, faults: Faults, log: Log) -> None:
        self.scope = scope
        self.random = random
        self.faults = faults
        self.log = log
        self.calls: list[Call] = []

    def ask(self, ask: Ask, listener: Listener) -> Call:
        """Begin to answer, from the start if this was asked before. Raises EngineAway."""
        if self.random.random() < self.faults.engine_away:
            raise EngineAway
        ask.asked = True
        ask.produced = ask.chunks = 0
        ask.reported, ask.finished, ask.stopped_us = None, False, None
        call = Call(self, ask, listener)
        self.calls.append(call)
        return call

    def lose_connections(self) -> None:
        """The platform is gone, and with it everybody who wanted an answer."""
        for call in self.calls:
            call.cancel()
        self.calls.clear()
