"""Coding Plans on a real database, with a clock of our own and restarts in between."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest

from openbigmodel.billing.periods import HOUR_MS
from openbigmodel.billing.plans import PlanHold, Plans
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import MICRO, load_catalog
from openbigmodel.db.connection import Database, DatabaseFailed
from openbigmodel.errors import ApiError
from tests.faulty_disk import FaultyDisk

CATALOG = load_catalog()
INSERT_ACCOUNT = "INSERT INTO accounts (id, name, created_ms) VALUES (?1, ?1, 0)"
INSERT_USAGE = (
    "INSERT INTO usage (log_id, request_id, account_id, api_key_id, model, engine, prompt_tokens, cached_tokens, "
    "completion_tokens, reasoning_tokens, started_ms, ended_ms, plan_credits) "
    "VALUES (?1, ?1, ?2, 'k', 'm', 'e', 0, 0, 0, 0, ?3, ?3, ?4)"
)
# A Wednesday at 15:00 in Beijing, when credits are dear.
WEDNESDAY = int(datetime.fromisoformat("2026-09-09T15:00:00+08:00").timestamp()) * 1000
DAY_MS = 24 * HOUR_MS
LITE_HOURS = 2_000 * MICRO
# More than any window has.
VERY_MUCH = Usage(completion_tokens=1_000_000_000)


class Bench:
    """A server's life on a database file; `restart` begins the next one."""

    def __init__(self, path: Path, disk: FaultyDisk | None = None) -> None:
        self.path = path
        self.kind = Plans
        self.disk = disk
        self.now_ms = WEDNESDAY
        self.ids = itertools.count(1)
        self.database = self.open()
        self.plans = self._plans()

    def _plans(self) -> Plans:
        return self.kind(self.database, CATALOG, now_ms=lambda: self.now_ms)

    def open(self) -> Database:
        return Database.open(self.path, vfs=None if self.disk is None else self.disk.name)

    def restart(self) -> None:
        self.database.close()
        self.database = self.open()
        self.plans = self._plans()

    async def account(self, account_id: str = "a", level: str | None = "lite", *, days: int = 30) -> int:
        """A new account with a plan that began a day ago; the plan's number."""
        await self.database.write(lambda connection: connection.execute(INSERT_ACCOUNT, (account_id,)))
        if level is None:
            return 0
        begin = self.now_ms - DAY_MS
        return (await self.plans.subscribe(account_id, level, begin, begin + days * DAY_MS)).id

    def hold(
        self, tokens: int = 1000, account_id: str = "a", model: str = "glm-5.3", *, prompt: int = 0
    ) -> PlanHold:
        hold = self.plans.hold(account_id, model, prompt, tokens, self.now_ms)
        assert hold is not None
        return hold

    async def post(self, hold: PlanHold, usage: Usage, account_id: str = "a") -> int:
        """As the cashier does: what it took goes into the usage row, and the caller hears when that is durable."""
        taken = self.plans.post(hold, usage, self.now_ms)
        row = (f"r{next(self.ids)}", account_id, self.now_ms, taken)
        try:
            await self.database.write(lambda connection: connection.execute(INSERT_USAGE, row))
        except DatabaseFailed:
            # Once more, as the cashier does.
            await self.database.write(lambda connection: connection.execute(INSERT_USAGE, row))
        return taken

    async def use(self, usage: Usage, account_id: str = "a", model: str = "glm-5.3") -> int:
        hold = self.hold(usage.completion_tokens, account_id, model, prompt=usage.prompt_tokens)
        return await self.post(hold, usage, account_id)

    async def fill(self, account_id: str = "a") -> None:
        """Use up the window: the last request gets what is left, whatever it took."""
        await self.use(VERY_MUCH, account_id)

    def refusal(self, tokens: int = 1000, account_id: str = "a", model: str = "glm-5.3") -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.plans.hold(account_id, model, 0, tokens, self.now_ms)
        return caught.value

    def used(self, account_id: str = "a") -> tuple[int, int]:
        quota = self.plans.quota(account_id, self.now_ms)
        assert quota is not None
        return quota.hours.used, quota.week.used


def run(folder: Path, test: Callable[[Bench], Awaitable[None]], disk: FaultyDisk | None = None) -> None:
    async def main() -> None:
        bench = Bench(folder / "a.db", disk)
        try:
            await test(bench)
        finally:
            bench.database.close()

    asyncio.run(main())
