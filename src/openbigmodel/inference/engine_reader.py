"""Reads an OpenAI-compatible engine's answer, a stream or one body, and tells a AnswerWriter; bytes in, no I/O.

It also counts: what the engine's usage says, the last that came, or without any what was seen to be produced, which
is never more than what was.
An answer has ended well when the engine gave a finish reason; `[DONE]` without one is a death.
"""

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.engine_errors import kind_of_error
from openbigmodel.inference.chunk_run import SHORT_BYTES, ChunkRun, learn_run
from openbigmodel.inference.dialect import AnswerWriter
from openbigmodel.inference.engine_counts import read_patiently
from openbigmodel.inference.fewest_tokens import fewest_tokens, fewest_tokens_of_json
from openbigmodel.schemas.engine import Delta, EngineReply, EngineUsage, Timings
from openbigmodel.sse import EventParser, EventTooLarge

_DECODE = msgspec.json.Decoder(EngineReply, float_hook=float).decode
_MAX_TOOL_CALLS = 128
# An event of so few bytes, on average, brings a token each; only longer ones are worth a look at their words.
_ONE_TOKEN_BYTES = 8
# A text with a token for so many characters or fewer needs no look at its words.
_CHARACTERS_PER_TOKEN_MAX = 10
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


class EngineProtocolError(Exception):
    """The engine answered with something that is no chat completion, or reported an error in mid-answer."""


class EngineReader:
    """One answer of one engine. `finish_reason` is GLM's word, None until the engine has said why it stopped.

    `deltas` are the events that brought something, a token or more each; `reasoning_seen` is the least that the tokens
    of reasoning are. Where the last event was a short text of the `run`, `shown_around` is what the writer has before
    and after one. `error_event` is what the engine said instead of an answer, or in the middle of one; `stop_sequence`
    the one that it met, where it tells.
    """

    __slots__ = (
        "_call_id",
        "_call_shift",
        "_calls",
        "_events",
        "_hidden",
        "_lessons_left",
        "_reasoning_share",
        "_reasoning_tokens_seen",
        "_tail",
        "_timings",
        "_usage",
        "_weighed",
        "_whole",
        "_writer",
        "deltas",
        "done",
        "error_event",
        "finish_reason",
        "reasoning_seen",
        "run",
        "shown_around",
        "stop_sequence",
    )

    def __init__(self, writer: AnswerWriter) -> None:
        self._writer = writer
        self._events: EventParser | None = None
        self.run: ChunkRun | None = None
        self.shown_around: tuple[bytes, bytes] | None = None
        self._lessons_left = _LESSONS
        self._tail = b""
        self._usage: EngineUsage | None = None
        self._timings: Timings | None = None
        self._reasoning_tokens_seen = 0
        self.deltas = 0
        self.reasoning_seen = 0
        # Tokens beyond one for each event, as the words show that it brought.
        self._hidden = 0
        # A whole answer, until its words were looked at.
        self._whole = False
        self._weighed: Delta | None = None
        self._reasoning_share = 0.0
        self._calls = 0
        self._call_id, self._call_shift = "", 0
        self.finish_reason: str | None = None
        self.stop_sequence: str | None = None
        self.error_event = b""
        self.done = False

    @property
    def produced(self) -> bool:
        """Whether the model has produced anything at all."""
        return self.deltas > 0

    @property
    def produced_tokens(self) -> int:
        """The least that was produced: what the engine counted on its way, or else `seen_tokens`."""
        if self._timings is not None:
            return self._timings.predicted_n
        return self.seen_tokens()

    def seen_tokens(self, said: int = 0) -> int:
        """The least that was produced by what it brought: a token for each event, and for each word.

        `said` is what the engine counted: where a whole answer can have been that, its words are not looked at.
        """
        message = self._weighed
        if message is not None and said * _CHARACTERS_PER_TOKEN_MAX < _characters_of(message):
            texts, calls = _texts_of(message)
            words = sum(fewest_tokens(f" {text}") for text in texts)
            words += sum(map(fewest_tokens_of_json, calls))
            self._hidden, self._weighed = max(0, words - self.deltas), None
        return self.deltas + self._hidden

    @property
    def measured(self) -> bool:
        """Whether the engine has told its own count of the answer."""
        said = None if self._usage is None else self._usage.completion_tokens
        return said is not None and said >= 0

    @property
    def counts_itself(self) -> bool:
        """Whether the engine has told any count of the answer, the last one or one on the way."""
        return self._timings is not None or self.measured

    @property
    def estimated(self) -> bool:
        """Whether `produced_tokens` goes by the words of a text."""
        return not self.counts_itself and (self.seen_tokens() > self.deltas or self._whole)

    @property
    def knows_prompt(self) -> bool:
        """Whether the engine has said how long the prompt is."""
        usage = self._usage
        return self._timings is not None or (usage is not None and (usage.prompt_tokens or 0) > 0)

    def feed_stream(self, data: bytes) -> None:
        """Bytes of an event stream. Raises EngineProtocolError."""
        run = self.run
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
            run = self.run
            if run is not None:
                texts, position = run.take(data, position)
                if texts:
                    self._texts(texts, reasoning=run.reasoning)
                    continue
            end = data.find(b"\n\n", position) + 2
            if end < 2:
                if size - position > MAX_EVENT_BYTES:
                    raise EngineProtocolError(f"an event of more than {MAX_EVENT_BYTES} bytes")
                self._tail, self.shown_around = data[position:], None
                return
            self._lines(data[position:end])
            position = end

    def _texts(self, texts: list[bytes], *, reasoning: bool) -> None:
        """Chunks of which only the texts differ."""
        self.deltas += len(texts)
        hidden = 0
        if len(texts[0]) > _ONE_TOKEN_BYTES or len(texts) > 1:
            hidden = _hidden_in(texts)
            self._hidden += hidden
        if reasoning:
            self.reasoning_seen += len(texts) + hidden
            self._writer.reasoning_run(texts)
        else:
            self._writer.content_run(texts)
        # What has ended is the writer's to know; and who brings long texts brings more of them.
        short = self.finish_reason is None and len(texts) == 1 and len(texts[0]) <= SHORT_BYTES
        self.shown_around = self._writer.around(reasoning=reasoning) if short else None

    def _parse(self, data: bytes) -> None:
        """A stream whose lines do not all end in LF is the parser's, from here on."""
        self.shown_around = None
        if self._events is None:
            self._events = EventParser(MAX_EVENT_BYTES)
            self.run, self._lessons_left = None, 0
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
        self.shown_around = None
        if event == b"[DONE]":
            self.done = True
        elif not self.done:
            self._reply(event)

    def feed_body(self, body: bytes) -> None:
        """A complete answer. Raises EngineProtocolError."""
        message = self._reply(body)
        self.done = self._whole = True
        if message is None:
            return
        # Its words are only looked at if they are needed.
        self._hidden, self._weighed = 0, message
        reasoning = message.reasoning_content or message.reasoning
        if reasoning:
            self._reasoning_share = len(reasoning) / _characters_of(message)

    def _reply(self, data: bytes) -> Delta | None:
        """Read a chunk or a complete reply; returns what it says."""
        try:
            try:
                reply = _DECODE(data)
            except msgspec.ValidationError:
                reply = read_patiently(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise EngineProtocolError(f"not a chat completion: {error}") from error
        return self._read(reply, data)

    def _read(self, reply: EngineReply, data: bytes) -> Delta | None:
        if reply.error is not None:
            self.error_event = data
            raise EngineProtocolError(f"error in mid-answer ({kind_of_error(reply.error)})")
        # One that says less than an earlier one takes nothing back.
        if reply.usage is not None and (reply.usage.completion_tokens is not None or not self.measured):
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
            met = choice.matched_stop if choice.stop_reason is None else choice.stop_reason
            if type(met) is str:
                self.stop_sequence = met
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
        self.run = learn_run(event, reasoning or delta.content or "", reasoning=bool(reasoning))

    def _delta(self, delta: Delta) -> None:
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning or delta.content or delta.tool_calls:
            # Once, whatever it brings: one token can end the reasoning and begin the answer.
            self.deltas += 1
            if not self.counts_itself:
                self._look_at_words(delta)
        if reasoning:
            self.reasoning_seen += 1
            if self._timings is not None:
                self._reasoning_tokens_seen = self._timings.predicted_n
            self._writer.reasoning(reasoning)
        if delta.content:
            self._content(delta.content)
        if delta.tool_calls:
            self._tool_calls(delta)

    def _content(self, text: str) -> None:
        self._writer.content(text)

    def _look_at_words(self, delta: Delta) -> None:
        """Whether this event must have been more tokens than one."""
        texts, calls = _texts_of(delta)
        hidden = sum(map(fewest_tokens, texts)) + sum(map(fewest_tokens_of_json, calls)) - 1
        if hidden > 0:
            self._hidden += hidden
            if not delta.content and not calls:
                self.reasoning_seen += hidden

    def _tool_calls(self, delta: Delta) -> None:
        assert delta.tool_calls is not None
        for position, call in enumerate(delta.tool_calls):
            index = position if call.index is None else call.index + self._call_shift
            if call.function is None:
                continue
            if call.id and call.function.name and index == self._calls - 1 and call.id != self._call_id:
                # Ollama gives each call of an answer the index 0, and an id of its own.
                self._call_shift += 1
                index += 1
            if call.id and index >= self._calls - 1:
                # That of the last call; an engine that goes back to an earlier one may repeat that one's.
                self._call_id = call.id
            if index == self._calls == _MAX_TOOL_CALLS:
                # The model goes on and on, which is not the engine's fault.
                self.finish_reason, self.done = "length", True
                return
            # An index out of step would have the writer invent calls that nobody made.
            if not 0 <= index <= self._calls:
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
        final, timings, measured = self._usage, self._timings, self.measured
        if measured:
            assert final is not None
            assert final.completion_tokens is not None
            completion = final.completion_tokens
        else:
            completion = self.produced_tokens
        prompt = cached = 0
        if final is not None and final.prompt_tokens is not None and final.prompt_tokens > 0:
            details = final.prompt_tokens_details
            prompt, cached = final.prompt_tokens, (details.cached_tokens or 0) if details else 0
        elif timings is not None:
            cached = timings.cache_n
            prompt = timings.prompt_n + cached
        reasoning = 0
        thought = self.reasoning_seen
        if thought or final is None or final.completion_tokens_details or final.reasoning_tokens:
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
        if not self.reasoning_seen:
            return 0
        if self._reasoning_tokens_seen:
            return self._reasoning_tokens_seen
        if self._reasoning_share:
            return round(completion * self._reasoning_share)
        return self.reasoning_seen


def _hidden_in(texts: list[bytes]) -> int:
    """How many tokens more than chunks these texts must have been."""
    size_bytes = sum(map(len, texts)) if len(texts) > 1 else len(texts[0])
    if size_bytes <= _ONE_TOKEN_BYTES * len(texts):
        return 0
    if len(texts) == 1 and size_bytes <= SHORT_BYTES and texts[0].count(b" ") < 2:
        # Most often a long word; a look at each costs 0.1 µs a token. `LoneChunks` takes no others.
        return 0
    # What lies between two chunks is inside a word, as far as anybody knows.
    return max(0, fewest_tokens(_decoded(b"_".join(texts))) - len(texts))


def _characters_of(delta: Delta) -> int:
    """How long all of that is which `_texts_of` has."""
    size = len(delta.reasoning_content or delta.reasoning or "") + len(delta.content or "")
    for call in delta.tool_calls or ():
        if call.function is not None:
            size += len(call.function.arguments or "")
    return size


def _texts_of(delta: Delta) -> tuple[list[str], list[str]]:
    """What a message or a piece of one says, and the arguments of the calls that it makes."""
    texts = [text for text in (delta.reasoning_content or delta.reasoning, delta.content) if text]
    calls = [call.function.arguments or "" for call in delta.tool_calls or () if call.function]
    return texts, calls


def _decoded(text: bytes) -> str:
    """The text of what stands in a JSON string, which is known to be a valid one."""
    return msgspec.json.decode(b'"%b"' % text, type=str) if b"\\" in text else text.decode()
