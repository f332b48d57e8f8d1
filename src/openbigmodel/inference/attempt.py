"""What a caller wants, and the answer of one engine that is asked for it."""

from collections.abc import Callable

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.candidate import Seat
from openbigmodel.engines.connection import EngineConsumer
from openbigmodel.engines.engine_errors import (
    EngineFault,
    code_and_text,
    fault_of_engine,
    kind_of_body,
    status_of_event,
)
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.registry import Call, Route, Target
from openbigmodel.engines.translate import Generation, to_openai
from openbigmodel.engines.upstream_keys import NOT_ACCEPTED, UpstreamKey, UpstreamKeys
from openbigmodel.inference.chat_request import completion_bound
from openbigmodel.inference.dialect import AnswerWriter, Asked, Dialect, ReplyFacts, ReplyWriter
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader
from openbigmodel.inference.glm_dialect import GLM
from openbigmodel.inference.glm_relay import GlmReader, GlmWriter
from openbigmodel.inference.glm_request import request_for_upstream
from openbigmodel.inference.mended_reply import MendedReply, mended
from openbigmodel.inference.raw_text_reader import RawTextReader, raw_text_parser
from openbigmodel.schemas.chat import Finding, Message

MAX_ENGINE_BODY_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BODY_BYTES = 64 * 1024


class Wish(msgspec.Struct, gc=False):
    """What a caller wants, judged and settled, and how the reply will be called: see ReplyFacts.

    `messages` is None when the request's own can be sent on as they came. `watched`: somebody pays up to a bound that
    the engine is not told, because an engine with less context than that would refuse; so it is seen as it comes.
    """

    dialect: Dialect
    asked: Asked
    route: Route
    messages: list[Message] | None
    generation: Generation
    id: str
    request_id: str
    created_s: int
    named: str
    first_call: int
    watched: bool = False

    def facts(self, counts: Callable[[], Usage], stop_sequence: Callable[[], str | None]) -> ReplyFacts:
        """What the reply is made of, if an engine answers that has counted so much by now and stopped there."""
        return ReplyFacts(
            self.id,
            self.request_id,
            self.created_s,
            self.named,
            self.route.model,
            self.asked.request,
            self.generation,
            self.first_call,
            counts,
            stop_sequence,
        )


def answer_bound(generation: Generation, route: Route) -> int:
    """Tokens that the answer has at most, whichever engine gives it."""
    targets = route.targets
    if len(targets) == 1:
        return completion_bound(generation, targets[0].engine.profile)
    return max(completion_bound(generation, target.engine.profile) for target in targets)


def outcome_of_fault(fault: EngineFault) -> Outcome:
    """What the others hear of an engine's refusal."""
    if fault.blames == "engine":
        return Outcome.FAILED
    if fault.blames == "load":
        return Outcome.BUSY
    if fault.blames == "operator" and fault.retry == "elsewhere":
        return Outcome.MISCONFIGURED
    return Outcome.REFUSED


class Attempt:
    """One engine asked once. `sent` is the body it was sent, `status` that of its answer, 0 until there is one."""

    __slots__ = (
        "_body",
        "_key",
        "_keys",
        "_mended",
        "_seat",
        "call",
        "over",
        "reader",
        "sent",
        "status",
        "streams",
        "target",
        "writer",
    )

    reader: EngineReader
    writer: AnswerWriter

    def __init__(self, seat: Seat[Target], wish: Wish) -> None:
        self._seat = seat
        self.target = target = seat.target
        self._keys: UpstreamKeys | None = None
        self._key: UpstreamKey | None = None
        self._mended: MendedReply | None = None
        self.over = False
        self.status = 0
        self.call: Call | None = None
        self._body: bytes | bytearray = b""
        profile = target.engine.profile
        watched = wish.watched and not (profile.speaks_glm or profile.max_output_tokens)
        if (watched or profile.parse) and not profile.always_stream:
            profile = msgspec.structs.replace(profile, always_stream=True)
        request = wish.asked.request
        # Whether the answer comes as a stream, which is another matter than whether the caller gets one.
        self.streams = bool(request.stream) or profile.always_stream
        if profile.speaks_glm:
            self.sent = request_for_upstream(wish.asked.body, target.name, request, wish.generation, profile)
        else:
            self.sent = to_openai(request, wish.messages, target.name, wish.generation, profile)

    def open(self, wish: Wish, noted: tuple[Finding, ...] = ()) -> None:
        """Write the reply in the dialect's words; where those are the engine's own, as they come.

        `noted` is what moderation has found in the question.
        """
        if self.target.engine.profile.speaks_glm and wish.dialect is GLM:
            self.writer = relay = GlmWriter(wish.facts(self.counts, self.stop_sequence))
            self.reader = GlmReader(relay)
            relay.content_filter = noted
        else:
            writer = self.new_writer(wish)
            writer.content_filter = noted
            self.read_for(writer, wish)

    def new_writer(self, wish: Wish) -> ReplyWriter:
        """Who writes the reply in the dialect's words."""
        writer = wish.dialect.writer(wish.facts(self.counts, self.stop_sequence), wish.asked)
        reply = mended(writer, wish.asked.request, self.target.engine.profile)
        self._mended = reply if isinstance(reply, MendedReply) else None
        return reply

    @property
    def remark(self) -> str:
        """What the log should say of the answer, empty if it was as it should be."""
        return "" if self._mended is None else self._mended.broken

    def read_for(self, writer: AnswerWriter, wish: Wish) -> None:
        """From now on `writer` is told what the engine says."""
        self.writer = writer
        written = self.target.engine.profile.parse
        if written:
            parser = raw_text_parser(written, wish.asked.request, wish.generation)
            self.reader = RawTextReader(writer, parser)
        else:
            self.reader = EngineReader(writer)

    def counts(self) -> Usage:
        """What the engine has counted by now."""
        return self.reader.usage()

    def stop_sequence(self) -> str | None:
        """Which of the caller's stop sequences the engine has met, if it says so."""
        return self.reader.stop_sequence

    def keep(self, data: bytes) -> None:
        """Part of an answer that is read as a whole. Raises EngineProtocolError when it is too long to be one."""
        body = self._body
        limit = MAX_ENGINE_BODY_BYTES if self.status == 200 else _MAX_ERROR_BODY_BYTES
        if not body and len(data) <= limit:
            self._body = data  # nearly always all of it
        elif len(body) + len(data) > limit:
            if self.status == 200:
                raise EngineProtocolError(f"an answer of more than {limit} bytes")
        else:
            self._body = bytearray(body) if isinstance(body, bytes) else body
            self._body += data

    @property
    def body(self) -> bytes:
        """What was kept."""
        return bytes(self._body)

    def ask(self, consumer: EngineConsumer) -> None:
        """Send it. Raises EngineUnavailable."""
        key = None if self._key is None else self._key.text
        self.call = self.target.engine.post("/chat/completions", self.sent, consumer, key)

    def show(self, keys: UpstreamKeys, sticky: int, now_s: float) -> None:
        """Ask with one of several credentials: the one that is this conversation's, if it is in order."""
        self._keys = keys
        self._key = keys.choose(sticky, self.target.name, now_s)

    def blame_key(self, fault: EngineFault, now_s: float) -> bool:
        """Whether the credential was to blame for a refusal, and another one may do better at once."""
        keys, key = self._keys, self._key
        if keys is None or key is None:
            return False
        status, body = self.status, self.body
        if self.reader.error_event:
            body = self.reader.error_event
            status = status_of_event(body, relays=True)
        code, text = code_and_text(status, body)
        model = self.target.name
        aside_s = keys.refused(key, code, model, now_s, text=text, retry_after_s=fault.retry_after_s)
        # For neither was anything charged.
        free = fault.blames == "load" or code in NOT_ACCEPTED
        return bool(aside_s) and free and keys.has_other(model, now_s)

    def refusal(self, error_id: str, now_s: float) -> EngineFault:
        """What the engine's error means; `now_s` is Unix time."""
        headers = None if self.call is None else self.call.headers
        relays = self.target.engine.profile.speaks_glm
        return fault_of_engine(self.status, self.body, error_id, headers, now_s=now_s, relays=relays)

    def said_instead(self, error_id: str, now_s: float) -> EngineFault | None:
        """What the engine said after status 200 instead of an answer (api.md §3.6); None if it did not."""
        event = self.reader.error_event
        if not event:
            return None
        relays = self.target.engine.profile.speaks_glm
        status = status_of_event(event, relays=relays)
        return fault_of_engine(status, event, error_id, now_s=now_s, relays=relays)

    def complaint(self, fault: EngineFault) -> str:
        """What the log says of a refusal: the engine's word for it, and never its sentences, which quote prompts."""
        hint = ""
        if fault.our_field:
            profile = self.target.engine.profile.name
            hint = f": it does not know {fault.our_field}, which goes with profile {profile}; name its own"
        return f"engine answered {self.status} ({kind_of_body(self.body)}){hint}"

    def answered(self, now_s: float) -> None:
        """The engine has shown that it works."""
        self._seat.answered(now_s)
        if self._key is not None:
            self._key.worked(self.target.name)

    def end(self, outcome: Outcome, now_s: float, why: str = "", retry_after_s: float | None = None) -> None:
        """The engine will not be listened to any more: stop it, unless it has said all."""
        if self.over:
            return
        self.over = True
        self._seat.leave(outcome, now_s, why=why, retry_after_s=retry_after_s)
        if outcome is not Outcome.SERVED:
            self.release()
            return
        if self._key is not None:
            self._key.worked(self.target.name)
        if not self.reader.done:
            self.release()

    def forget(self) -> None:
        """Nobody asks any more what was said: its writer refers back here, and would wait for the garbage collector."""
        del self.reader, self.writer
        self._mended = None

    def pause(self) -> None:
        """Produce no more for now."""
        if self.call is not None:
            self.call.pause()

    def resume(self) -> None:
        """Go on."""
        if self.call is not None:
            self.call.resume()

    def release(self) -> None:
        """Let go of the connection. One whose answer has ended by now is kept for others, any other dropped."""
        call, self.call = self.call, None
        if call is not None:
            call.cancel()
