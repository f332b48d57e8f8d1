"""A pipeline with everything real around it but the client and the disk: the real pool, a fake engine's socket.

`Bench.violations` holds what happened against what must hold at every exit; a planted bug has to show there.
"""

import asyncio
import io
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvloop

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.ledger import Hold, Ledger
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.pricing import FREE, Price
from openbigmodel.billing.replies import Claimed, StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.catalog import Model, load_catalog
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import FakeRequest, Script, Step
from openbigmodel.engines.profiles import OPENAI, Profile
from openbigmodel.engines.registry import Balance, Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.ids import IdSource
from openbigmodel.inference.admission import Admissions, Done
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.limits import Limits, ModelLimits
from openbigmodel.moderation.moderator import Moderator
from openbigmodel.telemetry import Metrics, RequestLog

PAAS = Surface(prefix="/api/paas/v4")
CODING = Surface(prefix="/api/coding/paas/v4", coding=True)
PRINCIPAL = Principal("account", "key", "standard", operator=False)
MODELS = ("glm-4.6", "glm-4.7", "glm-5.3-flash", "glm-4-flash")
# What counts as at once between two sockets of a busy machine.
SOON_S = 3.0
ENGINE_STOPS_WITHIN_S = 1.0

Trace = list[tuple[str, str]]


class MemoryCashier:
    """The real ledger without a disk: durable a turn of the loop later, or when `commit` is called, or never.

    Models without an entry in `prices` are free.
    """

    def __init__(self, trace: Trace) -> None:
        self.ledger = Ledger()
        self.prices: dict[str, Price] = {}
        self.lines: list[UsageLine] = []
        self.held = False
        self.error: BaseException | None = None
        self.raises: Exception | None = None
        self.earlier: dict[tuple[str, str], StoredReply | Claimed] = {}
        self._trace = trace
        self._waiting: list[Callable[[], None]] = []

    def hold(self, payer: Payer, model_id: str, prompt_bound: int, completion_bound: int) -> Hold:
        price = FREE if payer.exempt else self.prices.get(model_id, FREE)
        return self.ledger.hold(payer.account_id, price, model_id, prompt_bound, completion_bound, 0)

    def void(self, hold: Hold | PlanHold) -> None:
        assert isinstance(hold, Hold)
        self.ledger.void(hold)

    def settle(
        self, hold: Hold | PlanHold, line: UsageLine, done: Done, reply: StoredReply | None = None
    ) -> UsageLine:
        assert isinstance(hold, Hold)
        if self.raises is not None:
            raise self.raises
        produced = line.usage.completion_tokens > 0
        if produced:
            line = msgspec.structs.replace(line, charge=self.ledger.post(hold, line.usage, 0).nano)
        else:
            self.ledger.void(hold)
        self.lines.append(line)

        def commit() -> None:
            self._trace.append(("lost" if self.error else "durable", line.request_id))
            if self.error is None and produced:
                self.earlier[line.account_id, line.request_id] = reply or Claimed(line.log_id)
            elif produced:
                self.ledger.take_back(hold)
            done(self.error)

        if self.held:
            self._waiting.append(commit)
        else:
            asyncio.get_running_loop().call_soon(commit)
        return line

    def find_request(self, account_id: str, request_id: str) -> StoredReply | Claimed | None:
        return self.earlier.get((account_id, request_id))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one()


class RecordingSink:
    """A client's end: what it was told, in order."""

    peer = "127.0.0.1"

    def __init__(self, trace: Trace, name: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.ends: list[str] = []
        """How the answer ended: respond, end or abort; more than one is a violation."""
        self.over = asyncio.Event()
        self._trace = trace
        self._name = name

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        assert not self.status, "answered twice"
        self._begin(status, headers)
        self.body += body
        self._end("respond")

    def start(self, headers: bytes) -> None:
        assert not self.status, "answered twice"
        self._begin(200, headers)

    def _begin(self, status: int, headers: bytes) -> None:
        assert headers.endswith(b"\r\n")
        self.status = status
        self.headers = dict(line.split(": ", 1) for line in headers.decode().splitlines())

    def write(self, data: bytes) -> None:
        assert self.status and not self.ends
        assert b"[DONE]" not in data, "the end must wait for the settlement"
        self.body += data

    def end(self, data: bytes = b"") -> None:
        assert self.status
        self.body += data
        self._end("end")

    def abort(self) -> None:
        self._end("abort")

    def _end(self, how: str) -> None:
        self.ends.append(how)
        self._trace.append((how, self._name))
        self.over.set()

    @property
    def code(self) -> str:
        """The error's code."""
        return str(json.loads(self.body)["error"]["code"])

    @property
    def events(self) -> list[str]:
        parts = self.body.decode().split("\n\n")
        assert parts.pop() == "", "an event was cut"
        assert all(part.startswith("data: ") for part in parts)
        return [part[6:] for part in parts]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [chunk["choices"][0]["delta"] for chunk in self.chunks if chunk["choices"]]

    @property
    def text(self) -> str:
        return "".join(delta.get("content", "") for delta in self.deltas)

    @property
    def delivered_tokens(self) -> int:
        """The fake engine's events are a token each, and whole calls count as one."""
        if not self.body or not self.headers.get("content-type", "").startswith("text/event-stream"):
            return 0
        said = ("content", "reasoning_content", "tool_calls")
        return sum(1 for delta in self.deltas if any(delta.get(name) for name in said))


@dataclass
class Asked:
    """One request of a client."""

    name: str
    sink: RecordingSink
    exchange: ChatExchange | None
    left: bool = False
    unasked: bool = False
    """The request was under way, but no engine was ever asked."""

    async def answered(self) -> RecordingSink:
        await asyncio.wait_for(self.sink.over.wait(), SOON_S)
        return self.sink

    def leave(self) -> None:
        assert self.exchange is not None
        self.left = True
        self.exchange.client_left()

    @property
    def started(self) -> ChatExchange:
        assert self.exchange is not None, self.sink.body
        return self.exchange


@dataclass
class Bench:
    """Built on a running loop."""

    engine: FakeEngine
    endpoint: Endpoint | None = None
    profile: Profile = OPENAI
    platform_limit: int = 100
    limits_of: dict[str, ModelLimits] = field(default_factory=dict)
    price: Price | None = None
    balance: int = 0
    moderator: Moderator | None = None
    others: list[FakeEngine] = field(default_factory=list)
    """Further engines that answer for the same models; "fake-1" and so on."""
    routing: Balance = "failover"
    keys: tuple[str, ...] = ()
    """Credentials that the first engine is asked with."""
    max_in_flight: dict[str, int] = field(default_factory=dict)
    now_s: float = 1000.0
    trace: Trace = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.remote = RemoteEngine(
            "fake", self.endpoint or self.engine.endpoint, self.profile, keys=self.keys
        )
        self.cashier = MemoryCashier(self.trace)
        if self.price is not None:
            self.cashier.prices = dict.fromkeys(MODELS, self.price)
        self.cashier.ledger.add_account(PRINCIPAL.account_id, self.balance)
        self.request_log = RequestLog(self.log, as_json=True)
        self.limits = Limits(self.platform_limit, now_s=lambda: self.now_s, wall_s=lambda: self.now_s)
        self.admissions = Admissions(self.limits, self.cashier)
        self.metrics = Metrics()
        catalog = load_catalog()
        models = [
            msgspec.structs.replace(model, limits=self.limits_of) for model in catalog if model.id in MODELS
        ]
        self.pipeline = Pipeline(
            registry=self._registry(models),
            admissions=self.admissions,
            request_log=self.request_log,
            metrics=self.metrics,
            ids=IdSource(),
            moderator=self.moderator,
            monotonic_s=lambda: self.now_s,
        )

    def _registry(self, models: list[Model]) -> Registry:
        engines = [self.remote]
        engines += [
            RemoteEngine(f"fake-{number}", engine.endpoint, self.profile)
            for number, engine in enumerate(self.others, 1)
        ]
        routes = {
            model.id: Route(
                model, tuple(Target(engine, f"real-{model.id}") for engine in engines), self.routing
            )
            for model in models
        }
        return Registry(engines, routes, self.max_in_flight)

    def ask(self, *, surface: Surface = PAAS, body: bytes | None = None, **fields: Any) -> Asked:
        fields = {"model": "glm-4.6", "messages": [{"role": "user", "content": "hi"}], **fields}
        if self.price is not None:
            # Told where to stop, so that the engine is asked for what the caller wants: a body or a stream.
            model = self.pipeline.registry.route(str(fields["model"]))
            fields.setdefault("max_tokens", 1 if model is None else model.model.default_max_tokens)
        fields.setdefault("request_id", f"request-{len(self.asked)}")
        name = str(fields["request_id"])
        sink = RecordingSink(self.trace, name)
        caller = Caller(PRINCIPAL, surface, surface.prefix + "/chat/completions", "en")
        exchange = self.pipeline.chat(json.dumps(fields).encode() if body is None else body, caller, sink)
        self.asked.append(Asked(name, sink, exchange))
        return self.asked[-1]

    async def stop(self) -> None:
        """Hang up on the engine, and let go of the requests: the collector cannot see that they lead back here."""
        await self.remote.stop()
        self.asked.clear()

    async def engine_hears(self, number: int = 0) -> FakeRequest:
        """The engine's record of the request with this number."""
        await until(lambda: len(self.engine.requests) > number)
        return self.engine.requests[number]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log's lines of requests."""
        self.request_log.flush()
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if "status" in line]

    async def violations(self, *, usage_is_true: bool = True) -> list[str]:
        """Everything that does not hold now that all requests should be over. Empty is good."""
        found = []
        if not await within(
            ENGINE_STOPS_WITHIN_S,
            lambda: all(
                request.over for engine in (self.engine, *self.others) for request in engine.requests
            ),
        ):
            found.append("an engine works for nobody")
        if self.pipeline.router.in_flight or self.pipeline.router.waiting:
            found.append("a place at an engine was not given back")
        if self.limits.total or self.pipeline.exchanges:
            found.append("a place in flight was not given back")
        if self.admissions.running:
            found.append("a request id is still in use")
        if any(standing.in_flight for standing in self.limits._standings.values()):
            found.append("a place of the account was not given back")
        ledger = self.cashier.ledger
        if ledger.held(PRINCIPAL.account_id) or ledger._holds:
            found.append("money is still held")
        charged = 0 if self.cashier.error else sum(line.charge for line in self.cashier.lines)
        if ledger.balance(PRINCIPAL.account_id) != self.balance - charged:
            found.append("the balance is not what was charged less")
        found += ledger.audit()
        for asked in self.asked:
            found += self._violations_of(asked, usage_is_true=usage_is_true)
        if len(self.records) != len(self.asked):
            found.append(f"{len(self.records)} log lines for {len(self.asked)} requests")
        if sum(self.metrics._requests.values()) != len(self.asked):
            found.append("a request was not counted, or twice")
        return found

    def _violations_of(self, asked: Asked, *, usage_is_true: bool) -> list[str]:
        found = []
        sink, name = asked.sink, asked.name
        if len(sink.ends) != 1 and not asked.left:
            found.append(f"{name}: answered {len(sink.ends)} times: {sink.ends}")
        lines = [line for line in self.cashier.lines if line.request_id == name]
        asked_for = asked.exchange is not None and not asked.unasked
        written = 1 if asked_for and self.cashier.raises is None else 0
        if len(lines) != written:
            found.append(f"{name}: {len(lines)} usage lines instead of {written}")
        told = [what for what, whose in self.trace if whose == name]
        complete = sink.status == 200 and "abort" not in sink.ends and bool(sink.ends)
        if complete and (told.count("durable") != 1 or told[-1] == "durable"):
            found.append(f"{name}: the end was delivered before the usage was durable: {told}")
        if lines and usage_is_true:
            billed = lines[0].usage.completion_tokens
            heard = [request for engine in (self.engine, *self.others) for request in engine.requests]
            produced = sum(request.tokens for request in heard if request.over)
            if not sink.delivered_tokens <= billed <= produced:
                found.append(
                    f"{name}: delivered {sink.delivered_tokens}, billed {billed}, produced {produced}"
                )
        return found


async def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(0.002)
    return True


async def until(condition: Callable[[], bool]) -> None:
    assert await within(SOON_S, condition), "it did not come to pass"


def run(test: Callable[[Bench], Awaitable[None]], *scripts: Script | list[Step], **options: Any) -> None:
    """Run a test on the loop that the server uses, with an engine that plays these scripts."""

    async def main() -> None:
        async with FakeEngine() as engine:
            engine.play(*scripts)
            bench = Bench(engine, **options)
            await test(bench)
            await bench.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
