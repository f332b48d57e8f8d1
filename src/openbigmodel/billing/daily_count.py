"""How many requests an account has made today, for daily limits that a restart must not open anew."""

from collections.abc import Callable, Sequence
from typing import Any

from openbigmodel.db.queries import QUERIES
from openbigmodel.db.writer import Value

_COUNT = QUERIES["count_requests_since"]
_COUNT_MANY = QUERIES["count_many_requests_since"]
_FETCH_SUMMED = QUERIES["fetch_summed"]
# More rows than that, which take 2 ms, are only waiting to be summed after a start on a file that never was.
_FEW_ROWS = 5000


class DailyCount:
    """Counts by what is on disk: sums, and the few rows that are not summed yet. Asked once a day for each limit.

    `read` is the database's.
    """

    def __init__(self, read: Callable[[str, Sequence[Value]], list[tuple[Any, ...]]]) -> None:
        self._read = read

    def __call__(self, account_id: str, model_id: str, midnight_s: int, enough: int) -> int:
        """Requests since `midnight_s` (Unix, in Beijing) that an engine was asked. Raises DatabaseFailed.

        There may be more, if it is `enough` or more.
        """
        ((summed, last),) = self._read(_FETCH_SUMMED, ())
        of = (account_id, model_id, midnight_s * 1000)
        if last - summed <= _FEW_ROWS:
            ((count,),) = self._read(_COUNT, of)
        else:
            ((count,),) = self._read(_COUNT_MANY, (*of, enough))
        return int(count)
