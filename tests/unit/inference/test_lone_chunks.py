"""A chunk that comes alone reaches the caller as it does on the long way, or goes that way."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.dialect import AnswerWriter
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader
from openbigmodel.inference.glm_relay import GlmReader, GlmWriter
from openbigmodel.inference.lone_chunks import LoneChunks
from openbigmodel.inference.mended_reply import MendedReply
from openbigmodel.inference.reply import ReplyHead, StreamWriter
from openbigmodel.inference.responses.write import ResponsesWriter
from tests.unit.inference.anthropic.messages_bench import stream as anthropic_stream
from tests.unit.inference.engine_events import NOT_ONE_MORE, event
from tests.unit.inference.glm_upstream import facts
from tests.unit.inference.responses.test_write import HEAD as RESPONSE

UNBOUNDED = 1 << 40


class Caller:
    """The client's end of a stream; counts what came by the short way."""

    peer = ""

    def __init__(self) -> None:
        self.seen = b""
        self.short = 0

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        raise AssertionError("it is a stream")

    def start(self, headers: bytes) -> None:
        raise AssertionError("it has begun")

    def write(self, data: bytes) -> None:
        self.seen += data

    def end(self, data: bytes = b"") -> None:
        raise AssertionError("it has not ended")

    def abort(self) -> None:
        raise AssertionError("it went well")


class Relay:
    """An engine's chunks on their way to a caller, each of which comes alone."""

    def __init__(self, reader: EngineReader, writer: AnswerWriter, *, deltas_max: int = UNBOUNDED) -> None:
        self.caller = Caller()
        self.reader = reader
        self._writer = writer
        self._deltas_max = deltas_max
        self._taker: LoneChunks | None = None

    def chunk(self, data: bytes, *, short: bool = True) -> None:
        begin = b"%x\r\n" % len(data)
        if short and self._taker is not None and self._taker.take(begin + data + b"\r\n", len(begin)):
            self.caller.short += 1
            return
        self._taker = None
        self.reader.feed_stream(data)
        self.caller.write(self._writer.take())
        if self.reader.shown_around is not None:
            self._taker = LoneChunks(self.reader, self.caller, self._deltas_max)

    def outcome(self) -> tuple[bytes, Usage, int]:
        usage = self.reader.usage()
        return self.caller.seen + self._writer.finish("stop", usage, 1), usage, self.reader.deltas


def openai_to_glm(**options: Any) -> Relay:
    writer = StreamWriter(ReplyHead("id", "id", 1, "m"), 0, tool_stream=False)
    return Relay(EngineReader(writer), writer, **options)


def with_tools() -> Relay:
    writer = MendedReply(
        StreamWriter(ReplyHead("id", "id", 1, "m"), 0, tool_stream=False), [], None, streams=True
    )
    return Relay(EngineReader(writer), writer)


def with_a_schema() -> Relay:
    inner = StreamWriter(ReplyHead("id", "id", 1, "m"), 0, tool_stream=False)
    writer = MendedReply(inner, None, {"type": "object"}, streams=True)
    return Relay(EngineReader(writer), writer)


def openai_to_anthropic() -> Relay:
    writer = anthropic_stream(thinking={"type": "enabled", "budget_tokens": 1024}, counts=Usage)
    return Relay(EngineReader(writer), writer)


def anthropic_without_thinking() -> Relay:
    writer = anthropic_stream(counts=Usage)
    return Relay(EngineReader(writer), writer)


def glm_to_glm() -> Relay:
    writer = GlmWriter(facts())
    return Relay(GlmReader(writer), writer)


def streamed_tools() -> Relay:
    writer = StreamWriter(ReplyHead("id", "id", 1, "m"), 0, tool_stream=True)
    return Relay(EngineReader(writer), writer)


def openai_to_responses() -> Relay:
    writer = ResponsesWriter(RESPONSE, streams=True)
    return Relay(EngineReader(writer), writer)


WAYS = [
    openai_to_glm,
    with_tools,
    streamed_tools,
    with_a_schema,
    openai_to_anthropic,
    anthropic_without_thinking,
    openai_to_responses,
    glm_to_glm,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_steady_stream(way: Callable[[], Relay]) -> None:
    relay, long_way = way(), way()
    words = [event(text, "reasoning_content") for text in ("Let", " me", " think")]
    words += [event(text) for text in ("The", " answer", " is", " 四十二", ".")]
    for data in words:
        relay.chunk(data)
        long_way.chunk(data, short=False)

    assert relay.outcome() == long_way.outcome()
    # Of each kind, the first teaches and the second shows that it was understood. What has to be looked at is.
    expected = {with_a_schema: 1, anthropic_without_thinking: 3, openai_to_responses: 0}.get(way, 4)
    assert relay.caller.short == expected


TOOL_CALL = event("").replace(
    b'{"content":""}',
    b'{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}',
)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
TEXTS = st.one_of(
    st.sampled_from(
        [" word", " word", "你好", " two words more", '"', "\n", "\\", "\u2028", "\u0085", "", "x" * 40]
    ),
    st.text(max_size=6),
)
EVENTS = st.one_of(
    st.builds(event, TEXTS, st.sampled_from(["content", "content", "reasoning_content"])),
    st.sampled_from(
        [
            TOOL_CALL,
            event(" a") + event(" b"),
            event(" cut")[:-20],
            b": ping\n\n",
            event("", finish_reason="stop"),
            event("", usage=USAGE),
            event(" word", usage=USAGE),
            event(" word").replace(b'" word"', b'"\\u4f60"'),
        ]
    ),
)


@pytest.mark.parametrize("way", WAYS)
@given(st.lists(EVENTS, max_size=20))
def test_whatever_comes_the_caller_sees_the_same(way: Callable[[], Relay], events: list[bytes]) -> None:
    relay, long_way = way(), way()
    rest, failed = b"", []
    for whole in events:
        # What was cut goes on with the next chunk.
        cut = len(whole) if whole.endswith(b"\n\n") else 40
        data, rest = rest + whole[:cut], whole[cut:] + b"\n\n" if cut == 40 else b""
        for one, short in ((relay, True), (long_way, False)):
            try:
                one.chunk(data, short=short)
            except EngineProtocolError as error:
                failed.append(str(error))
        if failed:
            break

    assert len(failed) in (0, 2)
    assert relay.caller.seen == long_way.caller.seen
    assert (relay.reader.deltas, relay.reader.usage()) == (long_way.reader.deltas, long_way.reader.usage())


def taught() -> tuple[Relay, LoneChunks]:
    relay = openai_to_glm()
    relay.chunk(event("Hello"))
    relay.chunk(event(" there"))
    assert relay.reader.shown_around is not None
    return relay, LoneChunks(relay.reader, relay.caller, UNBOUNDED)


def taken(taker: LoneChunks, data: bytes) -> bool:
    begin = b"%x\r\n" % len(data)
    return taker.take(begin + data + b"\r\n", len(begin))


@pytest.mark.parametrize("text", ["a", "你好", "@" * 24, " ", "\U0001f600", "a\u3001b"])
def test_a_chunk_that_comes_alone_is_known_at_once(text: str) -> None:
    relay, taker = taught()
    before, seen = relay.reader.deltas, len(relay.caller.seen)
    assert taken(taker, event(text))
    assert relay.reader.deltas == before + 1
    chunk = json.loads(relay.caller.seen[seen:].removeprefix(b"data: "))
    assert chunk["choices"][0]["delta"]["content"] == text


@pytest.mark.parametrize("data", [*NOT_ONE_MORE, event("one two three"), event("x" * 25)])
def test_what_is_not_plainly_one_more_is_left(data: bytes) -> None:
    relay, taker = taught()
    seen, deltas = relay.caller.seen, relay.reader.deltas
    assert not taken(taker, data)
    assert (relay.caller.seen, relay.reader.deltas) == (seen, deltas)


def test_a_chunk_that_does_not_end_as_chunks_do_is_left() -> None:
    _, taker = taught()
    data = event("a")
    assert not taker.take(b"%x\r\n%bxx" % (len(data), data), 4)


def test_nothing_is_taken_beyond_the_bound() -> None:
    relay = openai_to_glm(deltas_max=4)
    for _ in range(3):
        relay.chunk(event(" a"))
    assert relay.reader.shown_around is not None
    taker = LoneChunks(relay.reader, relay.caller, 4)
    assert taken(taker, event(" a"))
    assert not taken(taker, event(" a"))
    assert relay.reader.deltas == 4


def test_reasoning_is_counted_as_such() -> None:
    relay = openai_to_glm()
    for text in ("I", " think", " so"):
        relay.chunk(event(text, "reasoning_content"))
    relay.chunk(event("yes"))
    assert relay.caller.short == 1
    assert relay.reader.usage().reasoning_tokens == 3
    assert relay.reader.usage().completion_tokens == 4


class _TakesTwoForOne(LoneChunks):
    def take(self, chunk: bytes, begin: int) -> bool:
        text = chunk[begin + self._text_begins : self._text_ends]
        self._reader.deltas += 1
        self._sink.write(self._shown_before + text + self._shown_after)
        return True


def test_a_taker_that_does_not_look_is_found() -> None:
    relay, long_way = openai_to_glm(), openai_to_glm()
    for data in (event("Hello"), event(" there")):
        relay.chunk(data)
        long_way.chunk(data)
    relay._taker = _TakesTwoForOne(relay.reader, relay.caller, UNBOUNDED)
    for one in (relay, long_way):
        one.chunk(event(" a") + event(" b"))
    assert relay.outcome() != long_way.outcome()


def test_other_line_ends_end_it() -> None:
    relay, _ = taught()
    relay.chunk(b": ping\r\n", short=False)
    assert relay.reader.shown_around is None
