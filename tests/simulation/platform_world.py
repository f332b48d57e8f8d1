"""The same world around the platform itself: pipeline, cashier, writer and database, with engines and callers on wires.

Bytes are what passes between them. Time, the disk's moods and the sockets are not real.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.ledger import Hold
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model
from openbigmodel.engines.connection import EngineConsumer
from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.registry import Registry, Route, Target
from openbigmodel.ids import IdSource
from openbigmodel.inference import silence as silence_module
from openbigmodel.inference.admission import Admissions, digest_of
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface, prompt_bound, read_chat_request
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.limits import Limits
from openbigmodel.telemetry import Metrics, RequestLog
from tests.simulation import caller
from tests.simulation.bank import Done, Money
from tests.simulation.cashier_world import CashierWorld
from tests.simulation.engine import Call, Engine, EngineAway
from tests.simulation.requests import Ask, Log
from tests.simulation.world import EXEMPT, MODELS, Parts, World

PAAS = Surface(prefix="/api/paas/v4")
# One chunk is this text. Five bytes, so that it is one token where tokens are estimated by the size of the text.
WORD = b"word "
SILENCE_S_MAX = 30.0
NUMBER = re.compile(rb"number (\d+)")


class Wire:
    """What an engine makes, in the words of OpenAI's protocol, as a stream or as one body."""

    headers: Mapping[bytes, bytes] = {}

    def __init__(self, consumer: EngineConsumer, ask: Ask, *, stream: bool) -> None:
        self.call: Call | None = None
        self._consumer = consumer
        self._ask = ask
        self._stream = stream
        self._started = False
        self._cancelled = False
        self._usage: dict[str, Any] | None = None

    def pause(self) -> None:
        """Nobody here reads slowly."""

    def resume(self) -> None:
        """Nobody here reads slowly."""

    def cancel(self) -> None:
        self._cancelled = True
        assert self.call is not None
        self.call.cancel()

    def engine_chunk(self) -> None:
        if self._stream:
            self._send(b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % WORD)

    def engine_usage(self, usage: Usage, *, final: bool) -> None:
        said = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }
        if self._stream:
            self._send(b"data: %b\n\n" % msgspec.json.encode({"choices": [], "usage": said}))
        elif final:
            self._usage = said
        else:
            self._ask.reported = None

    def engine_ended(self) -> None:
        if self._stream:
            self._send(
                b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            )
        else:
            message = {"role": "assistant", "content": (WORD * self._ask.chunks).decode()}
            body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
            if self._usage is not None:
                body["usage"] = self._usage
            self._send(msgspec.json.encode(body))
        if not self._cancelled:
            self._consumer.engine_ended()

    def engine_failed(self) -> None:
        self._consumer.engine_failed("it died")

    def _send(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            self._consumer.engine_started(200)
        if not self._cancelled:
            self._consumer.engine_data(data)


class TokenCounter:
    """An engine's answer to how long a prompt is."""

    headers: Mapping[bytes, bytes] = {}

    def __init__(self, consumer: EngineConsumer, count: int | None) -> None:
        self._consumer = consumer
        self._count = count
        self._cancelled = False

    def pause(self) -> None:
        """It is too short for that."""

    def resume(self) -> None:
        """It is too short for that."""

    def cancel(self) -> None:
        self._cancelled = True

    def answer(self) -> None:
        if self._cancelled:
            return
        if self._count is None:
            self._consumer.engine_failed("it died")
            return
        self._consumer.engine_started(200)
        self._consumer.engine_data(b'{"input_tokens": %d}' % self._count)
        self._consumer.engine_ended()


class WiredEngine:
    """The world's engine, as the platform knows engines."""

    name = "engine"
    kind = "openai"
    state = "ready"

    def __init__(self, engine: Engine, profile: Profile, asks: dict[int, Ask]) -> None:
        self.profile = profile
        self._engine = engine
        self._asks = asks
        # Who is asked again, still asks for the same; a body may have come a second time by then.
        self._asked: dict[EngineConsumer, Ask] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def post(self, path: str, body: bytes, consumer: EngineConsumer) -> "Wire | TokenCounter":
        found = NUMBER.search(body)
        assert found is not None
        ask, engine = self._asked.setdefault(consumer, self._asks[int(found[1])]), self._engine
        if path != "/chat/completions":
            counter = TokenCounter(consumer, None if engine.random.random() < 0.3 else max(1, ask.prompt))
            engine.scope.after(engine.random.randrange(2_000_000), counter.answer)
            return counter
        wire = Wire(consumer, ask, stream=b'"stream":true' in body)
        try:
            wire.call = engine.ask(ask, wire)
        except EngineAway:
            raise EngineUnavailable("it is away") from None
        return wire


class Socket:
    """The caller's end of a connection, as the platform knows sinks."""

    peer = "127.0.0.1"

    def __init__(self, connection: caller.Connection, *, whole: bool) -> None:
        """`whole`: the engine makes whole answers for this request, of which the platform sees one piece."""
        self._connection = connection
        self._whole = whole

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        if status == 200:
            replayed = b"x-idempotent-replay: true" in headers
            words = body.count(WORD)
            self._connection.ended(body, min(words, 1) if self._whole else words, replayed=replayed)
            return
        code = json.loads(body)["error"]["code"]
        if code in {"1113", "1231", "1305"}:
            self._connection.refused(code)
        else:
            self._connection.broken()

    def start(self, headers: bytes) -> None:
        """The head of a stream tells nothing here."""

    def write(self, data: bytes) -> None:
        for _ in range(data.count(WORD)):
            self._connection.chunk()

    def end(self, data: bytes = b"") -> None:
        self.write(data)
        if b"network_error" in data:
            self._connection.broken()
        else:
            self._connection.ended(b"", 0)

    def abort(self) -> None:
        self._connection.broken()


class InOrder:
    """A set that keeps its order, so that a seed is the same each time."""

    def __init__(self) -> None:
        self._items: dict[ChatExchange, None] = {}

    def add(self, item: ChatExchange) -> None:
        self._items[item] = None

    def discard(self, item: ChatExchange) -> None:
        self._items.pop(item, None)

    def __iter__(self) -> Iterator[ChatExchange]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class WatchedCashier(Cashier):
    """Notes which charges could not be stored."""

    unsaved: set[str]

    def settle(
        self, hold: Hold | PlanHold, line: UsageLine, done: Done, reply: StoredReply | None = None
    ) -> UsageLine:
        def told(error: BaseException | None) -> None:
            if error is not None:
                self.unsaved.add(line.log_id)
            done(error)

        return super().settle(hold, line, told, reply)


class PipelineDesk:
    """Takes the world's requests to the pipeline."""

    def __init__(self, pipeline: Pipeline, asks: dict[int, Ask], *, always_stream: bool) -> None:
        self.pipeline = pipeline
        self._asks = asks
        self._always_stream = always_stream

    def accept(self, ask: Ask, connection: caller.Connection) -> ChatExchange | None:
        # A question to the engine is asked before `chat` returns.
        self._asks[ask.body] = ask
        ask.prompt_estimate = None
        request: dict[str, object] = {
            "model": ask.model,
            "messages": [{"role": "user", "content": f"number {ask.body}"}],
            "stream": ask.stream,
            "max_tokens": ask.max_tokens,
        }
        if ask.request_id is not None:
            request["request_id"] = ask.request_id
        body = msgspec.json.encode(request)
        ask.prompt_bound = prompt_bound(read_chat_request(body), body)
        ask.digest = digest_of(body)
        principal = Principal(ask.account, "key", exempt=ask.account in EXEMPT)
        who = Caller(principal, PAAS, "/api/paas/v4/chat/completions", "en")
        exchange = self.pipeline.chat(
            body, who, Socket(connection, whole=not (ask.stream or self._always_stream))
        )
        if exchange is not None:
            ask.log_id = exchange._id
        return exchange

    def hold_of(self, exchange: object) -> Hold:
        assert isinstance(exchange, ChatExchange)
        assert exchange._admission is not None
        hold = exchange._admission._hold
        assert isinstance(hold, Hold)
        return hold


class PlatformWorld(CashierWorld):
    """Nothing but wires, clocks and disks is simulated."""

    cashier_type = WatchedCashier

    def __init__(self, seed: int, parts: Parts, log: Log) -> None:
        super().__init__(seed, parts, log)
        self.by_body: dict[int, Ask] = {}
        self.unsaved: set[str] = set()
        self.profile = Profile(
            name="any",
            always_stream=self.random.random() < 0.5,
            prompt_counter="input_tokens" if self.random.random() < 0.5 else "",
        )
        self.patience = silence_module.FIRST_TOKEN_TIMEOUT_S, silence_module.BETWEEN_TOKENS_TIMEOUT_S
        silence_module.FIRST_TOKEN_TIMEOUT_S = silence_module.BETWEEN_TOKENS_TIMEOUT_S = SILENCE_S_MAX

    def open_desk(self, money: Money) -> Any:
        assert isinstance(self.cashier, WatchedCashier)
        self.cashier.unsaved = self.unsaved
        engine = WiredEngine(self.engine, self.profile, self.by_body)
        routes = {model: Route(Model(id=model), (Target(engine, model),)) for model in MODELS}

        def now_s() -> float:
            return self.clock.now_ms() / 1000

        def monotonic_s() -> float:
            return self.schedule.now_us / 1_000_000

        self.pipeline = Pipeline(
            registry=Registry([engine], routes),
            admissions=Admissions(Limits(10_000, now_s=monotonic_s, wall_s=now_s), self.cashier),
            request_log=RequestLog(Silence(), as_json=True),
            metrics=Metrics(),
            ids=IdSource(now_s, self.random.randbytes),
            now_s=now_s,
            monotonic_s=monotonic_s,
        )
        self.pipeline.exchanges = InOrder()  # type: ignore[assignment]
        return PipelineDesk(self.pipeline, self.by_body, always_stream=self.profile.always_stream)

    def finish(self) -> None:
        for each in self.callers:
            for ask in each.asks:
                ask.unsaved = ask.log_id in self.unsaved
        super().finish()

    def close(self) -> None:
        silence_module.FIRST_TOKEN_TIMEOUT_S, silence_module.BETWEEN_TOKENS_TIMEOUT_S = self.patience
        super().close()


class Silence:
    """A log that nobody reads."""

    def write(self, text: str, /) -> object:
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


assert issubclass(PlatformWorld, World)
