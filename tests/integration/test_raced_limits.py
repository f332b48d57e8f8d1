"""More callers than a limit allows, all at once and again at once, through real HTTP: not one too many, nor one too
few.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openbigmodel.engines.fake_script import FakeRequest, Gate, Sleep, Step, json_answer
from openbigmodel.limits import Limits, ModelLimits, Place
from tests.conftest import SCALE
from tests.integration.paid_platform import (
    Connection,
    Customer,
    PaidPlatform,
    Reply,
    paid_platform,
    run,
    until,
)

CALLERS = 130
IN_FLIGHT = 100
A_MINUTE = 600
TOKENS_A_MINUTE = 60_000
# What a request to `tokens` uses, of the ten times as many that it names; its prompt has a fraction of its bytes, too.
PROMPT_TOKENS, ANSWER_TOKENS = 5, 95
STEADY_S = max(2.0, 4 * SCALE)
MODELS = f"""
[[models]]
id = "at-once"
engine = "openai"
limits = {{ in_flight = {IN_FLIGHT} }}

[[models]]
id = "requests"
engine = "openai"
limits = {{ rpm = {A_MINUTE} }}

[[models]]
id = "tokens"
engine = "openai"
limits = {{ tpm = {TOKENS_A_MINUTE} }}
"""


class Engine:
    """Answers `at-once` when it is told to, and the others after a moment; counts what it is doing."""

    def __init__(self) -> None:
        self.at_once = 0
        self.most = 0

    def __call__(self, request: FakeRequest) -> Iterator[Step]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        yield Gate() if request.json["model"] == "at-once" else Sleep(0.05)
        self.at_once -= 1
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS, "total_tokens": 100}
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        yield from json_answer(200, {"choices": [choice], "usage": usage}, tokens=ANSWER_TOKENS)


def request_of(customer: Customer, model: str) -> bytes:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return customer.request(json.dumps({**body, "max_tokens": 10 * ANSWER_TOKENS}).encode())


async def crowd(platform: PaidPlatform) -> list[Connection]:
    return list(await asyncio.gather(*[Connection.to(platform) for _ in range(CALLERS)]))


def leave(connections: list[Connection]) -> None:
    for connection in connections:
        connection.transport.abort()


class Race:
    """Callers who ask whenever they have been answered; after each round the engine has as many as it may have."""

    def __init__(
        self, platform: PaidPlatform, engine: Engine, customer: Customer, free: list[Connection]
    ) -> None:
        self.platform = platform
        self.engine = engine
        self.customer = customer
        self.free = free
        self.asking: list[tuple[Connection, asyncio.Future[Reply]]] = []

    async def round(self, order: random.Random) -> list[str]:
        """All who are free ask, then some are answered; what went wrong."""
        for connection in self.free:
            reply = asyncio.ensure_future(connection.ask(request_of(self.customer, "at-once")))
            self.asking.append((connection, reply))
        # Whoever is not refused now is with the engine.
        await until(lambda: len(self.answered()) + self.engine.at_once == CALLERS)
        refused, found = self.take_answered(), []
        if {(reply.status, reply.code) for reply in refused} - {(429, "1302")}:
            found.append(f"refused with {refused[:3]}")
        if (self.engine.at_once, self.engine.most) != (IN_FLIGHT, IN_FLIGHT):
            found.append(f"{self.engine.at_once} at once, {self.engine.most} at most")
        held = [request for request in self.platform.engine.requests if request.ended_s is None]
        served = held if order.random() < 0.2 else order.sample(held, order.randrange(1, len(held) + 1))
        for request in served:
            request.open_gate()
        await until(lambda: len(self.answered()) == len(served))
        await until(lambda: all(request.ended_s is not None for request in served))
        if any(reply.status != 200 for reply in self.take_answered(more=True)):
            found.append("one that the engine had was not answered")
        return found

    def answered(self) -> list[Connection]:
        return [connection for connection, reply in self.asking if reply.done()]

    def take_answered(self, *, more: bool = False) -> list[Reply]:
        """Their replies, and they are free again, besides those who are `more`."""
        replies = [reply.result() for _, reply in self.asking if reply.done()]
        self.free = [*(self.free if more else []), *self.answered()]
        self.asking = [pair for pair in self.asking if not pair[1].done()]
        return replies

    async def end(self) -> None:
        """Answer the rest."""
        for request in self.platform.engine.requests:
            request.open_gate()
        await asyncio.gather(*[reply for _, reply in self.asking])
        self.take_answered(more=True)
        leave(self.free)


@pytest.mark.timeout(120)
def test_exactly_as_many_are_under_way_as_the_limit_allows(tmp_path: Path) -> None:
    assert raced_at_once(tmp_path, max(3, round(10 * SCALE))) == []


def raced_at_once(folder: Path, rounds: int) -> list[str]:
    found: list[str] = []

    async def test() -> None:
        engine = Engine()
        order = random.Random(1)
        async with paid_platform(folder, engine, MODELS) as platform:
            race = Race(platform, engine, await platform.customer(), await crowd(platform))
            for number in range(rounds):
                found.extend(f"round {number}: {problem}" for problem in await race.round(order))
            await race.end()
            found.extend(platform.leftovers())

    run(test())
    return found


async def served_of(platform: PaidPlatform, model: str) -> tuple[int, float]:
    """How many were served while all of a crowd asked again and again, and for how long they did."""
    customer, connections = await platform.customer(), await crowd(platform)
    replies: list[Reply] = []
    begun_s = time.monotonic()

    async def ask_on(connection: Connection) -> None:
        while time.monotonic() < begun_s + STEADY_S:
            reply = await connection.ask(request_of(customer, model))
            replies.append(reply)
            if reply.status != 200:
                await asyncio.sleep(0.2)

    await asyncio.gather(*[ask_on(connection) for connection in connections])
    took_s = time.monotonic() - begun_s
    leave(connections)
    assert {(reply.status, reply.code) for reply in replies if reply.status != 200} == {(429, "1303")}
    assert platform.leftovers() == []
    return sum(reply.status == 200 for reply in replies), took_s


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("model", "units", "limit"), [("requests", 1, A_MINUTE), ("tokens", 100, TOKENS_A_MINUTE)]
)
def test_a_minutes_requests_and_tokens_are_used_up_and_no_more(
    model: str, units: int, limit: int, tmp_path: Path
) -> None:
    async def test() -> None:
        async with paid_platform(tmp_path, Engine(), MODELS) as platform:
            served, took_s = await served_of(platform, model)
            # A full bucket, and what comes in as long as they ask.
            most = limit + limit * took_s / 60
            least = limit + limit * STEADY_S / 60
            assert served * units <= 1.01 * most
            assert served * units >= 0.99 * least

    run(test())


@pytest.mark.parametrize(
    "change", [lambda limit: limit - limit // 50, lambda limit: limit + 1], ids=["fewer", "more"]
)
def test_a_limit_that_is_a_little_off_is_found(
    change: Callable[[int], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Limits.enter

    def enter(
        self: Limits, account_id: str, model_id: str, limits: ModelLimits | None = None, *bounds: Any
    ) -> Place | None:
        if limits is not None:
            limits = msgspec.structs.replace(limits, in_flight=change(limits.in_flight))
        return right(self, account_id, model_id, limits, *bounds)

    monkeypatch.setattr(Limits, "enter", enter)
    assert any("at once" in problem for problem in raced_at_once(tmp_path, 1))
