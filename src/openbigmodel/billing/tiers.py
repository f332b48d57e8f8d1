"""Tiers V0 to V3: what an account spends decides which limits it has (api.md §9.1).

Rule: an account's points are the yuan that it was charged in the best of the last three calendar months of UTC+8, up
to the last midnight. They are looked at each day at 06:00 UTC+8, and when the server starts. A tier that an operator
has chosen stays: one that is not what spending last gave is left alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import apsw

from openbigmodel.billing.money import NANO_PER_YUAN
from openbigmodel.billing.periods import DAY_MS, HOUR_MS, OFFSET_MS, month_of
from openbigmodel.db.connection import Database, DatabaseClosed
from openbigmodel.db.queries import QUERIES

# From how many points on, highest first.
_FROM_POINTS = ((50_000, "V3"), (10_000, "V2"), (2_000, "V1"))
LOWEST = "V0"
MONTHS = 3
_LOOK_AT_HOUR = 6
# Accounts whose sums are read before others get a turn.
_AT_ONCE = 20
# Between looks at the clock, which may be set.
_PAUSE_S = 30.0

_SPENT = QUERIES["spent_by_account"]
_FETCH = QUERIES["fetch_spend_tier"]
_SET = QUERIES["set_spend_tier"]


class Ranked(Protocol):
    """An account, as far as tiers go."""

    @property
    def id(self) -> str: ...

    @property
    def tier(self) -> str: ...


class Accounts(Protocol):
    """Where accounts are kept."""

    def pages_of_accounts(self) -> Iterable[Sequence[Ranked]]:
        """All accounts, some at a time."""

    async def update_account(self, account_id: str, *, tier: str) -> object:
        """Give an account another tier, at once."""


def tier_of(spent_nano: int) -> str:
    """The tier of an account that was charged so much in its best month."""
    return next((tier for points, tier in _FROM_POINTS if spent_nano >= points * NANO_PER_YUAN), LOWEST)


def next_look_ms(now_ms: int) -> int:
    """The next 06:00 UTC+8 after a moment."""
    at_six = (now_ms + OFFSET_MS) // DAY_MS * DAY_MS - OFFSET_MS + _LOOK_AT_HOUR * HOUR_MS
    return at_six if at_six > now_ms else at_six + DAY_MS


def spans_of(now_ms: int) -> list[tuple[int, int]]:
    """The months that count, the latest first, each from its first moment up to the last midnight at most."""
    midnight = (now_ms + OFFSET_MS) // DAY_MS * DAY_MS - OFFSET_MS
    # The month of yesterday: on the first of a month the one before is the latest that has anything in it.
    latest = month_of(midnight - 1)
    periods = [latest.after(-back).period for back in range(MONTHS)]
    return [(period.from_ms, min(period.to_ms, midnight)) for period in periods]


class Tiers:
    """Looks at what accounts spend and sets their tiers."""

    def __init__(self, database: Database, accounts: Accounts, *, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._accounts = accounts
        self._now_ms = now_ms

    async def run(self, note: Callable[[str], None], *, pause_s: float = _PAUSE_S) -> None:
        """Look now and each morning, for as long as the database is open. `note` gets a sentence for each change."""
        while True:
            due_ms = next_look_ms(self._now_ms())
            try:
                for account_id, tier in (await self.recalculate()).items():
                    note(f"account {account_id} is now in tier {tier}")
            except DatabaseClosed:
                return
            except Exception as error:  # noqa: BLE001  the edge of a task: accounts keep the tiers that they have
                note(f"tiers could not be looked at, and will be tomorrow: {error}")
            while self._now_ms() < due_ms:  # noqa: ASYNC110  nobody tells when the clock is set
                await asyncio.sleep(pause_s)

    async def recalculate(self) -> dict[str, str]:
        """Look at every account; returns the new tiers of those that got one. Harmless when repeated."""
        now_ms = self._now_ms()
        spans = spans_of(now_ms)
        changed: dict[str, str] = {}
        for accounts in self._accounts.pages_of_accounts():
            changed |= await self._rank(accounts, spans, now_ms)
            # A turn for requests.
            await asyncio.sleep(0)
        return changed

    async def _rank(
        self, accounts: Sequence[Ranked], spans: list[tuple[int, int]], now_ms: int
    ) -> dict[str, str]:
        changed: dict[str, str] = {}
        news: list[tuple[str, str, int]] = []
        for index, account in enumerate(accounts, 1):
            rows = self._database.read(_FETCH, (account.id,))
            before = rows[0][0] if rows else LOWEST
            found = tier_of(self._best_month(account.id, spans))
            if account.tier == before != found:
                changed[account.id] = found
            if found != before:
                news.append((account.id, found, now_ms))
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
        # The accounts first: cut off between the two, the next look finds them where they belong, and only notes it.
        for account_id, tier in changed.items():
            await self._accounts.update_account(account_id, tier=tier)
        if news:

            def remember(connection: apsw.Connection) -> None:
                connection.executemany(_SET, news)

            await self._database.write(remember)
        return changed

    def _best_month(self, account_id: str, spans: list[tuple[int, int]]) -> int:
        return max(
            int(self._database.read(_SPENT, (account_id, from_ms, to_ms))[0][0]) for from_ms, to_ms in spans
        )
