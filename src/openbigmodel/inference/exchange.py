"""One chat request: admit → route → relay → settle. The page to read.

Nothing here awaits: each step is a plain call, and what takes time calls back, because a task per request would cost
more than the work. All of it runs on the event loop.

What holds at every exit, good or bad: the sink is answered exactly once, what was taken (`admission`) is given back
exactly once, and an engine that works for nobody is stopped. The usage of a request that an engine was asked
(`measurement` says how it is known) is written and charged exactly once and durably *before* the caller sees the end
of the answer; one that was refused used nothing.
"""

from collections.abc import Callable
from typing import Protocol

from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.edge import Sink
from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.engine_errors import error_of_engine, kind_of_body
from openbigmodel.engines.registry import Call, Registry, Route
from openbigmodel.engines.translate import Generation, to_openai
from openbigmodel.errors import ApiError, error_headers, render_error
from openbigmodel.ids import IdSource
from openbigmodel.inference.admission import Admission, Admissions
from openbigmodel.inference.answer_head import EVENT_STREAM, JSON, REPLAY, engine_line
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import (
    MAX_REQUEST_ID_CHARACTERS,
    check_chat_request,
    completion_bound,
    prompt_bound,
    read_chat_request,
    read_messages,
)
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader
from openbigmodel.inference.finished import Finished, FinishedRequests
from openbigmodel.inference.measurement import NOTHING, UNBOUNDED, Measured, measured
from openbigmodel.inference.prompt_count import PromptQuestion
from openbigmodel.inference.reply import ReplyWriter, new_writer
from openbigmodel.schemas.chat import ChatRequest, Message

# An engine that says nothing for so long is taken for dead. Prompts of a million tokens take minutes to read.
FIRST_TOKEN_TIMEOUT_S = 600.0
BETWEEN_TOKENS_TIMEOUT_S = 120.0

# A token may come in several events, a call's name in one of its own: so many beyond the bound are no sign of a runaway.
_SPARE_EVENTS = 32

MAX_ENGINE_BODY_BYTES = 64 * 1024 * 1024
# A model's file that is still being downloaded takes minutes.
_ENGINE_AWAY_RETRY_AFTER_S = 30
_MAX_ERROR_BODY_BYTES = 64 * 1024

# In the usage line, where an answer has its finish reason.
_CLIENT_LEFT = "client_left"


class Surroundings(Protocol):
    """What every exchange needs; the pipeline. `swept_s` is when deadlines were last looked after."""

    registry: Registry
    admissions: Admissions
    finished: FinishedRequests
    ids: IdSource
    now_s: Callable[[], float]
    monotonic_s: Callable[[], float]
    exchanges: set["ChatExchange"]
    swept_s: float


class ChatExchange:
    """One chat request on its way. Consumes an engine's response, feeds a sink."""

    __slots__ = tuple(
        """
        _admission _asked _body _call _caller _detail _engine_status _engine_streams _error
        _finish_reason _first_token_s _heard _heard_s _id _last _measured _over _paused _pipeline _question _reader
        _request_id _route _sink _started_s _stream_open _streaming _writer
        """.split()
    )

    _asked: bytes
    _reader: EngineReader
    _writer: ReplyWriter
    _request_id: str

    def __init__(self, pipeline: Surroundings, caller: Caller, sink: Sink) -> None:
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
        self._admission: Admission | None = None
        self._call: Call | None = None
        self._question: PromptQuestion | None = None
        self._engine_status = 0
        self._engine_streams = False
        self._streaming = False
        self._stream_open = False
        self._paused = False
        self._over = False
        self._body: bytes | bytearray = b""
        self._detail = ""
        # How it ends: either an error, or the last of the answer.
        self._error: ApiError | None = None
        self._last = b""
        self._finish_reason = ""
        self._measured = NOTHING

    # admit and route

    def begin(self, body: bytes) -> StoredReply | None:
        """Everything up to the question to the engine, or the reply that the same request had before.

        Raises ApiError, and then holds nothing but what `refuse` gives back.
        """
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
        claim = None
        if request.request_id is not None:
            found = pipeline.admissions.claim(caller.principal.account_id, self._request_id, body)
            if isinstance(found, StoredReply):
                return found
            claim = found
        principal = caller.principal
        self._admission = pipeline.admissions.admit(
            principal,
            route.model,
            claim,
            caller.surface.coding and principal.kind == "coding",
            UNBOUNDED if principal.exempt else prompt_bound(request, body),
            UNBOUNDED if principal.exempt else completion_bound(generation, route.engine.profile),
        )
        pipeline.exchanges.add(self)
        self._prepare(request, messages, route, generation)
        self._ask()
        return None

    def _find_route(self, model_id: str) -> Route:
        registry = self._pipeline.registry
        route = registry.route(model_id)
        if route is None:
            raise ApiError("1211")
        listed = route.model.listed
        if self._caller.surface.coding and route.model.coding is not None:
            # The Coding Plan base answers older ids with their successors, where it has them (api.md §3.7).
            route = registry.route(route.model.coding) or route
        principal = self._caller.principal
        if principal.restricted:
            # By what answers, and is paid for.
            principal.check_model(route.model.id, listed=listed)
        return route

    def _prepare(
        self, request: ChatRequest, messages: list[Message] | None, route: Route, generation: Generation
    ) -> None:
        pipeline, model = self._pipeline, route.model
        wall_clock = pipeline.now_s
        remapped = self._caller.surface.coding and model.id.lower() != request.model.lower()
        named = model.id if remapped else request.model
        created_s, first_call = int(wall_clock()), pipeline.ids.tool_call_number()
        writer = self._writer = new_writer(
            self._id, self._request_id, created_s, named, model, request, generation, first_call
        )
        self._reader = EngineReader(writer)
        profile = route.engine.profile
        self._engine_streams = self._streaming or profile.always_stream
        self._asked = to_openai(request, messages, route.target, generation, profile)

    def _ask(self) -> None:
        route = self._route
        assert route is not None
        try:
            self._call = route.engine.post("/chat/completions", self._asked, self)
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
        admission = self._admission
        if reader.done:
            self._finish(ready)
        elif admission is not None and reader.deltas > admission.completion_bound + _SPARE_EVENTS:
            self._stop_at_bound(ready)
        elif ready:
            if not self._stream_open:
                self._stream_open = True
                self._sink.start(self._headers(EVENT_STREAM))
            self._sink.write(ready)

    def _keep(self, data: bytes) -> None:
        body = self._body
        limit = MAX_ENGINE_BODY_BYTES if self._engine_status == 200 else _MAX_ERROR_BODY_BYTES
        if not body and len(data) <= limit:
            self._body = data  # nearly always all of it
        elif len(body) + len(data) > limit:
            if self._engine_status == 200:
                self.engine_failed(f"an answer of more than {limit} bytes")
        else:
            self._body = bytearray(body) if isinstance(body, bytes) else body
            self._body += data

    def engine_ended(self) -> None:
        """The engine's answer is complete, as far as HTTP can tell."""
        self._call = None
        if self._over:
            return
        if self._engine_status != 200:
            body = bytes(self._body)
            self._detail = f"engine answered {self._engine_status} ({kind_of_body(body)})"
            self._settle_refused(error_of_engine(self._engine_status, body, self._id))
            return
        if not self._engine_streams:
            try:
                self._reader.feed_body(bytes(self._body))
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
        self._stop()
        admission = self._admission
        assert admission is not None
        self._measured = found = measured(
            reader, admission.prompt_bound, admission.completion_bound, self._asked
        )
        wall_clock = self._pipeline.now_s
        self._last = ready + self._writer.finish(self._finish_reason, found.usage, int(wall_clock()))
        self._settle()

    def _settle_refused(self, error: ApiError) -> None:
        """Nothing was delivered: the usage line says so, and the caller gets an error."""
        self._error = error
        self._stop()
        self._settle()

    def client_left(self) -> None:
        """The client is gone: stop the engine, charge what it produced."""
        if self._over:
            return
        self._finish_reason = _CLIENT_LEFT
        self._break_off()

    def _break_off(self) -> None:
        """Stop the engine; where it has not counted the prompt, perhaps its tokenizer does."""
        self._stop()
        reader, route = self._reader, self._route
        assert route is not None
        if reader.produced and not reader.knows_prompt and route.engine.profile.prompt_counter:
            self._question = PromptQuestion(route.engine, self._asked, self._broken_off)
        else:
            self._broken_off(None)

    def _broken_off(self, prompt_count: int | None) -> None:
        self._question = None
        self._measured = self._measure(prompt_count)
        self._settle()

    def _measure(self, prompt_count: int | None) -> Measured:
        admission = self._admission
        assert admission is not None
        return measured(
            self._reader, admission.prompt_bound, admission.completion_bound, self._asked, prompt_count
        )

    def _stop(self) -> None:
        """The engine will not be listened to any more."""
        assert not self._over, "ended twice"
        self._over = True
        if self._call is not None and not self._reader.done:
            self._call.cancel()
            self._call = None

    def _settle(self) -> None:
        """Charge the usage and write it; what follows waits until it is durable."""
        pipeline, principal, found = self._pipeline, self._caller.principal, self._measured
        route, admission = self._route, self._admission
        assert route is not None
        assert admission is not None
        wall_clock, clock = pipeline.now_s, pipeline.monotonic_s
        ended_ms = int(wall_clock() * 1000)
        line = UsageLine(
            log_id=self._id,
            request_id=self._request_id,
            account_id=principal.account_id,
            api_key_id=principal.api_key_id,
            model=route.model.id,
            engine=route.engine.name,
            usage=found.usage,
            finish_reason=self._finish_reason,
            code="" if self._error is None else self._error.code,
            started_ms=ended_ms - int((clock() - self._started_s) * 1000),
            ended_ms=ended_ms,
            source=found.source,
            note=found.note,
            stream=self._streaming,
        )
        try:
            admission.settle(line, self._settled, b"" if self._streaming else self._last)
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
            self._measured = NOTHING
            self._answer_error(ApiError("1230"))

    def _release(self) -> None:
        admission, call = self._admission, self._call
        assert admission is not None
        self._pipeline.exchanges.discard(self)
        admission.leave(self._measured.usage)
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

    # requests that no engine is asked

    def replay(self, earlier: StoredReply) -> None:
        """Answer a request that was answered before, and charged then."""
        self._over = True
        self._route = None
        self._detail = "a stored reply"
        self._sink.respond(200, self._headers(JSON) + REPLAY, earlier.reply)
        self._record(200)

    def refuse(self, error: ApiError) -> None:
        """Answer a request that was never begun."""
        self.give_up()
        self._answer_error(error)

    def give_up(self) -> None:
        """Hold nothing any more, and say nothing."""
        self._over = True
        if self._admission is not None:
            self._pipeline.exchanges.discard(self)
            self._admission.withdraw()

    def _answer_error(self, error: ApiError) -> None:
        headers = self._headers(JSON) + b"".join(b"%b: %b\r\n" % header for header in error_headers(error))
        self._sink.respond(error.status, headers, render_error(error, self._caller.language))
        self._finish_reason = ""
        self._record(error.status, code=error.code)

    def _headers(self, content_type: bytes) -> bytes:
        engine = b"" if self._route is None else engine_line(self._route.engine.name)
        return b"content-type: %b\r\nx-log-id: %b\r\n%b" % (content_type, self._id.encode(), engine)

    def _record(self, status: int, *, code: str = "", client_left: bool = False) -> None:
        pipeline = self._pipeline
        wall_clock, clock = pipeline.now_s, pipeline.monotonic_s
        finished = Finished(
            self._id,
            self._request_id,
            self._caller,
            self._route,
            self._measured.usage,
            status,
            code,
            self._finish_reason,
            client_left,
            self._streaming,
            self._detail,
            wall_clock(),
            self._started_s,
            self._first_token_s,
            clock(),
        )
        pipeline.finished.add(finished)

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

    def cut(self, reason: str) -> None:
        """End now, as if the engine had died."""
        if self._question is not None:
            self._question.give_up()
        else:
            self.engine_failed(reason)

    def check_deadline(self, now_s: float) -> None:
        """Give up on an engine that has gone silent, or on and on; called about once a second."""
        if self._heard:
            # Set by each chunk and turned into a time here, so that a chunk need not read the clock.
            self._heard = False
            self._heard_s = max(self._heard_s, self._pipeline.swept_s)
        limit_s = BETWEEN_TOKENS_TIMEOUT_S if self._first_token_s is not None else FIRST_TOKEN_TIMEOUT_S
        if not self._over and not self._paused and now_s - self._heard_s > limit_s:
            self.engine_failed(f"no word from the engine for {limit_s:.0f} s")
            return
        admission = self._admission
        if (
            admission is not None
            and not self._over
            and self._reader.produced_tokens > admission.completion_bound
        ):
            self._stop_at_bound(b"")

    def _stop_at_bound(self, ready: bytes) -> None:
        """The engine was not told its bound, or ignores it; beyond that nobody pays."""
        self._reader.finish_reason = "length"
        self._finish(ready)
