"""Keeps the ledger in order while it runs: writes off what has ended, and audits memory against itself and the disk.

Rule: a ledger that does not add up takes no new money. The audit tells the operator, the health check and the cashier,
which then refuses whatever is to be charged (1120) until an audit is clean again: rather no request than a wrong bill.
A chain that is broken is told, too, but it is about the past, nothing mends it, and what is charged now is right: so
that is the operator's to judge.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import apsw

from openbigmodel.billing.ledger_watch import LedgerWatch, Snapshot

EXPIRY_INTERVAL_S = 1.0
AUDIT_INTERVAL_S = 60.0


class Cashier(Protocol):
    """Who is looked after."""

    problems: list[str]

    @property
    def unknown(self) -> int:
        """Of how many entries nobody knows whether they are on disk."""

    def snapshot(self) -> Snapshot:
        """What memory has of some books."""

    def audit(
        self, snapshot: Snapshot | None = None, found: Mapping[tuple[str, str], str] | None = None
    ) -> list[str]:
        """A sentence for everything that does not hold; also kept in `problems`.

        `found`: what a look at the disk did.
        """

    async def tend(self) -> None:
        """Write off packs that have ended, look again for what nobody knows of, forget old answers."""


class Storage(Protocol):
    """The database."""

    @property
    def failure(self) -> str | None:
        """Why the last write failed, None when it did not."""


class Upkeep:
    """Runs beside the server. `report` takes a line for the log, `watch` reads the disk on a thread of its own."""

    def __init__(
        self,
        cashier: Cashier,
        storage: Storage,
        report: Callable[[str], None],
        *,
        watch: LedgerWatch | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        expiry_interval_s: float = EXPIRY_INTERVAL_S,
        audit_interval_s: float = AUDIT_INTERVAL_S,
    ) -> None:
        self._cashier = cashier
        self._storage = storage
        self._report = report
        self._watch = watch
        self._unwatched = ""
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
            ("chain",): 0.0 if self._watch is None else float(len(self._watch.problems)),
        }

    async def run(self) -> None:
        """Until cancelled. What fails once is tried again, and told."""
        try:
            while True:
                await asyncio.sleep(self._expiry_interval_s)
                try:
                    await self.step()
                except Exception as error:  # noqa: BLE001  the edge of a task: one bad second must not end the upkeep
                    self._report(f"upkeep of the ledger failed: {error!r}")
        finally:
            # Before the database is: its log goes with the last who has the file open.
            if self._watch is not None:
                self._watch.close()

    async def step(self) -> None:
        """One round: expiry and a part of the chain each time, the audit when it is due."""
        await self._cashier.tend()
        await self._watch_chain()
        now_s = self._monotonic_s()
        if now_s < self._audit_due_s:
            return
        self._audit_due_s = now_s + self._audit_interval_s
        before = self._cashier.problems
        problems = await self._audit()
        for problem in problems:
            if problem not in before:
                self._report(f"THE LEDGER DOES NOT ADD UP, paid requests are refused: {problem}")
        if before and not problems:
            self._report("the ledger adds up again")

    async def _watch_chain(self) -> None:
        if self._watch is None:
            return
        try:
            problems = await self._watch.step()
        except apsw.Error as error:
            if str(error) != self._unwatched:
                self._unwatched = str(error)
                self._report(f"the ledger cannot be watched: {error}")
            return
        self._unwatched = ""
        for problem in problems:
            self._report(f"THE CHAIN OF THE LEDGER IS BROKEN, bigmodel verify tells more: {problem}")

    async def _audit(self) -> list[str]:
        if self._watch is None or self._unwatched:
            return self._cashier.audit()
        snapshot = self._cashier.snapshot()
        return self._cashier.audit(snapshot, await self._watch.compare(snapshot))
