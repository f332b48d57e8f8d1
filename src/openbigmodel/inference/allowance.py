"""So much of something a second for each account, and a burst of it at first: for work that no other limit counts.

Rule: what is there decides whether something is done; what it took may bring an account below zero, by one burst at
most, because that is often not known before.
"""

from collections.abc import Callable


class Allowance:
    """A bucket for each account, that holds `burst` and gets `per_s`. `now_s` is a clock that nobody sets."""

    def __init__(self, per_s: int, burst: int, now_s: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst_ms = self._ms(burst)
        self._now_s = now_s
        # When each account's bucket is full again; those that are full need no entry.
        self._full_ms: dict[str, int] = {}
        self._forget_ms = 0

    def __len__(self) -> int:
        """How many accounts are remembered."""
        return len(self._full_ms)

    def wait_s(self, account_id: str) -> int:
        """For how many whole seconds the account has to wait, 0 if it need not."""
        missing_ms = self._full_ms.get(account_id, 0) - self._now_ms() - self._burst_ms
        return -(-missing_ms // 1000) if missing_ms > 0 else 0

    def take(self, account_id: str, amount: int) -> None:
        """So much is used."""
        now_ms = self._now_ms()
        if now_ms >= self._forget_ms:
            self._forget_ms = now_ms + self._burst_ms
            self.forget_idle()
        full_ms = max(self._full_ms.get(account_id, 0), now_ms) + self._ms(amount)
        # Nobody waits longer than for one bucket.
        self._full_ms[account_id] = min(full_ms, now_ms + 2 * self._burst_ms)

    def forget_idle(self) -> None:
        """Forget the accounts whose buckets are full; `take` does so now and then."""
        now_ms = self._now_ms()
        self._full_ms = {account: full_ms for account, full_ms in self._full_ms.items() if full_ms > now_ms}

    def _now_ms(self) -> int:
        clock = self._now_s
        return int(clock() * 1000)

    def _ms(self, amount: int) -> int:
        return -(-amount * 1000 // self._per_s)
