"""Tokens a minute: guessed by what the account's latest requests used, put right at their end, and in the long run
exact.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.limits import Limits, ModelLimits, Place
from tests.conftest import SCALE
from tests.unit.test_limits import MINUTE_S, World

ANY_LENGTH = 65_536
TPM = ModelLimits(tpm=1000)


def enters(world: World, limits: ModelLimits, prompt: int, answer: int, *, named: bool = True) -> Place:
    place = world.limits.enter("a", "m", limits, prompt, answer, named)
    assert place is not None
    return place


def test_an_answer_of_unnamed_length_reserves_a_tenth_at_first_and_then_what_answers_have_been() -> None:
    world = World()
    places = [enters(world, TPM, 0, ANY_LENGTH, named=False) for _ in range(10)]
    assert world.refused(TPM, tokens=1).code == "1303"
    for place in places:
        world.limits.leave(place, 20, 20)

    # 800 are left, 20 for each.
    for _ in range(40):
        assert enters(world, TPM, 0, ANY_LENGTH, named=False).reserved == 20
    with pytest.raises(ApiError):
        world.limits.enter("a", "m", TPM, 0, ANY_LENGTH, False)


def test_at_first_a_prompts_bytes_and_a_named_length_are_reserved_whole() -> None:
    world = World()
    assert enters(world, TPM, 600, 200).reserved == 800
    assert world.refused(TPM, tokens=201).code == "1303"


def test_then_both_are_what_they_have_been() -> None:
    world, limits = World(), ModelLimits(tpm=100_000)
    # Four bytes a token, and a hundredth of the length that was named.
    world.limits.leave(enters(world, limits, 4000, 20_000), 1200, 200)
    assert enters(world, limits, 8000, 20_000).reserved == 2000 + 200


def test_what_a_short_answer_was_says_nothing_of_a_long_one() -> None:
    world, limits = World(), ModelLimits(tpm=100_000)
    world.limits.leave(enters(world, limits, 0, 5), 3, 3)
    world.limits.leave(enters(world, limits, 0, 20_000), 2000, 2000)

    assert enters(world, limits, 0, 5).reserved == 3
    assert enters(world, limits, 0, 20_000).reserved == 2000


def test_no_reservation_is_more_than_the_answer_may_be_or_the_bucket_holds() -> None:
    world = World()
    assert enters(world, TPM, 0, 7, named=False).reserved == 7

    world = World()
    world.limits.leave(enters(world, TPM, 0, ANY_LENGTH), 5000, 5000)
    world.wait(300)
    place = enters(world, TPM, 400, ANY_LENGTH)
    assert place.reserved == 1000


def test_a_prompt_that_turns_out_longer_is_reserved_for_and_spoils_nothing() -> None:
    """Pictures: nobody knows at the beginning how many tokens they may be."""
    world, limits = World(), ModelLimits(tpm=100_000)
    for _ in range(3):
        place = enters(world, limits, 200, 100)
        world.limits.longer(place, 2800)
        world.limits.leave(place, 1600, 100)

    # Half of what they may be, all of them.
    assert enters(world, limits, 200, 100).reserved == 101 + 100  # rounded up
    place = enters(world, limits, 3000, 100)
    assert place.reserved == 1501 + 100
    world.limits.longer(place, 1000)
    assert place.reserved == 1501 + 501 + 100


def test_nothing_is_reserved_for_a_prompt_beyond_what_it_may_be() -> None:
    """An engine whose template adds more than anybody knew, or that counts wrongly."""
    world, limits = World(), ModelLimits(tpm=100_000)
    world.limits.leave(enters(world, limits, 200, 100), 1600, 100)

    assert enters(world, limits, 4000, 100).reserved == 4000 + 100


def test_longer_prompts_of_those_without_a_limit_of_tokens() -> None:
    world, limits = World(), ModelLimits(rpm=10)
    place = enters(world, limits, 200, 100)
    world.limits.longer(place, 2800)
    world.limits.leave(place, 1600, 100)
    assert place.reserved == 0


def test_the_mean_follows_the_latest_answers() -> None:
    world, limits = World(), ModelLimits(tpm=100_000)
    reserved = []
    for used in (8000, 800, 800, 0, 800):
        place = enters(world, limits, 0, ANY_LENGTH, named=False)
        reserved.append(place.reserved)
        world.limits.leave(place, used, used)

    # An answer of nothing says nothing of the next.
    assert reserved == [10_000, 8000, 7100, 6313, 6313]


def test_what_an_answer_uses_beyond_its_reservation_is_taken_while_it_goes_on() -> None:
    world = World()
    place = enters(world, TPM, 0, ANY_LENGTH, named=False)
    for used in (50, 400, 400, 950):
        world.limits.go_on(place, used)
    assert world.refused(TPM, tokens=51).code == "1303"
    assert world.serves(TPM, tokens=50)
    world.limits.leave(place, 960, 0)
    assert world.refused(TPM, tokens=41).code == "1303"
    assert world.serves(TPM, tokens=40)


def test_what_is_reserved_for_a_prompt_is_not_there_for_the_answer() -> None:
    world = World()
    place = enters(world, TPM, 500, 100)
    world.limits.go_on(place, 300)
    # 500 and 300.
    assert world.refused(TPM, tokens=201).code == "1303"
    world.limits.leave(place, 800, 0)
    assert world.serves(TPM, tokens=200)


def test_who_was_refused_for_tokens_has_used_up_no_request() -> None:
    world, limits = World(), ModelLimits(rpm=2, tpm=100, in_flight=2)
    place = enters(world, limits, 100, 0)
    for _ in range(5):
        assert "tokens a minute" in world.refused(limits, tokens=100).message("en")
    world.limits.leave(place, 0)
    assert world.serves(limits, tokens=100)


@dataclass(frozen=True)
class Crowd:
    """Callers who ask again at once; answers come at `rate` tokens a second."""

    tpm: int
    answers: Callable[[random.Random], int]
    prompts: Callable[[random.Random], int] = lambda order: 10
    bytes_per_token: float = 4.0
    bound: int = ANY_LENGTH
    named: bool = True
    rate: int = 50
    callers: int = 100

    def used(self, seed: int, minutes: int, tick_s: float = 0.5) -> list[int]:
        """Tokens of each tick: a prompt's with the end of its answer, when the engine tells."""
        order, world, limits = random.Random(seed), World(), ModelLimits(tpm=self.tpm)
        step = round(self.rate * tick_s)
        under_way: list[tuple[Place, int, int, int]] = []
        ticks = []
        for _ in range(round(minutes * MINUTE_S / tick_s)):
            world.wait(tick_s)
            used, rest = 0, []
            for place, prompt, done, length in under_way:
                if done + step < length:
                    used += step
                    world.limits.go_on(place, done + step)
                    rest.append((place, prompt, done + step, length))
                else:
                    used += length - done + prompt
                    world.limits.leave(place, prompt + length, length)
            under_way = rest
            while len(under_way) < self.callers:
                prompt, length = self.prompts(order), min(self.answers(order), self.bound)
                try:
                    place = enters(
                        world, limits, round(prompt * self.bytes_per_token), self.bound, named=self.named
                    )
                except ApiError:
                    break
                under_way.append((place, prompt, 0, length))
            ticks.append(used)
        return ticks


def always(tokens: int) -> Callable[[random.Random], int]:
    return lambda order: tokens


def about(tokens: int) -> Callable[[random.Random], int]:
    """Log-normal, as real answers are: most are short, and some are ten times as long."""
    return lambda order: max(1, round(tokens * math.exp(order.gauss(0, 0.8) - 0.32)))


CROWDS = {
    "unnamed": Crowd(60_000, lambda order: order.randrange(200, 1000), named=False),
    "half the minute is named": Crowd(60_000, always(500), always(1000), bound=32_768),
    "more than the minute is named": Crowd(60_000, always(500), always(4000), bound=65_536, rate=25),
    "long prompts": Crowd(60_000, always(500), always(16_000), bound=500, rate=25),
    "prompts of more bytes than the minute": Crowd(1_000_000, always(2000), always(300_000), bound=4096),
    "all lengths": Crowd(60_000, about(500), about(1000), bound=16_384),
    "all lengths, unnamed": Crowd(60_000, about(500), about(1000), named=False),
    "words and books": Crowd(60_000, lambda order: order.choice([5, 5, 5, 4000]), about(300), bound=8192),
}


@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
@pytest.mark.parametrize("seed", range(max(1, round(2 * SCALE))))
def test_a_steady_run_uses_the_limit_to_within_a_hundredth_whatever_is_asked_for(
    crowd: Crowd, seed: int
) -> None:
    minutes, unsettled = 90, 10
    used = crowd.used(seed, minutes)
    ticks_a_minute = len(used) // minutes

    # After the first minutes' burst: all of it is used, and not more.
    settled = sum(used[unsettled * ticks_a_minute :]) / (crowd.tpm * (minutes - unsettled))
    assert 0.99 <= settled <= 1.01
    # Nor is more than one burst used before that, whatever the first minutes were guessed to be.
    assert sum(used[: unsettled * ticks_a_minute]) <= 1.01 * crowd.tpm * (unsettled + 1)
    # No single minute is far from it, though answers are long and their lengths are not known.
    for first in range(unsettled * ticks_a_minute, len(used) - ticks_a_minute, ticks_a_minute // 4):
        assert sum(used[first : first + ticks_a_minute]) <= 2 * crowd.tpm


def test_a_limit_that_learns_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Limits.leave

    def leave(self: Limits, place: Place | None, used_tokens: int = 0, answer_tokens: int = 0) -> None:
        right(self, place, used_tokens, 0)

    monkeypatch.setattr(Limits, "leave", leave)
    for name in ("half the minute is named", "long prompts", "prompts of more bytes than the minute"):
        with pytest.raises(AssertionError):
            test_a_steady_run_uses_the_limit_to_within_a_hundredth_whatever_is_asked_for(CROWDS[name], 0)


def test_a_limit_that_forgives_what_was_beyond_a_guess_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Limits.leave

    def leave(self: Limits, place: Place | None, used_tokens: int = 0, answer_tokens: int = 0) -> None:
        assert place is not None
        right(self, place, min(used_tokens, place.reserved), min(answer_tokens, place.reserved))

    monkeypatch.setattr(Limits, "leave", leave)
    monkeypatch.setattr(Limits, "go_on", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_steady_run_uses_the_limit_to_within_a_hundredth_whatever_is_asked_for(CROWDS["all lengths"], 0)
