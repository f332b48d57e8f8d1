"""Thousands of callers who leave at every phase; the engine's own log is the truth about what was produced.

Of each: the engine is stopped within a second, delivered ≤ charged ≤ produced, one line, and nothing stays taken.
"""

import asyncio
import gc
import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.ledger import Ledger
from openbigmodel.engines.fake_script import (
    DONE,
    Close,
    End,
    FakeRequest,
    Head,
    Reset,
    Sleep,
    Stall,
    Step,
    event,
    json_answer,
)
from openbigmodel.inference import exchange
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.measurement import Measured, measured
from openbigmodel.limits import Limits
from tests.conftest import SCALE
from tests.integration.paid_platform import Customer, PaidPlatform, paid_platform, run, until

STREAMS = max(200, round(5000 * SCALE))
AT_ONCE = 64
ABORT_S = 1.0
PROMPT = 400
TOKENS_MAX = 24
YUAN = 100_000
ENGINES = ("openai", "vllm", "llama-server")
MODELS = "".join(
    f'[[models]]\nid = "on-{name}"\nengine = "{name}"\nprice = {{ input = 100.0, output = 1000.0 }}\n'
    f"limits = {{ in_flight = 100, tpm = 1_000_000_000, daily = 1_000_000 }}\n"
    for name in ENGINES
)
# What a client counts: a token each.
TOKEN = "tk "


@dataclass
class Plan:
    """One request: what its engine does and when its caller leaves."""

    number: int
    engine: str
    stream: bool
    # Tokens in each event; only an engine that counts on its way may put several into one.
    events: list[int]
    # After so many events the engine does this instead of going on.
    breaks: dict[int, Step]
    pause_s: float
    phase: str
    leave: str
    leave_after: int

    @property
    def request_id(self) -> str:
        return f"request-{self.number}"


PHASES = (
    "before the body is whole",
    "at once",
    "when the engine has heard",
    "after some tokens",
    "after some tokens",
    "after some tokens",
    "without reading",
    "at the finish",
    "near the end",
    "not at all",
)
_ENGINE_PHASES = ("when the engine has heard", "after some tokens", "without reading", "at the finish")


def plan(number: int) -> Plan:
    order = random.Random(number)
    engine = order.choice(ENGINES)
    phase = order.choice(PHASES)
    events = [
        1 if engine == "openai" else order.randrange(1, 4) for _ in range(order.randrange(2, TOKENS_MAX // 3))
    ]
    leave_after = order.randrange(1, len(events))
    breaks: dict[int, Step] = {}
    if phase == "when the engine has heard":
        breaks = {0: Stall()}
    elif phase == "after some tokens" and order.random() < 0.7:
        # It has nothing more to say, or dies at about the same time.
        ends: list[Step] = [Stall(), Stall(), Reset(), Close()]
        breaks = {leave_after: order.choice(ends)}
    elif phase == "at the finish":
        breaks = {len(events) + 1: Stall()}
    return Plan(
        number,
        engine,
        order.random() < 0.7,
        events,
        breaks,
        order.choice([0.0, 0.0, 0.001, 0.01]),
        phase,
        order.choice(["close", "reset"]),
        leave_after,
    )


def script(request: FakeRequest) -> Iterator[Step]:
    """What the engine does; the request's seed says which plan it is part of."""
    if request.target.endswith(("/tokenize", "/input_tokens")):
        counts = {"count": PROMPT, "input_tokens": PROMPT}
        yield from json_answer(200, counts)
        return
    mine = plan(request.json["seed"])
    total = sum(mine.events)
    usage = {"prompt_tokens": PROMPT, "completion_tokens": total, "total_tokens": PROMPT + total}
    if not request.json["stream"]:
        yield Sleep(mine.pause_s * len(mine.events))
        if mine.breaks:
            yield mine.breaks.popitem()[1]
        message = {"role": "assistant", "content": TOKEN * total}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        yield from json_answer(200, {"choices": [choice], "usage": usage}, tokens=total)
        return
    yield Head()
    so_far = 0
    for position, tokens in enumerate(mine.events):
        if position in mine.breaks:
            yield mine.breaks[position]
        so_far += tokens
        choice = {"index": 0, "delta": {"content": TOKEN * tokens}, "finish_reason": None}
        yield event({"choices": [choice], **_running(mine.engine, so_far)}, tokens=tokens)
        if mine.pause_s:
            yield Sleep(mine.pause_s)
    yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield event({"choices": [], "usage": usage})
    if len(mine.events) + 1 in mine.breaks:
        yield mine.breaks[len(mine.events) + 1]
    yield DONE
    yield End()


def _running(engine: str, so_far: int) -> dict[str, Any]:
    if engine == "vllm":
        return {"usage": {"prompt_tokens": PROMPT, "completion_tokens": so_far}}
    if engine == "llama-server":
        return {"timings": {"prompt_n": PROMPT, "cache_n": 0, "predicted_n": so_far}}
    return {}


class Caller(asyncio.Protocol):
    """A client that may leave; `received` is all that reached it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.changed = asyncio.Event()
        self.gone = False
        self.left_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.changed.set()

    @property
    def delivered(self) -> int:
        return self.received.count(TOKEN.encode())

    @property
    def whole(self) -> bool:
        """Whether the answer has ended, as far as HTTP can tell."""
        head, end, body = bytes(self.received).partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            return self.received.endswith(b"\r\n0\r\n\r\n")
        return bool(end) and len(body) == int(head.split(b"content-length: ")[1].split(b"\r\n")[0])

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self.gone and not self.whole:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)

    def leave(self, how: str) -> None:
        if how == "reset":
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.left_s = time.monotonic()
        self.transport.abort()


@dataclass
class Seen:
    """What came of a plan."""

    plan: Plan
    caller: Caller
    left: bool


@dataclass
class Bench:
    platform: PaidPlatform
    customer: Customer
    seen: list[Seen] = field(default_factory=list)

    async def play(self, mine: Plan) -> None:
        """One request, up to its caller's departure or its end."""
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(Caller, "127.0.0.1", self.platform.port)
        body = json.dumps(
            {
                "model": f"on-{mine.engine}",
                "stream": mine.stream,
                "messages": [{"role": "user", "content": "x" * PROMPT * 4}],
                "max_tokens": TOKENS_MAX,
                "seed": mine.number,
                "request_id": mine.request_id,
            }
        ).encode()
        request = self.customer.request(body)
        if mine.phase == "before the body is whole":
            caller.transport.write(request[: -len(body) // 2])
            await asyncio.sleep(0.002)
        else:
            if mine.phase == "without reading":
                caller.transport.pause_reading()
            caller.transport.write(request)
            await self._until_its_moment(mine, caller)
        left = mine.phase != "not at all" and not caller.whole
        caller.leave(mine.leave)
        self.seen.append(Seen(mine, caller, left))

    async def _until_its_moment(self, mine: Plan, caller: Caller) -> None:
        wanted = sum(mine.events[: mine.leave_after])
        if mine.phase in _ENGINE_PHASES:
            await until(lambda: mine.number in self.heard)
            if not self.heard[mine.number].json["stream"]:
                # What it has made of a whole body by now, nobody can see.
                await asyncio.sleep(mine.pause_s)
                return
        match mine.phase:
            case "after some tokens" if mine.stream:
                await caller.until(lambda: caller.delivered >= wanted)
            case "after some tokens" | "without reading":
                await until(lambda: self.produced(mine.number) >= wanted or self.over(mine.number))
            case "at the finish":
                await until(lambda: self.produced(mine.number) == sum(mine.events) or self.over(mine.number))
            case "near the end" if mine.stream:
                await caller.until(lambda: caller.delivered == sum(mine.events))
            case "near the end" | "not at all":
                await caller.until(lambda: False)
            case _:
                return

    @property
    def heard(self) -> dict[int, FakeRequest]:
        """The engine's log, by number."""
        requests = self.platform.engine.requests
        while self._read < len(requests):
            request = requests[self._read]
            if "seed" in request.json and not request.target.endswith(("/tokenize", "/input_tokens")):
                # Twice, if the engine closed a kept connection before it had said a word.
                assert self.produced(request.json["seed"], self._heard) == 0, "asked again after an answer"
                self._heard[request.json["seed"]] = request
            self._read += 1
        return self._heard

    _read: int = 0
    _heard: dict[int, FakeRequest] = field(default_factory=dict)

    def produced(self, number: int, heard: dict[int, FakeRequest] | None = None) -> int:
        request = (self.heard if heard is None else heard).get(number)
        return 0 if request is None else request.tokens

    def over(self, number: int) -> bool:
        request = self.heard.get(number)
        return request is not None and request.over

    async def violations(self) -> list[str]:
        """Everything that does not hold when all callers have left or been answered."""
        end_s = time.monotonic() + 2.5  # a tokenizer is waited for, for a second
        while time.monotonic() < end_s and (
            self.platform.leftovers() or not all(r.over for r in self.heard.values())
        ):
            await asyncio.sleep(0.02)
        found = self.platform.leftovers()
        found += [f"{number}: the engine works for nobody" for number in self.heard if not self.over(number)]
        rows = self.platform.rows(
            "SELECT request_id, prompt_tokens, completion_tokens, charge, source, note FROM usage"
        )
        lines = {row[0]: row[1:] for row in rows}
        if len(lines) != len(rows):
            found.append("a request has two lines")
        late_s = sorted(self._late_s())
        if late_s and late_s[int(len(late_s) * 0.99)] > ABORT_S:
            found.append(f"engines were stopped after {late_s[-1]:.2f} s")
        for seen in self.seen:
            found += self._violations_of(seen, lines.get(seen.plan.request_id))
        return found + self._sums(lines) + self.platform.verify()

    def _late_s(self) -> Iterator[float]:
        for seen in self.seen:
            request = self.heard.get(seen.plan.number)
            if seen.left and request is not None and request.left_s is not None:
                yield request.left_s - seen.caller.left_s

    def _violations_of(self, seen: Seen, line: tuple[int, int, int, str, str] | None) -> Iterator[str]:
        mine, delivered, produced = seen.plan, seen.caller.delivered, self.produced(seen.plan.number)
        where = f"{mine.number} ({mine.engine}, {mine.phase}, {mine.leave})"
        if line is None:
            if mine.number in self.heard:
                yield f"{where}: no line"
            return
        prompt, charged, _, source, note = line
        if not delivered <= charged <= produced:
            yield f"{where}: delivered {delivered}, charged {charged}, produced {produced}"
        if charged and prompt > PROMPT:
            yield f"{where}: a prompt of {PROMPT} charged as {prompt}: {note}"
        if charged and prompt != PROMPT and note != "prompt estimated":
            yield f"{where}: a prompt of {prompt}, and the line says {note!r}"
        if mine.phase == "not at all" and (charged, source) != (sum(mine.events), "engine"):
            yield f"{where}: {charged} charged of a whole answer of {sum(mine.events)}"

    def _sums(self, lines: dict[str, tuple[int, int, int, str, str]]) -> list[str]:
        """Money and reservations, over all."""
        balance, held = self.platform.parts.cashier.balance(self.customer.account_id)
        charged = sum(line[2] for line in lines.values())
        found = []
        if (balance, held) != (YUAN * 10**9 - charged, 0):
            found.append(f"the balance is {balance}, {charged} were charged, {held} are held")
        limits = self.platform.parts.pipeline.admissions.limits
        for (_, model), standing in limits._standings.items():
            assert standing.tokens is not None
            bucket = standing.tokens
            now = int(limits._now_s() * 1_000_000) * bucket._rate
            missing = max(bucket._full_at - now, 0) // 60_000_000
            used = sum(
                sum(lines[seen.plan.request_id][:2])
                for seen in self.seen
                if f"on-{seen.plan.engine}" == model and seen.plan.request_id in lines
            )
            if missing != used:
                found.append(f"{model}: {missing} tokens are taken of the minute, {used} were used")
        return found


async def abandon(folder: Path, count: int) -> list[str]:
    """Play so many plans, many at a time; what does not hold afterwards."""
    async with paid_platform(folder, script, MODELS) as platform:
        limits = platform.parts.pipeline.admissions.limits
        # Their clock stands still: nothing flows back into a bucket but what is given back.
        limits._now_s = lambda: 5_000.0
        bench = Bench(platform, await platform.customer(str(YUAN)))
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                await bench.play(plan(number))

        await asyncio.gather(*[work() for _ in range(AT_ONCE)])
        assert len(bench.seen) == count
        assert len({seen.plan.phase for seen in bench.seen}) == len(set(PHASES))
        return await bench.violations()


@pytest.fixture(autouse=True)
def _calm() -> Iterator[None]:
    """As the server does: a thousand tests have left so much behind that each search for garbage takes a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.timeout(900)
def test_whoever_leaves_whenever_pays_for_what_was_produced_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found: list[str] = []

    async def test() -> None:
        found.extend(await abandon(tmp_path, STREAMS))

    run(test())
    assert found == []


def ignores_departures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChatExchange, "client_left", lambda self: None)


def charges_one_more(patch: pytest.MonkeyPatch) -> None:
    def one_more(*what: Any) -> Measured:
        found = measured(*what)
        usage = msgspec.structs.replace(found.usage, completion_tokens=found.usage.completion_tokens + 1)
        return found if found.source == "none" else Measured(usage, found.source, found.note)

    patch.setattr(exchange, "measured", one_more)


def charges_one_less(patch: pytest.MonkeyPatch) -> None:
    def one_less(*what: Any) -> Measured:
        found = measured(*what)
        usage = msgspec.structs.replace(
            found.usage, completion_tokens=max(0, found.usage.completion_tokens - 1), reasoning_tokens=0
        )
        return found if found.source == "none" else Measured(usage, found.source, found.note)

    patch.setattr(exchange, "measured", one_less)


def keeps_reservations(patch: pytest.MonkeyPatch) -> None:
    right = Limits.leave
    patch.setattr(Limits, "leave", lambda self, place, used, answer=0: right(self, place, 10**6))


def keeps_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "void", lambda self, hold: None)


@pytest.mark.parametrize(
    ("plant", "finding"),
    [
        (ignores_departures, "works for nobody"),
        (charges_one_more, ", produced"),
        (charges_one_less, "delivered"),
        (keeps_reservations, "are taken of the minute"),
        (keeps_holds, "holds"),
    ],
)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found: list[str] = []

    async def test() -> None:
        found.extend(await abandon(tmp_path, 200))

    run(test())
    assert any(finding in problem for problem in found), found[:5]
