"""Limits in virtual time: never one request more than allowed, hardly one less, and nothing is kept of who is idle."""

import random
from bisect import bisect_right
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel import limits as limits_module
from openbigmodel.errors import ApiError
from openbigmodel.limits import Limits, ModelLimits, Place
from tests.conftest import SCALE

MINUTE_S = 60.0
# 2026-03-01 00:00 in Beijing.
MIDNIGHT_S = 1_772_294_400.0


class World:
    """Limits with two clocks that stand still."""

    def __init__(self, platform_limit: int = 1_000_000) -> None:
        self.now_s = 5_000.0
        self.wall_s = MIDNIGHT_S
        self.limits = Limits(platform_limit, now_s=lambda: self.now_s, wall_s=lambda: self.wall_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds

    def asks(
        self, limits: ModelLimits | None, *, account: str = "a", model: str = "m", tokens: int = 0
    ) -> Place | None:
        return self.limits.enter(account, model, limits, tokens)

    def refused(
        self, limits: ModelLimits | None, *, account: str = "a", model: str = "m", tokens: int = 0
    ) -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.limits.enter(account, model, limits, tokens)
        return caught.value

    def serves(self, limits: ModelLimits, *, account: str = "a", tokens: int = 0, used: int = 0) -> bool:
        """A request that is over at once; False if it was refused."""
        try:
            place = self.limits.enter(account, "m", limits, tokens)
        except ApiError:
            return False
        self.limits.leave(place, used)
        return True


def test_the_platform_limit_is_1305_with_a_time_to_wait() -> None:
    world = World(platform_limit=2)
    world.asks(None)
    world.asks(ModelLimits(in_flight=5), account="b")

    error = world.refused(None, account="c")

    assert (error.code, error.retry_after_s) == ("1305", 2)
    assert world.limits.total == 2


def test_an_account_has_its_own_limit_for_each_model() -> None:
    world, one = World(), ModelLimits(in_flight=1)
    world.asks(one)
    world.asks(one, model="n")
    world.asks(one, account="b")

    error = world.refused(one)

    assert (error.code, error.retry_after_s) == ("1302", 1)
    assert error.message("en").endswith("Limit: 1 requests at once.")
    assert error.message("zh").endswith("限额：1个并发请求。")


def test_who_has_no_limits_knows_only_the_platforms() -> None:
    world = World(platform_limit=1000)
    for _ in range(1000):
        assert world.asks(None) is None

    assert world.refused(None).code == "1305"
    assert len(world.limits) == 0


def test_leaving_makes_room() -> None:
    world, one = World(platform_limit=1), ModelLimits(in_flight=1)
    world.limits.leave(world.asks(one))
    world.asks(one)

    assert world.limits.total == 1


@pytest.mark.parametrize("first", [Limits.leave, Limits.take_back])
@pytest.mark.parametrize("second", [Limits.leave, Limits.take_back])
def test_leaving_twice_is_a_bug(first: Callable[..., None], second: Callable[..., None]) -> None:
    world = World()
    world.asks(None, account="another")
    place = world.asks(ModelLimits(in_flight=1))
    first(world.limits, place)
    with pytest.raises(AssertionError):
        second(world.limits, place)


@pytest.mark.parametrize("leave", [Limits.leave, Limits.take_back])
def test_leaving_more_often_than_entering_is_a_bug(leave: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        leave(World().limits, None)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("mn"), st.booleans()), max_size=60))
def test_counts_always_add_up(steps: list[tuple[str, str, bool]]) -> None:
    world, two = World(platform_limit=5), ModelLimits(in_flight=2)
    held: list[tuple[tuple[str, str], Place | None]] = []
    for account, model, entering in steps:
        key = (account, model)
        mine = [each for each in held if each[0] == key]
        if entering:
            full = len(held) >= 5 or len(mine) >= 2
            try:
                held.append((key, world.asks(two, account=account, model=model)))
                assert not full
            except ApiError:
                assert full
        elif mine:
            held.remove(mine[0])
            world.limits.leave(mine[0][1])
        assert world.limits.total == len(held)


# requests a minute


def test_a_minutes_worth_passes_after_rest_then_one_at_a_time() -> None:
    world, limits = World(), ModelLimits(rpm=6)
    assert [world.serves(limits) for _ in range(8)] == [True] * 6 + [False] * 2

    error = world.refused(limits)
    assert (error.code, error.retry_after_s) == ("1303", 10)
    assert error.message("en").endswith("Limit: 6 requests a minute.")
    world.wait(9.999)
    assert world.refused(limits).retry_after_s == 1
    world.wait(0.001)
    assert world.serves(limits)
    assert not world.serves(limits)


@given(st.integers(1, 100_000), st.floats(0, 120))
def test_waiting_for_as_long_as_was_told_is_enough(rpm: int, pause_s: float) -> None:
    world, limits = World(), ModelLimits(rpm=rpm)
    for _ in range(min(rpm, 1000)):
        assert world.serves(limits)
    world.wait(pause_s)
    while world.serves(limits) and rpm <= 1000:
        pass
    if rpm <= 1000:
        wait_s = world.refused(limits).retry_after_s
        assert wait_s is not None and wait_s >= 1
        world.wait(wait_s)
        assert world.serves(limits)


def admitted_beyond(times: list[float], limit: int) -> float:
    """By how much any 60 s window goes beyond the documented burst: twice the limit, for the seconds that it has."""
    return max(
        (bisect_right(times, start + MINUTE_S) - index - 2 * limit for index, start in enumerate(times)),
        default=0,
    )


def arrivals(seed: int, rpm: int, seconds: float) -> list[float]:
    """Bursts at the edges of minutes, silence, and a steady crowd, in turn."""
    order, now_s, times = random.Random(seed), 0.0, []
    while now_s < seconds:
        match order.randrange(4):
            case 0:
                times += [now_s] * order.randrange(1, 3 * rpm)
                now_s += order.choice([0.001, 1.0, 59.999, 60.0])
            case 1:
                now_s = (now_s // MINUTE_S + 1) * MINUTE_S - order.choice([0.0, 0.000_001, 0.5])
            case 2:
                now_s += order.random() * 90
            case 3:
                for _ in range(rpm):
                    now_s += order.random() * 60 / rpm
                    times.append(now_s)
    return times


@pytest.mark.parametrize("seed", range(max(5, round(20 * SCALE))))
def test_no_window_ever_sees_more_than_the_burst_and_the_refill(seed: int) -> None:
    rpm = random.Random(seed).choice([1, 3, 60, 500])
    world, limits = World(), ModelLimits(rpm=rpm)
    start_s = world.now_s
    admitted = []
    for at_s in sorted(arrivals(seed, rpm, 1200)):
        world.now_s = start_s + at_s
        if world.serves(limits):
            admitted.append(at_s)

    assert admitted_beyond(admitted, rpm) <= 0
    # Shorter windows as well: rpm at once, and rpm/60 more each second.
    for first, at_s in enumerate(admitted[:200]):
        for last in range(first, min(first + 3 * rpm, len(admitted))):
            assert last - first + 1 <= rpm + rpm * (admitted[last] - at_s) / MINUTE_S + 1e-6


@pytest.mark.parametrize("rpm", [1, 7, 60, 999, 60_000])
def test_a_steady_run_is_let_through_to_within_a_hundredth(rpm: int) -> None:
    world, limits = World(), ModelLimits(rpm=rpm)
    while world.serves(limits):
        pass
    step_s = 60 / rpm / 3
    offered = 3 * max(rpm, 200)
    start_s = world.now_s
    served = 0
    for number in range(offered):
        world.now_s = start_s + number * step_s
        served += world.serves(limits)
    allowed = rpm * (offered * step_s) / MINUTE_S

    assert 0.99 * allowed - 1 <= served <= allowed + 1


def test_a_limit_that_is_changed_holds_from_then_on() -> None:
    world = World()
    for _ in range(60):
        assert world.serves(ModelLimits(rpm=60))
    # What was used up stays used up, of the new bucket.
    assert world.refused(ModelLimits(rpm=6)).retry_after_s == 10
    assert world.serves(ModelLimits(rpm=120))
    world.wait(60)
    assert [world.serves(ModelLimits(rpm=2)) for _ in range(3)] == [True, True, False]


def test_a_request_that_was_taken_back_never_came() -> None:
    world, limits = World(), ModelLimits(in_flight=1, rpm=1, tpm=100, daily=1)
    for _ in range(5):
        world.limits.take_back(world.asks(limits, tokens=100))

    assert world.limits.total == 0
    assert world.serves(limits, tokens=100)
    assert not world.serves(limits)


# tokens a minute


def test_what_was_reserved_and_not_used_comes_back() -> None:
    world, limits = World(), ModelLimits(tpm=1000)
    place = world.asks(limits, tokens=800)
    error = world.refused(limits, tokens=800)
    assert (error.code, error.retry_after_s) == ("1303", 36)
    assert error.message("en").endswith("Limit: 1000 tokens a minute.")
    world.limits.leave(place, 100)

    assert world.serves(limits, tokens=900, used=900)
    assert not world.serves(limits, tokens=1)


def test_a_request_larger_than_the_bucket_waits_for_all_of_it_and_pays_the_rest_later() -> None:
    world, limits = World(), ModelLimits(tpm=1000)
    assert world.serves(limits, tokens=5000, used=3000)

    assert world.refused(limits, tokens=1).retry_after_s == 121
    world.wait(120.06)
    assert world.serves(limits, tokens=1, used=1)


def test_a_request_that_says_nothing_of_its_size_reserves_a_token() -> None:
    world, limits = World(), ModelLimits(tpm=2)
    places = [world.asks(limits), world.asks(limits)]

    assert world.refused(limits).code == "1303"
    for place in places:
        world.limits.leave(place, 0)
    assert world.serves(limits, tokens=2)


@pytest.mark.parametrize("seed", range(max(5, round(30 * SCALE))))
def test_tokens_in_any_minute_stay_within_the_burst_and_the_refill(seed: int) -> None:
    order = random.Random(seed)
    tpm = order.choice([100, 6_000, 1_000_000])
    world, limits = World(), ModelLimits(tpm=tpm)
    events: list[tuple[float, int]] = []
    under_way: list[tuple[Place | None, int, int]] = []
    for _ in range(3000):
        world.wait(order.choice([0.0, 0.01, 1.0, 5.0]) * order.random())
        if under_way and order.random() < 0.5:
            place, reserved, used = under_way.pop(order.randrange(len(under_way)))
            world.limits.leave(place, used)
            events.append((world.now_s, used - reserved))
            continue
        tokens = order.randrange(1, tpm)
        try:
            under_way.append((world.asks(limits, tokens=tokens), tokens, order.randrange(tokens + 1)))
        except ApiError:
            continue
        events.append((world.now_s, tokens))

    # What is taken less what comes back, in every window that begins with an event.
    assert len(events) > 500
    for first in range(0, len(events), 7):
        taken = 0
        for at_s, tokens in events[first:]:
            taken += tokens
            assert taken <= tpm + tpm * (at_s - events[first][0]) / MINUTE_S + 1


@pytest.mark.parametrize("reserve_factor", [1, 3])
def test_a_steady_run_uses_the_tokens_to_within_a_hundredth(reserve_factor: int) -> None:
    world, limits = World(), ModelLimits(tpm=60_000)
    while world.serves(limits, tokens=500, used=500):
        pass
    start_s, used = world.now_s, 0
    # Always somebody there who asks; each is served within the step.
    for number in range(60_000):
        world.now_s = start_s + number * 0.01
        if world.serves(limits, tokens=500 * reserve_factor, used=500):
            used += 500
    allowed = 60_000 * 600 / MINUTE_S

    assert 0.99 * allowed - 1500 <= used <= allowed + 500


# requests a day


def test_a_day_ends_at_midnight_in_beijing() -> None:
    world, limits = World(), ModelLimits(daily=2)
    world.wait(23 * 3600)
    assert [world.serves(limits) for _ in range(3)] == [True, True, False]
    error = world.refused(limits)

    assert (error.code, error.retry_after_s) == ("1304", 3600)
    assert error.message("en").endswith("Limit: 2 requests a day.")
    world.wait(3599)
    assert world.refused(limits).retry_after_s == 1
    world.wait(1)
    assert world.serves(limits)


def test_a_clock_that_steps_back_over_midnight_opens_nothing() -> None:
    world, limits = World(), ModelLimits(daily=1)
    assert world.serves(limits)
    world.wall_s -= 10
    assert not world.serves(limits)
    world.wall_s += 10
    assert not world.serves(limits)
    world.wall_s += 365 * 86_400
    assert world.serves(limits)
    # A clock that was a year ahead does not lock anybody out for a year.
    world.wall_s -= 365 * 86_400
    assert world.serves(limits)


def test_what_was_asked_for_before_a_restart_counts() -> None:
    world, asked = World(), []

    def earlier(account_id: str, model_id: str, midnight_s: int, enough: int) -> int:
        asked.append((account_id, model_id, midnight_s, enough))
        return 2

    world.wait(3600)
    world.limits = Limits(5, now_s=lambda: world.now_s, wall_s=lambda: world.wall_s, earlier=earlier)
    assert [world.serves(ModelLimits(daily=3)) for _ in range(3)] == [True, False, False]
    assert asked == [("a", "m", int(MIDNIGHT_S), 3)]
    world.wait(86_400)
    assert [world.serves(ModelLimits(daily=3)) for _ in range(4)] == [True, True, True, False]
    assert len(asked) == 1  # from the second day on it is known here


def test_a_fault_in_asking_what_was_before_takes_nothing() -> None:
    def earlier(account_id: str, model_id: str, midnight_s: int, enough: int) -> int:
        raise OSError("the disk")

    world = World()
    world.limits = Limits(5, now_s=lambda: world.now_s, wall_s=lambda: world.wall_s, earlier=earlier)
    with pytest.raises(OSError, match="the disk"):
        world.asks(ModelLimits(in_flight=1, rpm=1, tpm=1, daily=3), tokens=1)
    world.limits.forget_idle()
    assert (world.limits.total, len(world.limits)) == (0, 0)


# memory


def test_a_million_idle_accounts_are_forgotten() -> None:
    world, limits = World(), ModelLimits(in_flight=2, rpm=60, tpm=1000)
    most = 0
    for number in range(1_000_000):
        world.limits.leave(world.limits.enter(f"account-{number}", "m", limits, 10), 10)
        if number % 10_000 == 0:
            world.wait(1)
            world.limits.forget_idle()
            most = max(most, len(world.limits))
    # 10,000 new ones a second, each remembered for about a second of its own and a minute until it is looked at.
    assert most < 700_000
    for _ in range(240):
        world.wait(1)
        world.limits.forget_idle()

    assert len(world.limits) == 0


def test_without_any_sweep_not_much_more_than_twice_the_busy_are_remembered() -> None:
    world, limits = World(), ModelLimits(rpm=60)
    for number in range(50_000):
        world.wait(0.001)
        # Each is idle a second after it has asked.
        world.limits.leave(world.asks(limits, account=f"account-{number}"))
        assert len(world.limits) <= 2100
    assert len(world.limits) >= 1000


def test_who_is_not_idle_is_remembered() -> None:
    world = World()
    busy = world.asks(ModelLimits(in_flight=1), account="busy")
    world.asks(ModelLimits(rpm=1), account="asked before")
    world.limits.leave(world.asks(ModelLimits(daily=1), account="used up today"))
    world.limits.forget_idle()
    assert len(world.limits) == 3

    world.wait(3600)
    world.limits.forget_idle()
    assert world.refused(ModelLimits(in_flight=1), account="busy").code == "1302"
    assert world.refused(ModelLimits(daily=1), account="used up today").code == "1304"
    world.limits.leave(busy)
    world.wait(86_400)
    world.limits.forget_idle()
    assert len(world.limits) == 1  # the request that never left


# planted


class FixedWindow:
    """The usual mistake: a counter that begins anew each minute, so twice the limit passes around its edge."""

    def __init__(self, rate: int) -> None:
        self._window = -1
        self._left = rate

    def take(self, units: int, rate: int, now_us: int) -> int:
        if now_us // 60_000_000 != self._window:
            self._window, self._left = now_us // 60_000_000, rate
        if self._left < units:
            return 60_000_000 - now_us % 60_000_000
        self._left -= units
        return 0

    def full(self, now_us: int) -> bool:
        return now_us // 60_000_000 != self._window


class Leaky:
    """Another: the refill is rounded to whole units at each look, so a steady run never gets what is its own."""

    def __init__(self, rate: int) -> None:
        self._level, self._at_us = rate, 0

    def take(self, units: int, rate: int, now_us: int) -> int:
        self._level = min(rate, self._level + (now_us - self._at_us) * rate // 60_000_000)
        self._at_us = now_us
        if self._level < units:
            return 1
        self._level -= units
        return 0


def test_a_fixed_window_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_Bucket", FixedWindow)
    with pytest.raises(AssertionError):
        test_no_window_ever_sees_more_than_the_burst_and_the_refill(1)


def test_a_bucket_that_loses_fractions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_Bucket", Leaky)
    with pytest.raises(AssertionError):
        test_a_steady_run_is_let_through_to_within_a_hundredth(60)


def test_a_limit_that_forgets_to_give_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module._Bucket, "give_back", lambda self, units: None)
    with pytest.raises(AssertionError):
        test_a_steady_run_uses_the_tokens_to_within_a_hundredth(3)


def test_a_memory_that_keeps_everybody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "forget_idle", lambda self: None)
    with pytest.raises(AssertionError):
        test_who_is_not_idle_is_remembered()
