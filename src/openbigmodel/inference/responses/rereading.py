"""How much of what an account has stored it may have read again: requests of 300 bytes that have it read 10 MB.

A bucket for each account, that holds `BURST_BYTES` and gets `BYTES_PER_S`. What is there decides whether something is
read, and what was read is taken then, below zero if need be: its size is not known before.
"""

from collections.abc import Callable

from openbigmodel.errors import ApiError

BYTES_PER_S = 16 * 1024 * 1024
BURST_BYTES = 64 * 1024 * 1024
# What finding a row costs, in bytes that could be read instead.
_ROW_BYTES = 4096
_MEBIBYTE = 1024 * 1024


class Rereading:
    """Of all accounts. `now_s` is a clock that nobody sets."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        # When each account's bucket is full again; those that are full need no entry.
        self._full_ms: dict[str, int] = {}

    def __len__(self) -> int:
        """How many accounts are remembered."""
        return len(self._full_ms)

    def check(self, account_id: str) -> None:
        """Raises ApiError 1303 when the account has had too much read."""
        missing_ms = self._full_ms.get(account_id, 0) - self._now_ms() - _ms(BURST_BYTES)
        if missing_ms > 0:
            rate = BYTES_PER_S // _MEBIBYTE
            raise ApiError(
                "1303",
                retry_after_s=-(-missing_ms // 1000),
                detail_zh=f"限额：每秒读取{rate} MiB已存储的响应。",
                detail_en=f"Limit: {rate} MiB of stored responses are read a second.",
            )

    def note(self, account_id: str, size: int, rows: int = 1) -> None:
        """So many bytes have been read, of so many rows."""
        now_ms = self._now_ms()
        full_ms = max(self._full_ms.get(account_id, 0), now_ms) + _ms(size + rows * _ROW_BYTES)
        # Nobody waits longer than for one bucket.
        self._full_ms[account_id] = min(full_ms, now_ms + 2 * _ms(BURST_BYTES))

    def forget_idle(self) -> None:
        """Forget the accounts whose buckets are full."""
        now_ms = self._now_ms()
        self._full_ms = {account: full_ms for account, full_ms in self._full_ms.items() if full_ms > now_ms}

    def _now_ms(self) -> int:
        clock = self._now_s
        return int(clock() * 1000)


def _ms(size: int) -> int:
    return -(-size * 1000 // BYTES_PER_S)
