"""Seats are counted, never more than there may be, and whoever waits hears of a free one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.engine_load import EngineLoad


def test_it_is_full_at_its_limit() -> None:
    load = EngineLoad("e", 2)
    fullness = []
    for _ in range(2):
        fullness.append(load.full)
        load.take()
    assert [*fullness, load.full] == [False, False, True]
    with pytest.raises(AssertionError):
        load.take()
    load.give_back(0.0)
    assert not load.full


def test_without_a_limit_it_is_never_full() -> None:
    load = EngineLoad("e")
    for _ in range(10_000):
        load.take()
    assert not load.full


def test_giving_back_more_than_was_taken_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        EngineLoad("e").give_back(0.0)


def test_who_waits_hears_only_of_places_on_a_full_engine() -> None:
    load, heard = EngineLoad("e", 2), list[float]()
    load.on_free(heard.append)
    load.take()
    load.give_back(1.0)
    assert heard == []
    load.take()
    load.take()
    load.give_back(2.0)
    assert heard == [2.0]


def test_rooms_take_turns() -> None:
    load, heard = EngineLoad("e", 1), list[str]()
    for name in "abc":
        load.on_free(lambda _, name=name: heard.append(name))  # type: ignore[misc]
    for _ in range(3):
        load.take()
        load.give_back(0.0)
    assert "".join(heard) == "abcbcacab"


def test_a_room_may_take_the_place_at_once() -> None:
    load, left = EngineLoad("e", 1), [3]

    def wake(now_s: float) -> None:
        if left[0] and not load.full:
            left[0] -= 1
            load.take()

    load.on_free(wake)
    load.on_free(wake)
    load.take()
    load.give_back(0.0)
    assert (load.in_flight, left) == (1, [2])


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_in_flight_is_what_was_taken_less_what_was_given_back(steps: list[bool], limit: int) -> None:
    load, count = EngineLoad("e", limit), 0
    for taking in steps:
        if taking and not load.full:
            load.take()
            count += 1
        elif not taking and count:
            load.give_back(0.0)
            count -= 1
        assert load.in_flight == count
        assert load.full is (count >= limit)
