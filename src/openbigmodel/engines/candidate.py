"""An engine that may be asked for a model, and the seat that a request has at it while it is.

Rule: a seat is taken once and left once, and whoever leaves it says how it went; so nothing is counted twice, and
nothing stays taken.

    seat = candidate.take(now_s)       it is asked now
    seat.expect(prompt_bytes)          its answer will come word by word; 0: as a whole
    seat.answered(now_s)               it has shown that it works: its first token, or a whole body
    seat.overdue(now_s)                it should have said something by now
    seat.leave(outcome, now_s)         it is not listened to any more
"""

from typing import Generic, TypeVar

from openbigmodel.engines.affinity import text_key
from openbigmodel.engines.circuit_breaker import CircuitBreaker
from openbigmodel.engines.engine_load import EngineLoad
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.pulse import Pulse

# An engine that has no room now is asked last for a moment; where it says for how long, for that long …
BUSY_S = 1.0
# … but not longer than this: it is its guess, and others may need it.
BUSY_MAX_S = 30.0
# A wrong credential or model name stays wrong until somebody mends it.
MISCONFIGURED_S = 30.0
# A whole answer comes without a word before it, however long it is. Nothing for so long from an engine that keeps
# failing is a sign nevertheless.
WHOLE_OVERDUE_S = 120.0

_TargetT = TypeVar("_TargetT")


class Candidate(Generic[_TargetT]):
    """One target of one route. `load`, `breaker` and `pulse` are the engine's own, shared by all routes to it.

    Without a `pulse` it is never silent: nobody else could be asked.
    """

    __slots__ = ("aside_until_s", "breaker", "load", "place", "pulse", "served", "target", "weight")

    def __init__(
        self,
        target: _TargetT,
        load: EngineLoad,
        breaker: CircuitBreaker,
        weight: int = 1,
        name: str = "",
        pulse: Pulse | None = None,
    ) -> None:
        assert weight > 0
        self.target = target
        self.load = load
        self.breaker = breaker
        self.pulse = pulse
        self.weight = weight
        # What claims conversations; by its name, so that it does not depend on the order in the settings.
        self.place = text_key(f"{load.name}\0{name}")
        # It has no room for this model, or cannot serve it: asked only when nobody else can be.
        self.aside_until_s = float("-inf")
        # Its credit with smooth weighted turns (policy.py).
        self.served = 0

    def takes(self, now_s: float) -> bool:
        """Whether `take` may be called."""
        breaker = self.breaker
        return not self.load.full and (breaker.ready(now_s) or breaker.pressable)

    def take(self, now_s: float) -> "Seat[_TargetT]":
        """A seat at the engine that has been chosen (policy.py)."""
        breaker = self.breaker
        # Who is not ready is chosen only in need.
        closed = breaker.state == "closed"
        number = breaker.number if closed else breaker.allow(now_s) or breaker.press(now_s)
        assert number, "not chosen"
        self.load.take()
        return Seat(self, number, now_s)

    def silent(self, now_s: float) -> bool:
        """Whether it has fallen silent, as far as its breaker does not say more."""
        pulse = self.pulse
        return pulse is not None and self.breaker.state == "closed" and pulse.silent(now_s)


class Seat(Generic[_TargetT]):
    """A request's seat at an engine; `target` is who is asked."""

    __slots__ = ("_asked_s", "_expects", "_heard", "_number", "_taken", "candidate", "target")

    def __init__(self, candidate: Candidate[_TargetT], number: int, now_s: float) -> None:
        self.candidate = candidate
        self.target = candidate.target
        # Bytes of the prompt, 0 for a whole answer, -1 where nobody expects anything.
        self._expects = -1
        self._asked_s = now_s
        self._number = number
        self._heard = False
        self._taken = True

    def expect(self, prompt_bytes: int) -> None:
        """It has been asked a question of this length, and the first word is what comes next; 0: a whole answer is."""
        pulse = self.candidate.pulse
        if pulse is not None:
            self._expects = prompt_bytes
            pulse.asked(self._asked_s, prompt_bytes)

    def answered(self, now_s: float) -> None:
        """The engine works: it gave a first token, or an answer. Later ones of the same request change nothing."""
        if not self._heard:
            self._heard = True
            candidate = self.candidate
            self._number = candidate.breaker.succeeded(self._number, now_s)
            pulse = candidate.pulse
            if pulse is not None and self._expects >= 0:
                pulse.answered(now_s, now_s - self._asked_s, self._expects)

    def spoke(self, now_s: float) -> None:
        """The engine has said more to this request since the last time that somebody looked."""
        pulse = self.candidate.pulse
        if pulse is not None:
            pulse.spoke(now_s)

    def overdue(self, now_s: float) -> bool:
        """Whether another one had better be asked, if there is one: neither this request nor any has heard a word."""
        candidate = self.candidate
        pulse = candidate.pulse
        if pulse is None or self._heard:
            return False
        if self._expects > 0:
            return pulse.overdue(now_s, self._asked_s, self._expects)
        return candidate.breaker.state != "closed" and pulse.quiet_s(now_s, self._asked_s) >= WHOLE_OVERDUE_S

    def moves(self) -> None:
        """It is overdue, and will be left for another one."""
        pulse = self.candidate.pulse
        if pulse is not None:
            pulse.moved()

    def leave(
        self, outcome: Outcome, now_s: float, *, why: str = "", retry_after_s: float | None = None
    ) -> None:
        """Give the seat back. `why` is for operators; `retry_after_s` is what a busy engine asked for."""
        assert self._taken, "left twice"
        self._taken = False
        candidate = self.candidate
        pulse = candidate.pulse
        if pulse is not None and self._expects >= 0 and not self._heard and outcome is not Outcome.SERVED:
            pulse.left(self._expects)
        if outcome is Outcome.SERVED:
            self.answered(now_s)
        elif outcome is Outcome.FAILED:
            candidate.breaker.failed(self._number, now_s, why)
        else:
            if not self._heard:
                candidate.breaker.abandoned(self._number)
            if outcome is Outcome.BUSY:
                self._set_aside(now_s, BUSY_S if retry_after_s is None else min(retry_after_s, BUSY_MAX_S))
            elif outcome is Outcome.MISCONFIGURED:
                self._set_aside(now_s, MISCONFIGURED_S)
        candidate.load.give_back(now_s)

    def _set_aside(self, now_s: float, seconds: float) -> None:
        candidate = self.candidate
        candidate.aside_until_s = max(candidate.aside_until_s, now_s + seconds)
