"""How much of what an account has stored it may have read again: requests of 300 bytes that have it read 10 MB.

A bucket for each account, that holds `BURST_BYTES` and gets `BYTES_PER_S`. What is there decides whether something is
read, and what was read is taken then, below zero if need be: its size is not known before.
"""

from collections.abc import Callable

from openbigmodel.errors import ApiError
from openbigmodel.inference.allowance import Allowance

BYTES_PER_S = 16 * 1024 * 1024
BURST_BYTES = 64 * 1024 * 1024
# What finding a row costs, in bytes that could be read instead.
_ROW_BYTES = 4096
_MEBIBYTE = 1024 * 1024


class Rereading:
    """Of all accounts. `now_s` is a clock that nobody sets."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._allowance = Allowance(BYTES_PER_S, BURST_BYTES, now_s)

    def __len__(self) -> int:
        """How many accounts are remembered."""
        return len(self._allowance)

    def check(self, account_id: str) -> None:
        """Raises ApiError 1303 when the account has had too much read."""
        if wait_s := self._allowance.wait_s(account_id):
            rate = BYTES_PER_S // _MEBIBYTE
            raise ApiError(
                "1303",
                retry_after_s=wait_s,
                detail_zh=f"限额：每秒读取{rate} MiB已存储的响应。",
                detail_en=f"Limit: {rate} MiB of stored responses are read a second.",
            )

    def note(self, account_id: str, size: int, rows: int = 1) -> None:
        """So many bytes have been read, of so many rows."""
        self._allowance.take(account_id, size + rows * _ROW_BYTES)

    def forget_idle(self) -> None:
        """Forget the accounts that have read nothing for a while."""
        self._allowance.forget_idle()
