"""Days and months of statements: they begin at midnight UTC+8, wherever the server and its reader are.

Rule: bigmodel.cn reckons in UTC+8, so a bill made here names the same days. UTC+8 is whole hours away from UTC and
knows no summer time, so every hour belongs to one day. Times are Unix milliseconds.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
OFFSET_MS = 8 * HOUR_MS
CHINA = timezone(timedelta(hours=8))

# As far as SQLite's integers of milliseconds are of use to anybody: the year 9999.
FOREVER_MS = 253_402_300_800_000

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Period(msgspec.Struct, frozen=True):
    """From `from_ms` up to, not including, `to_ms`."""

    from_ms: int = 0
    to_ms: int = FOREVER_MS


class Month(msgspec.Struct, frozen=True, order=True):
    """A calendar month of UTC+8."""

    year: int
    month: int

    @property
    def period(self) -> Period:
        """From its first midnight to that of the next month."""
        following = self.after(1)
        return Period(_midnight(self.year, self.month), _midnight(following.year, following.month))

    @property
    def dates(self) -> str:
        """First and last day as the console has them: `2024-02-01 ~ 2024-02-29`."""
        period = self.period
        return f"{day_name(period.from_ms)} ~ {day_name(period.to_ms - 1)}"

    def after(self, months: int) -> "Month":
        """This month moved by so many; may be negative."""
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(year, month + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


def parse_month(text: str) -> Month:
    """Reads `2026-11`. Raises ValueError with a sentence."""
    match = _MONTH.fullmatch(text)
    if match is None or not 1970 <= int(match[1]) < 9999 or not 1 <= int(match[2]) <= 12:
        raise ValueError(f"{text!r} is not a month like 2026-11")
    return Month(int(match[1]), int(match[2]))


def month_of(at_ms: int) -> Month:
    """The month of a moment."""
    at = datetime.fromtimestamp(at_ms / 1000, CHINA)
    return Month(at.year, at.month)


def parse_moment(text: str) -> int:
    """Reads `2026-11-21T08:00:00Z` (any offset), or a day of UTC+8 such as `2026-11-21`: its midnight.

    Raises ValueError with a sentence.
    """
    try:
        moment = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            moment = moment.replace(tzinfo=CHINA)
        if moment.tzinfo is None:
            raise ValueError
        at_ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        at_ms = -1
    if not 0 <= at_ms <= FOREVER_MS:
        raise ValueError(f"{text!r} is not a moment like 2026-11-21T08:00:00Z or a day like 2026-11-21")
    return at_ms


def parse_end(text: str) -> int:
    """Reads when something ends: a moment as above, or a day of UTC+8, the whole of which still belongs to it."""
    at_ms = parse_moment(text)
    return at_ms + DAY_MS if is_day(text) else at_ms


def is_day(text: str) -> bool:
    """Whether it is written as a day and not as a moment."""
    return _DAY.fullmatch(text) is not None


def moment_name(at_ms: int) -> str:
    """`2026-11-21T08:00:00.123Z`: in UTC, to the millisecond."""
    second, fraction = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:03}Z"


def clock_name(at_ms: int) -> str:
    """`2026-11-21 16:00:00`: in UTC+8, as the console shows times, and errors without saying so (api.md §8.2)."""
    return f"{datetime.fromtimestamp(at_ms // 1000, CHINA):%Y-%m-%d %H:%M:%S}"


def day_name(at_ms: int) -> str:
    """`2026-11-21`, the day of UTC+8."""
    return f"{datetime.fromtimestamp(at_ms // 1000, CHINA):%Y-%m-%d}"


def day_start(at_ms: int) -> int:
    """The last midnight of UTC+8."""
    return at_ms - (at_ms + OFFSET_MS) % DAY_MS


def _midnight(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=CHINA).timestamp()) * 1000


class Split(msgspec.Struct, frozen=True):
    """A period in parts, in order: [from, hours) [hours, days) [days, days_end) [days_end, hours_end) [hours_end, to).

    The middle is whole days, around it are whole hours, at the edges what is left.
    """

    from_ms: int
    hours_ms: int
    days_ms: int
    days_end_ms: int
    hours_end_ms: int
    to_ms: int


def split(period: Period, *, whole_days: bool = True) -> Split:
    """Cuts a period at hours and days; without `whole_days` the hours reach through."""
    hours = min(-(-period.from_ms // HOUR_MS) * HOUR_MS, period.to_ms)
    hours_end = max(period.to_ms // HOUR_MS * HOUR_MS, hours)
    days = min(day_start(hours + DAY_MS - 1), hours_end) if whole_days else hours_end
    days_end = max(day_start(hours_end), days)
    return Split(period.from_ms, hours, days, days_end, max(hours_end, days_end), period.to_ms)
