"""Tokens a minute where nobody has named how long the answer will be: by what answers have been, and never more for long."""

import random

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.limits import ModelLimits, Place
from tests.conftest import SCALE
from tests.unit.test_limits import MINUTE_S, World


def test_an_answer_of_unnamed_length_reserves_a_tenth_at_first_and_then_what_answers_have_been() -> None:
    world, limits = World(), ModelLimits(tpm=1000)
    places = [world.limits.enter("a", "m", limits, 0, 65_536) for _ in range(10)]
    assert world.refused(limits, tokens=1).code == "1303"
    for place in places:
        world.limits.leave(place, 20, 20)

    # 800 are left, 20 for each.
    assert len([world.limits.enter("a", "m", limits, 0, 65_536) for _ in range(40)]) == 40
    with pytest.raises(ApiError):
        world.limits.enter("a", "m", limits, 0, 65_536)


def test_a_prompt_and_a_named_length_are_reserved_whole() -> None:
    world, limits = World(), ModelLimits(tpm=1000)
    world.limits.enter("a", "m", limits, 600, 65_536)

    assert world.refused(limits, tokens=301).code == "1303"
    assert world.serves(limits, tokens=300)


def test_no_reservation_is_more_than_the_answer_may_be_or_the_bucket_holds() -> None:
    world, limits = World(), ModelLimits(tpm=1000)
    world.limits.enter("a", "m", limits, 0, 7)
    assert world.serves(limits, tokens=993)

    world = World()
    world.limits.leave(world.limits.enter("a", "m", limits, 0, 65_536), 5000, 5000)
    world.wait(300)
    place = world.limits.enter("a", "m", limits, 400, 65_536)
    assert place is not None
    assert place.reserved == 1000


def test_a_long_answer_is_forgotten_bit_by_bit() -> None:
    world, limits = World(), ModelLimits(tpm=100_000)
    reserved = []
    for used in (8000, 10, 10, 0, 10):
        place = world.limits.enter("a", "m", limits, 0, 65_536)
        assert place is not None
        reserved.append(place.reserved)
        world.limits.leave(place, used, used)

    # An answer of nothing says nothing of the next.
    assert reserved == [10_000, 8000, 7000, 6125, 6125]


def test_what_an_answer_uses_beyond_its_reservation_is_taken_while_it_goes_on() -> None:
    world, limits = World(), ModelLimits(tpm=1000)
    place = world.limits.enter("a", "m", limits, 0, 65_536)
    assert place is not None
    for used in (50, 400, 400, 950):
        world.limits.go_on(place, used)
    assert world.refused(limits, tokens=51).code == "1303"
    assert world.serves(limits, tokens=50)
    world.limits.leave(place, 960, 960)
    assert world.refused(limits, tokens=41).code == "1303"
    assert world.serves(limits, tokens=40)


@pytest.mark.parametrize("seed", range(max(3, round(5 * SCALE))))
def test_answers_of_unnamed_length_keep_to_the_limit_and_use_it(seed: int) -> None:
    """Twenty callers who ask again at once; every answer is produced at 50 tokens a second, for a fifth of an hour."""
    order, tpm, tick_s = random.Random(seed), 60_000, 0.5
    world, limits = World(), ModelLimits(tpm=tpm)
    under_way: list[tuple[Place, int, int]] = []
    produced: list[int] = []
    for _ in range(1440):
        world.wait(tick_s)
        now = 0
        for place, done, length in under_way[:]:
            more = min(25, length - done)
            now += more
            under_way.remove((place, done, length))
            if done + more == length:
                world.limits.leave(place, length, length)
            else:
                world.limits.go_on(place, done + more)
                under_way.append((place, done + more, length))
        produced.append(now)
        while len(under_way) < 60:
            try:
                found = world.limits.enter("a", "m", limits, 0, 65_536)
            except ApiError:
                break
            assert found is not None
            under_way.append((found, 0, order.randrange(200, 1000)))
    # After the first minute's burst: all of it is used, and in the long run not more.
    settled = produced[360:]
    assert sum(settled) <= tpm * len(settled) * tick_s / MINUTE_S * 1.02
    assert sum(settled) >= tpm * len(settled) * tick_s / MINUTE_S * 0.97
    for first in range(0, len(produced) - 120, 5):
        assert sum(produced[first : first + 120]) <= 2 * tpm
