"""The same world around the platform's own cashier, writer and database, on SQLite files in memory.

Only time is not real: what the writer's thread does happens when the schedule says so, and the disk fails when the
seed says so.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import msgspec

from openbigmodel.billing.audit import verify
from openbigmodel.billing.cashier import Cashier, Payer, Plans
from openbigmodel.billing.ledger import Hold, Pack
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.pricing import FREE, Price
from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.db.migrations import migrate
from tests.simulation import judge
from tests.simulation.bank import Done, Earlier, Money
from tests.simulation.faulty_sqlite import FaultyDatabase
from tests.simulation.requests import Ask, Bill, Burned, Entry, Log
from tests.simulation.virtual_loop import VirtualLoop, virtual_loop
from tests.simulation.world import EXEMPT, Parts, World

_MEMORY = Path("/dev/shm")


class NoPlans:
    """Nobody has a Coding Plan."""

    def hold(self, *_: Any) -> PlanHold | None:
        return None

    def post(self, hold: PlanHold, usage: Usage, now_ms: int) -> int:
        raise AssertionError

    def void(self, hold: PlanHold) -> None:
        raise AssertionError

    def take_back(self, hold: PlanHold) -> None:
        raise AssertionError


class PriceList:
    """The prices of the world."""

    def __init__(self, prices: dict[str, Price]) -> None:
        self._prices = prices

    def get(self, model_id: str) -> Price:
        return self._prices.get(model_id, FREE)


class CashierMoney:
    """The cashier, as the world uses it."""

    def __init__(self, cashier: Cashier, loop: VirtualLoop, names: list[str]) -> None:
        """`names` are the next ids that the cashier will give."""
        self.cashier = cashier
        self.ledger = cashier.ledger
        self._loop = loop
        self._names = names

    def hold(self, ask: Ask) -> Hold:
        payer = Payer(ask.account, exempt=ask.account in EXEMPT)
        hold = self.cashier.hold(payer, ask.model, ask.prompt_bound, ask.max_tokens)
        assert isinstance(hold, Hold)
        return hold

    def void(self, hold: Hold) -> None:
        self.cashier.void(hold)

    def find(self, ask: Ask) -> Earlier | None:
        assert ask.request_id is not None
        found = self.cashier.find_request(ask.account, ask.request_id)
        if isinstance(found, StoredReply):
            return Earlier((found.body_digest, found.reply))
        return None if found is None else Earlier(None)

    def settle(self, hold: Hold, ask: Ask, usage: Usage | None, reply: bytes | None, done: Done) -> None:
        line = UsageLine(
            log_id=ask.log_id,
            request_id=ask.request_id or ask.log_id,
            account_id=ask.account,
            api_key_id="key",
            model=ask.model,
            engine="engine",
            usage=usage or Usage(),
            finish_reason="stop",
            code="",
            started_ms=0,
            ended_ms=0,
            source="none" if usage is None else "engine" if usage.measured else "counted",
            stream=ask.stream,
        )

        def told(error: BaseException | None) -> None:
            ask.unsaved = error is not None
            done(error)

        kept = reply is not None and ask.request_id is not None
        self.cashier.settle(hold, line, told, StoredReply(ask.digest, reply or b"", 2**53) if kept else None)

    def top_up(self, entry_id: str, account: str, nano: int, done: Done) -> None:
        self._do(entry_id, self.cashier.top_up(account, nano), done)

    def adjust(self, entry_id: str, account: str, nano: int, done: Done) -> None:
        self._do(entry_id, self.cashier.adjust(account, -nano), done)

    def grant(self, pack: Pack, done: Done) -> None:
        granting = self.cashier.grant_pack(
            pack.account_id,
            pack.unit,
            pack.left,
            models=pack.models,
            gift=pack.gift,
            from_ms=pack.from_ms,
            to_ms=pack.to_ms,
        )
        self._do(pack.id, granting, done)

    def _do(self, name: str, action: Coroutine[Any, Any, object], done: Done) -> None:
        """Begin an action whose first id shall be this. Raises the ValueError with which it refuses at once."""
        self._names.append(name)
        task = self._loop.create_task(action)
        self._loop.run_ready()
        self._names.clear()
        if task.done() and isinstance(task.exception(), ValueError):
            raise ValueError(task.exception())
        task.add_done_callback(lambda task: done(task.exception()))

    def expire(self) -> None:
        self._loop.create_task(self.cashier.tend())

    def audit(self) -> list[str]:
        return [*self.cashier.audit(), *map(repr, self._loop.errors)]


class CashierWorld(World):
    """`cashier_type` may have a planted bug."""

    cashier_type: type[Cashier] = Cashier

    def __init__(self, seed: int, parts: Parts, log: Log) -> None:
        super().__init__(seed, parts, log)
        self.folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.path = self.folder / "bigmodel.db"
        self.path.write_bytes(empty_database())
        self.loop = virtual_loop(self.scope)

    def open_money(self) -> Money:
        self.loop = virtual_loop(self.scope)
        asyncio._set_running_loop(self.loop)
        self.database = FaultyDatabase(self.path, self.loop, self.scope, self.random, self.faults)
        names: list[str] = []
        self.cashier = self.cashier_type(
            self.database.database,
            PriceList(self.prices),
            self.open_plans(),
            now_ms=self.clock.now_ms,
            new_id=lambda: names.pop() if names else self.new_id(),
        )
        return CashierMoney(self.cashier, self.loop, names)

    def open_plans(self) -> Plans:
        """Those of a new process."""
        return NoPlans()

    def crash_disk(self) -> None:
        self.database.crash()

    def after_each(self) -> None:
        self.loop.run_ready()
        super().after_each()

    def finish(self) -> None:
        if self.money is not None:
            judge.check(not self.cashier.unknown, f"the fate of {self.cashier.unknown} entries is unknown")
            self.crash_disk()
        connection = apsw.Connection(str(self.path))
        add_price = "INSERT OR IGNORE INTO prices (version, model, source, body, created_ms) VALUES (?, ?, 'config', ?, 0)"
        for version, price in self.versions.items():
            connection.execute(add_price, (version, price.model, msgspec.json.encode(price).decode()))
        report = verify(self.path)
        judge.check(report.ok, f"verify: {report.problems}")
        self.read_disk(connection)
        connection.close()

    def read_disk(self, connection: apsw.Connection) -> None:
        disk = self.disk
        burns: dict[int, tuple[Burned, ...]] = {}
        for kind, amount, name, unit, account, usage_id, log_id in connection.execute(POSTINGS):
            pack_id = name.removeprefix("pack:") if name != "cash" else ""
            if kind == "pack_burn":
                burns[usage_id] = (*burns.get(usage_id, ()), Burned(pack_id, unit, -amount))
            elif kind != "post":
                entry_id = pack_id if kind == "pack_grant" else log_id
                disk.entries.append(Entry(kind, entry_id, account, amount, pack_id))
        for usage_id, *facts, made, plan_credits, code, digest, reply in connection.execute(REQUESTS):
            log_id, request_id, account, prompt, cached, completion, version, nano = facts
            usage = Usage(prompt, cached, completion)
            bill = Bill(
                log_id,
                request_id,
                account,
                usage,
                version,
                nano,
                burns.get(usage_id, ()),
                bool(made),
                None if reply is None else (digest, reply),
                plan_credits,
                code or "",
            )
            disk.write(bill)

    def close(self) -> None:
        asyncio._set_running_loop(None)
        shutil.rmtree(self.folder, ignore_errors=True)


POSTINGS = """
SELECT l.kind, iif(l.credit = l.book, l.amount, -l.amount), b.name, b.unit, b.account_id, l.usage_id, l.log_id
FROM ledger AS l JOIN books AS b ON b.id = l.book ORDER BY l.seq
"""
REQUESTS = """
SELECT
    u.id, u.log_id, u.request_id, u.account_id, u.prompt_tokens, u.cached_tokens, u.completion_tokens,
    u.price_version, u.charge, u.claims, u.plan_credits, u.code, r.body_digest, r.reply
FROM usage AS u LEFT JOIN replies AS r USING (account_id, request_id) ORDER BY u.id
"""


@cache
def empty_database() -> bytes:
    """A file with the schema and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        connection = apsw.Connection(str(path))
        connection.pragma("journal_mode", "wal")
        migrate(connection)
        connection.close()
        return path.read_bytes()
