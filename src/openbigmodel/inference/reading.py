"""How many values an account may have read a second: a body that is refused in the end has cost its reader as much as
any other, and nothing of what else limits an account.

A bucket for each account, that holds `BURST_VALUES` and gets `VALUES_PER_S`. A body is looked at only while something
is there, and takes from it, below zero if need be, before it is read.
"""

from collections.abc import Callable

from openbigmodel.auth.api_keys import Principal
from openbigmodel.errors import ApiError
from openbigmodel.inference.allowance import Allowance

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
        self._allowance = Allowance(VALUES_PER_S, BURST_VALUES, now_s)

    def __len__(self) -> int:
        """How many accounts are remembered."""
        return len(self._allowance)

    def take(self, principal: Principal, body: bytes) -> None:
        """Before a body is read. Raises ApiError 1303 when the account has had too much read."""
        if len(body) < READING_FROM_BYTES or principal.exempt:
            return
        if wait_s := self._allowance.wait_s(principal.account_id):
            raise ApiError(
                "1303",
                retry_after_s=wait_s,
                detail_zh=f"限额：每秒读取{VALUES_PER_S}个JSON值。",
                detail_en=f"Limit: {VALUES_PER_S} JSON values are read a second.",
            )
        self._allowance.take(principal.account_id, _most_values(body))


def _most_values(body: bytes) -> int:
    """Never fewer than there are. Marks in texts count: arguments of tool calls are texts that are taken apart."""
    marks = body.translate(None, _ALL_BUT_MARKS)
    escapes = marks.count(_BACKSLASH)
    most = len(marks) - escapes
    return most + body.count(_HIDDEN) if escapes > _ESCAPES_IGNORED else most
