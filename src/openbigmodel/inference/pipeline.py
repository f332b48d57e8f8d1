"""One chat request: admit → route → relay → settle. The page to read.

A request comes through some door (today the edge's hot route) that knows who asks and gives a sink. Nothing here awaits: each step is a plain call, and what takes time calls back, because a task per
request would cost more than the work. All of it runs on the event loop.

What holds at every exit, good or bad: the sink is answered exactly once, the place in flight is given back
exactly once, and an engine that works for nobody is stopped. The usage of a request that an engine was asked is
written exactly once and durably *before* the caller sees the end of the answer; one that was refused used nothing.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.edge import Sink
from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.engine_errors import error_of_engine, kind_of_body
from openbigmodel.engines.registry import Call, Registry, Route
from openbigmodel.engines.translate import Generation, to_openai
from openbigmodel.errors import ApiError, Language, error_headers, render_error
from openbigmodel.ids import IdSource
from openbigmodel.inference.chat_request import (
    MAX_REQUEST_ID_CHARACTERS,
    Surface,
    check_chat_request,
    read_chat_request,
    read_messages,
)
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader
from openbigmodel.inference.reply import BodyWriter, ReplyHead, StreamWriter
from openbigmodel.limits import InFlight
from openbigmodel.schemas.chat import ChatRequest, Message
from openbigmodel.telemetry import Metrics, RequestLog, RequestRecord, timestamp

JSON = b"application/json; charset=UTF-8"
EVENT_STREAM = b"text/event-stream;charset=UTF-8"
_NOTHING_USED = Usage()

# An engine that says nothing for so long is taken for dead. Prompts of a million tokens take minutes to read.
FIRST_TOKEN_TIMEOUT_S = 600.0
BETWEEN_TOKENS_TIMEOUT_S = 120.0
_SWEEP_INTERVAL_S = 1.0

MAX_ENGINE_BODY_BYTES = 64 * 1024 * 1024
# A model's file that is still being downloaded takes minutes.
_ENGINE_AWAY_RETRY_AFTER_S = 30
_MAX_ERROR_BODY_BYTES = 64 * 1024

# In the usage line, where an answer has its finish reason.
_CLIENT_LEFT = "client_left"


_Argument = TypeVar("_Argument")


class Settlement(Protocol):
    """Where usage is written."""

    def record(self, line: UsageLine, done: Callable[[BaseException | None], None]) -> None:
        """Write durably, then call `done` on the event loop."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who asks, where, and in which language errors are told."""

    principal: Principal
    surface: Surface
    path: str
    language: Language


class Pipeline:
    """Everything that a request passes, and all requests under way."""

    def __init__(
        self,
        *,
        registry: Registry,
        in_flight: InFlight,
        settlement: Settlement,
        request_log: RequestLog,
        metrics: Metrics,
        ids: IdSource,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self.in_flight = in_flight
        self.settlement = settlement
        self.request_log = request_log
        self.metrics = metrics
        self.ids = ids
        self.now_s = now_s
        self.monotonic_s = monotonic_s
        self.exchanges: set[ChatExchange] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self.swept_s = monotonic_s()

    def chat(self, body: bytes, caller: Caller, sink: Sink) -> "ChatExchange | None":
        """Begin a chat request; None when it was refused, which the sink then has been told."""
        exchange = ChatExchange(self, caller, sink)
        try:
            exchange.begin(body)
        except ApiError as error:
            exchange.refuse(error)
            return None
        except Exception:  # a fault of ours, which the door answers
            exchange.give_up()
            raise
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_INTERVAL_S, self._sweep)
        return exchange

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        # First of all: whatever goes wrong with one request, the deadlines of the others hold.
        self._sweeper = loop.call_later(_SWEEP_INTERVAL_S, self._sweep) if self.exchanges else None
        now_s = self.monotonic_s()
        for exchange in list(self.exchanges):
            _guarded(loop, exchange.check_deadline, now_s)
        self.swept_s = now_s

    def cut_all(self) -> None:
        """End every request now, as if its engine had died; used when the platform stops."""
        for exchange in list(self.exchanges):
            _guarded(asyncio.get_running_loop(), exchange.engine_failed, "the platform is stopping")


def _guarded(loop: asyncio.AbstractEventLoop, call: Callable[[_Argument], None], argument: _Argument) -> None:
    """Call; a fault of ours goes to the loop's handler instead of to whoever comes next."""
    try:
        call(argument)
    except Exception as error:  # noqa: BLE001  the edge of one request's work among others
        loop.call_exception_handler({"message": "a request could not be ended", "exception": error})


class ChatExchange:
    """One chat request on its way. Consumes an engine's response, feeds a sink."""

    __slots__ = tuple(
        """
        _body_parts _call _caller _detail _engine_status _engine_streams _error _finish_reason
        _first_token_s _heard _heard_s _id _last _over _paused _pipeline _reader _request_id _route
        _sink _size _started_s _stream_open _streaming _usage _writer
        """.split()
    )

    _reader: EngineReader
    _writer: StreamWriter | BodyWriter
    _request_id: str

    def __init__(self, pipeline: Pipeline, caller: Caller, sink: Sink) -> None:
        self._pipeline = pipeline
        self._caller = caller
        self._sink = sink
        self._id = pipeline.ids.request_id()
        self._request_id = ""
        clock = pipeline.monotonic_s
        self._started_s = self._heard_s = clock()
        self._heard = False  # since the last sweep
        self._first_token_s: float | None = None
        self._route: Route | None = None
        self._call: Call | None = None
        self._engine_status = 0
        self._engine_streams = False
        self._streaming = False
        self._stream_open = False
        self._paused = False
        self._over = False
        self._size = 0
        self._body_parts: list[bytes] = []
        self._detail = ""
        # How it ends: either an error, or the last of the answer.
        self._error: ApiError | None = None
        self._last = b""
        self._finish_reason = ""
        self._usage = _NOTHING_USED

    # admit and route

    def begin(self, body: bytes) -> None:
        """Everything up to the question to the engine. Raises ApiError, and then holds nothing."""
        pipeline, caller = self._pipeline, self._caller
        request = read_chat_request(body)
        # Longer ones are refused below; until then one of 10 MB must not get as far as the log.
        self._request_id = (
            self._id if request.request_id is None else str(request.request_id)[:MAX_REQUEST_ID_CHARACTERS]
        )
        self._streaming = bool(request.stream)
        route = self._route = self._find_route(request.model)
        messages = read_messages(request, route.model)
        generation = check_chat_request(request, route.model, caller.surface)
        pipeline.in_flight.enter(
            caller.principal.account_id, route.model.id, unlimited=caller.principal.operator
        )
        pipeline.exchanges.add(self)
        self._ask(request, messages, route, generation)

    def _find_route(self, model_id: str) -> Route:
        registry = self._pipeline.registry
        route = registry.route(model_id)
        if route is None:
            raise ApiError("1211")
        if self._caller.surface.coding and route.model.coding is not None:
            # The Coding Plan base answers older ids with their successors, where it has them (api.md §3.7).
            return registry.route(route.model.coding) or route
        return route

    def _ask(
        self, request: ChatRequest, messages: list[Message] | None, route: Route, generation: Generation
    ) -> None:
        pipeline, model = self._pipeline, route.model
        wall_clock = pipeline.now_s
        remapped = self._caller.surface.coding and model.id.lower() != request.model.lower()
        head = ReplyHead(
            id=self._id,
            request_id=self._request_id,
            created=int(wall_clock()),
            model=model.id if remapped else request.model,
            shows_cached_tokens=model.cached_tokens,
            shows_reasoning_tokens=model.reasoning_tokens == "always"
            or (model.reasoning_tokens == "thinking" and generation.thinking is not False),
        )
        first_call = pipeline.ids.tool_call_number()
        if self._streaming:
            self._writer = StreamWriter(head, first_call, tool_stream=bool(request.tool_stream))
        else:
            self._writer = BodyWriter(head, first_call)
        self._reader = EngineReader(self._writer)
        profile = route.engine.profile
        self._engine_streams = self._streaming or profile.always_stream
        body = to_openai(request, messages, route.target, generation, profile)
        try:
            self._call = route.engine.post("/chat/completions", body, self)
        except EngineUnavailable as error:
            self._detail = error.reason
            raise ApiError("1305", retry_after_s=_ENGINE_AWAY_RETRY_AFTER_S) from error

    # relay: what the engine says

    def engine_started(self, status: int) -> None:
        """The engine has begun to answer."""
        self._engine_status = status
        self._heard = True

    def engine_data(self, data: bytes) -> None:
        """Part of the engine's answer."""
        if self._over:
            return
        self._heard = True
        if self._engine_status != 200 or not self._engine_streams:
            self._keep(data)
            return
        reader = self._reader
        try:
            reader.feed_stream(data)
        except EngineProtocolError as error:
            self.engine_failed(str(error))
            return
        if self._first_token_s is None and reader.produced:
            clock = self._pipeline.monotonic_s
            self._first_token_s = clock()
        ready = self._writer.take()
        if reader.done:
            self._finish(ready)
        elif ready:
            if not self._stream_open:
                self._stream_open = True
                self._sink.start(self._headers(EVENT_STREAM))
            self._sink.write(ready)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        limit = MAX_ENGINE_BODY_BYTES if self._engine_status == 200 else _MAX_ERROR_BODY_BYTES
        if self._size <= limit:
            self._body_parts.append(data)
        elif self._engine_status == 200:
            self.engine_failed(f"an answer of more than {limit} bytes")

    def engine_ended(self) -> None:
        """The engine's answer is complete, as far as HTTP can tell."""
        self._call = None
        if self._over:
            return
        if self._engine_status != 200:
            body = b"".join(self._body_parts)
            self._detail = f"engine answered {self._engine_status} ({kind_of_body(body)})"
            self._settle_refused(error_of_engine(self._engine_status, body, self._id))
            return
        if not self._engine_streams:
            try:
                self._reader.feed_body(b"".join(self._body_parts))
            except EngineProtocolError as error:
                self.engine_failed(str(error))
                return
        self._finish(b"")

    def engine_failed(self, reason: str) -> None:
        """The engine died, or speaks nonsense."""
        if self._over:
            return
        self._detail = reason
        self._finish(b"", died=True)

    # settle: how it ends

    def _finish(self, ready: bytes, *, died: bool = False) -> None:
        """The engine will say no more. A death before the caller has seen anything is an ordinary error."""
        reader = self._reader
        if died or not reader.ended_well():
            if not self._stream_open:
                self._detail = self._detail or "the engine ended its answer without a finish reason"
                self._settle_refused(ApiError("1234", error_id=self._id))
                return
            self._finish_reason = "network_error"
        else:
            assert reader.finish_reason is not None
            self._finish_reason = reader.finish_reason
        self._usage = reader.usage()
        wall_clock = self._pipeline.now_s
        self._last = ready + self._writer.finish(self._finish_reason, self._usage, int(wall_clock()))
        self._settle()

    def _settle_refused(self, error: ApiError) -> None:
        """Nothing was delivered: the usage line says so, and the caller gets an error."""
        self._error = error
        self._settle()

    def client_left(self) -> None:
        """The client is gone: stop the engine, keep what it produced on record."""
        if self._over:
            return
        self._usage = self._reader.usage()
        self._finish_reason = _CLIENT_LEFT
        self._settle()

    def _settle(self) -> None:
        """Write the usage; what follows waits until it is durable."""
        assert not self._over, "settled twice"
        pipeline, route, principal = self._pipeline, self._route, self._caller.principal
        assert route is not None
        self._over = True
        if self._call is not None and not self._reader.done:
            self._call.cancel()
            self._call = None
        wall_clock, clock = pipeline.now_s, pipeline.monotonic_s
        ended_ms = int(wall_clock() * 1000)
        line = UsageLine(
            log_id=self._id,
            request_id=self._request_id,
            account_id=principal.account_id,
            api_key_id=principal.api_key_id,
            model=route.model.id,
            engine=route.engine.name,
            usage=self._usage,
            finish_reason=self._finish_reason,
            code="" if self._error is None else self._error.code,
            started_ms=ended_ms - int((clock() - self._started_s) * 1000),
            ended_ms=ended_ms,
        )
        try:
            pipeline.settlement.record(line, self._settled)
        except Exception as error:  # noqa: BLE001  a full queue or a closed database must not leave the place taken
            self._settled(error)

    def _settled(self, failure: BaseException | None) -> None:
        """The usage is durable, or will never be; either way the request is over."""
        if failure is not None:
            self._detail = f"{self._detail} usage not written: {failure}".strip()
        self._release()
        if self._error is not None:
            self._answer_error(self._error)
        elif self._finish_reason == _CLIENT_LEFT:
            self._record(200 if self._stream_open else 499, client_left=True)
        elif failure is None:
            self._deliver()
        elif self._stream_open:
            # An answer whose usage is lost must not look complete.
            self._sink.abort()
            self._finish_reason = ""
            self._record(200, code="1230")
        else:
            self._answer_error(ApiError("1230"))

    def _release(self) -> None:
        pipeline, route, call = self._pipeline, self._route, self._call
        assert route is not None
        pipeline.exchanges.discard(self)
        pipeline.in_flight.leave(self._caller.principal.account_id, route.model.id)
        if call is not None:
            # The engine said [DONE] but has not ended its response by now: do not wait for it.
            call.cancel()
            self._call = None

    def _deliver(self) -> None:
        """The usage is durable, so the end of the answer may be seen."""
        if not self._streaming:
            self._sink.respond(200, self._headers(JSON), self._last)
        else:
            if not self._stream_open:
                self._stream_open = True
                self._sink.start(self._headers(EVENT_STREAM))
            self._sink.end(self._last)
        self._record(200)

    # answers that are errors

    def refuse(self, error: ApiError) -> None:
        """Answer a request that was never begun."""
        self.give_up()
        self._answer_error(error)

    def give_up(self) -> None:
        """Hold nothing any more, and say nothing."""
        self._over = True
        if self._route is not None and self in self._pipeline.exchanges:
            self._release()

    def _answer_error(self, error: ApiError) -> None:
        headers = self._headers(JSON) + b"".join(b"%b: %b\r\n" % header for header in error_headers(error))
        self._sink.respond(error.status, headers, render_error(error, self._caller.language))
        self._usage, self._finish_reason = _NOTHING_USED, ""
        self._record(error.status, code=error.code)

    def _headers(self, content_type: bytes) -> bytes:
        engine = f"x-bigmodel-engine: {self._route.engine.name}\r\n" if self._route else ""
        return b"content-type: %b\r\n%b" % (content_type, f"x-log-id: {self._id}\r\n{engine}".encode())

    def _record(self, status: int, *, code: str = "", client_left: bool = False) -> None:
        pipeline, principal, route, usage = self._pipeline, self._caller.principal, self._route, self._usage
        started_s, first_token_s = self._started_s, self._first_token_s
        wall_clock, clock = pipeline.now_s, pipeline.monotonic_s
        model = route.model.id if route else ""
        record = RequestRecord(
            time=timestamp(wall_clock()),
            id=self._id,
            path=self._caller.path,
            status=status,
            request_id="" if self._request_id == self._id else self._request_id,
            account=principal.account_id,
            api_key=principal.api_key_id,
            model=model,
            engine=route.engine.name if route else "",
            stream=self._streaming,
            code=code,
            finish_reason="" if client_left else self._finish_reason,
            client_left=client_left,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            first_token_ms=None if first_token_s is None else round((first_token_s - started_s) * 1000),
            duration_ms=round((clock() - started_s) * 1000),
            detail=self._detail,
        )
        pipeline.request_log.write(record)
        pipeline.metrics.count(record, model or "unknown")

    # the client's pace, and the engine's

    def pause(self) -> None:
        """The client reads too slowly: let the engine wait."""
        self._paused = True
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """The client has caught up."""
        self._paused = False
        self._heard_s = self._pipeline.monotonic_s()
        if self._call is not None:
            self._call.resume()

    def check_deadline(self, now_s: float) -> None:
        """Give up on an engine that has gone silent; called about once a second."""
        if self._heard:
            # Set by each chunk and turned into a time here, so that a chunk need not read the clock.
            self._heard = False
            self._heard_s = max(self._heard_s, self._pipeline.swept_s)
        limit_s = BETWEEN_TOKENS_TIMEOUT_S if self._first_token_s is not None else FIRST_TOKEN_TIMEOUT_S
        if not self._over and not self._paused and now_s - self._heard_s > limit_s:
            self.engine_failed(f"no word from the engine for {limit_s:.0f} s")
