"""How many requests may be in flight; pure counting, nothing waits here.

Owned by the event loop, so a check and its entry are one step: no two requests can take the last place.
"""

from openbigmodel.errors import ApiError

# Asking again sooner would only meet the same crowd.
_OVERLOAD_RETRY_AFTER_S = 2


class InFlight:
    """Counts requests under way: for the platform as a whole and for each account and model.

    `platform_limit` bounds everything (1305 above it); `account_limit` one account's requests to one model (1302
    above it, api.md §9.1). None is no limit.
    """

    def __init__(self, platform_limit: int, account_limit: int | None = None) -> None:
        assert platform_limit > 0
        self._platform_limit = platform_limit
        self._account_limit = account_limit
        # A plain dict: a Counter's missing keys and deletions are calls into Python.
        self._by_account: dict[tuple[str, str], int] = {}
        self.total = 0

    def enter(self, account_id: str, model_id: str, *, unlimited: bool = False) -> None:
        """Take a place, to be given back with `leave`. Raises ApiError 1302 or 1305."""
        if self.total >= self._platform_limit:
            raise ApiError("1305", retry_after_s=_OVERLOAD_RETRY_AFTER_S)
        key = (account_id, model_id)
        held = self._by_account.get(key, 0)
        if self._account_limit is not None and not unlimited and held >= self._account_limit:
            raise ApiError("1302")
        self._by_account[key] = held + 1
        self.total += 1

    def leave(self, account_id: str, model_id: str) -> None:
        """Give the place back."""
        key = (account_id, model_id)
        held = self._by_account.get(key, 0)
        assert held > 0, "left more often than entered"
        assert self.total > 0
        if held == 1:
            del self._by_account[key]
        else:
            self._by_account[key] = held - 1
        self.total -= 1
