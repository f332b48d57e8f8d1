"""How many requests an account has made today, for daily limits that a restart must not open anew."""

from collections.abc import Callable, Sequence
from typing import Any

from openbigmodel.db.queries import QUERIES
from openbigmodel.db.writer import Value

_COUNT = QUERIES["count_requests_since"]


class DailyCount:
    """Counts by what is on disk: sums, and the few rows that are not summed yet. Asked once a day for each limit.

    `read` is the database's.
    """

    def __init__(self, read: Callable[[str, Sequence[Value]], list[tuple[Any, ...]]]) -> None:
        self._read = read

    def __call__(self, account_id: str, model_id: str, midnight_s: int) -> int:
        """Requests since `midnight_s` (Unix, in Beijing) that an engine was asked. Raises DatabaseFailed."""
        ((count,),) = self._read(_COUNT, (account_id, model_id, midnight_s * 1000))
        return int(count)
