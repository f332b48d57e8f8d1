"""One chat request: admit → route → relay → settle. The page to read.

Nothing here awaits: each step is a plain call, and what takes time calls back, because a task per request would cost
more than the work. All of it runs on the event loop.

What holds at every exit, good or bad: the sink is answered exactly once, what was taken (`admission`) is given back
exactly once, and an engine that works for nobody is stopped. The usage of a request that an engine was asked
(`measurement` says how it is known) is written and charged exactly once and durably *before* the caller sees the end
of the answer; one that was refused used nothing.
"""

from collections.abc import Callable

from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.edge import Sink
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.registry import Route
from openbigmodel.errors import ApiError
from openbigmodel.inference.admission import Admission
from openbigmodel.inference.asking import Asking
from openbigmodel.inference.attempt import Attempt, Wish, answer_bound
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import check_chat_request, fit_for_log, prompt_bound, read_messages
from openbigmodel.inference.engine_reader import EngineProtocolError
from openbigmodel.inference.finished import Finished
from openbigmodel.inference.lone_chunks import LoneChunks
from openbigmodel.inference.measurement import NOTHING, UNBOUNDED, Measured, measured
from openbigmodel.inference.model_route import find_route, name_in_reply
from openbigmodel.inference.outlet import Outlet
from openbigmodel.inference.prompt_count import PromptQuestion
from openbigmodel.inference.silence import Silence
from openbigmodel.inference.surroundings import Awaited, Surroundings

# A token may come in several events, a call's name in one of its own: so many beyond the bound are no runaway.
_SPARE_EVENTS = 32

# In the usage line, where an answer has its finish reason.
_CLIENT_LEFT = "client_left"


class ChatExchange:
    """One chat request on its way. Consumes an engine's response, feeds a sink."""

    __slots__ = tuple(
        """
        _admission _asking _attempt _awaited _caller _deltas_max _detail _error _finish_reason _first_token_s _id _last
        _measured _over _pipeline _outlet _question _request_id _route _silence _started_s _streaming _wish paused
        """.split()
    )

    _attempt: Attempt
    _asking: Asking
    _wish: Wish
    _deltas_max: int

    def __init__(self, pipeline: Surroundings, caller: Caller, sink: Sink) -> None:
        self._pipeline = pipeline
        self._caller = caller
        self._id = pipeline.ids.request_id()
        self._outlet = Outlet(sink, caller, self._id)
        self._request_id = ""
        clock = pipeline.monotonic_s
        self._started_s = now_s = clock()
        self._silence = Silence(now_s)
        self._first_token_s: float | None = None
        self._route: Route | None = None
        self._admission: Admission | None = None
        self._question: PromptQuestion | None = None
        self._streaming = False
        # What the request waits for before an engine can be asked.
        self._awaited: Awaited | None = None
        self.paused = False
        self._over = False
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
        principal, dialect = caller.principal, caller.dialect
        asked = self._outlet.asked = dialect.read(body, principal.account_id)
        request = asked.request
        self._request_id = self._id if request.request_id is None else fit_for_log(request.request_id)
        self._streaming = bool(request.stream)
        route = self._route = find_route(pipeline.registry, caller, request.model)
        messages = read_messages(request, route.model, relayed=route.relays)
        generation = check_chat_request(request, route.model, caller.surface)
        claim = None
        if request.request_id is not None:
            found = pipeline.admissions.claim(principal.account_id, self._request_id, body)
            if isinstance(found, StoredReply):
                return found
            claim = found
        most = prompt_bound(request, asked.body, messages, route.model.context_tokens, relayed=route.relays)
        self._admission = admission = pipeline.admissions.admit(
            principal,
            route.model,
            claim,
            caller.surface.coding and principal.kind == "coding",
            UNBOUNDED if principal.exempt else most,
            UNBOUNDED if principal.exempt else answer_bound(generation, route),
        )
        self._deltas_max = admission.completion_bound + _SPARE_EVENTS
        pipeline.exchanges.add(self)
        wall_clock = pipeline.now_s
        self._wish = Wish(
            dialect,
            asked,
            route,
            messages,
            generation,
            self._id,
            self._request_id,
            int(wall_clock()),
            name_in_reply(route.model, request.model, caller),
            pipeline.ids.tool_call_number(),
            not generation.max_tokens_asked and admission.completion_bound < UNBOUNDED,
        )
        self._asking = Asking(
            self, self._wish, pipeline.router, admission, pipeline.monotonic_s, pipeline.media
        )
        self._ask()
        return None

    def _ask(self) -> None:
        """Ask an engine, now or when there is one with a place. Raises ApiError."""
        try:
            self._asking.ask()
        finally:
            self._detail = self._asking.detail

    def open(self, attempt: Attempt) -> None:
        """See Asker."""
        self._silence.restart(self._pipeline.monotonic_s())
        if self._outlet.engine:
            self._attempt.forget()
        self._attempt = attempt
        self._outlet.engine = attempt.target.engine.name
        self._give_writer(attempt)

    def _give_writer(self, attempt: Attempt) -> None:
        attempt.open(self._wish)

    def wait_for(self, awaited: Awaited) -> None:
        """See Asker."""
        self._awaited = awaited

    def proceed(self, step: Callable[[], None]) -> None:
        """See Asker."""
        self._awaited = None
        try:
            step()
        except ApiError as error:
            self._detail = self._detail or self._asking.detail
            # Its traceback leads to `step`, which may lead to it.
            self.refuse(error.with_traceback(None))
        except Exception:  # a fault of ours, which the loop reports; the caller must hear of it, too
            self.refuse(ApiError("500"))
            raise

    def _ask_another(self, *, broken: bool = False) -> bool:
        """Whether another engine is asked now, since this one has failed before anybody has seen anything of it."""
        if self._outlet.open or self._attempt.reader.produced:
            return False
        return self._asking.ask_another(broken=broken)

    # relay: what the engine says

    def engine_started(self, status: int) -> None:
        """The engine has begun to answer."""
        self._attempt.status = status
        self._silence.heard = True

    def engine_data(self, data: bytes) -> None:
        """Part of the engine's answer, unless LoneChunks took it."""
        if self._over:
            return
        self._silence.heard = True
        attempt = self._attempt
        reader = attempt.reader
        try:
            if attempt.status != 200 or not attempt.streams:
                attempt.keep(data)
                return
            reader.feed_stream(data)
        except EngineProtocolError as error:
            self._fail(str(error))
            return
        if self._first_token_s is None and reader.produced:
            clock = self._pipeline.monotonic_s
            self._first_token_s = first_s = clock()
            self._asking.answered(first_s)
        ready = attempt.writer.take()
        if reader.done:
            self._finish(ready)
        elif reader.deltas > self._deltas_max:
            self._stop_at_bound(ready)
        elif ready:
            self._outlet.write(ready)
            if reader.shown_around is not None and attempt.call is not None:
                attempt.call.ask_first(LoneChunks(reader, self._outlet.sink, self._deltas_max))

    def engine_ended(self) -> None:
        """The engine's answer is complete, as far as HTTP can tell."""
        attempt = self._attempt
        if self._over:
            attempt.call = None
            return
        if attempt.status != 200:
            self._refused_by_engine()
            return
        attempt.call = None
        if not attempt.streams:
            try:
                attempt.reader.feed_body(attempt.body)
            except EngineProtocolError as error:
                self._fail(str(error))
                return
        self._finish(b"")

    def _refused_by_engine(self) -> None:
        attempt = self._attempt
        fault = attempt.refusal(self._id, self._pipeline.now_s())
        self._detail = attempt.complaint(fault)
        if self._outlet.open or not self._asking.refused(fault, self._detail):
            self._settle_refused(fault.error)

    def engine_failed(self, reason: str) -> None:
        """The connection could not be made, or broke."""
        self._fail(reason, broken=not self._attempt.status)

    def _fail(self, reason: str, *, broken: bool = False) -> None:
        """The engine has died, or speaks nonsense. `broken`: it has not said a word, so it may not have heard one."""
        if self._over:
            return
        self._detail, attempt = reason, self._attempt
        fault = None if self._outlet.open else attempt.said_instead(self._id, self._pipeline.now_s())
        if fault is not None:
            if not self._asking.refused(fault, reason, final=attempt.reader.produced):
                self._settle_refused(fault.error)
            return
        # A finish reason is an end, whatever becomes of the engine then.
        whole = not attempt.over and attempt.reader.ended_well()
        self._asking.end(Outcome.FAILED, reason)
        if whole or not self._ask_another(broken=broken):
            self._finish(b"", died=not whole)

    # settle: how it ends

    def _finish(self, ready: bytes, *, died: bool = False) -> None:
        """The engine will say no more. A death before the caller has seen anything is an ordinary error."""
        attempt = self._attempt
        reader = attempt.reader
        if died or not reader.ended_well():
            self._detail = self._detail or "the engine ended its answer without a finish reason"
            if not attempt.over:
                self._asking.end(Outcome.FAILED, self._detail)
                if self._ask_another():
                    return
            if not self._outlet.open:
                self._settle_refused(ApiError("1234", error_id=self._id))
                return
            self._finish_reason = "network_error"
        else:
            assert reader.finish_reason is not None
            self._finish_reason = reader.finish_reason
        self._stop(Outcome.SERVED)
        self._measured = found = self._measure(None)
        ended_s = int(self._pipeline.now_s())
        self._last = ready + attempt.writer.finish(self._finish_reason, found.usage, ended_s)
        self._detail = self._detail or attempt.remark
        self._settle()

    def _settle_refused(self, error: ApiError) -> None:
        """Nothing was delivered: the usage line says so, and the caller gets an error."""
        self._error = error
        self._stop(Outcome.LEFT)
        self._settle()

    def client_left(self) -> None:
        """The client is gone: stop the engine, charge what it produced."""
        if self._over:
            return
        if self._awaited is not None:
            self.give_up()
            self._record(499, client_left=True)
            return
        self._finish_reason = _CLIENT_LEFT
        self._break_off()

    def _break_off(self) -> None:
        """Stop the engine; where it has not counted the prompt, perhaps its tokenizer does."""
        self._stop(Outcome.LEFT)
        attempt = self._attempt
        reader, engine = attempt.reader, attempt.target.engine
        if reader.produced and not reader.knows_prompt and engine.profile.prompt_counter:
            self._question = PromptQuestion(engine, attempt.sent, self._broken_off)
        else:
            self._broken_off(None)

    def _broken_off(self, prompt_count: int | None) -> None:
        self._question = None
        self._measured = self._measure(prompt_count)
        self._settle()

    def _measure(self, prompt_count: int | None) -> Measured:
        admission, attempt = self._admission, self._attempt
        assert admission is not None
        return measured(
            attempt.reader, admission.prompt_bound, admission.completion_bound, attempt.sent, prompt_count
        )

    def _stop(self, outcome: Outcome) -> None:
        """The engine will not be listened to any more, neither here nor by LoneChunks."""
        assert not self._over, "ended twice"
        self._over = True
        self._asking.end(outcome)

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
            engine=self._outlet.engine,
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
            self._record(200 if self._outlet.open else 499, client_left=True)
        elif failure is None:
            self._deliver()
        elif self._outlet.open:
            # An answer whose usage is lost must not look complete.
            self._outlet.abort()
            self._finish_reason = ""
            self._record(200, code="1230")
        else:
            self._measured = NOTHING
            self._answer_error(ApiError("1230"))

    def _release(self) -> None:
        admission = self._admission
        assert admission is not None
        self._pipeline.exchanges.discard(self)
        admission.leave(self._measured.usage)
        # It may have said [DONE] and not have ended its response by now: do not wait for it.
        self._attempt.release()

    def _deliver(self) -> None:
        """The usage is durable, so the end of the answer may be seen."""
        if self._streaming:
            self._outlet.end(self._last)
        else:
            self._outlet.body(self._last)
        self._record(200)

    # requests that no engine is asked

    def replay(self, earlier: StoredReply) -> None:
        """Answer a request that was answered before, and charged then."""
        self._over = True
        self._detail = "a stored reply"
        self._outlet.replay(earlier.reply)
        self._record(200)

    def refuse(self, error: ApiError) -> None:
        """Answer a request that was never begun."""
        self.give_up()
        self._answer_error(error)

    def give_up(self) -> None:
        """Hold nothing any more, and say nothing."""
        self._over = True
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None
        if self._admission is not None:
            self._pipeline.exchanges.discard(self)
            self._admission.withdraw()

    def _answer_error(self, error: ApiError) -> None:
        self._finish_reason = ""
        self._record(self._outlet.error(error), code=error.code)

    def _record(self, status: int, *, code: str = "", client_left: bool = False) -> None:
        pipeline = self._pipeline
        wall_clock, clock = pipeline.now_s, pipeline.monotonic_s
        finished = Finished(
            self._id,
            self._request_id,
            self._caller,
            "" if self._route is None else self._route.model.id,
            self._outlet.engine,
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
        if self._admission is not None:
            self._asking.leave()
            # What refers back here would wait for the garbage collector, bodies and all.
            del self._asking
            if self._outlet.engine:
                self._attempt.forget()

    # the client's pace, and the engine's

    def pause(self) -> None:
        """The client reads too slowly: let the engine wait."""
        self.paused = True
        if self._outlet.engine and not self._over:
            self._attempt.pause()

    def resume(self) -> None:
        """The client has caught up."""
        self.paused = False
        self._silence.restart(self._pipeline.monotonic_s())
        if self._outlet.engine and not self._over:
            self._attempt.resume()

    def cut(self, reason: str) -> None:
        """End now, as if the engine had died."""
        if self._question is not None:
            self._question.give_up()
        elif self._awaited is not None:
            self._detail = reason
            self.refuse(ApiError("1234", error_id=self._id))
        else:
            self._end_now(reason)

    def _end_now(self, reason: str) -> None:
        """End as if the engine had died, although it has not."""
        if not self._over:
            self._detail = reason
            self._asking.end(Outcome.LEFT)
            self._finish(b"", died=True)

    def check_deadline(self, now_s: float) -> None:
        """Give up on an engine that has gone silent, or on and on; called about once a second."""
        if self._over or self._awaited is not None:
            return
        reader, admission, silence = self._attempt.reader, self._admission, self._silence
        swept_s = self._pipeline.swept_s
        if admission is not None:
            admission.go_on(reader.produced_tokens)
        begun = self._first_token_s is not None
        if (complaint := self._asking.too_silent(silence, swept_s, now_s, begun=begun)) and not self.paused:
            self._fail(complaint)
        elif admission is not None and reader.produced_tokens > admission.completion_bound:
            self._stop_at_bound(b"")

    def _stop_at_bound(self, ready: bytes) -> None:
        """The engine was not told its bound, or ignores it; beyond that nobody pays."""
        self._attempt.reader.finish_reason = "length"
        self._finish(ready)
