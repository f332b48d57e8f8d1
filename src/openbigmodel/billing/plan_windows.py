"""Credits of the Coding Plan, the hours in which they are dear, and the windows in which they run out. Pure.

Rule: credits are whole millionths. A window never begins anew because a clock stepped back: all times here are those
of a SteadyClock, which stands still instead, and goes on from there.

    hours   from the first request that counts in it, for five hours; then the next one begins
    week    seven days each from the moment the plan began
"""

import msgspec

from openbigmodel.billing.periods import DAY_MS, HOUR_MS, OFFSET_MS, WEEK_MS
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Catalog, CodingPlan, CreditRates

# Readings of two callers that crossed on their way here; a clock that is set steps further.
_CROSSED_MS = 1000
# 1 January 1970 was a Thursday; Monday is 1.
_EPOCH_WEEKDAY = 4


class SteadyClock:
    """The time of day in Unix milliseconds, but never earlier than it has been."""

    def __init__(self) -> None:
        self._last_ms = 0
        # How far the time of day is behind what it once was.
        self.behind_ms = 0

    def at(self, now_ms: int) -> int:
        """The steady time at this time of day."""
        step_ms = now_ms - self._last_ms
        if -_CROSSED_MS < step_ms < 0:
            return self._last_ms + self.behind_ms
        self.behind_ms += max(-step_ms, 0)
        self._last_ms = now_ms
        return now_ms + self.behind_ms


class Window:
    """A span of time and what was used in it.

    `noted`: its row is on disk; `begun_ms` is what that says, once it is queued.
    """

    __slots__ = ("begun_ms", "from_ms", "noted", "until_ms", "used")

    def __init__(self, from_ms: int, until_ms: int, used: int = 0, *, noted: bool = False) -> None:
        self.from_ms = from_ms
        self.until_ms = until_ms
        self.used = used
        self.noted = noted
        self.begun_ms: int | None = None


def week_of(plan_from_ms: int, at_ms: int) -> tuple[int, int]:
    """The first and the last moment of the plan's week at a time in it; the last is not part of it."""
    start = plan_from_ms + (at_ms - plan_from_ms) // WEEK_MS * WEEK_MS
    return start, start + WEEK_MS


def percent_at(plan: CodingPlan, now_ms: int) -> int:
    """How many percent of the credits a request takes that is asked at this time of day (api.md §9.3)."""
    china_ms = now_ms + OFFSET_MS
    weekday = (china_ms // DAY_MS + _EPOCH_WEEKDAY - 1) % 7 + 1
    hour = china_ms // HOUR_MS % 24
    peak = weekday in plan.peak_days and plan.peak_from_hour <= hour < plan.peak_to_hour
    return 100 if peak else plan.off_peak_percent


def rates_of(catalog: Catalog, model_id: str) -> CreditRates | None:
    """What a token of a model takes; of the model that answers for it in the plan, if its own are not given.

    None: in no plan.
    """
    model = catalog.find(model_id)
    if model is None or model.coding is None:
        return None
    served = model if model.credits is not None else catalog.find(model.coding)
    return None if served is None else served.credits


class CreditTerms(msgspec.Struct, frozen=True):
    """By what credits are taken: a model's rates, and the percentage of a time of day."""

    rates: CreditRates
    percent: int


def terms_at(catalog: Catalog, model_id: str, at_ms: int) -> CreditTerms:
    """Of a catalogue; what is in no plan takes nothing."""
    return CreditTerms(rates_of(catalog, model_id) or CreditRates(0, 0, 0), percent_at(catalog.plan, at_ms))


def credits_of(rates: CreditRates, usage: Usage, percent: int) -> int:
    """Millionths of a credit for a request, rounded once, half up."""
    fresh = usage.prompt_tokens - usage.cached_tokens
    whole = fresh * rates.input + usage.cached_tokens * rates.cached + usage.completion_tokens * rates.output
    return (whole * percent + 50) // 100


def most_credits(rates: CreditRates, prompt_tokens: int, completion_tokens: int, percent: int) -> int:
    """The most that a request with at most this many tokens can take; rounded up."""
    whole = prompt_tokens * max(rates.input, rates.cached) + completion_tokens * rates.output
    return -(whole * percent // -100)
