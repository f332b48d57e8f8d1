"""Ten engines that come and go: callers hardly notice, the rest is not run over, and nobody is shut out unjustly."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from openbigmodel.engines.circuit_breaker import CircuitBreaker
from openbigmodel.engines.fake_script import FakeRequest, Step, error_answer
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.registry import Balance
from openbigmodel.engines.retry_budget import RetryBudget
from openbigmodel.inference.attempt import Attempt
from openbigmodel.inference.exchange import ChatExchange
from tests.conftest import SCALE
from tests.faults.flapping import INNOCENT, FlappingEngine, Minute, Mood, flapping_minute

SERVED_SHARE_MIN = 0.995
ATTEMPTS_SHARE_MAX = 1.1
# As the engines are called on the platform.
INNOCENT_NAMES = tuple(f"fake-{number}" for number in INNOCENT)


def broken_promises(minute: Minute) -> list[str]:
    """What does not hold after it."""
    found = list(minute.found)
    if minute.served_share < SERVED_SHARE_MIN:
        found.append(f"only {minute.served_share:.2%} were served")
    if minute.attempts_share > ATTEMPTS_SHARE_MAX:
        found.append(f"{minute.attempts_share:.3f} attempts for each request")
    opened = [name for name in INNOCENT_NAMES if minute.opened[name]]
    if opened:
        found.append(f"{opened} were shut out for refusals alone")
    return found


@pytest.mark.parametrize("seed", range(max(1, round(SCALE))))
def test_a_minute_of_it(seed: int) -> None:
    minute = flapping_minute(seed)
    assert broken_promises(minute) == [], minute
    # It was what it should be: much went wrong, and all came back.
    assert minute.asked > 4000 and minute.broken_off and minute.wrong
    assert len(minute.opened) > 5 and minute.blamed["failed"] > 100 and minute.blamed["busy"]
    assert len(minute.served_in_calm) == 10


@pytest.mark.parametrize("seed", range(2, 2 + max(2, round(SCALE))))
@pytest.mark.parametrize("routing", ["failover", "prefix", "weighted"])
def test_whatever_the_policy(routing: Balance, seed: int) -> None:
    minute = flapping_minute(seed, routing, flapping_s=30 + 6 * min(SCALE, 5))
    assert broken_promises(minute) == [], minute


def _often(share: int) -> Mood:
    """An engine that fails one request of so many, and so is never shut out."""
    counts = iter(range(10**9))

    def mood(engine: FlappingEngine, request: FakeRequest) -> Iterable[Step]:
        return error_answer(500) if next(counts) % share == 0 else engine.well(request)

    return mood


def brownout() -> Minute:
    """All engines fail every third request."""
    return flapping_minute(3, "weighted", flapping_s=12, moods={"always": _often(3)})


def test_when_all_are_ill_nobody_is_asked_much_more() -> None:
    minute = brownout()
    assert minute.found == []
    assert minute.blamed["failed"] > 100
    assert minute.attempts_share <= ATTEMPTS_SHARE_MAX


def _dead(engine: FlappingEngine, request: FakeRequest) -> Iterable[Step]:
    return error_answer(500) if engine.name == "e0" else engine.well(request)


def one_is_dead() -> Minute:
    """The first engine answers 500 for half a minute."""
    return flapping_minute(4, "least-load", flapping_s=30, moods={"always": _dead})


# The three that open the breaker, and those that look again: after 0.5 s, 1, 2, 4, 8, then every 10 s, less jitter.
FAILURES_OF_A_DEAD_ENGINE_MAX = 15


def test_a_dead_engine_is_left_alone() -> None:
    minute = one_is_dead()
    assert minute.found == [] and minute.served_share == 1
    assert 3 <= minute.blamed["failed"] <= FAILURES_OF_A_DEAD_ENGINE_MAX


Plant = Callable[[pytest.MonkeyPatch], None]


def _counts_429(patch: pytest.MonkeyPatch) -> None:
    end = Attempt.end

    def blame(self: Attempt, outcome: Outcome, *args: Any) -> None:
        end(self, Outcome.FAILED if outcome is Outcome.BUSY else outcome, *args)

    patch.setattr(Attempt, "end", blame)


def _counts_400(patch: pytest.MonkeyPatch) -> None:
    end = Attempt.end

    def blame(self: Attempt, outcome: Outcome, *args: Any) -> None:
        end(self, Outcome.FAILED if outcome is Outcome.REFUSED else outcome, *args)

    patch.setattr(Attempt, "end", blame)


def _asks_again_after_a_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        ChatExchange, "_ask_another", lambda self, *, broken=False: self._asking.ask_another(broken=broken)
    )


def _never_closes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CircuitBreaker, "succeeded", lambda self, number, now_s: number)


def _never_asks_another(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChatExchange, "_ask_another", lambda self, *, broken=False: False)


PLANTED: dict[str, Plant] = {
    "429 counts as a failure": _counts_429,
    "400 counts as a failure": _counts_400,
    "asked again after a token": _asks_again_after_a_token,
    "a breaker never closes": _never_closes,
    "nobody else is asked": _never_asks_another,
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[bug](monkeypatch)
    assert broken_promises(flapping_minute(0, flapping_s=22))


def test_a_missing_budget_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryBudget, "spend", lambda self, now_s: True)
    assert brownout().attempts_share > ATTEMPTS_SHARE_MAX


def test_a_breaker_that_never_opens_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CircuitBreaker, "_open", lambda self, now_s, why: None)
    assert one_is_dead().blamed["failed"] > FAILURES_OF_A_DEAD_ENGINE_MAX
