"""Callers whose next request is refused: a way into every 429 that there is, and what each is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from openbigmodel.auth.api_keys import unix_ms
from openbigmodel.engines.fake_script import FakeRequest, Stall, Step, json_answer
from tests.integration.paid_platform import (
    CHAT,
    Connection,
    Customer,
    PaidPlatform,
    Reply,
    until,
)

CODING = "/api/coding/paas/v4/chat/completions"
HOUR_MS = 3_600_000
MODELS = """
[server]
max_in_flight = 3

[[models]]
id = "priced"
engine = "openai"
price = { input = 10.0, output = 10.0 }

[[models]]
id = "one-at-a-time"
engine = "openai"
limits = { in_flight = 1 }

[[models]]
id = "six-a-minute"
engine = "openai"
limits = { rpm = 6 }

[[models]]
id = "tokens"
engine = "openai"
limits = { tpm = 600 }

[[models]]
id = "once-a-day"
engine = "openai"
limits = { daily = 1 }

[[models]]
id = "glm-5.3"
engine = "openai"

[[models]]
id = "in-no-plan"
engine = "openai"
"""
STALL = 1


def script(request: FakeRequest) -> Iterable[Step]:
    """As many tokens as were asked for, or silence."""
    if request.json.get("seed") == STALL:
        return [Stall()]
    tokens = request.json.get("max_tokens", 1)
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return json_answer(200, {"choices": [choice], "usage": usage}, tokens=tokens)


class Clock:
    """The platform's own, and some hours more."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return unix_ms() + self.ahead_ms


@dataclass
class World:
    """A platform with a clock that can be put forward."""

    platform: PaidPlatform
    clock: Clock

    def request(self, customer: Customer, model: str, *, path: str = CHAT, **fields: Any) -> bytes:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
        return customer.request(json.dumps(body).encode(), path)

    async def ask(self, customer: Customer, model: str, *, path: str = CHAT, **fields: Any) -> Reply:
        connection = await Connection.to(self.platform)
        reply = await asyncio.wait_for(connection.ask(self.request(customer, model, path=path, **fields)), 10)
        connection.transport.abort()
        return reply

    async def refused(self, customer: Customer, model: str, *, path: str = CHAT, **fields: Any) -> Reply:
        """The request that all of it was for. Another client may send it."""
        return await self.ask(customer, model, path=path, **fields)

    async def hang(self, customer: Customer, model: str) -> Connection:
        """A request that the engine has and does not answer."""
        heard = len(self.platform.engine.requests)
        connection = await Connection.to(self.platform)
        connection.transport.write(self.request(customer, model, seed=STALL))
        await until(lambda: len(self.platform.engine.requests) > heard)
        return connection

    async def release(self, *hanging: Connection) -> None:
        for connection in hanging:
            connection.transport.abort()
        await until(lambda: not self.platform.leftovers())


async def too_little_money(world: World) -> Reply:
    customer = await world.platform.customer("0.001")
    assert (await world.ask(customer, "priced", max_tokens=1)).status == 200
    return await world.refused(customer, "priced", max_tokens=1000)


async def account_is_locked(world: World) -> Reply:
    customer = await world.platform.customer("1")
    await world.platform.perform("accounts.update", account=customer.account_id, state="locked")
    return await world.refused(customer, "priced")


async def too_many_at_once(world: World) -> Reply:
    customer = await world.platform.customer()
    hanging = await world.hang(customer, "one-at-a-time")
    reply = await world.refused(customer, "one-at-a-time")
    await world.release(hanging)
    assert (await world.ask(customer, "one-at-a-time")).status == 200
    return reply


async def too_many_a_minute(world: World) -> Reply:
    customer = await world.platform.customer()
    served = [(await world.ask(customer, "six-a-minute")).status for _ in range(6)]
    assert served == [200] * 6
    return await world.refused(customer, "six-a-minute")


async def too_many_tokens_a_minute(world: World) -> Reply:
    customer = await world.platform.customer()
    assert (await world.ask(customer, "tokens", max_tokens=480)).status == 200
    return await world.refused(customer, "tokens", max_tokens=480)


async def too_many_a_day(world: World) -> Reply:
    customer = await world.platform.customer()
    assert (await world.ask(customer, "once-a-day")).status == 200
    return await world.refused(customer, "once-a-day")


async def the_platform_is_full(world: World) -> Reply:
    customer = await world.platform.customer()
    hanging = [await world.hang(customer, "in-no-plan") for _ in range(3)]
    reply = await world.refused(await world.platform.customer(), "in-no-plan")
    await world.release(*hanging)
    return reply


async def subscriber(world: World) -> Customer:
    customer = await world.platform.customer("100", kind="coding")
    await world.platform.perform(
        "plans.add", account=customer.account_id, level="lite", to="2099-01-01T00:00:00Z"
    )
    return customer


async def use_up(world: World, customer: Customer) -> str:
    """Ask until the plan says no; with which code."""
    for _ in range(30):
        reply = await world.ask(customer, "glm-5.3", path=CODING, max_tokens=131_072)
        if reply.status != 200:
            return reply.code
    raise AssertionError("a plan without end")


async def the_window_is_used_up(world: World) -> Reply:
    customer = await subscriber(world)
    assert await use_up(world, customer) == "1308"
    return await world.refused(customer, "glm-5.3", path=CODING)


async def the_week_is_used_up(world: World) -> Reply:
    customer = await subscriber(world)
    for _ in range(6):
        if await use_up(world, customer) == "1310":
            return await world.refused(customer, "glm-5.3", path=CODING)
        world.clock.ahead_ms += 5 * HOUR_MS
    raise AssertionError("a week without end")


async def the_plan_has_ended(world: World) -> Reply:
    customer = await subscriber(world)
    (plan,) = (await world.platform.perform("plans.list", account=customer.account_id))["plans"]
    await world.platform.perform("plans.end", plan=plan["id"])
    return await world.refused(customer, "glm-5.3", path=CODING)


async def the_books_are_wrong(world: World) -> Reply:
    """As after an audit that found something."""
    customer, cashier = await world.platform.customer("1"), world.platform.parts.cashier
    cashier.problems = ["the sum is another"]
    reply = await world.refused(customer, "priced", max_tokens=1)
    cashier.problems = []
    assert (await world.ask(customer, "priced", max_tokens=1)).status == 200
    return reply


async def the_plan_lacks_the_model(world: World) -> Reply:
    return await world.refused(await subscriber(world), "in-no-plan", path=CODING)


@dataclass(frozen=True)
class Expected:
    """What a caller is told; `retry_after` is a pattern, None if the header must be missing."""

    code: str
    should_retry: str
    retry_after: str | None
    text: str


Refusal = Callable[[World], Awaitable[Reply]]
REFUSALS: dict[Refusal, Expected] = {
    too_little_money: Expected("1113", "false", None, "Insufficient balance"),
    account_is_locked: Expected("1112", "false", None, "is locked"),
    too_many_at_once: Expected("1302", "true", "1", "Limit: 1 requests at once."),
    too_many_a_minute: Expected("1303", "true", "(9|10)", "Limit: 6 requests a minute."),
    # 481 of 600 are needed, as before, and 481 were used.
    too_many_tokens_a_minute: Expected("1303", "true", "3[0-9]", "Limit: 600 tokens a minute."),
    too_many_a_day: Expected("1304", "false", r"\d{1,5}", "Limit: 1 requests a day."),
    the_platform_is_full: Expected("1305", "true", "2", "overloaded"),
    the_window_is_used_up: Expected("1308", "false", None, "Usage limit reached for 5"),
    the_week_is_used_up: Expected("1310", "false", None, "Weekly"),
    the_plan_has_ended: Expected("1309", "false", None, "has expired"),
    the_books_are_wrong: Expected("1120", "true", "1", "cannot be reached right now"),
    the_plan_lacks_the_model: Expected("1311", "false", None, "does not include access to in-no-plan"),
}
