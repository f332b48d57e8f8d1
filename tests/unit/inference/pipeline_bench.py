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

import uvloop

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.store import UsageLine
from openbigmodel.catalog import load_catalog
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import FakeRequest, Script, Step
from openbigmodel.engines.registry import Registry, Route
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.translate import OPENAI, Profile
from openbigmodel.ids import IdSource
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.pipeline import Caller, ChatExchange, Pipeline
from openbigmodel.limits import InFlight
from openbigmodel.telemetry import Metrics, RequestLog

PAAS = Surface(prefix="/api/paas/v4")
CODING = Surface(prefix="/api/coding/paas/v4", coding=True)
PRINCIPAL = Principal("account", "key", "standard", operator=False)
MODELS = ("glm-4.6", "glm-4.7", "glm-5.3-flash", "glm-4-flash")
# What counts as at once between two sockets of a busy machine.
SOON_S = 3.0
ENGINE_STOPS_WITHIN_S = 1.0

Trace = list[tuple[str, str]]


class MemorySettlement:
    """Usage lines in a list; durable a turn of the loop later, or when `commit` is called, or never."""

    def __init__(self, trace: Trace) -> None:
        self.lines: list[UsageLine] = []
        self.held = False
        self.error: BaseException | None = None
        self.raises: Exception | None = None
        self._trace = trace
        self._waiting: list[Callable[[], None]] = []

    def record(self, line: UsageLine, done: Callable[[BaseException | None], None]) -> None:
        if self.raises is not None:
            raise self.raises
        self.lines.append(line)

        def commit() -> None:
            self._trace.append(("lost" if self.error else "durable", line.request_id))
            done(self.error)

        if self.held:
            self._waiting.append(commit)
        else:
            asyncio.get_running_loop().call_soon(commit)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one()


class RecordingSink:
    """A client's end: what it was told, in order."""

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
        return [chunk["choices"][0]["delta"] for chunk in self.chunks]

    @property
    def text(self) -> str:
        return "".join(delta.get("content", "") for delta in self.deltas)

    @property
    def delivered_tokens(self) -> int:
        """The fake engine's events are a token each, and whole calls count as one."""
        if not self.body or not self.headers.get("content-type", "").startswith("text/event-stream"):
            return 0
        return sum(1 for delta in self.deltas if delta.get("content") or "content" not in delta)


@dataclass
class Asked:
    """One request of a client."""

    name: str
    sink: RecordingSink
    exchange: ChatExchange | None
    left: bool = False

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
    now_s: float = 1000.0
    trace: Trace = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.remote = RemoteEngine("fake", self.endpoint or self.engine.endpoint, self.profile)
        self.settlement = MemorySettlement(self.trace)
        self.request_log = RequestLog(self.log, as_json=True)
        self.in_flight = InFlight(self.platform_limit)
        self.metrics = Metrics()
        catalog = load_catalog()
        models = [model for model in catalog if model.id in MODELS]
        self.pipeline = Pipeline(
            registry=Registry(
                [self.remote], {model.id: Route(model, self.remote, f"real-{model.id}") for model in models}
            ),
            in_flight=self.in_flight,
            settlement=self.settlement,
            request_log=self.request_log,
            metrics=self.metrics,
            ids=IdSource(),
            monotonic_s=lambda: self.now_s,
        )

    def ask(self, *, surface: Surface = PAAS, body: bytes | None = None, **fields: Any) -> Asked:
        fields = {"model": "glm-4.6", "messages": [{"role": "user", "content": "hi"}], **fields}
        fields.setdefault("request_id", f"request-{len(self.asked)}")
        name = str(fields["request_id"])
        sink = RecordingSink(self.trace, name)
        caller = Caller(PRINCIPAL, surface, surface.prefix + "/chat/completions", "en")
        exchange = self.pipeline.chat(json.dumps(fields).encode() if body is None else body, caller, sink)
        self.asked.append(Asked(name, sink, exchange))
        return self.asked[-1]

    async def engine_hears(self, number: int = 0) -> FakeRequest:
        """The engine's record of the request with this number."""
        await until(lambda: len(self.engine.requests) > number)
        return self.engine.requests[number]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log's lines."""
        self.request_log.flush()
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    async def violations(self, *, usage_is_true: bool = True) -> list[str]:
        """Everything that does not hold now that all requests should be over. Empty is good."""
        found = []
        if not await within(
            ENGINE_STOPS_WITHIN_S, lambda: all(request.over for request in self.engine.requests)
        ):
            found.append("an engine works for nobody")
        if self.in_flight.total or self.pipeline.exchanges:
            found.append("a place in flight was not given back")
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
        lines = [line for line in self.settlement.lines if line.request_id == name]
        written = 1 if asked.exchange is not None and self.settlement.raises is None else 0
        if len(lines) != written:
            found.append(f"{name}: {len(lines)} usage lines instead of {written}")
        told = [what for what, whose in self.trace if whose == name]
        complete = sink.status == 200 and "abort" not in sink.ends and bool(sink.ends)
        if complete and (told.count("durable") != 1 or told[-1] == "durable"):
            found.append(f"{name}: the end was delivered before the usage was durable: {told}")
        if lines and usage_is_true:
            billed = lines[0].usage.completion_tokens
            produced = sum(request.tokens for request in self.engine.requests if request.over)
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
            await bench.remote.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
