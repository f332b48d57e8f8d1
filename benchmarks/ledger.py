"""What a charge costs the event loop, and how fast `bigmodel verify` reads the ledger.

    python benchmarks/ledger.py [--requests 200000]

Requests are settled in batches of 64 by the real cashier on a real file, once by an account that pays nothing and once
by one that does. Only the event loop's thread is timed: the sync is the writer's thread's.
"""

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

import msgspec

from openbigmodel.billing.audit import Report, verify
from openbigmodel.billing.cashier import Cashier, Payer
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.pricing import FREE, Band, Price
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import Database
from openbigmodel.ids import IdSource

NOW_MS = 1_790_000_000_000
BATCH = 64
ACCOUNTS = [f"{number:032x}" for number in range(50)]
PRICE = Price("glm-4.6", 1, (Band(10_000_000_000, 20_000_000_000, 2_000_000_000),))
INSERT_PRICE = "INSERT INTO prices (version, model, source, body, created_ms) VALUES (1, ?1, 'config', ?2, 1)"


class OnePrice:
    def get(self, model_id: str) -> Price:
        return PRICE if model_id == PRICE.model else FREE


class NoPlans:
    def hold(self, *_: object) -> PlanHold | None:
        return None

    def post(self, hold: PlanHold, usage: Usage, now_ms: int) -> int:
        raise NotImplementedError

    def void(self, hold: PlanHold) -> None:
        raise NotImplementedError

    def take_back(self, hold: PlanHold) -> None:
        raise NotImplementedError


def lines(ids: IdSource, dice: random.Random) -> list[UsageLine]:
    made = []
    for _ in range(BATCH):
        log_id = ids.request_id()
        made.append(
            UsageLine(
                log_id=log_id,
                request_id=log_id,
                account_id=dice.choice(ACCOUNTS),
                api_key_id="0" * 32,
                model=PRICE.model,
                engine="gpu",
                usage=Usage(dice.randrange(5000), 0, dice.randrange(3000), measured=True),
                finish_reason="stop",
                code="",
                started_ms=NOW_MS,
                ended_ms=NOW_MS + 1000,
            )
        )
    return made


async def settle(cashier: Cashier, requests: int, *, exempt: bool) -> float:
    """Microseconds of the event loop's thread for each request."""
    ids, dice, spent_s = IdSource(), random.Random(1), 0.0
    for _ in range(requests // BATCH):
        batch, written = lines(ids, dice), asyncio.get_running_loop().create_future()
        left = BATCH

        def done(error: BaseException | None) -> None:
            nonlocal left
            assert error is None
            left -= 1
            if not left:
                written.set_result(None)  # noqa: B023 - awaited before the next batch

        begun_s = time.thread_time()
        for line in batch:
            hold = cashier.hold(Payer(line.account_id, exempt), line.model, 5000, 3000)
            cashier.settle(hold, line, done)
        await written
        spent_s += time.thread_time() - begun_s
    return spent_s / requests * 1e6


async def settlements(path: Path, requests: int) -> None:
    database = Database.open(path)
    body = msgspec.json.encode(PRICE).decode()
    await database.write(lambda connection: connection.execute(INSERT_PRICE, (PRICE.model, body)))
    cashier = Cashier(database, OnePrice(), NoPlans(), now_ms=lambda: NOW_MS, new_id=IdSource().request_id)
    for account_id in ACCOUNTS:
        await cashier.top_up(account_id, 10**15)
    for exempt in (True, False):
        cost_us = await settle(cashier, requests, exempt=exempt)
        print(f"{'free' if exempt else 'charged':8} {cost_us:6.1f} us of the event loop for hold and settle")
    assert not cashier.audit()
    database.close()


def timed(path: Path, *, structure: bool) -> None:
    begun_s = time.process_time()
    report: Report = verify(path, structure=structure)
    spent_s = time.process_time() - begun_s
    assert report.ok, report.problems
    what = "with SQLite's own check of its pages" if structure else "the ledger alone"
    print(f"verify   {report.postings / spent_s:9,.0f} postings/s, {what} ({report.usage_rows} usage rows)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    requests = parser.parse_args().requests // BATCH * BATCH
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "platform.db"
        asyncio.run(settlements(path, requests))
        for structure in (False, True):
            timed(path, structure=structure)


if __name__ == "__main__":
    main()
