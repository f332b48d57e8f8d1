"""A chat request whose content is judged: its input before an engine is asked, its answer before it is shown.

    input blocked            1301 and contentFilter; no engine was asked, so nothing is written and nothing charged
    output blocked, body     1301 and contentFilter, charged as produced by then
    output blocked, stream   what was clean, then finish_reason "sensitive"; charged as produced by then
    checker without answer   input: 1305, free; output: as if the engine had died

Everything else is `exchange`, which knows nothing of this: the pipeline makes these only when moderation is on.
"""

from openbigmodel.edge import Sink
from openbigmodel.engines.registry import Route
from openbigmodel.engines.translate import Generation
from openbigmodel.errors import ApiError
from openbigmodel.inference.answer_head import EVENT_STREAM
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.exchange import ChatExchange, Surroundings
from openbigmodel.inference.output_guard import ContentBlocked, OutputGuard
from openbigmodel.inference.reply import BodyWriter, StreamWriter
from openbigmodel.moderation.moderator import Check, Moderator, Outcome, Subject
from openbigmodel.moderation.verdict import CheckerUnavailable, Verdict
from openbigmodel.schemas.chat import ChatRequest, Finding, Message

_CHECKER_AWAY_RETRY_AFTER_S = 5


class ModeratedExchange(ChatExchange):
    """One chat request with its checks."""

    __slots__ = ("_blocked", "_guard", "_input_check", "_judged", "_moderator", "_ready")

    def __init__(self, pipeline: Surroundings, caller: Caller, sink: Sink, moderator: Moderator) -> None:
        super().__init__(pipeline, caller, sink)
        self._moderator = moderator
        # What is still to be judged, None if nothing is.
        self._judged: tuple[Subject, ChatRequest] | None = None
        self._input_check: Check | None = None
        self._guard: OutputGuard | None = None
        self._blocked: Finding | None = None
        self._ready = b""

    # the input

    def _prepare(
        self, request: ChatRequest, messages: list[Message] | None, route: Route, generation: Generation
    ) -> None:
        super()._prepare(request, messages, route, generation)
        moderator, principal = self._moderator, self._caller.principal
        if moderator.skips(principal.account_id, request.sensitive_word_check, exempt=principal.exempt):
            return
        user_id = "" if request.user_id is None else str(request.user_id)
        subject = Subject(self._id, route.model.id, user_id)
        if moderator.inputs:
            self._judged = subject, request
        if moderator.outputs:
            writer = self._writer
            assert isinstance(writer, StreamWriter | BodyWriter)
            self._guard = OutputGuard(
                writer, moderator, subject, self, streams=self._streaming, whole=not self._engine_streams
            )
            self._writer = self._guard
            self._reader = EngineReader(self._guard)

    def _ask(self) -> None:
        if self._judged is None:
            super()._ask()
            return
        (subject, request), self._judged = self._judged, None
        verdict = self._moderator.check_input(subject, request, self._input_judged)
        if isinstance(verdict, Verdict):
            self._go_on(verdict)
        else:
            self._input_check = verdict

    def _input_judged(self, outcome: Outcome) -> None:
        self._input_check = None
        clock = self._pipeline.monotonic_s
        self._heard_s = clock()
        try:
            self._go_on(outcome)
        except ApiError as error:
            self.refuse(error)
            return
        except Exception:  # a fault of ours, which the loop reports; the caller must hear of it, too
            self.refuse(ApiError("500"))
            raise
        if self._paused and self._call is not None:
            self._call.pause()

    def _go_on(self, outcome: Outcome) -> None:
        """Ask the engine, if that may be."""
        if isinstance(outcome, CheckerUnavailable):
            self._detail = str(outcome)
            raise ApiError("1305", retry_after_s=_CHECKER_AWAY_RETRY_AFTER_S)
        if outcome.blocked is not None:
            self._detail = f"input blocked, level {outcome.blocked.level}"
            raise ApiError("1301", content_filter=(outcome.blocked,))
        if self._guard is not None:
            self._guard.note(*outcome.noted)
        elif isinstance(self._writer, StreamWriter | BodyWriter):
            self._writer.content_filter = outcome.noted
        super()._ask()

    # the output

    def engine_data(self, data: bytes) -> None:
        """See EngineConsumer."""
        try:
            super().engine_data(data)
        except ContentBlocked as blocked:
            self.output_blocked(blocked.finding)

    def output_blocked(self, finding: Finding) -> None:
        """See Listener: stop the engine, and end the answer after what was clean."""
        assert self._guard is not None
        self._guard.cancel()
        self._guard.note(finding)
        self._blocked = finding
        self._detail = f"output blocked, level {finding.level}"
        self._finish_reason = "sensitive"
        self._break_off()

    def output_unchecked(self, reason: str) -> None:
        """See Listener."""
        self.engine_failed(reason)

    def output_passed(self) -> None:
        """See Listener."""
        guard = self._guard
        assert guard is not None
        self._heard = True
        self._send(guard.take())
        if guard.closed:
            super()._finish(b"")

    def _send(self, ready: bytes) -> None:
        if not ready:
            return
        if not self._stream_open:
            self._stream_open = True
            self._sink.start(self._headers(EVENT_STREAM))
        self._sink.write(ready)

    def _finish(self, ready: bytes, *, died: bool = False) -> None:
        guard = self._guard
        if guard is None or died or not self._reader.ended_well():
            if guard is not None:
                guard.cancel()
            super()._finish(ready, died=died)
            return
        self._ready = ready
        try:
            closed = guard.close()
        except ContentBlocked as blocked:
            self.output_blocked(blocked.finding)
            return
        if closed:
            super()._finish(ready)
            return
        self._ready = b""
        self._send(ready)
        if self._call is not None:
            # It has said all, and what it does until the checker has judged that is of no interest.
            self._call.cancel()
            self._call = None

    def _broken_off(self, prompt_count: int | None) -> None:
        if self._blocked is None:
            super()._broken_off(prompt_count)
            return
        self._question = None
        self._measured = found = self._measure(prompt_count)
        if self._streaming:
            wall_clock = self._pipeline.now_s
            self._last = self._ready + self._writer.finish("sensitive", found.usage, int(wall_clock()))
        else:
            self._error = ApiError("1301", content_filter=(self._blocked,))
        self._settle()

    # ends from outside

    def client_left(self) -> None:
        """See Exchange."""
        if self._over:
            return
        if self._guard is not None:
            self._guard.cancel()
        if self._input_check is None:
            super().client_left()
            return
        self._input_check.cancel()
        self._input_check = None
        self.give_up()
        self._record(499, client_left=True)

    def cut(self, reason: str) -> None:
        """See ChatExchange."""
        if self._input_check is None:
            super().cut(reason)
            return
        self._input_check.cancel()
        self._input_check = None
        self._detail = reason
        self.refuse(ApiError("1234", error_id=self._id))
