"""A run taken at once gives what decoding each of its chunks gives, or is not taken."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.chunk_run import ChunkRun, learn_run
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.reply import ReplyHead, StreamWriter
from tests.unit.inference.engine_events import NOT_ONE_MORE, event

HEAD = ReplyHead("id", "id", 1, "m")


def learnt(text: str = "hello", key: str = "content") -> ChunkRun:
    run = learn_run(event(text, key)[6:-2], text, reasoning=key != "content")
    assert run is not None
    return run


def test_a_run_is_taken_whole() -> None:
    data = event("a") + event("你好") + event("\\n tab")

    assert learnt().take(data, 0) == ([b"a", "你好".encode(), b"\\\\n tab"], len(data))


def test_a_run_may_begin_in_the_middle_and_stops_at_what_differs() -> None:
    other = event("x", finish_reason="stop")
    data = other + event("a") + event("b") + other + event("c")

    assert learnt().take(data, 0) == ([], 0)
    assert learnt().take(data, len(other)) == ([b"a", b"b"], len(other + event("a") + event("b")))


def test_an_incomplete_last_chunk_is_left() -> None:
    data = event("a") + event("b")
    for cut in range(len(event("a")), len(data)):
        assert learnt().take(data[:cut], 0) == ([b"a"], len(event("a"))), cut
    for cut in range(len(event("a"))):
        assert learnt().take(data[:cut], 0) == ([], 0), cut


@pytest.mark.parametrize("text", ["", 'say "x"', "line\u2028", "para\u2029", "nel\u0085"])
def test_text_that_needs_a_second_look_ends_the_run(text: str) -> None:
    data = event("a") + event(text) + event("b")

    assert learnt().take(data, 0) == ([b"a"], len(event("a")))
    assert learnt().take(data, len(event("a"))) == ([], len(event("a")))


@pytest.mark.parametrize("raw", [b"\\ud800", b"\\x", b"\\", b"\x01", b"\xe4\xbd"])
def test_what_is_no_json_text_is_left_to_the_decoder(raw: bytes) -> None:
    bad = event("a").replace(b'"a"', b'"' + raw + b'"')

    assert learnt().take(event("x") + bad + event("n"), 0) == ([b"x"], len(event("x")))


def test_bytes_that_are_no_utf8_are_left_to_the_decoder() -> None:
    bad = event("a").replace(b'"a"', b'"\xff"')

    assert learnt().take(event("x") + bad, 0) == ([b"x"], len(event("x")))


def test_a_field_after_the_text_is_never_taken_for_text() -> None:
    tricky = event("a").replace(b'{"content":"a"}', b'{"content":"a","reasoning":"b"}')

    assert learnt().take(tricky, 0) == ([], 0)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"id":"hello","choices":[{"delta":{"content":"hello"}}]}', "hello"),  # which of the two?
        (
            b'{"choices":[{"delta":{"role":"hello","content":"\\u0068ello"}}]}',
            "hello",
        ),  # not where the text is
        (b'{"choices":[{"delta":{"content":"a\\nb"}}]}', "a\nb"),
        (b'{"choices":[{"delta":{"content":""}}]}', ""),
        (b'{"choices":[{"delta":{"content":"\\""}}]}', '"'),
    ],
)
def test_nothing_is_learnt_from_a_chunk_that_leaves_a_doubt(data: bytes, text: str) -> None:
    assert learn_run(data, text, reasoning=False) is None


class _Plain(EngineReader):
    """A reader that never takes a run: the reference."""

    def _learn(self, delta: Any, event: bytes) -> None:
        return


def relay(reader_class: type[EngineReader], parts: list[bytes]) -> tuple[bytes, EngineReader]:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    reader = reader_class(writer)
    out = b""
    for part in parts:
        reader.feed_stream(part)
        out += writer.take()
    return out + writer.finish("stop", Usage(), 1), reader


TEXTS = st.lists(
    st.tuples(st.sampled_from(["content", "reasoning_content", "both", "stop"]), st.text(max_size=6)),
    max_size=12,
)


@given(TEXTS, st.lists(st.integers(0, 4000), max_size=6))
def test_runs_change_nothing_whatever_the_text_and_the_cuts(
    chunks: list[tuple[str, str]], cuts: list[int]
) -> None:
    stream = b""
    for kind, text in chunks:
        if kind == "both":
            stream += event(text).replace(b'{"content"', b'{"reasoning":"r","content"')
        elif kind == "stop":
            stream += b": ping\n\n" + event(text, logprobs=None)
        else:
            stream += event(text, kind)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[a:b] for a, b in itertools.pairwise(edges)]

    (quick, quickly), (plain, plainly) = relay(EngineReader, parts), relay(_Plain, [stream])
    assert quick == plain
    assert quickly.deltas == plainly.deltas
    # Many texts are looked at for words together, which finds fewer, and never more.
    assert quickly.deltas <= quickly.usage().completion_tokens <= plainly.usage().completion_tokens


@pytest.mark.parametrize("text", ["a", "你好", "@" * 50, " "])
def test_a_chunk_that_comes_alone_is_known_at_once(text: str) -> None:
    assert learnt().only_text(event(text)) == text.encode()


@pytest.mark.parametrize("data", NOT_ONE_MORE)
def test_what_is_not_plainly_one_chunk_is_not_taken_for_one(data: bytes) -> None:
    assert learnt().only_text(data) == b""


def test_the_end_of_a_stream_does_not_hide_what_is_alike_before_it() -> None:
    alike = event("a") + event("b")
    for end in (
        event("", finish_reason="stop") + b"data: [DONE]\n\n",
        b"data: [DONE]\n\n",
        event("c")[:-1],
        b": ping\n\n",
    ):
        assert learnt().take(alike + end, 0) == ([b"a", b"b"], len(alike)), end


def test_no_run_is_taken_in_a_stream_with_other_line_ends() -> None:
    parts = [event("hello"), event("a").replace(b"\n", b"\r\n"), b"data: ", event("b")[6:], event("c")]

    (quick, quickly), (plain, plainly) = relay(EngineReader, parts), relay(_Plain, parts)
    assert (quick, quickly.usage()) == (plain, plainly.usage())


def test_a_run_can_be_written_again() -> None:
    alike = event("a") + event("你") + event("\\n")
    run = learnt()
    texts, end = run.take(alike, 0)

    assert end == len(alike)
    assert run.events(texts) == alike
