import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.periods import (
    DAY_MS,
    FOREVER_MS,
    HOUR_MS,
    OFFSET_MS,
    Month,
    Period,
    clock_name,
    day_name,
    day_start,
    is_day,
    moment_name,
    month_of,
    parse_end,
    parse_moment,
    parse_month,
    split,
)

# 2026-11-01T00:00:00+08:00
NOVEMBER_MS = 1_793_462_400_000


def test_a_month_begins_at_midnight_in_china() -> None:
    november = Month(2026, 11)
    assert november.period == Period(NOVEMBER_MS, NOVEMBER_MS + 30 * DAY_MS)
    assert moment_name(november.period.from_ms) == "2026-10-31T16:00:00.000Z"
    assert november.dates == "2026-11-01 ~ 2026-11-30"
    assert str(november) == "2026-11"


def test_months_follow_each_other_without_a_gap() -> None:
    assert Month(2024, 2).dates == "2024-02-01 ~ 2024-02-29"
    assert Month(2026, 12).period.to_ms == Month(2027, 1).period.from_ms
    assert Month(2026, 12).after(1) == Month(2027, 1)
    assert Month(2026, 1).after(-1) == Month(2025, 12)
    assert Month(2026, 1).after(-13) == Month(2024, 12)
    assert Month(2025, 12) < Month(2026, 1)


def test_the_month_of_a_moment_is_that_of_china() -> None:
    assert month_of(NOVEMBER_MS) == Month(2026, 11)
    assert month_of(NOVEMBER_MS - 1) == Month(2026, 10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "2026-1",
        "26-11",
        "0000-01",
        "9999-12",
        "2026-11-01",
        "2026-11\n",
        "２０２６-11",
    ],
)
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match="is not a month like 2026-11"):
        parse_month(text)


def test_a_month_is_read_as_it_is_written() -> None:
    assert parse_month("2026-11") == Month(2026, 11)


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-10-31T16:00:00Z", NOVEMBER_MS),
        ("2026-11-01T00:00:00+08:00", NOVEMBER_MS),
        ("2026-10-31T16:00:00.250Z", NOVEMBER_MS + 250),
        ("2026-11-01", NOVEMBER_MS),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_moments_and_days(text: str, at_ms: int) -> None:
    assert parse_moment(text) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-01T00:00:00",
        "2026-13-01",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "2026-11-01T25:00:00Z",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is not a moment like"):
        parse_moment(text)


def test_names_of_moments() -> None:
    at_ms = NOVEMBER_MS + 1007
    assert moment_name(at_ms) == "2026-10-31T16:00:01.007Z"
    assert parse_moment(moment_name(at_ms)) == at_ms
    assert clock_name(at_ms) == "2026-11-01 00:00:01"
    assert day_name(at_ms) == "2026-11-01"
    assert day_name(NOVEMBER_MS - 1) == "2026-10-31"
    assert day_start(at_ms) == NOVEMBER_MS == day_start(NOVEMBER_MS)
    assert day_start(NOVEMBER_MS - 1) == NOVEMBER_MS - DAY_MS


@given(
    from_ms=st.integers(0, 10 * DAY_MS) | st.integers(0, 240).map(lambda hours: hours * HOUR_MS),
    length_ms=st.integers(0, 4 * DAY_MS)
    | st.integers(0, 100).map(lambda hours: hours * HOUR_MS)
    | st.just(FOREVER_MS),
    whole_days=st.booleans(),
)
def test_a_period_is_cut_at_hours_and_days(from_ms: int, length_ms: int, whole_days: bool) -> None:
    period = Period(from_ms, min(from_ms + length_ms, FOREVER_MS))
    cut = split(period, whole_days=whole_days)
    places = [cut.from_ms, cut.hours_ms, cut.days_ms, cut.days_end_ms, cut.hours_end_ms, cut.to_ms]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (period.from_ms, period.to_ms)
    if cut.hours_ms < cut.hours_end_ms:
        assert cut.hours_ms % HOUR_MS == cut.hours_end_ms % HOUR_MS == 0
        # What is read line by line is less than an hour at each end.
        assert max(cut.hours_ms - from_ms, cut.to_ms - cut.hours_end_ms) < HOUR_MS
    else:
        assert period.to_ms - period.from_ms < 2 * HOUR_MS
    if cut.days_ms < cut.days_end_ms:
        assert whole_days
        assert (cut.days_ms + OFFSET_MS) % DAY_MS == (cut.days_end_ms + OFFSET_MS) % DAY_MS == 0
        assert max(cut.days_ms - cut.hours_ms, cut.hours_end_ms - cut.days_end_ms) < DAY_MS


def test_an_end_that_is_a_day_is_the_end_of_the_day() -> None:
    assert parse_end("2027-01-31") == parse_moment("2027-01-31T16:00:00Z") == parse_moment("2027-02-01")
    assert parse_end("2027-01-31T00:00:00Z") == parse_moment("2027-01-31T00:00:00Z")
    assert parse_end("9999-12-31") == parse_moment("9999-12-31T16:00:00Z")
    assert (is_day("2027-01-31"), is_day("2027-01-31T00:00:00Z"), is_day("never")) == (True, False, False)
    with pytest.raises(ValueError, match="is not a moment"):
        parse_end("2027-01-32")
