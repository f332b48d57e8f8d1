"""What is shown to an upstream that must not see our keys: JWTs made with them, each used for half its life.

Rule: whatever goes to such an upstream, a request or a probe, shows what `bearer` gives, and never a key.
"""

import time
from collections.abc import Callable

from openbigmodel.credentials import parse_api_key, sign_jwt

LIFETIME_MS = 30 * 60 * 1000


class Signer:
    """Makes JWTs, and keeps the latest of each key."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._made: dict[str, tuple[int, str]] = {}

    def bearer(self, key: str) -> str:
        """A JWT for a key. One that is not of the form `id.secret` cannot sign, and is shown itself."""
        clock = self._now_s
        now_ms = int(clock() * 1000)
        made_ms, bearer = self._made.get(key, (0, ""))
        if not bearer or not 0 <= now_ms - made_ms < LIFETIME_MS // 2:
            parsed = parse_api_key(key)
            bearer = key if parsed is None else sign_jwt(parsed, now_ms, LIFETIME_MS)
            self._made[key] = now_ms, bearer
        return bearer
