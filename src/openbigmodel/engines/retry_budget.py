"""How many requests may be asked a second time: one for each ten, or a few a second where there are few requests.

When many engines fail at once, retries would double the load on the rest and bring them down as well. So a route
with ≥ 30 requests a second never makes more than 1.1 attempts for each, whatever happens; a quiet one may still try
again at once.
"""

RETRY_SHARE = 0.1
RETRIES_A_SECOND_MIN = 3
# What good times save up for a bad one: an engine that dies has all of the requests of the last seconds, and one that
# only falls silent those of the time until somebody notices.
SAVED_S = 30.0
_PERIOD_S = 1.0


class RetryBudget:
    """The retries of one route. Times are monotonic seconds."""

    __slots__ = ("_began_s", "_requests", "_saved", "_spent")

    def __init__(self, now_s: float) -> None:
        self._saved = 0.0
        # Since the period began, which is at least a second long and ends with a wish for a retry.
        self._requests = 0
        self._spent = 0
        self._began_s = now_s

    def requested(self) -> None:
        """A request was asked of an engine for the first time."""
        self._requests += 1

    def spend(self, now_s: float) -> bool:
        """Take one retry, if there is one left."""
        if self._left(now_s) < 1:
            return False
        self._spent += 1
        return True

    def plenty(self, now_s: float) -> bool:
        """Whether one would be left for somebody else."""
        return self._left(now_s) >= 2

    def _left(self, now_s: float) -> float:
        period_s = now_s - self._began_s
        if period_s >= _PERIOD_S:
            earned = RETRY_SHARE * self._requests
            left = self._saved + earned - self._spent
            self._saved = max(0.0, min(left, earned * SAVED_S / period_s))
            self._requests = self._spent = 0
            self._began_s = now_s
        return max(RETRIES_A_SECOND_MIN, self._saved + RETRY_SHARE * self._requests) - self._spent
