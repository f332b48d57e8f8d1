"""The room is small, short and fair: case by case, and against a list that does the same the slow way."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openbigmodel.engines.waiting_room import (
    DELAY_MAX_S,
    DELAYED_MAX_S,
    RETRY_AFTER_MAX_S,
    SIZE_MAX,
    WAIT_MAX_S,
    Waiting,
    WaitingRoom,
)
from openbigmodel.errors import ApiError
from tests.conftest import SCALE


class Rig:
    """A room with so many places, which are taken for good."""

    def __init__(self, *, chance: Callable[[], float] = lambda: 0.5, size_max: int = SIZE_MAX) -> None:
        self.places = 0
        self.now_s = 100.0
        self.log: list[str] = []
        # Those for whom there is no engine now.
        self.unlucky: set[str] = set()
        self.room = WaitingRoom(lambda _: self.places > 0, chance, size_max=size_max)

    def enter(self, name: str, deadline_s: float = float("inf")) -> Waiting:
        """`a1` is of the account `a`."""

        def resume() -> bool:
            if name in self.unlucky:
                return False
            self.places -= 1
            self.log.append(name)
            return True

        def refuse(error: ApiError) -> None:
            assert error.code == "1305"
            assert error.retry_after_s is not None
            assert 1 <= error.retry_after_s <= RETRY_AFTER_MAX_S
            self.log.append(f"-{name}")

        return self.room.enter(name[0], self.now_s, resume, refuse, deadline_s)

    def free(self, places: int = 1) -> str:
        self.places += places
        self.room.serve(self.now_s)
        heard, self.log = " ".join(self.log), []
        return heard

    def refused(self, name: str) -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.enter(name)
        assert caught.value.code == "1305"
        return caught.value


def test_an_accounts_requests_come_in_their_order() -> None:
    rig = Rig()
    for name in ("a1", "a2", "a3"):
        rig.enter(name)
    assert rig.free(2) == "a1 a2"
    assert len(rig.room) == 1
    assert rig.free(5) == "a3"
    assert len(rig.room) == 0


def test_accounts_take_turns() -> None:
    rig = Rig()
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "c2"):
        rig.enter(name)
    assert rig.free(7) == "a1 b1 c1 a2 c2 a3 a4"


def test_who_leaves_hears_nothing_more() -> None:
    rig = Rig()
    first, second = rig.enter("a1"), rig.enter("a2")
    rig.room.leave(first)
    rig.room.leave(first)
    assert rig.free(5) == "a2"
    rig.room.leave(second)
    assert len(rig.room) == 0


def test_without_a_place_nobody_is_asked() -> None:
    rig = Rig()
    rig.enter("a1")
    assert rig.free(0) == ""
    assert len(rig.room) == 1


def test_who_has_tried_the_free_engine_lets_others_pass() -> None:
    rig = Rig()
    for name in ("a1", "a2", "b1"):
        rig.enter(name)
    rig.unlucky = {"a1"}
    assert rig.free(3) == "b1", "and a2 stays behind a1"
    rig.unlucky.clear()
    assert rig.free(0) == "a1 a2"


def test_nobody_waits_for_longer_than_he_has_time() -> None:
    rig = Rig()
    rig.enter("a1", rig.now_s + 3.0)
    rig.enter("b1")
    rig.now_s = 103.0
    rig.room.expire(rig.now_s)
    assert rig.log == ["-a1"]
    rig.now_s = 100.0 + WAIT_MAX_S
    assert rig.free(1) == "-a1 -b1", "nor is he let in when it is too late"


def test_who_has_no_time_at_all_does_not_wait() -> None:
    rig = Rig()
    with pytest.raises(ApiError):
        rig.enter("a1", rig.now_s)
    assert len(rig.room) == 0


def test_a_full_room_refuses_the_newest_of_who_has_most() -> None:
    rig = Rig(size_max=4)
    for name in ("a1", "a2", "b1", "a3"):
        rig.enter(name)
    rig.refused("a4")
    rig.enter("c1")
    assert rig.log == ["-a3"]
    rig.refused("b2")
    rig.enter("d1")
    assert rig.log == ["-a3", "-a2"]
    for name in ("a2", "b2", "e1"):
        rig.refused(name)
    assert len(rig.room) == 4
    rig.log.clear()
    assert rig.free(4) == "a1 b1 c1 d1"


def test_newcomers_are_refused_while_it_has_been_too_slow() -> None:
    rig = Rig()
    for number in range(9):
        rig.enter(f"a{number}")
    rig.now_s += DELAY_MAX_S
    assert rig.free() == "a0"
    rig.now_s += DELAYED_MAX_S - 0.1
    rig.enter("a9")
    rig.now_s += 0.2
    rig.refused("ax")
    assert rig.free(8) == "a1 a2 a3 a4 a5 a6 a7 a8"
    rig.refused("ax")
    assert rig.free() == "a9", "it waited for a moment only"
    rig.enter("ax")


def test_one_that_is_let_in_soon_shows_that_it_has_got_better() -> None:
    rig = Rig()
    for number in range(3):
        rig.enter(f"a{number}")
    rig.now_s += DELAY_MAX_S
    assert rig.free() == "a0"
    rig.now_s += DELAYED_MAX_S - 0.2
    rig.enter("a3")
    assert rig.free(3) == "a1 a2 a3"
    rig.enter("a4")
    rig.now_s += 1.2 * DELAY_MAX_S
    rig.enter("a5")
    assert rig.free() == "a4"
    rig.now_s += 0.9 * DELAYED_MAX_S
    rig.enter("a6")


def test_it_is_too_slow_as_well_when_nobody_is_let_in_at_all() -> None:
    rig = Rig()
    rig.enter("a1")
    rig.now_s += DELAY_MAX_S + DELAYED_MAX_S
    rig.enter("b1")
    rig.now_s += 0.01
    rig.refused("c1")
    rig.free(2)
    rig.enter("c1")


def test_a_crowd_of_one_account_keeps_no_other_out() -> None:
    rig = Rig()
    for number in range(5):
        rig.enter(f"a{number}")
    rig.now_s += DELAY_MAX_S + DELAYED_MAX_S + 0.01
    rig.refused("a5")
    rig.enter("b1")
    rig.refused("b2")
    assert rig.free(2) == "a0 b1"


def test_a_burst_is_no_crowd() -> None:
    rig = Rig()
    for _ in range(50):
        for number in range(5):
            rig.enter(f"a{number}")
        rig.now_s += DELAY_MAX_S - 0.1
        rig.free(5)


@pytest.mark.parametrize(
    ("chance", "waited_s", "expected"), [(0.0, 0.0, 1), (0.999, 0.0, 2), (0.999, 1.0, 4), (0.0, 1.0, 1)]
)
def test_the_time_to_come_back_grows_with_the_wait_and_differs(
    chance: float, waited_s: float, expected: int
) -> None:
    rig = Rig(chance=lambda: chance, size_max=1)
    rig.enter("a1")
    rig.now_s += waited_s
    assert rig.refused("b1").retry_after_s == expected


def test_callbacks_may_come_back() -> None:
    rig = Rig()
    leaving = rig.enter("c1")

    def resume() -> bool:
        rig.places -= 1
        rig.log.append("b1")
        rig.room.leave(leaving)
        rig.enter("d1")
        rig.room.serve(rig.now_s)
        return True

    rig.room.enter("b", rig.now_s, resume, lambda _: None)
    rig.enter("e1")
    rig.unlucky = {"c1"}
    assert rig.free(5) == "b1 e1 d1"


def test_a_refusal_may_take_others_along() -> None:
    rig = Rig()
    entries: list[Waiting] = []

    def refuse(error: ApiError) -> None:
        rig.log.append("-a1")
        rig.room.leave(entries[0])

    rig.room.enter("a", rig.now_s, lambda: True, refuse)
    entries.append(rig.enter("b1"))
    rig.room.expire(rig.now_s + WAIT_MAX_S)
    assert rig.log == ["-a1"]


def test_a_callback_that_raises_is_not_called_again() -> None:
    rig = Rig()

    def resume() -> bool:
        raise RuntimeError("a fault of ours")

    rig.room.enter("a", rig.now_s, resume, lambda _: None)
    rig.enter("b1")
    with pytest.raises(RuntimeError):
        rig.free(1)
    assert len(rig.room) == 1
    assert rig.free(0) == "b1"


class Machine(RuleBasedStateMachine):
    """Any order of events, against a plain list. Slowness is judged above."""

    SIZE = 6

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.places = 0
        self.room = WaitingRoom(
            lambda _: self.places > 0, lambda: 0.5, size_max=self.SIZE, delay_max_s=1e9, delayed_max_s=1e9
        )
        self.served: list[int] = []
        self.refused: list[int] = []
        self.number = 0
        # Oldest first: number, account, deadline. Whose turn it is.
        self.waiting: list[tuple[int, str, float]] = []
        self.turns: list[str] = []
        self.entries: dict[int, Waiting] = {}

    def gone(self, number: int) -> None:
        account = next(account for each, account, _ in self.waiting if each == number)
        self.waiting = [each for each in self.waiting if each[0] != number]
        if all(each[1] != account for each in self.waiting):
            self.turns.remove(account)

    @rule(account=st.sampled_from("aaabcd"), patience_s=st.sampled_from((1.0, 5.0, 100.0)))
    def enter(self, account: str, patience_s: float) -> None:
        number = self.number = self.number + 1
        counts = Counter(account for _, account, _ in self.waiting)
        victim = None
        fits = len(self.waiting) < self.SIZE
        if not fits:
            most = max(counts.values())
            fattest = next(name for name in self.turns if counts[name] == most)
            if fattest != account and most > counts[account] + 1:
                victim = next(each for each, name, _ in reversed(self.waiting) if name == fattest)
        try:
            entry = self.room.enter(
                account, self.now_s, self.resume(number), self.refuse(number), self.now_s + patience_s
            )
        except ApiError:
            assert not fits and victim is None
            return
        assert fits or victim is not None
        if victim is not None:
            assert self.refused == [victim]
            self.refused.clear()
            self.gone(victim)
        self.entries[number] = entry
        self.waiting.append((number, account, min(self.now_s + patience_s, self.now_s + WAIT_MAX_S)))
        if account not in self.turns:
            self.turns.append(account)

    def resume(self, number: int) -> Callable[[], bool]:
        def resume() -> bool:
            assert self.places > 0
            self.places -= 1
            self.served.append(number)
            return True

        return resume

    def refuse(self, number: int) -> Callable[[ApiError], None]:
        return lambda error: self.refused.append(number)

    @rule(seconds=st.sampled_from((0.1, 1.0, 4.0)))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([each for each, _, _ in self.waiting]))
        self.room.leave(self.entries[number])
        self.gone(number)

    @rule(places=st.integers(0, 3))
    def free(self, places: int) -> None:
        self.places += places
        expected_served, expected_refused, left = [], [], self.places
        while left and self.turns:
            account = self.turns[0]
            number, _, deadline_s = next(each for each in self.waiting if each[1] == account)
            self.gone(number)
            if deadline_s <= self.now_s:
                expected_refused.append(number)
                continue
            expected_served.append(number)
            left -= 1
            if account in self.turns:
                self.turns.remove(account)
                self.turns.append(account)
        self.room.serve(self.now_s)
        assert (self.served, self.refused) == (expected_served, expected_refused)
        self.served.clear()
        self.refused.clear()

    @rule()
    def expire(self) -> None:
        late = [number for number, _, deadline_s in self.waiting if deadline_s <= self.now_s]
        self.room.expire(self.now_s)
        assert self.refused == late
        self.refused.clear()
        for number in late:
            self.gone(number)

    @invariant()
    def sizes_agree(self) -> None:
        if hasattr(self, "room"):
            assert len(self.room) == len(self.waiting) <= self.SIZE


Machine.TestCase.settings = settings(max_examples=round(100 * SCALE), stateful_step_count=60)
TestMachine = Machine.TestCase
