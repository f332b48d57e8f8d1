"""Identifiers in the forms that clients of bigmodel.cn know (api.md §1.1).

Time and randomness are passed in, so a test can fix both.
"""

import os
import struct
import time
from collections.abc import Callable

# The platform's clock face is UTC+8 wherever the server stands: ids sort with those of bigmodel.cn.
_UTC_PLUS_8_S = 8 * 3600
_ID_BYTES = 8
# Drawn at once: a system call for each id would cost more than all the rest of it.
_IDS_PER_DRAW = 32
_NUMBERS = struct.Struct(f">{_IDS_PER_DRAW}q")


class IdSource:
    """Makes request ids and tool-call ids.

    `now_s` gives Unix seconds, `random_bytes` unpredictable bytes.
    """

    def __init__(
        self,
        now_s: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._now_s = now_s
        self._random_bytes = random_bytes
        self._second = -1
        self._prefix = ""
        self._endings: list[str] = []
        self._numbers: list[int] = []

    def request_id(self) -> str:
        """`yyyyMMddHHmmss` in UTC+8 and 16 hex digits: also the completion's id."""
        clock = self._now_s
        second = int(clock())
        if second != self._second:
            # strftime costs more than all the rest, and a busy server asks thousands of times a second.
            self._prefix = time.strftime("%Y%m%d%H%M%S", time.gmtime(second + _UTC_PLUS_8_S))
            self._second = second
        if not self._endings:
            drawn = self._random_bytes(_IDS_PER_DRAW * _ID_BYTES).hex(" ", _ID_BYTES)
            self._endings = drawn.split(" ")[::-1]
        return self._prefix + self._endings.pop()

    def tool_call_number(self) -> int:
        """A signed 63-bit number; the calls of one reply count up from it."""
        if not self._numbers:
            self._numbers = [number >> 1 for number in _NUMBERS.unpack(self._random_bytes(_NUMBERS.size))]
        return self._numbers.pop()


def tool_call_id(first: int, index: int) -> str:
    """`call_` and a signed integer; consecutive within a reply."""
    return f"call_{first + index}"
