"""How many values an account may have read a second: a body that is refused in the end has cost its reader as much as
any other, and nothing of what else limits an account.

A bucket for each account, that holds `BURST_VALUES` and gets `VALUES_PER_S`. A body is looked at only while something
is there, and takes from it, below zero if need be, before it is read.
"""

from collections.abc import Callable

from openbigmodel.auth.api_keys import Principal
from openbigmodel.errors import ApiError

# A value takes 0.3 to 0.8 µs at worst.
VALUES_PER_S = 500_000
BURST_VALUES = 2_000_000
# Who sends less cannot say much at a time.
READING_FROM_BYTES = 32 * 1024
_MARKS = b",:[{"
_BACKSLASH = b"\\"
_ALL_BUT_MARKS = bytes(set(range(256)) - set(_MARKS + _BACKSLASH))
# As many marks at most can be hidden by so many escapes. Ordinary texts of hundreds of kilobytes have fewer.
_ESCAPES_IGNORED = 10_000
_HIDDEN = b"\\u00"


class Reading:
    """Of all accounts. `now_s` is a clock that nobody sets."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        # When each account's bucket is full again; those that are full need no entry.
        self._full_ms: dict[str, int] = {}
        self._forget_ms = 0

    def __len__(self) -> int:
        """How many accounts are remembered."""
        return len(self._full_ms)

    def take(self, principal: Principal, body: bytes) -> None:
        """Before a body is read. Raises ApiError 1303 when the account has had too much read."""
        if len(body) < READING_FROM_BYTES or principal.exempt:
            return
        account_id = principal.account_id
        clock, burst_ms = self._now_s, _ms(BURST_VALUES)
        now_ms = int(clock() * 1000)
        full_ms = max(self._full_ms.get(account_id, 0), now_ms)
        missing_ms = full_ms - now_ms - burst_ms
        if missing_ms > 0:
            raise ApiError(
                "1303",
                retry_after_s=-(-missing_ms // 1000),
                detail_zh=f"限额：每秒读取{VALUES_PER_S}个JSON值。",
                detail_en=f"Limit: {VALUES_PER_S} JSON values are read a second.",
            )
        if now_ms >= self._forget_ms:
            self._forget_ms = now_ms + burst_ms
            self._full_ms = {account: full for account, full in self._full_ms.items() if full > now_ms}
        # Nobody waits longer than for one bucket.
        self._full_ms[account_id] = min(full_ms + _ms(_most_values(body)), now_ms + 2 * burst_ms)


def _most_values(body: bytes) -> int:
    """Never fewer than there are. Marks in texts count: arguments of tool calls are texts that are taken apart."""
    marks = body.translate(None, _ALL_BUT_MARKS)
    escapes = marks.count(_BACKSLASH)
    most = len(marks) - escapes
    return most + body.count(_HIDDEN) if escapes > _ESCAPES_IGNORED else most


def _ms(values: int) -> int:
    return -(-values * 1000 // VALUES_PER_S)
