"""A chat request whose content is judged: its input before an engine is asked, its answer before it is shown.

    input blocked            1301 and contentFilter; no engine was asked, so nothing is written and nothing charged;
                             files are judged after the rest, when they have been read
    output blocked, body     1301 and contentFilter, charged as produced by then
    output blocked, stream   what was clean, then finish_reason "sensitive"; charged as produced by then
    checker without answer   input: 1305, free; output: as if the engine had died

Everything else is `exchange`, which knows nothing of this: the pipeline makes these only when moderation is on.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from openbigmodel.edge import Sink
from openbigmodel.errors import ApiError
from openbigmodel.inference.attempt import Attempt
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.output_guard import ContentBlocked, OutputGuard
from openbigmodel.inference.surroundings import Surroundings
from openbigmodel.moderation.moderator import Moderator, Outcome, Subject
from openbigmodel.moderation.verdict import CheckerUnavailable, Verdict, most_severe
from openbigmodel.schemas.chat import ChatRequest, ContentPart, Finding, Message

_CHECKER_AWAY_RETRY_AFTER_S = 5
_ENCODE = msgspec.json.Encoder().encode
_MESSAGES = msgspec.json.Decoder(list[Message], float_hook=float).decode


class ModeratedExchange(ChatExchange):
    """One chat request with its checks."""

    __slots__ = (
        "_blocked",
        "_guard",
        "_judged",
        "_moderator",
        "_noted",
        "_ready",
        "_subject",
    )

    def __init__(self, pipeline: Surroundings, caller: Caller, sink: Sink, moderator: Moderator) -> None:
        super().__init__(pipeline, caller, sink)
        self._moderator = moderator
        self._judged = False
        # None if nothing is to be judged.
        self._subject: Subject | None = None
        self._noted: tuple[Finding, ...] = ()
        self._guard: OutputGuard | None = None
        self._blocked: Finding | None = None
        self._ready = b""

    # the input

    def _give_writer(self, attempt: Attempt) -> None:
        wish = self._wish
        if self._subject is None or not self._moderator.outputs:
            attempt.open(wish, self._noted)
            return
        writer = attempt.new_writer(wish)
        self._guard = guard = OutputGuard(
            writer, self._moderator, self._subject, self, streams=self._streaming, whole=not attempt.streams
        )
        guard.note(*self._noted)
        attempt.read_for(guard, wish)

    def _ask(self) -> None:
        judged, self._judged = self._judged, True
        if judged or not self._has_to_be_judged():
            super()._ask()
        else:
            self._asking.judge = self._judge_files
            self._judge(self._wish.asked.request, super()._ask)

    def _has_to_be_judged(self) -> bool:
        """Whether the input has to be. From here on it is settled whether the output has."""
        request, moderator, principal = self._wish.asked.request, self._moderator, self._caller.principal
        if moderator.skips(principal.account_id, request.sensitive_word_check, exempt=principal.exempt):
            return False
        user_id = "" if request.user_id is None else str(request.user_id)
        self._subject = Subject(self._id, self._wish.route.model.id, user_id)
        if self._wish.messages is None:
            # What is judged is what an engine gets: of a name that a message has twice, it might read the other.
            self._wish.messages = _MESSAGES(request.messages)
        return moderator.inputs

    def _judge_files(self, prepared: list[Message], step: Callable[[], None]) -> None:
        """See Judge: what was a file and now is a text has not been judged with the rest."""
        texts = _texts_of_files(self._wish.messages or [], prepared)
        if any(message.content for message in texts):
            self._judge(ChatRequest(self._wish.asked.request.model, msgspec.Raw(_ENCODE(texts))), step)
        else:
            step()

    def _judge(self, request: ChatRequest, step: Callable[[], None]) -> None:
        """Have an input judged, now or later; if it may pass, go on with `step`. Raises ApiError."""
        assert self._subject is not None
        verdict = self._moderator.check_input(
            self._subject, request, lambda outcome: self.proceed(partial(self._go_on, step, outcome))
        )
        if isinstance(verdict, Verdict):
            self._go_on(step, verdict)
        else:
            self._awaited = verdict

    def _go_on(self, step: Callable[[], None], outcome: Outcome) -> None:
        """Go on, if that may be."""
        if isinstance(outcome, CheckerUnavailable):
            self._detail = str(outcome)
            raise ApiError("1305", retry_after_s=_CHECKER_AWAY_RETRY_AFTER_S)
        if outcome.blocked is not None:
            self._detail = f"input blocked, level {outcome.blocked.level}"
            raise ApiError("1301", content_filter=(outcome.blocked,))
        self._noted = most_severe([*self._noted, *outcome.noted])
        step()

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
        self._end_now(reason)

    def output_passed(self) -> None:
        """See Listener."""
        guard = self._guard
        assert guard is not None
        self._silence.heard = True
        if ready := guard.take():
            self._outlet.write(ready)
        if guard.closed:
            super()._finish(b"")

    def _finish(self, ready: bytes, *, died: bool = False) -> None:
        guard = self._guard
        if guard is None or died or not self._attempt.reader.ended_well():
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
        if ready:
            self._outlet.write(ready)
        # It has said all, and what it does until the checker has judged that is of no interest.
        self._attempt.release()

    def _broken_off(self, prompt_count: int | None) -> None:
        if self._blocked is None:
            super()._broken_off(prompt_count)
            return
        self._question = None
        self._measured = found = self._measure(prompt_count)
        if self._streaming:
            wall_clock = self._pipeline.now_s
            self._last = self._ready + self._attempt.writer.finish(
                "sensitive", found.usage, int(wall_clock())
            )
        else:
            self._error = ApiError("1301", content_filter=(self._blocked,))
        self._settle()

    def _record(self, status: int, *, code: str = "", client_left: bool = False) -> None:
        super()._record(status, code=code, client_left=client_left)
        # It refers back here.
        self._guard = None

    def client_left(self) -> None:
        """See Exchange."""
        if self._guard is not None and not self._over:
            self._guard.cancel()
        super().client_left()


def _texts_of_files(written: list[Message], prepared: list[Message]) -> list[Message]:
    """The prepared messages with nothing in them but the texts that were files; whose they are is as it was."""
    found = []
    for before, after in zip(written, prepared, strict=True):
        texts: list[ContentPart] = []
        if isinstance(before.content, list) and isinstance(after.content, list):
            pairs = zip(before.content, after.content, strict=True)
            texts = [new for old, new in pairs if new.type == "text" and old.type != "text"]
        found.append(Message(after.role, texts))
    return found
