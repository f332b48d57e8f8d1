"""Whoever can answer now is asked first, in the order of the policy; and conversations stay where they are."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.candidate import Candidate, Seat
from openbigmodel.engines.circuit_breaker import ANSWERS_MIN, FAILURES_IN_A_ROW, PRESSED_MAX, CircuitBreaker
from openbigmodel.engines.engine_load import EngineLoad
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.policy import ATTEMPTS_MAX, Balancer
from openbigmodel.engines.pulse import RETRIES_UNPROVEN_MAX, Pulse

BALANCES = ["failover", "least-load", "prefix", "weighted"]
_CHANCE = random.Random(7)
KEYS = [_CHANCE.getrandbits(64) for _ in range(2000)]


class Rig:
    """A balancer whose engines can be put into any state."""

    def __init__(
        self, balance: str, count: int = 3, *, weights: Sequence[int] = (), max_in_flight: int | None = None
    ) -> None:
        chance = random.Random(1)
        self.now_s = 100.0
        self.of = [
            Candidate(
                f"e{number}",
                EngineLoad(f"e{number}", max_in_flight),
                CircuitBreaker(f"e{number}", chance.random),
                weights[number] if weights else 1,
            )
            for number in range(count)
        ]
        self.balancer = Balancer(balance, self.of, chance.random, self.now_s)

    def choose(self, key: int | None = None, tried: Sequence[int] = ()) -> str | None:
        chosen = self.balancer.choose(key, self.now_s, [self.of[number] for number in tried])
        return None if chosen is None else chosen.target

    def load(self, number: int, in_flight: int) -> list[Seat[str]]:
        return [self.of[number].take(self.now_s) for _ in range(in_flight)]

    def break_down(self, *numbers: int) -> None:
        for number in numbers:
            breaker = self.of[number].breaker
            for _ in range(FAILURES_IN_A_ROW):
                breaker.failed(breaker.number, self.now_s)
            assert breaker.state == "open"

    def set_aside(self, number: int, until_s: float) -> None:
        self.of[number].aside_until_s = until_s


# failover


def test_failover_asks_the_first_that_works() -> None:
    rig = Rig("failover", max_in_flight=2)
    assert rig.choose() == "e0"
    rig.load(0, 2)
    assert rig.choose() == "e1", "full"
    rig.break_down(1)
    assert rig.choose() == "e2", "open"
    rig.set_aside(2, 101.0)
    assert rig.choose() == "e2", "busy, but there is nobody else"


# least load


def test_least_load_counts_by_weight() -> None:
    rig = Rig("least-load", weights=(1, 2, 4))
    rig.load(0, 1)
    rig.load(1, 3)
    rig.load(2, 3)
    assert rig.choose() == "e2"
    rig.load(2, 2)
    assert rig.choose() == "e0"


def test_chance_decides_between_equals() -> None:
    rig = Rig("least-load", 4)
    rig.load(1, 1)
    counts = Counter(rig.choose() for _ in range(3000))
    assert set(counts) == {"e0", "e2", "e3"}
    assert min(counts.values()) > 900


def test_least_load_never_lets_one_have_two_more() -> None:
    rig = Rig("least-load", 5)
    for _ in range(1000):
        chosen = rig.balancer.first(None, rig.now_s)
        assert chosen is not None
        loads = [each.load.in_flight for each in rig.of]
        assert max(loads) - min(loads) <= 1


# prefix


def homes(rig: Rig) -> dict[int, str | None]:
    return {key: rig.choose(key) for key in KEYS}


@pytest.mark.parametrize("way", ["broken", "full", "busy", "removed"])
@pytest.mark.parametrize("gone", range(5))
def test_only_conversations_of_an_engine_that_goes_move(gone: int, way: str) -> None:
    rig = Rig("prefix", 5, max_in_flight=1)
    before = homes(rig)
    if way == "broken":
        rig.break_down(gone)
    elif way == "full":
        rig.load(gone, 1)
    elif way == "busy":
        rig.set_aside(gone, rig.now_s + 1)
    else:
        left = [each for each in rig.of if each is not rig.of[gone]]
        rig.balancer = Balancer("prefix", left, random.Random(1).random, rig.now_s)
    after = homes(rig)
    moved = {key for key in KEYS if before[key] != after[key]}
    assert moved == {key for key in KEYS if before[key] == f"e{gone}"}
    assert len({after[key] for key in moved}) == 4, "to all others"


def test_they_come_back_with_it() -> None:
    rig = Rig("prefix", 5)
    before = homes(rig)
    rig.break_down(2)
    assert homes(rig) != before
    rig.now_s += 100.0
    assert homes(rig) == before


def test_a_hot_conversation_spills_over_but_a_calm_one_stays() -> None:
    rig = Rig("prefix", 4)
    key = KEYS[0]
    places = Counter[str]()
    for _ in range(200):
        seat = rig.balancer.first(key, rig.now_s)
        assert seat is not None
        places[seat.target] += 1
        if sum(places.values()) == 4:
            assert len(places) == 1, "few requests are no load"
    assert max(places.values()) <= 1.25 * 200 / 4 + 1
    order = [place for place, _ in places.most_common()]
    assert rig.choose(KEYS[0], tried=[int(order[0][1:])]) != order[0]


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.lists(st.integers(0, 1999), max_size=200))
def test_no_engine_gets_far_more_than_its_part(weights: list[int], asked: list[int]) -> None:
    rig = Rig("prefix", len(weights), weights=weights)
    for index in asked:
        seat = rig.balancer.first(KEYS[index], rig.now_s)
        assert seat is not None
        total = sum(each.load.in_flight for each in rig.of)
        share = 1.25 * total * seat.candidate.weight / sum(weights)
        assert seat.candidate.load.in_flight <= max(4, share + 1)


def test_without_a_key_load_decides() -> None:
    rig = Rig("prefix", 2)
    rig.load(0, 1)
    assert rig.choose(None) == "e1"


@pytest.mark.parametrize(
    ("balance", "count", "sticky"), [("prefix", 2, True), ("prefix", 1, False), ("weighted", 2, False)]
)
def test_the_key_is_wanted_only_where_it_matters(balance: str, count: int, sticky: bool) -> None:
    assert Rig(balance, count).balancer.sticky is sticky


# weighted


def test_turns_are_exact_and_evenly_mixed() -> None:
    rig = Rig("weighted", weights=(5, 1, 1))
    turns = [rig.choose() for _ in range(14)]
    assert turns[:7] == turns[7:]
    assert Counter(turns[:7]) == {"e0": 5, "e1": 1, "e2": 1}
    assert turns[:5] != ["e0"] * 5, "never all of one in a row"


def test_who_is_away_loses_its_turns_and_does_not_get_them_back() -> None:
    rig = Rig("weighted", weights=(2, 1, 1))
    rig.break_down(0)
    assert Counter(rig.choose() for _ in range(100)) == {"e1": 50, "e2": 50}
    rig.now_s += 100.0
    rig.of[0].breaker.succeeded(rig.of[0].breaker.allow(rig.now_s), rig.now_s)
    counts = Counter(rig.choose() for _ in range(100))
    assert counts["e0"] == pytest.approx(50, abs=2)


# who can answer, whatever the policy


@pytest.mark.parametrize("balance", BALANCES)
def test_an_open_engine_is_asked_again_when_it_is_due_and_by_one(balance: str) -> None:
    rig = Rig(balance, 2)
    rig.load(1, 3)
    rig.break_down(0)
    assert {rig.choose(key) for key in KEYS[:50]} == {"e1"}
    rig.now_s = rig.of[0].breaker.due_s
    assert "e0" in {rig.choose(key) for key in KEYS[:50]}
    rig.of[0].take(rig.now_s)
    assert {rig.choose(key) for key in KEYS[:50]} == {"e1"}


@pytest.mark.parametrize("balance", BALANCES)
def test_busy_engines_come_last_the_one_that_is_back_first_before_the_others(balance: str) -> None:
    rig = Rig(balance, max_in_flight=1)
    for number, until_s in ((0, 103.0), (1, 101.0), (2, 102.0)):
        rig.set_aside(number, until_s)
    assert rig.choose(KEYS[0]) == "e1"
    rig.load(1, 1)
    assert rig.choose(KEYS[0]) == "e2"
    rig.break_down(2)
    assert rig.choose(KEYS[0]) == "e0"


@pytest.mark.parametrize("balance", BALANCES)
def test_waiting_for_one_that_works_is_better_than_asking_a_broken_one(balance: str) -> None:
    rig = Rig(balance, 2, max_in_flight=1)
    rig.break_down(0)
    rig.load(1, 1)
    assert rig.choose(KEYS[0]) is None
    assert rig.balancer.crowded()
    assert not rig.balancer.has_place(rig.now_s)


@pytest.mark.parametrize("balance", BALANCES)
def test_when_all_are_open_the_one_due_soonest_is_asked(balance: str) -> None:
    rig = Rig(balance)
    rig.break_down(0, 1, 2)
    for number, due_s in ((0, 130.0), (1, 110.0), (2, 120.0)):
        rig.of[number].breaker.due_s = due_s
    assert rig.choose(KEYS[0]) == "e1"
    assert rig.choose(KEYS[0], tried=[1]) == "e2"
    assert rig.choose(KEYS[0], tried=[0, 1, 2]) is None
    assert not rig.balancer.crowded(rig.of)


@pytest.mark.parametrize("balance", BALANCES)
def test_a_single_engine_that_is_down_is_tried_by_some_only(balance: str) -> None:
    rig = Rig(balance, 1)
    rig.break_down(0)
    seats = [rig.balancer.first(None, rig.now_s) for _ in range(PRESSED_MAX)]
    assert all(seats)
    assert rig.balancer.first(None, rig.now_s) is None
    assert rig.balancer.crowded()
    assert seats[0] is not None
    seats[0].answered(rig.now_s)
    assert rig.balancer.first(None, rig.now_s)


@pytest.mark.parametrize(("count", "out"), [(1, 0), (2, 1), (3, 1), (10, 5)])
def test_at_most_half_are_taken_out_for_failing_often(count: int, out: int) -> None:
    rig = Rig("failover", count)
    for each in rig.of:
        for number in range(2 * ANSWERS_MIN):
            seat = each.take(rig.now_s)
            seat.leave(Outcome.FAILED if number % 2 else Outcome.SERVED, rig.now_s)
            if each.breaker.state != "closed":
                break
    assert sum(each.breaker.state == "open" for each in rig.of) == out


def test_an_engine_of_two_routes_must_not_be_missed_by_either() -> None:
    rig = Rig("failover", 4)
    Balancer("failover", rig.of[:1], random.random, 0.0)
    seat_of = rig.of[0]
    for number in range(4 * ANSWERS_MIN):
        seat_of.take(rig.now_s).leave(Outcome.FAILED if number % 2 else Outcome.SERVED, rig.now_s)
    assert seat_of.breaker.state == "closed"


STATE = st.tuples(
    st.integers(0, 3), st.sampled_from(("closed", "open", "due", "half-open", "pressed")), st.booleans()
)


@given(
    st.sampled_from(BALANCES),
    st.lists(STATE, min_size=1, max_size=5),
    st.sets(st.integers(0, 4)),
    st.none() | st.sampled_from(KEYS),
)
def test_in_every_state_the_best_that_is_left_is_chosen(
    balance: str, states: list[tuple[int, str, bool]], tried: set[int], key: int | None
) -> None:
    rig = Rig(balance, len(states), max_in_flight=3)
    rank = {}
    for number, (in_flight, state, aside) in enumerate(states):
        candidate = rig.of[number]
        if state != "closed":
            rig.break_down(number)
            candidate.breaker.due_s = rig.now_s + (0.0 if state == "due" else 10.0 + number)
        if state in ("half-open", "pressed"):
            for _ in range(PRESSED_MAX if state == "pressed" else 1):
                candidate.breaker.press(rig.now_s)
        candidate.load.in_flight = in_flight
        if aside:
            rig.set_aside(number, rig.now_s + 5.0 + number)
        if number in tried:
            continue
        if in_flight == 3:
            rank[number] = 3 if state in ("closed", "due") else 9
        elif state in ("closed", "due"):
            rank[number] = 2 if aside else 1
        else:
            rank[number] = 9 if state == "pressed" else 4
    left = [number for number in range(len(states)) if number not in tried]
    chosen = rig.choose(key, [number for number in tried if number < len(states)])
    best = min(rank.values(), default=9)
    if best in (3, 9):
        assert chosen is None
    else:
        assert chosen is not None
        assert rank[int(chosen[1:])] == best
    assert rig.balancer.crowded([rig.of[number] for number in tried if number < len(states)]) is bool(left)
    if not tried & set(range(len(states))):
        assert rig.balancer.has_place(rig.now_s) is (chosen is not None)


# a second engine


def test_another_engine_is_asked_while_the_budget_lasts() -> None:
    rig = Rig("failover", 4)
    first = rig.balancer.first(None, rig.now_s)
    assert first is not None
    second = rig.balancer.another(None, rig.now_s, [first.candidate])
    assert second is not None and second.target == "e1"
    third = rig.balancer.another(None, rig.now_s, [first.candidate, second.candidate])
    assert third is not None and third.target == "e2"
    assert ATTEMPTS_MAX == 3
    assert rig.balancer.another(None, rig.now_s, rig.of[:3]) is None, "three are enough"
    assert rig.balancer.another(None, rig.now_s, rig.of[:1]), "the last of this second"
    assert rig.balancer.another(None, rig.now_s, rig.of[:1]) is None
    assert rig.balancer.another(None, rig.now_s + 1.0, rig.of[:1])


def test_nothing_is_spent_when_there_is_nobody_to_ask() -> None:
    rig = Rig("failover", 2)
    for _ in range(100):
        assert rig.balancer.another(None, rig.now_s, rig.of) is None
    assert rig.balancer.another(None, rig.now_s, rig.of[:1])


def test_requests_earn_their_retries_when_they_get_a_seat() -> None:
    rig = Rig("failover", 2, max_in_flight=100)
    for _ in range(300):
        rig.balancer.first(None, rig.now_s)
    granted = 0
    for each in rig.of:
        each.load.in_flight = 0
    while rig.balancer.another(None, rig.now_s, rig.of[:1]):
        granted += 1
    assert granted == 20, "of 200 that had one"


def test_a_retry_goes_to_an_engine_without_blemish() -> None:
    rig = Rig("failover", 4)
    rig.break_down(1)
    rig.now_s += 60.0
    rig.of[2].take(rig.now_s).leave(Outcome.FAILED, rig.now_s)
    seat = rig.balancer.another(None, rig.now_s, rig.of[:1])
    assert seat is not None and seat.target == "e3"
    rig.of[3].load.in_flight = rig.of[3].load.max_in_flight
    seat = rig.balancer.another(None, rig.now_s, rig.of[:1])
    assert seat is not None and seat.target == "e1"


def test_the_only_engine_is_asked_once_more_when_its_connection_broke() -> None:
    rig = Rig("failover", 1)
    assert rig.balancer.another(None, rig.now_s, rig.of) is None
    assert rig.balancer.another(None, rig.now_s, rig.of, broken=True)
    assert rig.balancer.another(None, rig.now_s, rig.of * 2, broken=True) is None


def test_others_come_before_the_same_once_more() -> None:
    rig = Rig("failover", 2)
    seat = rig.balancer.another(None, rig.now_s, rig.of[:1], broken=True)
    assert seat is not None and seat.target == "e1"


def test_an_unknown_policy_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Rig("fastest")


# silence


def asked_in_silence(rig: Rig, number: int) -> Seat[str]:
    """A seat at an engine that says nothing from now on."""
    candidate = rig.of[number]
    candidate.pulse = candidate.pulse or Pulse()
    seat = candidate.take(rig.now_s)
    seat.expect(4096)
    return seat


@pytest.mark.parametrize("balance", BALANCES)
def test_who_has_fallen_silent_is_asked_last_until_it_speaks(balance: str) -> None:
    rig = Rig(balance)
    seat = asked_in_silence(rig, 0)
    rig.now_s += 3
    assert "e0" not in {rig.choose(key) for key in KEYS}
    rig.break_down(1, 2)
    assert rig.choose(KEYS[0]) == "e0"
    seat.answered(rig.now_s)
    assert rig.choose(KEYS[0]) == "e0"


def test_who_only_said_that_it_is_busy_is_asked_before_the_silent() -> None:
    rig = Rig("failover", 2)
    asked_in_silence(rig, 0)
    rig.now_s += 3
    rig.set_aside(1, rig.now_s + 9)
    assert rig.choose() == "e1"


def test_when_all_others_are_busy_the_broken_are_looked_at_early() -> None:
    rig = Rig("failover", 2)
    rig.break_down(0)
    rig.of[0].breaker.due_s += 10
    rig.set_aside(1, rig.now_s + 9)
    assert rig.choose() == "e1"
    rig.now_s += 1
    assert rig.choose() == "e0"
    rig.balancer.first(None, rig.now_s)
    assert rig.choose() == "e1", "one looks already"


def test_a_request_may_be_taken_over_while_there_are_retries_for_those_that_have_failed() -> None:
    rig = Rig("failover", 4)
    tried = [rig.of[0]]
    assert [each.target for each in rig.balancer.elsewhere(rig.now_s, tried)] == ["e1", "e2", "e3"]
    rig.break_down(2)
    assert [each.target for each in rig.balancer.elsewhere(rig.now_s, tried)] == ["e1", "e3"]
    assert rig.balancer.elsewhere(rig.now_s, [rig.of[0]] * ATTEMPTS_MAX) == []
    while rig.balancer.budget.plenty(rig.now_s):
        rig.balancer.budget.spend(rig.now_s)
    assert rig.balancer.elsewhere(rig.now_s, tried) == []


def test_those_that_one_engine_has_failed_do_not_all_go_to_one_that_may_be_gone_too() -> None:
    rig = Rig("failover")
    for _ in range(RETRIES_UNPROVEN_MAX):
        asked_in_silence(rig, 1)
    seat = rig.balancer.another(None, rig.now_s, [rig.of[0]])
    assert seat is not None and seat.target == "e2"
    rig.break_down(2)
    seat = rig.balancer.another(None, rig.now_s, [rig.of[0]])
    assert seat is not None and seat.target == "e1", "nobody else is left"
