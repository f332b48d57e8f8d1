"""A real cashier on a real database file, with prices, a clock and a plan of the test's own."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from openbigmodel.billing.audit import Report, verify
from openbigmodel.billing.cashier import Cashier, Payer
from openbigmodel.billing.plan_windows import Window
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.pricing import FREE, Band, Price
from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import Database, DatabaseFailed
from openbigmodel.errors import ApiError

START_MS = 1_790_000_000_000
DAY_MS = 24 * 3600 * 1000

# Nano-yuan per token, so that bills can be added up at a glance: 10 in, 20 out, 2 cached.
PLAIN = Price("plain", 1, (Band(10_000_000, 20_000_000, 2_000_000),))
BANDED = Price("banded", 2, (Band(10_000_000, 20_000_000), Band(30_000_000, 40_000_000, input_from=100)))
PER_CALL = Price("call", 3, per_call=7_000)
NOTHING = Price("nothing", 4)
PRICES = {price.model: price for price in (PLAIN, BANDED, PER_CALL, NOTHING)}

_INSERT_PRICE = (
    "INSERT OR IGNORE INTO prices (version, model, source, body, created_ms) VALUES (?1, ?2, 'config', ?3, 1)"
)
_INSERT_PLANNER = "INSERT OR IGNORE INTO accounts (id, name, created_ms) VALUES ('planner', 'planner', 1)"
_INSERT_PLAN = (
    "INSERT INTO plans (account_id, level, from_ms, to_ms, created_ms) SELECT 'planner', 'lite', ?1, ?2, 1 "
    "WHERE NOT EXISTS (SELECT 1 FROM plans)"
)

_Result = TypeVar("_Result")


class DictPrices:
    """Prices by model; free without one."""

    def get(self, model_id: str) -> Price:
        return PRICES.get(model_id, FREE)


class TokenPlan:
    """One plan for the account "planner": a credit is a token, and there are `left`."""

    def __init__(self) -> None:
        self.left = 1000

    def hold(
        self, account_id: str, model_id: str, prompt_bound: int, completion_bound: int, now_ms: int
    ) -> PlanHold | None:
        if account_id != "planner":
            return None
        reserved = prompt_bound + completion_bound
        if reserved > self.left:
            raise ApiError("1308", number=5, unit={"zh": "小时", "en": "hour"}, next_flush_time="later")
        self.left -= reserved
        hold = PlanHold.__new__(PlanHold)
        hold.reserved, hold.open, hold.credits = reserved, True, 0
        hold.windows = tuple[Window, ...]()
        return hold

    def post(self, hold: PlanHold, usage: Usage, now_ms: int) -> int:
        hold.credits = usage.prompt_tokens + usage.completion_tokens
        self.void(hold)
        self.left -= hold.credits
        return hold.credits

    def void(self, hold: PlanHold) -> None:
        assert hold.open
        hold.open = False
        self.left += hold.reserved

    def take_back(self, hold: PlanHold) -> None:
        self.left += hold.credits


class Desk:
    """The cashier, and what a test does with it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now_ms = START_MS
        self.plan = TokenPlan()
        self._numbers = count(1)
        # Other ids than those of an earlier desk on the same file.
        rows = database.read("SELECT (SELECT count(*) FROM usage) + (SELECT count(*) FROM ledger)")
        self._prefix = f"id-{rows[0][0]}-"
        self.cashier = Cashier(
            database, DictPrices(), self.plan, now_ms=lambda: self.now_ms, new_id=self.new_id
        )

    def new_id(self) -> str:
        """An id that is not on disk either."""
        return f"{self._prefix}{next(self._numbers)}"

    def line(
        self,
        model: str = "plain",
        prompt: int = 10,
        completion: int = 5,
        *,
        cached: int = 0,
        account_id: str = "a",
        request_id: str = "",
        **changes: Any,
    ) -> UsageLine:
        """A line as the request's end has it."""
        log_id = self.new_id()
        line = UsageLine(
            log_id=log_id,
            request_id=request_id or log_id,
            account_id=account_id,
            api_key_id="key",
            model=model,
            engine="gpu",
            usage=Usage(prompt, cached, completion, measured=True),
            finish_reason="stop",
            code="",
            started_ms=self.now_ms - 1000,
            ended_ms=self.now_ms,
        )
        return msgspec.structs.replace(line, **changes)

    def start(
        self,
        line: UsageLine,
        *,
        reply: StoredReply | None = None,
        payer: Payer | None = None,
        bounds: tuple[int, int] = (0, 0),
    ) -> tuple[UsageLine, "asyncio.Future[BaseException | None]"]:
        """Holds and settles a request; the line with its charge, and what the disk will say."""
        usage = line.usage
        hold = self.cashier.hold(
            payer or Payer(line.account_id),
            line.model,
            bounds[0] or usage.prompt_tokens,
            bounds[1] or usage.completion_tokens,
        )
        written: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        return self.cashier.settle(hold, line, written.set_result, reply), written

    async def bill(self, line: UsageLine, **how: Any) -> UsageLine:
        """Settles a request and waits for the disk."""
        charged, written = self.start(line, **how)
        error = await written
        if error is not None:
            raise error
        return charged

    def postings(self) -> list[tuple[str, int, int]]:
        """Kind, amount and balance of all postings."""
        rows = self.database.read("SELECT kind, amount, balance FROM ledger ORDER BY seq")
        return [(kind, amount, balance) for kind, amount, balance in rows]


async def until_known(desk: Desk) -> None:
    """Rounds of the timer, until everything is either on disk or taken back."""
    while True:
        # Behind all that was queued before it.
        with suppress(DatabaseFailed):
            await desk.database.write(lambda _connection: None)
        if not desk.cashier.unknown:
            return
        await desk.cashier.tend()


def add_prices(connection: apsw.Connection) -> None:
    """Stores the prices, as the price book would, and that the planner has a plan."""
    for price in PRICES.values():
        connection.execute(_INSERT_PRICE, (price.version, price.model, msgspec.json.encode(price).decode()))
    connection.execute(_INSERT_PLANNER)
    connection.execute(_INSERT_PLAN, (START_MS, START_MS + 365 * DAY_MS))


def run(
    path: Path, scenario: Callable[[Desk], Coroutine[Any, Any, _Result]], vfs: str | None = None
) -> _Result:
    """Opens the file, runs a scenario at its cash desk, closes it."""

    async def main() -> _Result:
        database = Database.open(path, vfs=vfs)
        try:
            await database.write(add_prices)
            return await scenario(Desk(database))
        finally:
            database.close()

    return asyncio.run(main())


def clean(path: Path) -> Report:
    """What verify says of a file, which must be nothing."""
    report = verify(path)
    assert report.problems == []
    assert report.ok
    return report
