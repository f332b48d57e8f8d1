"""Keeps the ledger in order while it runs: writes off what has ended, and audits memory against itself and the disk.

Rule: a ledger that does not add up takes no new money. The audit tells the operator, the health check and the cashier,
which then refuses whatever is to be charged (1120) until an audit is clean again: rather no request than a wrong bill.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

EXPIRY_INTERVAL_S = 1.0
AUDIT_INTERVAL_S = 60.0


class Cashier(Protocol):
    """Who is looked after."""

    problems: list[str]

    @property
    def unknown(self) -> int:
        """Of how many entries nobody knows whether they are on disk."""

    def audit(self) -> list[str]:
        """A sentence for everything that does not hold; also kept in `problems`."""

    async def expire(self) -> None:
        """Write off packs that have ended, look again for what nobody knows of, forget old answers."""


class Storage(Protocol):
    """The database."""

    @property
    def failure(self) -> str | None:
        """Why the last write failed, None when it did not."""


class Upkeep:
    """Runs beside the server. `report` takes a line for the log."""

    def __init__(
        self,
        cashier: Cashier,
        storage: Storage,
        report: Callable[[str], None],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        expiry_interval_s: float = EXPIRY_INTERVAL_S,
        audit_interval_s: float = AUDIT_INTERVAL_S,
    ) -> None:
        self._cashier = cashier
        self._storage = storage
        self._report = report
        self._monotonic_s = monotonic_s
        self._expiry_interval_s = expiry_interval_s
        self._audit_interval_s = audit_interval_s
        self._audit_due_s = monotonic_s()

    @property
    def failure(self) -> str | None:
        """Why nothing should be charged now; None while all is well. For the health check."""
        problems = self._cashier.problems
        return self._storage.failure or (f"the ledger does not add up: {problems[0]}" if problems else None)

    def gauges(self) -> dict[tuple[str, ...], float]:
        """(kind) → how many, for metrics."""
        return {
            ("problem",): float(len(self._cashier.problems)),
            ("unknown",): float(self._cashier.unknown),
        }

    async def run(self) -> None:
        """Until cancelled. What fails once is tried again, and told."""
        while True:
            await asyncio.sleep(self._expiry_interval_s)
            try:
                await self.step()
            except Exception as error:  # noqa: BLE001  the edge of a task: one bad second must not end the upkeep
                self._report(f"upkeep of the ledger failed: {error!r}")

    async def step(self) -> None:
        """One round: expiry each time, the audit when it is due."""
        await self._cashier.expire()
        now_s = self._monotonic_s()
        if now_s < self._audit_due_s:
            return
        self._audit_due_s = now_s + self._audit_interval_s
        before = self._cashier.problems
        problems = self._cashier.audit()
        for problem in problems:
            if problem not in before:
                self._report(f"THE LEDGER DOES NOT ADD UP, paid requests are refused: {problem}")
        if before and not problems:
            self._report("the ledger adds up again")
