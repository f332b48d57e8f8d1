"""Every 429 there is, brought about for real, and told apart by code, text, `Retry-After` and `x-should-retry`."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from openbigmodel import app
from openbigmodel.auth.api_keys import unix_ms
from openbigmodel.engines.fake_script import FakeRequest, Stall, Step, json_answer
from tests.integration.paid_platform import (
    CHAT,
    Connection,
    Customer,
    PaidPlatform,
    Reply,
    paid_platform,
    run,
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
    return await world.ask(customer, "priced", max_tokens=1000)


async def account_is_locked(world: World) -> Reply:
    customer = await world.platform.customer("1")
    await world.platform.perform("accounts.update", account=customer.account_id, state="locked")
    return await world.ask(customer, "priced")


async def too_many_at_once(world: World) -> Reply:
    customer = await world.platform.customer()
    hanging = await world.hang(customer, "one-at-a-time")
    reply = await world.ask(customer, "one-at-a-time")
    await world.release(hanging)
    assert (await world.ask(customer, "one-at-a-time")).status == 200
    return reply


async def too_many_a_minute(world: World) -> Reply:
    customer = await world.platform.customer()
    served = [(await world.ask(customer, "six-a-minute")).status for _ in range(6)]
    assert served == [200] * 6
    return await world.ask(customer, "six-a-minute")


async def too_many_tokens_a_minute(world: World) -> Reply:
    customer = await world.platform.customer()
    assert (await world.ask(customer, "tokens", max_tokens=480)).status == 200
    return await world.ask(customer, "tokens", max_tokens=480)


async def too_many_a_day(world: World) -> Reply:
    customer = await world.platform.customer()
    assert (await world.ask(customer, "once-a-day")).status == 200
    return await world.ask(customer, "once-a-day")


async def the_platform_is_full(world: World) -> Reply:
    customer = await world.platform.customer()
    hanging = [await world.hang(customer, "in-no-plan") for _ in range(3)]
    reply = await world.ask(await world.platform.customer(), "in-no-plan")
    await world.release(*hanging)
    return reply


async def subscriber(world: World) -> Customer:
    customer = await world.platform.customer("100", kind="coding")
    await world.platform.perform(
        "plans.add", account=customer.account_id, level="lite", to="2099-01-01T00:00:00Z"
    )
    return customer


async def use_up(world: World, customer: Customer) -> Reply:
    """Ask until the plan says no."""
    for _ in range(30):
        reply = await world.ask(customer, "glm-5.3", path=CODING, max_tokens=131_072)
        if reply.status != 200:
            return reply
    raise AssertionError("a plan without end")


async def the_window_is_used_up(world: World) -> Reply:
    return await use_up(world, await subscriber(world))


async def the_week_is_used_up(world: World) -> Reply:
    customer = await subscriber(world)
    for _ in range(6):
        reply = await use_up(world, customer)
        if reply.code == "1310":
            return reply
        world.clock.ahead_ms += 5 * HOUR_MS
    raise AssertionError("a week without end")


async def the_plan_has_ended(world: World) -> Reply:
    customer = await subscriber(world)
    (plan,) = (await world.platform.perform("plans.list", account=customer.account_id))["plans"]
    await world.platform.perform("plans.end", plan=plan["id"])
    return await world.ask(customer, "glm-5.3", path=CODING)


async def the_plan_lacks_the_model(world: World) -> Reply:
    return await world.ask(await subscriber(world), "in-no-plan", path=CODING)


@dataclass(frozen=True)
class Expected:
    """What a caller is told; `retry_after` is a pattern, None if the header must be missing."""

    code: str
    should_retry: str
    retry_after: str | None
    text: str


REFUSALS: dict[Callable[[World], Awaitable[Reply]], Expected] = {
    too_little_money: Expected("1113", "false", None, "Insufficient balance"),
    account_is_locked: Expected("1112", "false", None, "is locked"),
    too_many_at_once: Expected("1302", "true", "1", "Limit: 1 requests at once."),
    too_many_a_minute: Expected("1303", "true", "(9|10)", "Limit: 6 requests a minute."),
    # 551 of 600 are needed; 481 were used.
    too_many_tokens_a_minute: Expected("1303", "true", "4[0-9]", "Limit: 600 tokens a minute."),
    too_many_a_day: Expected("1304", "false", r"\d{1,5}", "Limit: 1 requests a day."),
    the_platform_is_full: Expected("1305", "true", "2", "overloaded"),
    the_window_is_used_up: Expected("1308", "false", None, "Usage limit reached for 5"),
    the_week_is_used_up: Expected("1310", "false", None, "Weekly"),
    the_plan_has_ended: Expected("1309", "false", None, "has expired"),
    the_plan_lacks_the_model: Expected("1311", "false", None, "does not include access to in-no-plan"),
}


@pytest.mark.timeout(300)
def test_every_refusal_says_what_it_is_and_whether_waiting_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(app, "unix_ms", clock)
    replies: dict[str, Reply] = {}

    async def test() -> None:
        async with paid_platform(tmp_path, script, MODELS) as platform:
            for refusal in REFUSALS:
                replies[refusal.__name__] = await refusal(World(platform, clock))
                assert platform.leftovers() == []

    run(test())
    for refusal, expected in REFUSALS.items():
        reply = replies[refusal.__name__]
        retry_after = reply.headers.get("retry-after")
        assert (reply.status, reply.code) == (429, expected.code), reply.body
        assert reply.headers["x-should-retry"] == expected.should_retry, refusal
        assert expected.text in reply.message, refusal
        if expected.retry_after is None:
            assert retry_after is None, refusal
        else:
            assert retry_after is not None and re.fullmatch(expected.retry_after, retry_after), (
                refusal,
                retry_after,
            )
    assert len({reply.message for reply in replies.values()}) == len(REFUSALS)


def test_what_is_refused_costs_neither_places_nor_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with paid_platform(tmp_path, script, MODELS) as platform:
            world = World(platform, Clock())
            customer = await platform.customer("0.001")
            for _ in range(10):
                assert (await world.ask(customer, "priced", max_tokens=1000)).code == "1113"
            # Rows are written for what an engine was asked, and for nothing else.
            assert platform.rows("SELECT count(*) FROM usage") == [(0,)]
            assert platform.engine.requests == []
            assert platform.leftovers() == []
            assert platform.verify() == []

    run(test())


def test_a_restart_does_not_open_the_day_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with paid_platform(tmp_path, script, MODELS) as platform:
            customer = await platform.customer()
            assert (await World(platform, Clock()).ask(customer, "once-a-day")).status == 200
        async with paid_platform(tmp_path, script, MODELS) as platform:
            assert (await World(platform, Clock()).ask(customer, "once-a-day")).code == "1304"
            assert platform.leftovers() == []

    run(test())
