"""The admin service on a database of its own, with a clock that a test sets."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from openbigmodel.admin.commands import Parts, admin_service
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.cashier import Cashier, Payer
from openbigmodel.billing.plans import Plans
from openbigmodel.billing.price_book import PriceBook
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import load_catalog
from openbigmodel.db.connection import Database
from openbigmodel.ids import IdSource
from openbigmodel.settings import ModelPrice, PriceBand

# 2026-11-18T11:06:40Z
NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


class Platform:
    """Ask it as the command line does; `now_ms` is its clock, `noted` counts how often uses of keys were written."""

    def __init__(self, folder: Path, configured: dict[str, ModelPrice]) -> None:
        self.now_ms = NOW_MS
        self.noted = 0
        self.database = Database.open(folder / "x.db")
        catalog = load_catalog()
        prices = PriceBook(self.database, catalog, configured, now_ms=self.clock)
        plans = Plans(self.database, catalog, now_ms=self.clock)
        self.cashier = Cashier(
            self.database, prices, plans, now_ms=self.clock, new_id=IdSource(self.clock_s).request_id
        )
        self.auth = AuthStore(self.database, folder, now_ms=self.clock)
        self.prices = prices
        parts = Parts(
            self.database,
            self.auth,
            self.cashier,
            prices,
            plans,
            self.note_used,
            routed=lambda: ["Own-Model"],
            catalogued=[model.id for model in catalog],
        )
        self.service = admin_service(parts, self.clock)

    def clock(self) -> int:
        return self.now_ms

    def clock_s(self) -> float:
        return self.now_ms / 1000

    async def note_used(self) -> None:
        self.noted += 1

    async def ask(self, command: str, **arguments: object) -> Answer:
        given = {name.rstrip("_"): value for name, value in arguments.items()}
        return await self.service.perform(command, given)

    async def refused(self, command: str, **arguments: object) -> AdminError:
        try:
            answer = await self.ask(command, **arguments)
        except AdminError as error:
            return error
        raise AssertionError(answer)

    async def account(self, **arguments: object) -> str:
        return str((await self.ask("accounts.create", name="team", **arguments))["id"])

    async def charge(self, account: str, model: str = "priced", tokens: int = 1000) -> str:
        """A request that was answered; the platform's id of it."""
        hold = self.cashier.hold(Payer(account), model, tokens, tokens)
        log_id = f"log{self.now_ms}"
        line = UsageLine(
            log_id=log_id,
            request_id=log_id,
            account_id=account,
            api_key_id="key",
            model=model,
            engine="e",
            usage=Usage(prompt_tokens=tokens, completion_tokens=tokens),
            finish_reason="stop",
            code="",
            started_ms=self.now_ms,
            ended_ms=self.now_ms,
        )
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cashier.settle(hold, line, lambda error: durable.set_result(None))
        await durable
        return log_id


# One yuan for a thousand tokens of prompt and as many of completion.
PRICED = {"priced": ModelPrice(bands=(PriceBand(input="400", output="600"),))}


def run(folder: Path, scenario: Callable[[Platform], Awaitable[Any]]) -> None:
    async def main() -> None:
        platform = Platform(folder, PRICED)
        try:
            await platform.prices.save()
            await scenario(platform)
        finally:
            platform.database.close()

    asyncio.run(main())
