"""Reads an OpenAI-compatible engine's answer, a stream or one body, and tells a ReplyWriter; bytes in, no I/O.

It also counts: what the engine's usage says, the last that came, or without any what was seen to be produced.
An answer has ended well when the engine gave a finish reason; `[DONE]` without one is a death.
"""

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.engine_errors import kind_of_error
from openbigmodel.inference.chunk_run import ChunkRun, learn_run
from openbigmodel.inference.reply import ReplyWriter
from openbigmodel.schemas.engine import Delta, EngineReply, EngineUsage, Timings
from openbigmodel.sse import EventParser, EventTooLarge

_DECODE = msgspec.json.Decoder(EngineReply).decode
_MAX_TOOL_CALLS = 128
_BYTES_PER_TOKEN = 5
# No request uses a thousandth of it; beyond, counts would not fit into the tables and metrics they go to.
_MAX_TOKENS = 1_000_000_000
MAX_EVENT_BYTES = 4 * 1024 * 1024
# The first chunks of reasoning and of the answer often differ from the rest. A stream that is different each time
# is not worth more attempts.
_LESSONS = 8

# Engines' words for why they stopped, in GLM's (api.md §3.3).
_FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "sensitive",
    "sensitive": "sensitive",
    "abort": "network_error",
    "error": "network_error",
    "network_error": "network_error",
    "model_context_window_exceeded": "model_context_window_exceeded",
}


def estimate_tokens(size_bytes: int) -> int:
    """Tokens of a text of so many bytes of UTF-8, for a bill that has no count: at least 1, rather few than many.

    GLM's tokenizers make a token of 4.2 to 4.5 bytes of English and of 4.5 to 5 bytes of Chinese.
    """
    return max(1, size_bytes // _BYTES_PER_TOKEN)


class EngineProtocolError(Exception):
    """The engine answered with something that is no chat completion, or reported an error in mid-answer."""


class EngineReader:
    """One answer of one engine. `finish_reason` is GLM's word, None until the engine has said why it stopped.

    `deltas` are the events that brought something, a token or more each.
    """

    __slots__ = (
        "_body_bytes",
        "_calls",
        "_events",
        "_lessons_left",
        "_reasoning_deltas",
        "_reasoning_share",
        "_reasoning_tokens_seen",
        "_run",
        "_tail",
        "_timings",
        "_usage",
        "_writer",
        "deltas",
        "done",
        "finish_reason",
    )

    def __init__(self, writer: ReplyWriter) -> None:
        self._writer = writer
        self._events: EventParser | None = None
        self._run: ChunkRun | None = None
        self._lessons_left = _LESSONS
        self._tail = b""
        self._usage: EngineUsage | None = None
        self._timings: Timings | None = None
        self._reasoning_tokens_seen = 0
        self.deltas = 0
        self._reasoning_deltas = 0
        self._body_bytes = 0
        self._reasoning_share = 0.0
        self._calls = 0
        self.finish_reason: str | None = None
        self.done = False

    @property
    def produced(self) -> bool:
        """Whether the model has produced anything at all."""
        return self.deltas > 0

    @property
    def produced_tokens(self) -> int:
        """The least that was produced: what the engine counted on its way, or a token for each event with something.

        Of a whole body it is the text that says so, in the manner of `estimate_tokens`, if the engine did not.
        """
        if self._timings is not None:
            return self._timings.predicted_n
        if self._body_bytes and self.estimated:
            return estimate_tokens(self._body_bytes)
        return self.deltas

    @property
    def measured(self) -> bool:
        """Whether the engine has told its own count of the answer."""
        return self._usage is not None and self._usage.completion_tokens is not None

    @property
    def counts_itself(self) -> bool:
        """Whether the engine has told any count of the answer, the last one or one on the way."""
        return self._timings is not None or self.measured

    @property
    def estimated(self) -> bool:
        """Whether `produced_tokens` goes by the size of a text."""
        return self._body_bytes > 0 and not self.counts_itself

    @property
    def knows_prompt(self) -> bool:
        """Whether the engine has said how long the prompt is."""
        usage = self._usage
        return self._timings is not None or (usage is not None and bool(usage.prompt_tokens))

    def feed_stream(self, data: bytes) -> None:
        """Bytes of an event stream. Raises EngineProtocolError."""
        run = self._run
        if run is not None and not self._tail and not self.done and (text := run.only_text(data)):
            self._texts([text], reasoning=run.reasoning)
            return
        if self._events is not None or b"\r" in data:
            self._parse(data)
            return
        if self._tail:
            data, self._tail = self._tail + data, b""
        position, size = 0, len(data)
        while position < size and not self.done:
            run = self._run
            if run is not None:
                texts, position = run.take(data, position)
                if texts:
                    self._texts(texts, reasoning=run.reasoning)
                    continue
            end = data.find(b"\n\n", position) + 2
            if end < 2:
                if size - position > MAX_EVENT_BYTES:
                    raise EngineProtocolError(f"an event of more than {MAX_EVENT_BYTES} bytes")
                self._tail = data[position:]
                return
            self._lines(data[position:end])
            position = end

    def _texts(self, texts: list[bytes], *, reasoning: bool) -> None:
        """Chunks of which only the texts differ."""
        self.deltas += len(texts)
        if reasoning:
            self._reasoning_deltas += len(texts)
            self._writer.reasoning_run(texts)
        else:
            self._writer.content_run(texts)

    def _parse(self, data: bytes) -> None:
        """A stream whose lines do not all end in LF is the parser's, from here on."""
        if self._events is None:
            self._events = EventParser(MAX_EVENT_BYTES)
            self._run, self._lessons_left = None, 0
            data, self._tail = self._tail + data, b""
        try:
            events = self._events.feed(data)
        except EventTooLarge as error:
            raise EngineProtocolError(str(error)) from error
        for event in events:
            self._event(event)

    def _lines(self, lines: bytes) -> None:
        """One event with its empty line. Nearly always it is a single data line."""
        data = lines[6:-2]
        if lines.startswith(b"data: ") and b"\n" not in data:
            self._event(data)
            return
        for event in EventParser().feed(lines):
            self._event(event)

    def _event(self, event: bytes) -> None:
        if event == b"[DONE]":
            self.done = True
        elif not self.done:
            self._reply(event)

    def feed_body(self, body: bytes) -> None:
        """A complete answer. Raises EngineProtocolError."""
        message = self._reply(body)
        self.done = True
        if message is not None and (self._usage is None or message.reasoning_content or message.reasoning):
            self._weigh(message)

    def _weigh(self, message: Delta) -> None:
        """How large a whole answer is, and how much of it is reasoning, for what the engine does not count."""
        reasoning = message.reasoning_content or message.reasoning or ""
        calls = [call.function.arguments or "" for call in message.tool_calls or () if call.function]
        said = reasoning, message.content or "", *calls
        self._body_bytes = sum(len(text.encode()) for text in said)
        if reasoning:
            self._reasoning_share = len(reasoning) / sum(map(len, said))

    def _reply(self, data: bytes) -> Delta | None:
        """Read a chunk or a complete reply; returns what it says."""
        try:
            reply = _DECODE(data)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise EngineProtocolError(f"not a chat completion: {error}") from error
        if reply.error is not None:
            raise EngineProtocolError(f"error in mid-answer ({kind_of_error(reply.error)})")
        if reply.usage is not None:
            self._usage = reply.usage
        if reply.timings is not None:
            self._timings = reply.timings
        if not reply.choices:
            return None
        choice = reply.choices[0]
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta)
        if choice.finish_reason:
            self.finish_reason = _FINISH_REASONS.get(choice.finish_reason, "stop")
        elif delta is not None and reply.usage is None and reply.timings is None:
            self._learn(delta, data)
        return delta

    def _learn(self, delta: Delta, event: bytes) -> None:
        """This chunk was not part of a known run; perhaps the next ones are like it."""
        if self._lessons_left == 0:
            return
        self._lessons_left -= 1
        reasoning = delta.reasoning_content or delta.reasoning
        if delta.tool_calls or bool(reasoning) == bool(delta.content):
            return
        self._run = learn_run(event, reasoning or delta.content or "", reasoning=bool(reasoning))

    def _delta(self, delta: Delta) -> None:
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning or delta.content or delta.tool_calls:
            # Once, whatever it brings: one token can end the reasoning and begin the answer.
            self.deltas += 1
        if reasoning:
            self._reasoning_deltas += 1
            if self._timings is not None:
                self._reasoning_tokens_seen = self._timings.predicted_n
            self._writer.reasoning(reasoning)
        if delta.content:
            self._writer.content(delta.content)
        if delta.tool_calls:
            self._tool_calls(delta)

    def _tool_calls(self, delta: Delta) -> None:
        assert delta.tool_calls is not None
        for position, call in enumerate(delta.tool_calls):
            index = position if call.index is None else call.index
            if call.function is None:
                continue
            # An index out of step would have the writer invent calls that nobody made.
            if not 0 <= index <= self._calls or index >= _MAX_TOOL_CALLS:
                raise EngineProtocolError(f"tool call with index {index} after {self._calls} calls")
            self._calls = max(self._calls, index + 1)
            self._writer.tool_call(index, call.function.name, call.function.arguments or "")

    def ended_well(self) -> bool:
        """Whether the answer is whole. A finish reason is enough: some engines omit `[DONE]`."""
        if self.finish_reason == "stop" and self._calls:
            self.finish_reason = "tool_calls"
        return self.finish_reason is not None and self.finish_reason != "network_error"

    def usage(self) -> Usage:
        """The engine's final counts, or the best that is known so far."""
        final, timings, measured = self._usage, self._timings, False
        if final is not None and final.completion_tokens is not None:
            completion, prompt, measured = final.completion_tokens, final.prompt_tokens or 0, True
            details = final.prompt_tokens_details
            cached = 0 if details is None else details.cached_tokens or 0
        elif timings is not None:
            completion, cached = timings.predicted_n, timings.cache_n
            prompt = timings.prompt_n + cached
        else:
            completion, prompt, cached = self.produced_tokens, 0, 0
        reasoning = 0
        if (
            self._reasoning_deltas
            or final is None
            or final.completion_tokens_details
            or final.reasoning_tokens
        ):
            reasoning = self._reasoning_tokens(final, completion)
        if 0 <= cached <= prompt <= _MAX_TOKENS and 0 <= reasoning <= completion <= _MAX_TOKENS:
            return Usage(prompt, cached, completion, reasoning, measured)
        # An engine that counts wrongly; what it says of the whole bounds what it says of the part.
        prompt, completion = min(max(prompt, 0), _MAX_TOKENS), min(max(completion, 0), _MAX_TOKENS)
        cached, reasoning = min(max(cached, 0), prompt), min(max(reasoning, 0), completion)
        return Usage(prompt, cached, completion, reasoning, measured)

    def _reasoning_tokens(self, final: EngineUsage | None, completion: int) -> int:
        """The engine's count where it has one; else what was seen; else the share of a complete reply's text."""
        if final is not None:
            details = final.completion_tokens_details
            said = details.reasoning_tokens if details else None
            said = final.reasoning_tokens if said is None else said
            if said is not None:
                return said
        if not self._reasoning_deltas:
            return 0
        if self._reasoning_tokens_seen:
            return self._reasoning_tokens_seen
        if self._reasoning_share:
            return round(completion * self._reasoning_share)
        return self._reasoning_deltas
