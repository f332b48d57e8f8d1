"""A breaker opens for an engine that fails, for nothing else, and lets one request at a time find out if it is back."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openbigmodel.engines import circuit_breaker as breakers
from openbigmodel.engines.circuit_breaker import (
    ANSWERS_MIN,
    BACK_OFF_MAX_S,
    BACK_OFF_S,
    FAILURE_SHARE,
    FAILURES_IN_A_ROW,
    PRESSED_MAX,
    PROBE_PATIENCE_S,
    RECOVERED_S,
    WINDOW_S,
    CircuitBreaker,
    State,
)
from tests.conftest import SCALE


class Heard(list[tuple[State, State, str]]):
    def __call__(self, breaker: CircuitBreaker, before: State, why: str) -> None:
        self.append((before, breaker.state, why))


def new(jitter: float = 0.999, heard: Heard | None = None) -> CircuitBreaker:
    return CircuitBreaker("e", lambda: jitter, Heard() if heard is None else heard)


def state_of(breaker: CircuitBreaker) -> str:
    return breaker.state


def fail(breaker: CircuitBreaker, now_s: float = 0.0, times: int = FAILURES_IN_A_ROW) -> None:
    for _ in range(times):
        breaker.failed(breaker.allow(now_s), now_s, "reset")


def opened(now_s: float = 0.0, heard: Heard | None = None) -> CircuitBreaker:
    breaker = new(heard=heard)
    fail(breaker, now_s)
    assert state_of(breaker) == "open"
    return breaker


def half_open() -> tuple[CircuitBreaker, int]:
    breaker = opened()
    number = breaker.allow(1.0)
    assert number and state_of(breaker) == "half-open"
    return breaker, number


def test_failures_in_a_row_open_it_and_it_says_why() -> None:
    heard = Heard()
    breaker = new(heard=heard)
    fail(breaker, times=FAILURES_IN_A_ROW - 1)
    assert state_of(breaker) == "closed"
    fail(breaker, times=1)
    assert state_of(breaker) == "open"
    assert heard == [("closed", "open", "3 failures in a row: reset")]


def test_an_answer_between_failures_shows_that_it_works() -> None:
    breaker = new()
    for _ in range(3):
        fail(breaker, times=FAILURES_IN_A_ROW - 1)
        breaker.succeeded(breaker.allow(0.0), 0.0)
    assert state_of(breaker) == "closed"


def test_what_is_abandoned_counts_neither_for_nor_against_it() -> None:
    breaker = new()
    fail(breaker, times=FAILURES_IN_A_ROW - 1)
    for _ in range(1000):
        breaker.abandoned(breaker.allow(0.0))
    assert state_of(breaker) == "closed"
    fail(breaker, times=1)
    assert state_of(breaker) == "open"


def alternate(breaker: CircuitBreaker, answers: int, now_s: float = 0.0) -> None:
    for number in range(answers):
        if number % 2:
            fail(breaker, now_s, times=1)
        else:
            breaker.succeeded(breaker.allow(now_s), now_s)


def test_it_opens_when_half_of_its_answers_are_failures() -> None:
    heard = Heard()
    breaker = new(heard=heard)
    alternate(breaker, ANSWERS_MIN - 2)
    assert state_of(breaker) == "closed"
    alternate(breaker, 2)
    assert state_of(breaker) == "open"
    assert heard[0][2] == "5 of 10 answers were failures: reset"


def test_failures_of_long_ago_are_no_evidence() -> None:
    breaker = new()
    alternate(breaker, ANSWERS_MIN - 2, 0.0)
    alternate(breaker, ANSWERS_MIN - 2, WINDOW_S + 0.1)
    assert state_of(breaker) == "closed"


def test_the_window_moves_on_by_halves() -> None:
    breaker = new()
    alternate(breaker, ANSWERS_MIN - 2, 0.0)
    alternate(breaker, 2, WINDOW_S * 0.75)
    assert state_of(breaker) == "open"


def test_a_route_may_forbid_the_rule_of_the_share_but_not_that_of_the_row() -> None:
    breaker = new()
    breaker.guard(lambda _: True)
    breaker.guard(lambda which: which is not breaker)
    alternate(breaker, 10 * ANSWERS_MIN)
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"


def test_while_it_is_open_nobody_is_let_in() -> None:
    breaker = opened(100.0)
    assert breaker.due_s == pytest.approx(100.0 + BACK_OFF_S, abs=0.01)
    for now_s in (100.0, breaker.due_s - 0.001):
        assert not breaker.ready(now_s)
        assert breaker.allow(now_s) == 0
    assert state_of(breaker) == "open"
    assert breaker.ready(breaker.due_s)
    assert breaker.allow(breaker.due_s)
    assert state_of(breaker) == "half-open"


def test_the_back_off_doubles_up_to_its_cap() -> None:
    breaker, now_s, waits = opened(), 0.0, []
    for _ in range(20):
        waits.append(breaker.due_s - now_s)
        now_s = breaker.due_s
        breaker.failed(breaker.allow(now_s), now_s)
    assert waits[:4] == [pytest.approx(BACK_OFF_S * 2**times, rel=0.01) for times in range(4)]
    assert max(waits) <= BACK_OFF_MAX_S
    assert waits[-1] == pytest.approx(BACK_OFF_MAX_S, rel=0.01)


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 0.5), (0.5, 0.75), (0.999999, 1.0)])
def test_jitter_takes_up_to_half_of_it(jitter: float, part: float) -> None:
    breaker = new(jitter)
    fail(breaker)
    assert breaker.due_s == pytest.approx(part * BACK_OFF_S, rel=0.001)


@pytest.mark.parametrize(
    ("well_s", "back_off_s"), [(RECOVERED_S - 0.1, 2 * BACK_OFF_S), (RECOVERED_S, BACK_OFF_S)]
)
def test_who_was_well_for_long_enough_begins_anew(well_s: float, back_off_s: float) -> None:
    breaker = opened()
    breaker.succeeded(breaker.allow(5.0), 5.0)
    assert state_of(breaker) == "closed"
    fail(breaker, 5.0 + well_s)
    assert breaker.due_s - (5.0 + well_s) == pytest.approx(back_off_s, rel=0.01)


def test_one_request_at_a_time_finds_out() -> None:
    breaker, number = half_open()
    assert not breaker.ready(1.0)
    assert breaker.allow(1.0) == 0
    breaker.abandoned(number)
    assert breaker.allow(1.0)
    assert breaker.allow(1.0) == 0


def test_an_answer_closes_it() -> None:
    heard = Heard()
    breaker = opened(heard=heard)
    breaker.succeeded(breaker.allow(1.0), 1.0)
    assert state_of(breaker) == "closed"
    assert [(before, after) for before, after, _ in heard] == [
        ("closed", "open"),
        ("open", "half-open"),
        ("half-open", "closed"),
    ]
    fail(breaker, 1.0, times=FAILURES_IN_A_ROW - 1)
    assert state_of(breaker) == "closed"  # What was before counts no more


def test_a_failure_opens_it_again() -> None:
    breaker, number = half_open()
    breaker.failed(number, 1.0, "reset")
    assert state_of(breaker) == "open"
    assert not breaker.ready(1.0)


def test_a_slow_one_does_not_keep_others_from_finding_out() -> None:
    breaker, first = half_open()
    assert breaker.allow(1.0 + PROBE_PATIENCE_S - 0.1) == 0
    second = breaker.allow(1.0 + PROBE_PATIENCE_S)
    assert second
    assert breaker.allow(1.0 + PROBE_PATIENCE_S) == 0
    breaker.abandoned(second)
    assert breaker.allow(1.0 + PROBE_PATIENCE_S) == 0, "the first is still out"
    breaker.succeeded(first, 100.0)
    assert state_of(breaker) == "closed"


def test_requests_of_another_time_change_nothing() -> None:
    breaker = new()
    old = [breaker.allow(0.0) for _ in range(20)]
    fail(breaker)
    breaker.succeeded(old[0], 0.0)
    assert state_of(breaker) == "open"
    number = breaker.allow(1.0)
    for stale in old[1:5]:
        breaker.failed(stale, 1.0)
        breaker.abandoned(stale)
    assert state_of(breaker) == "half-open"
    assert breaker.allow(1.0) == 0, "somebody else's leaving is not the probe's"
    breaker.succeeded(number, 1.0)
    for stale in old[5:]:
        breaker.failed(stale, 120.0)
    assert state_of(breaker) == "closed"


def test_the_one_that_closed_it_may_still_break() -> None:
    breaker, number = half_open()
    number = breaker.succeeded(number, 1.0)
    breaker.failed(number, 2.0)
    fail(breaker, 2.0, times=FAILURES_IN_A_ROW - 1)
    assert state_of(breaker) == "open"


def test_in_need_some_are_let_in_before_their_time() -> None:
    breaker = opened()
    numbers = [breaker.press(0.0) for _ in range(PRESSED_MAX)]
    assert all(numbers)
    assert state_of(breaker) == "half-open"
    assert not breaker.pressable
    assert breaker.press(0.0) == 0
    breaker.abandoned(numbers[0])
    assert breaker.press(0.0)
    breaker.succeeded(numbers[1], 0.0)
    assert state_of(breaker) == "closed"
    assert breaker.press(0.0)


def test_a_sign_of_life_brings_the_next_request() -> None:
    breaker = opened()
    breaker.look_again(0.1)
    assert breaker.ready(0.1)
    assert not breaker.ready(0.0)
    breaker.look_again(0.2)
    assert breaker.due_s == 0.1, "never later"
    closed = new()
    closed.look_again(0.1)
    assert closed.state == "closed"


def test_it_is_sound_while_nothing_speaks_against_it() -> None:
    breaker = new()
    seen = [breaker.sound]
    fail(breaker, times=1)
    seen.append(breaker.sound)
    breaker.succeeded(breaker.allow(0.0), 0.0)
    seen.append(breaker.sound)
    fail(breaker)
    seen.append(breaker.sound)
    breaker.allow(60.0)
    assert [*seen, breaker.sound] == [True, False, True, False, False]


class Machine(RuleBasedStateMachine):
    """Any order of events, against all that has happened in this state, kept in a list."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.mine: CircuitBreaker = CircuitBreaker("e", lambda: 0.5, self.changed)
        self.allowed = True
        self.mine.guard(lambda _: self.allowed)
        self.passes: list[int] = []
        # Results that count, since the state began.
        self.results: list[tuple[float, bool]] = []
        self.probes = 0
        self.let_in_s = 0.0
        self.changes: list[tuple[State, State]] = []

    def changed(self, breaker: CircuitBreaker, before: State, why: str) -> None:
        self.changes.append((before, breaker.state))
        assert (before, breaker.state) in {
            ("closed", "open"),
            ("open", "half-open"),
            ("half-open", "open"),
            ("half-open", "closed"),
        }

    @rule(seconds=st.sampled_from((0.01, 0.3, 1.0, 3.0, 6.0, 20.0)))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(allowed=st.booleans())
    def forbid(self, allowed: bool) -> None:
        self.allowed = allowed

    @rule(press=st.booleans())
    def ask(self, press: bool) -> None:
        breaker = self.mine
        before, due_s, ready = breaker.state, breaker.due_s, breaker.ready(self.now_s)
        number = breaker.press(self.now_s) if press else breaker.allow(self.now_s)
        if before == "closed":
            assert number
        elif before == "open":
            assert bool(number) is (press or self.now_s >= due_s)
            if number:
                self.probes = 0
        elif not press:
            late = self.now_s - self.let_in_s >= PROBE_PATIENCE_S
            assert bool(number) is (self.probes == 0 or late)
        else:
            assert bool(number) is (self.probes < PRESSED_MAX)
        if not press:
            assert ready is bool(number)
        if number:
            assert number == breaker.number
            self.passes.append(number)
            if breaker.state == "half-open":
                self.probes += 1
                self.let_in_s = self.now_s

    @precondition(lambda self: self.passes)
    @rule(data=st.data(), how=st.sampled_from(("well", "failed", "failed", "abandoned")))
    def hear(self, data: st.DataObject, how: str) -> None:
        breaker = self.mine
        number = self.passes.pop(data.draw(st.integers(0, len(self.passes) - 1)))
        before, counts = breaker.state, number == breaker.number
        if how == "well":
            breaker.succeeded(number, self.now_s)
        elif how == "failed":
            breaker.failed(number, self.now_s)
        else:
            breaker.abandoned(number)
            assert breaker.state == before
            self.probes -= counts and before == "half-open"
        if not counts:
            assert breaker.state == before
        elif before == "half-open" and how != "abandoned":
            assert breaker.state == ("closed" if how == "well" else "open")
            self.results = [(self.now_s, True)] if how == "well" else []
            self.probes = 0
        elif before == "closed" and how != "abandoned":
            self.results.append((self.now_s, how == "well"))
            self.judge()

    def judge(self) -> None:
        """Whether it has opened when it had to, and only when it might."""
        last = [well for _, well in self.results[-FAILURES_IN_A_ROW:]]
        must = len(last) == FAILURES_IN_A_ROW and not any(last)
        # The window is between a half and all of its length: so says what was in any of such windows.
        starts = [at_s for at_s, _ in self.results] + [self.now_s - WINDOW_S / 2, self.now_s - WINDOW_S]
        bad = []
        for start_s in starts:
            if self.now_s - WINDOW_S <= start_s <= self.now_s - WINDOW_S / 2 or start_s == self.results[0][0]:
                results = [well for at_s, well in self.results if at_s >= max(start_s, self.now_s - WINDOW_S)]
                share = results.count(False) / len(results) if results else 0.0
                bad.append(len(results) >= ANSWERS_MIN and share >= FAILURE_SHARE)
        failed_now = not self.results[-1][1]
        must = must or (failed_now and self.allowed and all(bad))
        may = must or (failed_now and self.allowed and any(bad))
        if self.mine.state == "open":
            assert may
            self.results.clear()
        else:
            assert not must

    @invariant()
    def numbers_grow(self) -> None:
        if hasattr(self, "mine"):
            assert self.mine.number == 1 + len(self.changes)


Machine.TestCase.settings = settings(max_examples=round(100 * SCALE), stateful_step_count=60)
TestMachine = Machine.TestCase


def test_the_constants_keep_what_the_project_promises() -> None:
    assert FAILURES_IN_A_ROW <= 5, "open after five failures at most"
    assert breakers.BACK_OFF_S < breakers.BACK_OFF_MAX_S


def test_worth_a_look_half_a_second_after_it_opened_however_long_its_back_off() -> None:
    breaker = CircuitBreaker("e", lambda: 1.0)
    assert not breaker.worth_a_look(1e6)
    now_s = 100.0
    for _ in range(FAILURES_IN_A_ROW):
        breaker.failed(breaker.number, now_s)
    for _ in range(5):
        now_s = breaker.due_s
        breaker.failed(breaker.allow(now_s), now_s)
    assert breaker.due_s - now_s > 5 * BACK_OFF_S
    assert not breaker.worth_a_look(now_s + 0.9 * BACK_OFF_S)
    assert breaker.worth_a_look(now_s + BACK_OFF_S)
    assert breaker.press(now_s + BACK_OFF_S)
    assert not breaker.worth_a_look(now_s + 2 * BACK_OFF_S), "somebody looks already"
