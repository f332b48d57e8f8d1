"""Ten engines that come and go, and callers who keep asking: one minute of it, in time that the test itself makes.

The clock of the platform goes on by a step for each request, so what holds does not depend on the machine's speed:
only sockets take real time.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvloop

from openbigmodel.engines.circuit_breaker import CircuitBreaker
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    FakeRequest,
    Head,
    Reply,
    Reset,
    Stall,
    Step,
    error_answer,
    json_answer,
)
from openbigmodel.engines.profiles import OPENAI
from openbigmodel.engines.registry import Balance
from openbigmodel.inference import pipeline as pipeline_module
from tests.faults.engine_scenario import BALANCE, PRICE, overheard_blame
from tests.unit.inference.pipeline_bench import PRINCIPAL, Asked, Bench, within

ENGINES = 10
# These only ever refuse or are busy: nothing that may open their breakers.
INNOCENT = (8, 9)
REQUESTS_A_SECOND = 60
FLAPPING_S = 60.0
# Long enough for the longest back-off to end.
CALM_S = 15.0
_STEP_S = 1 / REQUESTS_A_SECOND
_FIRST_TOKEN_S = 1.0
_AT_ONCE_MAX = 24
# Mistakes in requests come in swarms: somebody's loop.
_WRONG_SHARE = 0.02
_WRONG_SHARE_OF_SWARM = 0.9
_SWARM_EVERY_S = 10

Mood = Callable[["FlappingEngine", FakeRequest], Iterable[Step]]


def _words(engine: "FlappingEngine") -> Reply:
    return Reply(content=(f"{engine.name} ",) * 3)


def _well(engine: "FlappingEngine", request: FakeRequest) -> Iterable[Step]:
    return _words(engine).stream() if request.json.get("stream") else _words(engine).body()


def _stalls(engine: "FlappingEngine", request: FakeRequest) -> Iterable[Step]:
    engine.stalled.append(request)
    return [Stall()]


def _breaks_off(engine: "FlappingEngine", request: FakeRequest) -> Iterable[Step]:
    if not request.json.get("stream"):
        return [Reset()]
    return [Head(), *_words(engine).events()[:2], Reset()]


DOWN: dict[str, Mood] = {
    "answers 500": lambda *_: error_answer(500),
    "answers 503": lambda *_: error_answer(503),
    "resets": lambda *_: [Reset()],
    "resets after its head": lambda *_: [Head(), Reset()],
    "breaks off": _breaks_off,
    "stalls": _stalls,
    "is busy": lambda *_: error_answer(429),
    "refuses connections": _well,
}
BUSY: dict[str, Mood] = {
    "is busy": lambda *_: error_answer(429),
    "is full": lambda *_: json_answer(429, {"error": {"code": "1302", "message": "wait"}}),
}
_WRONG = json_answer(400, {"error": {"message": "bad", "type": "BadRequestError"}})


class FlappingEngine(FakeEngine):
    """An engine with moods."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.mood: Mood = _well
        self.until_s = 0.0
        self.down = False
        self.stalled: list[FakeRequest] = []

    def script_for(self, request: FakeRequest) -> Iterable[Step]:
        # A mistake in a request is one everywhere.
        return _WRONG if request.json.get("top_p") == 0.01 else self.mood(self, request)

    def well(self, request: FakeRequest) -> Iterable[Step]:
        """What it says when it is."""
        return _well(self, request)

    async def flap(self, now_s: float, chance: random.Random, moods: dict[str, Mood]) -> None:
        """Whatever is next for it, if it is time."""
        if now_s < self.until_s:
            return
        self.down = not self.down
        self.until_s = now_s + (chance.uniform(0.5, 3) if self.down else chance.uniform(4, 9))
        name = chance.choice(sorted(moods)) if self.down else ""
        self.mood = moods.get(name, _well)
        await self._listen(again=name != "refuses connections")

    async def calm(self) -> None:
        """Well, and for good."""
        self.mood = _well
        await self._listen(again=True)

    async def _listen(self, *, again: bool) -> None:
        assert self._server is not None
        if again and not self._server.is_serving():
            await self.start(port=self.port)
        elif not again:
            self.port = self.endpoint.port
            self._server.close()
            for client in list(self.clients):
                client.transport.abort()

    port = 0

    @property
    def working(self) -> int:
        self.stalled = [request for request in self.stalled if not request.over]
        return len(self.stalled)


@dataclass
class Minute:
    """What came of it."""

    asked: int = 0
    wrong: int = 0
    served: int = 0
    broken_off: int = 0
    attempts: int = 0
    opened: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    blamed: Counter[str] = field(default_factory=Counter)
    served_in_calm: Counter[str] = field(default_factory=Counter)

    @property
    def served_share(self) -> float:
        """Of the requests of which nobody had seen a token yet."""
        return self.served / max(1, self.asked - self.wrong - self.broken_off)

    @property
    def attempts_share(self) -> float:
        return self.attempts / max(1, self.asked)


def flapping_minute(
    seed: int,
    routing: Balance = "least-load",
    flapping_s: float = FLAPPING_S,
    moods: dict[str, Mood] | None = None,
) -> Minute:
    """With `moods`, all engines have this one all the time."""
    interval_s, pipeline_module._SWEEP_INTERVAL_S = pipeline_module._SWEEP_INTERVAL_S, 0.01
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, overheard_blame() as blame:
            minute = runner.run(_minute(random.Random(seed), routing, flapping_s, moods))
    finally:
        pipeline_module._SWEEP_INTERVAL_S = interval_s
    minute.attempts = len(blame)
    minute.blamed = Counter(outcome.value for _, outcome in blame)
    return minute


async def _minute(
    chance: random.Random, routing: Balance, flapping_s: float, always: dict[str, Mood] | None
) -> Minute:
    minute = Minute()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: _note(context, minute))
    engines = [FlappingEngine(f"e{number}") for number in range(ENGINES)]
    for engine in engines:
        await engine.start()
        engine.until_s = chance.uniform(3, 12)
    bench = Bench(
        engines[0],
        others=list(engines[1:]),
        profile=msgspec.structs.replace(OPENAI, first_token_s=_FIRST_TOKEN_S),
        platform_limit=10_000,
        price=PRICE,
        balance=BALANCE,
        routing=routing,
    )
    _listen_to_breakers(bench, minute)
    begun_s = bench.now_s
    try:
        while bench.now_s - begun_s < flapping_s:
            for number, engine in enumerate(engines):
                if always is not None:
                    engine.mood = always["always"]
                else:
                    await engine.flap(bench.now_s - begun_s, chance, BUSY if number in INNOCENT else DOWN)
            await _ask_one(bench, engines, chance)
        for engine in engines:
            await engine.calm()
        await _settle_down(bench, engines)
        before = len(bench.asked)
        while always is None and bench.now_s - begun_s < flapping_s + CALM_S:
            await _ask_one(bench, engines, chance)
        await _settle_down(bench, engines)
        _judge(bench, minute, before)
    finally:
        await bench.stop()
        for engine in engines:
            await engine.stop()
    return minute


def _note(context: dict[str, Any], minute: Minute) -> None:
    """What goes wrong in an engine that is torn down in the middle of a word is meant to."""
    if "engines/fake.py" not in repr(context):
        minute.found.append(f"a fault of ours: {context.get('exception') or context}")


def _listen_to_breakers(bench: Bench, minute: Minute) -> None:
    def changed(breaker: CircuitBreaker, before: str, why: str) -> None:
        if breaker.state == "open" and before == "closed":
            minute.opened[breaker.name] += 1

    for breaker in bench.pipeline.router._breakers.values():
        breaker._on_change = changed


async def _ask_one(bench: Bench, engines: list[FlappingEngine], chance: random.Random) -> None:
    bench.now_s += _STEP_S
    swarm = int(bench.now_s) % _SWARM_EVERY_S == 0
    wrong: dict[str, Any] = (
        {"top_p": 0.01} if chance.random() < (_WRONG_SHARE_OF_SWARM if swarm else _WRONG_SHARE) else {}
    )
    bench.ask(stream=chance.random() < 0.8, messages=_turn(chance), max_tokens=100, **wrong)
    await asyncio.sleep(0)
    # Those that work have the time they need; those that stall have the clock's.
    end_s = asyncio.get_running_loop().time() + 2
    while asyncio.get_running_loop().time() < end_s:
        if len(bench.pipeline.exchanges) - sum(engine.working for engine in engines) < _AT_ONCE_MAX:
            return
        await asyncio.sleep(0.001)


def _turn(chance: random.Random) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"conversation {chance.randrange(100)}"}]


async def _settle_down(bench: Bench, engines: list[FlappingEngine]) -> None:
    """Until everything that was asked has ended; stalls end by the clock."""
    for _ in range(400):
        if not bench.pipeline.exchanges:
            break
        bench.now_s += 0.02
        await asyncio.sleep(0.01)
    await within(5, lambda: not bench.pipeline.exchanges)


def _judge(bench: Bench, minute: Minute, calm_from: int) -> None:
    found = minute.found
    lines = {line.request_id: line for line in bench.cashier.lines}
    if len(lines) != len(bench.cashier.lines):
        found.append("a request was billed twice")
    for number, asked in enumerate(bench.asked):
        minute.asked += 1
        line = lines.get(asked.name)
        words, reason = _heard(asked)
        if len(set(words)) > 1:
            found.append(f"{asked.name} was told by several engines: {words}")
        if reason == "wrong":
            minute.wrong += 1
        elif reason == "stop":
            minute.served += 1
            if number >= calm_from:
                minute.served_in_calm[words[0]] += 1
        elif words:
            minute.broken_off += 1
        billed = 0 if line is None else line.usage.completion_tokens
        if billed != len(words) or (line is not None and bool(line.charge) != bool(words)):
            found.append(f"{asked.name}: {len(words)} tokens were told, {billed} billed")
        if len(asked.sink.ends) != 1:
            found.append(f"{asked.name}: ended {len(asked.sink.ends)} times")
    router, ledger = bench.pipeline.router, bench.cashier.ledger
    left = {
        "places at engines": router.in_flight + router.waiting,
        "places on the platform": bench.limits.total,
        "requests under way": len(bench.pipeline.exchanges),
        "ids in use": bool(bench.admissions.running),
        "nano held": ledger.held(PRINCIPAL.account_id),
        "engines' requests": sum(
            not one.over for engine in (bench.engine, *bench.others) for one in engine.requests
        ),
    }
    found += [f"{count} {what} are left" for what, count in left.items() if count]
    found += ledger.audit()
    if ledger.balance(PRINCIPAL.account_id) != BALANCE - sum(line.charge for line in lines.values()):
        found.append("the balance is not what was charged less")
    if calm_from < len(bench.asked) and bench.routing != "failover":
        # There, nobody needs those behind the first, so nobody finds out that they are back.
        states = {name: breaker.state for name, breaker in router._breakers.items()}
        found += [f"the breaker of {name} is {state}" for name, state in states.items() if state != "closed"]


def _heard(asked: Asked) -> tuple[list[str], str]:
    """The words that a caller was told, and how it ended: a finish reason, "wrong" for the caller's mistake, or an
    error.
    """
    sink = asked.sink
    if sink.status != 200:
        return [], "wrong" if sink.code == "1210" else sink.code
    if sink.headers["content-type"].startswith("text/event-stream"):
        return sink.text.split(), str(sink.chunks[-1]["choices"][0].get("finish_reason"))
    choice: dict[str, Any] = json.loads(sink.body)["choices"][0]
    return choice["message"]["content"].split(), choice["finish_reason"]
