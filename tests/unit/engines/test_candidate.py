"""A seat is taken once and left once, and only the engine's own failures are held against it."""

import pytest

from openbigmodel.engines.candidate import (
    BUSY_MAX_S,
    BUSY_S,
    MISCONFIGURED_S,
    WHOLE_OVERDUE_S,
    Candidate,
)
from openbigmodel.engines.circuit_breaker import (
    FAILURES_IN_A_ROW,
    PRESSED_MAX,
    PROBE_PATIENCE_S,
    CircuitBreaker,
)
from openbigmodel.engines.engine_load import EngineLoad
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.pulse import Pulse

NOT_ITS_FAULT = [Outcome.BUSY, Outcome.MISCONFIGURED, Outcome.REFUSED, Outcome.LEFT]


def new(max_in_flight: int | None = None) -> Candidate[str]:
    return Candidate("target", EngineLoad("e", max_in_flight), CircuitBreaker("e", lambda: 0.0))


def state_of(breaker: CircuitBreaker) -> str:
    return breaker.state


def opened() -> Candidate[str]:
    candidate = new()
    for _ in range(FAILURES_IN_A_ROW):
        candidate.take(0.0).leave(Outcome.FAILED, 0.0, why="reset")
    assert state_of(candidate.breaker) == "open"
    return candidate


@pytest.mark.parametrize("outcome", Outcome)
def test_a_seat_is_given_back_however_it_went(outcome: Outcome) -> None:
    candidate = new(1)
    seat = candidate.take(0.0)
    assert seat.target == "target"
    assert candidate.load.full
    seat.leave(outcome, 0.0)
    assert candidate.load.in_flight == 0
    with pytest.raises(AssertionError):
        seat.leave(outcome, 0.0)


def test_taking_a_seat_that_nobody_chose_is_a_bug() -> None:
    full = new(1)
    full.take(0.0)
    with pytest.raises(AssertionError):
        full.take(0.0)


def test_a_seat_may_be_taken_until_too_many_try_an_engine_that_is_out() -> None:
    candidate = opened()
    for _ in range(PRESSED_MAX):
        assert candidate.takes(0.0)
        candidate.take(0.0)
    assert not candidate.takes(0.0)
    with pytest.raises(AssertionError):
        candidate.take(0.0)
    # Nobody has heard from them for so long that one more may find out.
    assert candidate.takes(PROBE_PATIENCE_S)
    full = new(1)
    assert full.takes(0.0)
    full.take(0.0)
    assert not full.takes(0.0)


@pytest.mark.parametrize("outcome", NOT_ITS_FAULT)
def test_only_its_own_failures_open_its_breaker(outcome: Outcome) -> None:
    candidate = new()
    for _ in range(1000):
        candidate.take(0.0).leave(outcome, 0.0)
    assert state_of(candidate.breaker) == "closed"
    for _ in range(FAILURES_IN_A_ROW):
        candidate.take(0.0).leave(outcome, 0.0)
        candidate.take(0.0).leave(Outcome.FAILED, 0.0)
    assert state_of(candidate.breaker) == "open"  # Nor do they hide its failures


def test_the_first_token_closes_a_breaker_and_a_later_end_changes_nothing() -> None:
    candidate = opened()
    seat = candidate.take(5.0)
    assert state_of(candidate.breaker) == "half-open"
    seat.answered(5.1)
    seat.answered(5.2)
    assert state_of(candidate.breaker) == "closed"
    seat.leave(Outcome.LEFT, 6.0)
    assert state_of(candidate.breaker) == "closed"


def test_breaking_after_the_first_token_is_a_failure_too() -> None:
    candidate = new()
    for _ in range(20):
        seat = candidate.take(0.0)
        seat.answered(0.0)
        seat.leave(Outcome.FAILED, 0.0)
        if candidate.breaker.state == "open":
            return
    raise AssertionError("an engine that breaks each stream was never suspected")


@pytest.mark.parametrize("outcome", NOT_ITS_FAULT)
def test_a_probe_that_shows_nothing_makes_way_for_the_next(outcome: Outcome) -> None:
    candidate = opened()
    seat = candidate.take(5.0)
    assert not candidate.breaker.ready(5.0)
    seat.leave(outcome, 5.0)
    assert candidate.breaker.ready(5.0)


def test_one_that_was_heard_gives_no_second_way() -> None:
    candidate = opened()
    old = candidate.take(5.0)
    old.answered(5.0)
    for _ in range(FAILURES_IN_A_ROW):
        candidate.take(20.0).leave(Outcome.FAILED, 20.0)
    probe = candidate.take(30.0)
    old.leave(Outcome.LEFT, 30.0)
    assert not candidate.breaker.ready(30.0), "the probe is still out"
    probe.leave(Outcome.SERVED, 30.0)
    assert state_of(candidate.breaker) == "closed"


@pytest.mark.parametrize(
    ("outcome", "retry_after_s", "aside_s"),
    [
        (Outcome.BUSY, None, BUSY_S),
        (Outcome.BUSY, 5.0, 5.0),
        (Outcome.BUSY, 1e9, BUSY_MAX_S),
        (Outcome.MISCONFIGURED, None, MISCONFIGURED_S),
    ],
)
def test_who_cannot_serve_now_is_set_aside(
    outcome: Outcome, retry_after_s: float | None, aside_s: float
) -> None:
    candidate = new()
    candidate.take(10.0).leave(outcome, 10.0, retry_after_s=retry_after_s)
    assert candidate.aside_until_s == 10.0 + aside_s


def test_a_shorter_word_does_not_end_a_longer_one() -> None:
    candidate = new()
    candidate.take(0.0).leave(Outcome.BUSY, 0.0, retry_after_s=20)
    candidate.take(0.0).leave(Outcome.BUSY, 0.0)
    assert candidate.aside_until_s == 20.0


def test_its_place_is_its_names_whatever_its_position() -> None:
    def place(name: str) -> int:
        return Candidate("t", EngineLoad("e"), CircuitBreaker("e", lambda: 0.0), name=name).place

    assert place("a") == place("a") != place("b")


def watched() -> tuple[Candidate[str], Pulse]:
    pulse = Pulse()
    breaker = CircuitBreaker("e", lambda: 0.0)
    return Candidate("target", EngineLoad("e"), breaker, pulse=pulse), pulse


@pytest.mark.parametrize(("prompt_bytes", "silent_s"), [(0, 61.0), (4096, 3.0)])
@pytest.mark.parametrize("outcome", Outcome)
def test_nobody_waits_any_more_however_it_went(outcome: Outcome, prompt_bytes: int, silent_s: float) -> None:
    candidate, _ = watched()
    seat = candidate.take(0.0)
    seat.expect(prompt_bytes)
    assert candidate.silent(silent_s)
    seat.leave(outcome, silent_s)
    assert not candidate.silent(silent_s + 1)


def test_a_seat_that_nobody_was_asked_at_waits_for_nothing() -> None:
    candidate, _ = watched()
    seat = candidate.take(0.0)
    assert not candidate.silent(61.0)
    seat.leave(Outcome.LEFT, 61.0)
    candidate.take(61.0).expect(4096)
    assert candidate.silent(64.0)


def test_its_breaker_knows_better_than_its_pulse() -> None:
    candidate, _ = watched()
    candidate.take(0.0).expect(4096)
    assert candidate.silent(3.0)
    for _ in range(FAILURES_IN_A_ROW):
        candidate.take(0.0).leave(Outcome.FAILED, 3.0)
    assert state_of(candidate.breaker) == "open"
    assert not candidate.silent(3.0)


def test_overdue_until_the_first_word() -> None:
    candidate, _ = watched()
    seat = candidate.take(0.0)
    seat.expect(4096)
    other = candidate.take(0.0)
    other.expect(4096)
    assert not seat.overdue(10.0)
    assert seat.overdue(20.0)
    other.answered(20.0)
    assert not seat.overdue(20.0)
    seat.spoke(30.0)
    # It has shown how slow it may be.
    assert not seat.overdue(90.0)
    assert seat.overdue(120.0)
    seat.moves()
    assert not seat.overdue(120.0)
    seat.answered(120.0)
    assert not seat.overdue(999.0)


def test_a_whole_answer_is_overdue_only_at_an_engine_that_keeps_failing() -> None:
    candidate, _ = watched()
    seat = candidate.take(0.0)
    seat.expect(0)
    assert not seat.overdue(10 * WHOLE_OVERDUE_S)
    for _ in range(FAILURES_IN_A_ROW):
        candidate.take(0.0).leave(Outcome.FAILED, 10.0)
    assert not seat.overdue(WHOLE_OVERDUE_S - 1)
    assert seat.overdue(WHOLE_OVERDUE_S)


def test_where_nobody_else_could_be_asked_nobody_is_overdue() -> None:
    candidate = new()
    seat = candidate.take(0.0)
    seat.expect(4096)
    seat.spoke(1.0)
    seat.moves()
    assert not seat.overdue(1e6)
    assert not candidate.silent(1e6)
