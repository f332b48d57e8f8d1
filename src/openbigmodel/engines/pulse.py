"""Whether an engine has fallen silent, by what it is used to: one for each engine that somebody could stand in for.

An engine that hangs takes requests and says nothing; its connections hold, and its health page may still be served. But
an engine that works says something to somebody all the time: so the time without a word *to anybody* is what counts,
next to the longest such time that it has taken lately.

    silent      nothing for four times that: new requests go elsewhere until it speaks. Nobody is moved, so an error
                costs next to nothing, and one request in ten seconds still goes there
    overdue     nothing for four times as long as it has needed for a prompt of that length: who waits may be moved

Rule: on the event loop, no clock of its own. A word is a token or a whole answer; heads, refusals and comments come
from a server in front of the model, which lives on when the model hangs.
"""

import math

# So much longer than the longest of late is no longer chance.
_TIMES = 4.0
# A short break of the engine's or of ours is no silence.
SILENT_MIN_S = 0.25
# How long some whole answers took says little of the next: after twenty words somebody asks for an essay.
BODY_SILENT_MIN_S = 30.0
# Compiling a kernel or reading a cache from disk takes seconds, once.
OVERDUE_MIN_S = 5.0
# Nobody is left out for ever: words that are lost with a dead connection do not come.
TRIAL_EVERY_S = 10.0
# Who has not said a word for so long may be gone as well as idle: until it does, it gets no more than so many.
PROVEN_S = 60.0
UNPROVEN_MAX = 16
# Those that another engine has failed come all at once, and have one or two tries left.
PROVEN_FOR_RETRIES_S = 1.0
RETRIES_UNPROVEN_MAX = 3
# Where nothing is known yet: an engine on a CPU that reads 250 tokens a second, and one that speaks twice a second.
_PACE_PRIOR = 0.001
_GAP_PRIOR_S = 0.5
# … and takes so long for a whole answer.
_BODY_PRIOR_S = 15.0
# Any prompt takes as long as one of so many bytes, about a thousand tokens, whose computing is the smaller part.
_LEAST_BYTES = 4096
# What "lately" is: since the last or the last but one of windows of so long and so many.
_WINDOW_S = 30.0
_SAMPLES_MIN = 16
# Who was moved was perhaps only slow: next time one waits for twice as long, up to so many times.
_STRETCH_MAX = 4


class Slowest:
    """The largest of the last values. `prior` until there are enough."""

    __slots__ = ("_before", "_count", "_over_s", "_so_far", "value")

    def __init__(self, prior: float) -> None:
        self.value = self._before = prior
        self._so_far = 0.0
        self._count = 0
        self._over_s = float("-inf")

    def note(self, value: float, now_s: float) -> None:
        """One more."""
        self._count += 1
        if value > self._so_far:
            # What is far beyond all is an engine that hung and came back; a new habit is believed in steps.
            self._so_far = min(value, _TIMES * self.value)
            self.value = max(self._so_far, self._before)
        if self._count >= _SAMPLES_MIN and now_s >= self._over_s:
            self.value = self._before = self._so_far
            self._so_far = 0.0
            self._count = 0
            self._over_s = now_s + _WINDOW_S


class _Waiting:
    """Those who have not heard a word yet: of the answers that come word by word, or of those that come whole."""

    __slots__ = ("_least_s", "_most_s", "bound_s", "gaps", "since_s", "unheard")

    def __init__(self, prior_s: float, least_s: float, most_s: float) -> None:
        self.unheard = 0
        # Since when they have heard nothing, and nobody else has.
        self.since_s = 0.0
        self._least_s = least_s
        self._most_s = most_s
        # Times without a word while one of them waited.
        self.gaps = Slowest(prior_s)
        self.bound_s = min(most_s, _TIMES * prior_s)

    def asked(self, now_s: float) -> None:
        if not self.unheard:
            self.since_s = now_s
        self.unheard += 1

    def heard(self, now_s: float) -> None:
        self.unheard -= 1
        self.gaps.note(now_s - self.since_s, now_s)
        self.bound_s = min(self._most_s, max(self._least_s, _TIMES * self.gaps.value))


class Pulse:
    """When an engine has spoken, and to how many it has not yet. Times are monotonic seconds.

    `limit_s`: what is silent for so long is taken for dead, and so is in doubt much earlier.
    """

    __slots__ = ("_bodies", "_limit_s", "_pace", "_stretch", "_trial_s", "_word_s", "_words")

    def __init__(self, limit_s: float = math.inf) -> None:
        self._limit_s = limit_s
        self._words = _Waiting(_GAP_PRIOR_S, SILENT_MIN_S, limit_s / _TIMES)
        self._bodies = _Waiting(_BODY_PRIOR_S, BODY_SILENT_MIN_S, limit_s / _TIMES)
        # When somebody has heard a word.
        self._word_s = float("-inf")
        self._trial_s = float("-inf")
        # Seconds to the first word, for each byte of the prompt.
        self._pace = Slowest(_PACE_PRIOR)
        self._stretch = 1

    def asked(self, now_s: float, prompt_bytes: int) -> None:
        """One more waits for a word. `prompt_bytes`: 0 for an answer that comes whole."""
        if now_s > self._over_s(now_s):
            self._trial_s = now_s
        (self._words if prompt_bytes else self._bodies).asked(now_s)

    def answered(self, now_s: float, waited_s: float, prompt_bytes: int) -> None:
        """One of them has heard one."""
        if prompt_bytes:
            self._words.heard(now_s)
            self._pace.note(waited_s / max(_LEAST_BYTES, prompt_bytes), now_s)
            self._stretch = 1
        else:
            self._bodies.heard(now_s)
        self.spoke(now_s)

    def left(self, prompt_bytes: int) -> None:
        """One of them does not wait any more."""
        (self._words if prompt_bytes else self._bodies).unheard -= 1

    def spoke(self, now_s: float) -> None:
        """Somebody who had heard one has heard another."""
        self._word_s = self._words.since_s = self._bodies.since_s = now_s

    def moved(self) -> None:
        """One of them was overdue, and is asked elsewhere."""
        self._stretch = min(2 * self._stretch, _STRETCH_MAX)

    def _over_s(self, now_s: float) -> float:
        """When it will have been silent for too long."""
        words, bodies = self._words, self._bodies
        unproven = words.unheard + bodies.unheard >= UNPROVEN_MAX and now_s - self._word_s > PROVEN_S
        over_s = math.inf
        if words.unheard:
            over_s = words.since_s + (0.0 if unproven else words.bound_s)
        if bodies.unheard:
            over_s = min(over_s, bodies.since_s + (0.0 if unproven else bodies.bound_s))
        return over_s

    def silent(self, now_s: float) -> bool:
        """Whether new requests had better go elsewhere."""
        over_s = self._over_s(now_s)
        return over_s <= now_s < max(over_s, self._trial_s) + TRIAL_EVERY_S

    def trusted(self, now_s: float) -> bool:
        """Whether one more that another engine has failed may come."""
        unheard = self._words.unheard + self._bodies.unheard
        return unheard < RETRIES_UNPROVEN_MAX or now_s - self._word_s <= PROVEN_FOR_RETRIES_S

    def overdue(self, now_s: float, asked_s: float, prompt_bytes: int) -> bool:
        """Whether one who has waited since `asked_s` for the first word may be moved."""
        usual_s = self._pace.value * max(_LEAST_BYTES, prompt_bytes)
        patience_s = min(self._limit_s / 2, self._stretch * max(OVERDUE_MIN_S, _TIMES * usual_s))
        return self.quiet_s(now_s, asked_s) >= patience_s

    def quiet_s(self, now_s: float, asked_s: float) -> float:
        """For how long of the time since `asked_s` nobody has heard a word."""
        return now_s - max(asked_s, self._word_s)
