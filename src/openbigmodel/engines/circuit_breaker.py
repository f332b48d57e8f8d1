"""Keeps requests away from an engine that is down, and finds out when it is back. One for each engine entry.

Only the engine's own failures count: no connection, a reset, 5xx, a timeout, nonsense. What it refuses with 4xx or
429, and callers who leave, count neither for nor against it (outcome.py).

    closed ── 3 failures in a row, or half of ≥ 10 answers in 10 s ──► open ── back-off over ──► half-open
       ▲                                                                 ▲                          │   one request
       └───────────────────────────────── it answered ───────────────────┼──────────────────────────┤   at a time
                                                                         └───── it failed ──────────┘

Rule: only the result of a request that was let in *in this state* changes the state. Each state has a number, which
`allow` hands out as a pass: a stream that breaks two minutes after its engine died says nothing about the one that
has been started since.
"""

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]

# An engine that went away fails each request, and each of those costs a caller time and the route a retry. Five, as
# proxies have it for small web requests, only cost more retries, and one kept out by mistake is back in a second.
FAILURES_IN_A_ROW = 3
# An engine that is half broken is worse than none. Fewer answers are no statistics, and long ago is no evidence.
FAILURE_SHARE = 0.5
ANSWERS_MIN = 10
WINDOW_S = 10.0
# A process starts again in seconds, a model of 100 GB in minutes. What finds out is a caller's request, and may cost
# it the time of a timeout: often enough is every ten seconds.
BACK_OFF_S = 0.5
BACK_OFF_MAX_S = 10.0
# Who stayed well for so long starts with the short back-off again. Until then it counts as one long illness.
RECOVERED_S = 10.0
# Most engines say their first word within a few seconds. A long prompt takes longer, but must not keep others waiting
# for its verdict.
PROBE_PATIENCE_S = 15.0
# When all engines of a route are out, so many may try one of them at once: enough to serve a small engine that is
# back, and too few to kill a big one that is just starting.
PRESSED_MAX = 10

# What a breaker says about a change: itself, the state before, why.
OnChange = Callable[["CircuitBreaker", State, str], None]


def _unheard(breaker: "CircuitBreaker", before: State, why: str) -> None:
    pass


class CircuitBreaker:
    """The state of one engine. Times are monotonic seconds, `random` gives numbers in [0, 1)."""

    __slots__ = (
        "_answered",
        "_answered_before",
        "_failed",
        "_failed_before",
        "_guards",
        "_half_over_s",
        "_in_a_row",
        "_let_in_s",
        "_on_change",
        "_out",
        "_random",
        "_since_s",
        "_times",
        "due_s",
        "name",
        "number",
        "state",
    )

    def __init__(self, name: str, random: Callable[[], float], on_change: OnChange = _unheard) -> None:
        self.name = name
        self.state: State = "closed"
        # Of the state; goes up with every change, never 0.
        self.number = 1
        # When it may be tried again; of meaning only while open.
        self.due_s = 0.0
        self._random = random
        self._on_change = on_change
        self._guards: list[Callable[[CircuitBreaker], bool]] = []
        self._since_s = 0.0
        # Openings without a recovery between them.
        self._times = 0
        self._in_a_row = 0
        # The window is two halves, of which one is under way: exact enough, and cheap.
        self._half_over_s = 0.0
        self._answered = self._failed = 0
        self._answered_before = self._failed_before = 0
        # Half-open: how many are out to find out, and since when the last of them.
        self._out = 0
        self._let_in_s = 0.0

    def guard(self, may_open: Callable[["CircuitBreaker"], bool]) -> None:
        """Ask `may_open` before this opens for its share of failures alone; a route does (policy.py)."""
        self._guards.append(may_open)

    # before a request

    def ready(self, now_s: float) -> bool:
        """Whether `allow` would let a request in."""
        state = self.state
        if state == "closed":
            return True
        if state == "open":
            return now_s >= self.due_s
        return self._out == 0 or now_s - self._let_in_s >= PROBE_PATIENCE_S

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against it: it is closed, and its last answer was no failure."""
        return self.state == "closed" and self._in_a_row == 0

    def allow(self, now_s: float) -> int:
        """A pass for one request, to be shown with its result; 0 if it may not be sent."""
        if self.state == "closed":
            return self.number
        return self._let_in(now_s) if self.ready(now_s) else 0

    def worth_a_look(self, now_s: float) -> bool:
        """Whether it may have come back by now, although it would be left alone if there were others."""
        return self.state == "open" and now_s - self._since_s >= BACK_OFF_S

    @property
    def pressable(self) -> bool:
        """Whether `press` would let a request in."""
        return self.state != "half-open" or self._out < PRESSED_MAX

    def press(self, now_s: float) -> int:
        """A pass although it is not ready, because nobody else is either; 0 if too many try already."""
        if self.state == "closed":
            return self.number
        return self._let_in(now_s) if self.pressable else 0

    def _let_in(self, now_s: float) -> int:
        if self.state == "open":
            self._turn("half-open", now_s, "somebody tries it")
        self._out += 1
        self._let_in_s = now_s
        return self.number

    # after it

    def succeeded(self, number: int, now_s: float) -> int:
        """The engine has answered. Returns the pass for whatever else becomes of this request."""
        if number != self.number:
            return number
        if self.state == "half-open":
            self._turn("closed", now_s, "it answers again")
        self._in_a_row = 0
        if now_s >= self._half_over_s:
            self._turn_window(now_s)
        self._answered += 1
        return self.number

    def failed(self, number: int, now_s: float, why: str = "") -> None:
        """The engine has failed, before or after it began to answer."""
        if number != self.number:
            return
        if self.state == "half-open":
            self._open(now_s, f"it still fails: {why}")
            return
        if now_s >= self._half_over_s:
            self._turn_window(now_s)
        self._failed += 1
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_IN_A_ROW:
            self._open(now_s, f"{self._in_a_row} failures in a row: {why}")
            return
        failed = self._failed + self._failed_before
        answers = failed + self._answered + self._answered_before
        if answers >= ANSWERS_MIN and failed >= FAILURE_SHARE * answers and self._may_open():
            self._open(now_s, f"{failed} of {answers} answers were failures: {why}")

    def abandoned(self, number: int) -> None:
        """The request ended without showing whether the engine works: refused, or its client left."""
        if number == self.number and self._out:
            self._out -= 1

    def look_again(self, now_s: float) -> None:
        """There is a sign from outside, such as a health probe, that it is back: the next request tries it."""
        if self.state == "open" and self.due_s > now_s:
            self.due_s = now_s

    def _may_open(self) -> bool:
        return all(may_open(self) for may_open in self._guards)

    def _open(self, now_s: float, why: str) -> None:
        if self.state == "closed" and now_s - self._since_s >= RECOVERED_S:
            self._times = 0
        # Never so large that 2 ** it is; the cap is reached long before.
        back_off_s = min(BACK_OFF_MAX_S, BACK_OFF_S * 2 ** min(self._times, 10))
        self._times += 1
        # Jitter, lest engines that fell together are tried together, and those that wait come back in step.
        jitter = self._random()
        self.due_s = now_s + back_off_s * (1 + jitter) / 2
        self._turn("open", now_s, why)

    def _turn(self, state: State, now_s: float, why: str) -> None:
        before, self.state = self.state, state
        self.number += 1
        self._since_s = now_s
        self._out = self._in_a_row = 0
        self._answered = self._failed = self._answered_before = self._failed_before = 0
        tell = self._on_change
        tell(self, before, why.rstrip(": "))

    def _turn_window(self, now_s: float) -> None:
        half_s = WINDOW_S / 2
        if now_s >= self._half_over_s + half_s:
            self._answered_before = self._failed_before = 0
        else:
            self._answered_before, self._failed_before = self._answered, self._failed
        self._answered = self._failed = 0
        self._half_over_s = now_s + half_s
