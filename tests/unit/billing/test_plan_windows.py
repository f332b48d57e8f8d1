"""Credits, peak hours and windows; all pure."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.periods import HOUR_MS, WEEK_MS, clock_name
from openbigmodel.billing.plan_windows import (
    SteadyClock,
    credits_of,
    most_credits,
    percent_at,
    week_of,
)
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import CreditRates, load_catalog

PLAN = load_catalog().plan
GLM_5_3 = CreditRates(input=690, cached=170, output=2400)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_credits_follow_the_formula() -> None:
    # (6000 x 6.9 + 4000 x 1.7 + 1000 x 24) / 10000 = 7.22 credits.
    usage = Usage(prompt_tokens=10_000, cached_tokens=4_000, completion_tokens=1_000)
    assert credits_of(GLM_5_3, usage, 100) == 7_220_000
    assert credits_of(GLM_5_3, usage, 50) == 3_610_000
    assert credits_of(GLM_5_3, Usage(), 100) == 0


def test_credits_are_rounded_once_and_half_up() -> None:
    rates = CreditRates(input=1, cached=0, output=0)
    assert [credits_of(rates, Usage(prompt_tokens=tokens), 50) for tokens in (1, 2, 3)] == [1, 1, 2]


@given(
    rates=st.builds(
        CreditRates, input=st.integers(0, 999), cached=st.integers(0, 999), output=st.integers(0, 999)
    ),
    prompt=st.integers(0, 10**6),
    completion=st.integers(0, 10**6),
    percent=st.integers(0, 100),
    data=st.data(),
)
def test_no_request_takes_more_than_it_can(
    rates: CreditRates, prompt: int, completion: int, percent: int, data: st.DataObject
) -> None:
    used = data.draw(st.integers(0, prompt))
    usage = Usage(
        prompt_tokens=used,
        cached_tokens=data.draw(st.integers(0, used)),
        completion_tokens=data.draw(st.integers(0, completion)),
    )
    assert credits_of(rates, usage, percent) <= most_credits(rates, prompt, completion, percent)


@pytest.mark.parametrize(
    ("at", "percent"),
    [
        ("2026-09-09T14:00:00+08:00", 100),  # a Wednesday
        ("2026-09-09T17:59:59+08:00", 100),
        ("2026-09-09T13:59:59+08:00", 50),
        ("2026-09-09T18:00:00+08:00", 50),
        ("2026-09-07T15:00:00+08:00", 100),  # Monday
        ("2026-09-11T15:00:00+08:00", 100),  # Friday
        ("2026-09-12T15:00:00+08:00", 50),
        ("2026-09-13T15:00:00+08:00", 50),
        ("2026-09-09T06:00:00+00:00", 100),
        ("2026-09-09T15:00:00+00:00", 50),
    ],
)
def test_credits_are_dear_on_working_afternoons_in_beijing(at: str, percent: int) -> None:
    assert percent_at(PLAN, moment(at)) == percent


@given(st.integers(0, 4_000_000_000_000))
def test_the_peak_agrees_with_the_calendar(at_ms: int) -> None:
    china = datetime.fromtimestamp((at_ms // 1000) + 8 * 3600, UTC)
    assert percent_at(PLAN, at_ms) == (100 if china.weekday() < 5 and 14 <= china.hour < 18 else 50)


def test_weeks_begin_when_the_plan_did() -> None:
    ordered = moment("2026-09-05T09:46:00+08:00")
    assert week_of(ordered, ordered) == (ordered, ordered + WEEK_MS)
    assert week_of(ordered, ordered + WEEK_MS - 1) == (ordered, ordered + WEEK_MS)
    assert week_of(ordered, ordered + WEEK_MS) == (ordered + WEEK_MS, ordered + 2 * WEEK_MS)


def test_moments_are_written_as_on_bigmodel_cn() -> None:
    assert clock_name(moment("2026-09-09T20:24:36+00:00")) == "2026-09-10 04:24:36"


def test_a_clock_that_steps_back_stands_still_and_goes_on() -> None:
    clock = SteadyClock()
    assert clock.at(1_000_000) == 1_000_000
    assert clock.at(1_000_000 - HOUR_MS) == 1_000_000
    assert clock.at(1_000_000 - HOUR_MS + 5) == 1_000_005
    assert clock.behind_ms == HOUR_MS


def test_readings_that_crossed_do_not_make_the_clock_drift() -> None:
    clock = SteadyClock()
    for now_ms in range(10_000, 20_000, 10):
        clock.at(now_ms)
        clock.at(now_ms - 3)
    assert clock.behind_ms == 0
    assert clock.at(20_000) == 20_000


@given(st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=30))
def test_steady_time_never_goes_back(steps: list[int]) -> None:
    clock, now_ms, last = SteadyClock(), 10**13, 0
    for step in steps:
        now_ms += step
        at_ms = clock.at(now_ms)
        assert at_ms >= last
        # And never stands still for longer than what is taken for readings that crossed.
        assert at_ms >= now_ms
        last = at_ms
