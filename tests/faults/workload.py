"""Everything that moves money, at random and many at once, with a note of what was acknowledged."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.db.connection import DatabaseFailed
from openbigmodel.errors import ApiError
from tests.cash_desk import DAY_MS, Desk

ACCOUNTS = ("a", "b", "planner", "poor")
MODELS = ("plain", "plain", "banded", "call", "nothing", "unheard-of")


class Receipt(NamedTuple):
    """What the caller of a request was told that it cost."""

    log_id: str
    charge: int
    pack_tokens: int
    pack_calls: int


class Workload:
    """Random business at a cash desk.

    `receipts` are the charges that were acknowledged, `memos` the operator's actions, each with a memo of its own.
    """

    def __init__(self, desk: Desk, dice: random.Random, receipts: list[Receipt], memos: list[str]) -> None:
        self._desk = desk
        self._dice = dice
        self._under_way: set[asyncio.Future[Any]] = set()
        self.receipts = receipts
        self.memos = memos

    async def run(self, steps: int) -> None:
        """So many steps; returns when all of them have been answered."""
        if not self._desk.cashier.balance("a")[0]:
            for account_id in ACCOUNTS[:3]:
                self._begin(self._desk.cashier.top_up, account_id, 10**6)
        for _ in range(steps):
            self._step()
            if self._dice.random() < 0.4:
                await asyncio.sleep(0)
            elif self._dice.random() < 0.3 and self._under_way:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _step(self) -> None:
        dice, desk, number = self._dice, self._desk, self._dice.random()
        account_id = dice.choice(ACCOUNTS)
        if number < 0.75:
            self._request(account_id)
        elif number < 0.8:
            self._begin(desk.cashier.top_up, account_id, dice.randrange(1, 10**5))
        elif number < 0.85:
            self._begin(desk.cashier.adjust, account_id, dice.randrange(-1000, 10**4) or 1)
        elif number < 0.9:
            self._grant(account_id)
        elif number < 0.95 and self.receipts:
            part = dice.randrange(1, 500) if dice.random() < 0.5 else None
            self._begin(desk.cashier.refund, dice.choice(self.receipts).log_id, part)
        else:
            desk.now_ms += dice.randrange(DAY_MS // 4)
            self._wait_for(asyncio.ensure_future(desk.cashier.tend()))

    def _grant(self, account_id: str) -> None:
        dice, now_ms = self._dice, self._desk.now_ms
        calls = dice.random() < 0.3
        self._begin(
            self._desk.cashier.grant_pack,
            account_id,
            "calls" if calls else "tokens",
            dice.randrange(1, 5 if calls else 300),
            models=None if dice.random() < 0.5 else frozenset({"plain", "call"}),
            gift=dice.random() < 0.5,
            from_ms=now_ms,
            to_ms=now_ms + dice.randrange(1, DAY_MS),
        )

    def _request(self, account_id: str) -> None:
        dice, desk = self._dice, self._desk
        line = desk.line(
            dice.choice(MODELS),
            dice.randrange(300),
            dice.randrange(200),
            account_id=account_id,
            source="none" if dice.random() < 0.1 else "engine",
        )
        reply = None
        if dice.random() < 0.2:
            line = msgspec.structs.replace(line, request_id=f"mine-{line.log_id}")
            reply = StoredReply(bytes(32), dice.randbytes(dice.randrange(3000)), line.ended_ms)
        payer = Payer(account_id, exempt=dice.random() < 0.1, plan=account_id == "planner")
        try:
            charged, written = desk.start(line, payer=payer, reply=reply)
        except ApiError:
            return
        self._wait_for(written)
        written.add_done_callback(lambda future: self._settled(charged, future.result()))

    def _settled(self, line: UsageLine, error: BaseException | None) -> None:
        if error is None:
            self.receipts.append(Receipt(line.log_id, line.charge, line.pack_tokens, line.pack_calls))

    def _begin(self, action: Callable[..., Coroutine[Any, Any, object]], *args: Any, **more: Any) -> None:
        memo = f"memo {self._desk.new_id()}"
        self._wait_for(asyncio.ensure_future(self._act(action(*args, **more, memo=memo), memo)))

    async def _act(self, action: Coroutine[Any, Any, object], memo: str) -> None:
        # Refused: more than there is, or nothing to give back; or the disk is in trouble.
        with suppress(ValueError, DatabaseFailed):
            await action
            self.memos.append(memo)

    def _wait_for(self, future: "asyncio.Future[Any]") -> None:
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
