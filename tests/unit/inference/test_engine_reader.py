"""Engines' answers are read alike, whatever their small differences, and counted."""

import json
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader


class Heard:
    """A reply writer that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def reasoning(self, text: str) -> None:
        self.said.append(("reasoning", text))

    def content(self, text: str) -> None:
        self.said.append(("content", text))

    def reasoning_run(self, texts: list[bytes]) -> None:
        self.said += [("reasoning", json.loads(b'"%b"' % text)) for text in texts]

    def content_run(self, texts: list[bytes]) -> None:
        self.said += [("content", json.loads(b'"%b"' % text)) for text in texts]

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        self.said.append(("call", index, name, arguments))

    def around(self, *, reasoning: bool) -> None:
        return

    def take(self) -> bytes:
        return b""

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        return b""


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **rest: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **rest}).encode() + b"\n\n"


def read(*parts: bytes) -> tuple[EngineReader, Heard]:
    heard = Heard()
    reader = EngineReader(heard)
    for part in parts:
        reader.feed_stream(part)
    return reader, heard


DONE = b"data: [DONE]\n\n"


def test_a_stream_of_vllm() -> None:
    reader, heard = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "think"}),
        chunk({"content": "4"}),
        chunk({"content": ""}, "stop"),
        chunk(usage={"prompt_tokens": 13, "completion_tokens": 4, "total_tokens": 17}),
        DONE,
    )

    assert heard.said == [("reasoning", "think"), ("content", "4")]
    assert (reader.done, reader.ended_well(), reader.finish_reason) == (True, True, "stop")
    usage = reader.usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.measured) == (13, 4, True)


def test_a_delta_with_both_gives_reasoning_first() -> None:
    _, heard = read(chunk({"reasoning_content": "r", "content": "c"}))

    assert heard.said == [("reasoning", "r"), ("content", "c")]


def test_usage_beside_the_finish_reason() -> None:
    reader, _ = read(
        chunk({"content": "x"}, "length", usage={"prompt_tokens": 1, "completion_tokens": 2}), DONE
    )

    assert reader.finish_reason == "length"
    assert reader.usage().completion_tokens == 2


def test_done_without_a_finish_reason_is_a_death() -> None:
    reader, _ = read(chunk({"content": "x"}), DONE)

    assert reader.done
    assert not reader.ended_well()


def test_a_finish_reason_without_done_is_an_end() -> None:
    reader, _ = read(chunk({"content": "x"}, "stop"))

    assert reader.ended_well()


def test_an_aborted_answer_is_a_death() -> None:
    reader, _ = read(chunk({"content": "x"}, "abort"), DONE)

    assert not reader.ended_well()


@pytest.mark.parametrize(
    ("said", "met"),
    [
        ({"stop_reason": "END"}, "END"),  # vLLM
        ({"matched_stop": "END"}, "END"),  # SGLang
        ({"stop_reason": 151336}, None),
        ({"matched_stop": 151336}, None),
        ({"stop_reason": None}, None),
        ({"matched_stop": ["END"]}, None),
        ({}, None),
    ],
)
def test_the_stop_sequence_that_was_met(said: dict[str, Any], met: str | None) -> None:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop", **said}
    reader, _ = read(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode())

    assert (reader.finish_reason, reader.stop_sequence) == ("stop", met)


def test_stop_after_calls_means_tool_calls() -> None:
    reader, _ = read(
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}, "stop")
    )

    assert reader.ended_well()
    assert reader.finish_reason == "tool_calls"


def test_calls_that_all_have_the_index_0_are_told_apart_by_their_ids() -> None:
    """As Ollama sends them. A call that goes on has no new id."""
    pieces = [("a", "f", '{"x":'), (None, None, "1}"), ("b", "g", "{"), ("b", "g", "}")]
    _, heard = read(
        *(
            chunk({"tool_calls": [{"index": 0, "id": call, "function": {"name": name, "arguments": text}}]})
            for call, name, text in pieces
        )
    )
    assert heard.said == [
        ("call", 0, "f", '{"x":'),
        ("call", 0, None, "1}"),
        ("call", 1, "g", "{"),
        ("call", 1, "g", "}"),
    ]


def test_an_engine_that_goes_back_and_repeats_who_a_call_is_makes_no_new_one() -> None:
    pieces = [(0, "a", "f", "{"), (1, "b", "g", "{"), (0, "a", "f", "}"), (1, "b", "g", "}")]
    _, heard = read(
        *(
            chunk(
                {"tool_calls": [{"index": index, "id": call, "function": {"name": name, "arguments": text}}]}
            )
            for index, call, name, text in pieces
        )
    )
    assert heard.said == [("call", index, name, text) for index, _, name, text in pieces]


def test_calls_without_an_index_are_counted_by_position() -> None:
    _, heard = read(chunk({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}))

    assert heard.said == [("call", 0, "f", "{}")]


def test_a_call_out_of_step_is_refused() -> None:
    with pytest.raises(EngineProtocolError):
        read(chunk({"tool_calls": [{"index": 5, "function": {"name": "f"}}]}))


def test_counts_of_llama_server_stand_in_for_a_usage_that_never_came() -> None:
    reader, _ = read(
        chunk({"reasoning_content": "a"}, timings={"cache_n": 5, "prompt_n": 7, "predicted_n": 3}),
        chunk({"content": "b"}, timings={"cache_n": 5, "prompt_n": 7, "predicted_n": 6}),
    )

    assert reader.usage() == Usage(
        prompt_tokens=12, cached_tokens=5, completion_tokens=6, reasoning_tokens=3, measured=False
    )


def test_without_any_count_the_deltas_are_counted() -> None:
    reader, _ = read(
        chunk({"reasoning_content": "a"}), chunk({"reasoning_content": "b"}), chunk({"content": "c"})
    )

    assert reader.usage() == Usage(completion_tokens=3, reasoning_tokens=2)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}},
        {"prompt_tokens": 3, "completion_tokens": 9, "reasoning_tokens": 4},
    ],
)
def test_the_engines_own_reasoning_count_is_preferred(usage: dict[str, Any]) -> None:
    reader, _ = read(chunk({"reasoning_content": "a"}), chunk({"content": "c"}, "stop", usage=usage))

    assert reader.usage().reasoning_tokens == 4


def test_counts_that_contradict_each_other_are_brought_in_line() -> None:
    usage = {"prompt_tokens": -3, "completion_tokens": 2, "reasoning_tokens": 9}
    reader, _ = read(
        chunk({"content": "c"}, "stop", usage={**usage, "prompt_tokens_details": {"cached_tokens": 8}})
    )

    assert reader.usage() == Usage(completion_tokens=2, reasoning_tokens=2, measured=True)


def test_a_body() -> None:
    heard = Heard()
    reader = EngineReader(heard)
    reader.feed_body(
        json.dumps(
            {
                "choices": [
                    {
                        "finish_reason": "tool_calls",
                        "message": {
                            "content": None,
                            "reasoning_content": "abc",
                            "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}}],
                        },
                    }
                ],
                "usage": {"prompt_tokens": 5, "completion_tokens": 10, "prompt_tokens_details": None},
            }
        ).encode()
    )

    assert heard.said == [("reasoning", "abc"), ("call", 0, "f", "{}")]
    assert reader.usage().reasoning_tokens == 6
    assert reader.ended_well()


@pytest.mark.parametrize(
    "event",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"error": {"message": "out of memory"}}\n\n',
        b'data: {"choices": 3}\n\n',
        b"data: \xff\xfe\n\n",
        b"data: " + b"x" * 5_000_000,
    ],
)
def test_nonsense_is_told_from_an_answer(event: bytes) -> None:
    with pytest.raises(EngineProtocolError):
        read(event)


def test_what_follows_done_is_ignored() -> None:
    _, heard = read(chunk({"content": "x"}, "stop") + DONE + chunk({"content": "y"}))

    assert heard.said == [("content", "x")]


def test_one_chunk_of_reasoning_in_a_stream_counts_as_one_token() -> None:
    reader, _ = read(
        chunk({"reasoning_content": "a thought"}), chunk({"content": "b"}), chunk({"content": "c"})
    )

    assert reader.usage() == Usage(completion_tokens=3, reasoning_tokens=1)


def test_a_chunk_of_many_words_of_reasoning_is_so_many_tokens_of_it() -> None:
    alike = [chunk({"reasoning_content": " a thought of five words"}) for _ in range(3)]
    reader, _ = read(*alike, chunk({"content": "b"}))

    assert reader.usage() == Usage(completion_tokens=16, reasoning_tokens=15)


@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_lines_may_end_in_crlf_or_cr(ending: bytes, size: int) -> None:
    stream = (
        chunk({"reasoning_content": "r"})
        + b"".join(chunk({"content": text}) for text in "abcd")
        + chunk({"content": ""}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 5})
        + DONE
    ).replace(b"\n", ending)
    reader, heard = read(*(stream[start : start + size] for start in range(0, len(stream), size)))

    assert heard.said == [("reasoning", "r"), *(("content", text) for text in "abcd")]
    assert reader.ended_well()
    assert (reader.usage().prompt_tokens, reader.usage().completion_tokens) == (3, 5)
    # A CR at the very end may be half of a CRLF; nobody needs to wait for the rest.
    assert reader.done == (ending == b"\r\n")


def test_lines_may_begin_to_end_in_crlf_in_mid_stream() -> None:
    alike = b"".join(chunk({"content": text}) for text in "abcd")
    for cut in range(len(alike)):
        _, heard = read(alike[:cut], alike[cut:] + chunk({"content": "e"}).replace(b"\n", b"\r\n"), alike)
        assert heard.said == [("content", text) for text in "abcdeabcd"]


def test_an_endless_event_with_carriage_returns_is_refused() -> None:
    with pytest.raises(EngineProtocolError, match="more than"):
        read(b": comment\r\n", *[b"data: " + b"x" * 2_000_000 + b"\r\n"] * 3)


def test_counts_beyond_all_reason_are_bounded() -> None:
    usage = {"prompt_tokens": 10**400, "completion_tokens": 2**70}
    reader, _ = read(chunk({"content": "x"}, "stop", usage=usage))

    assert reader.usage() == Usage(prompt_tokens=10**9, completion_tokens=10**9, measured=True)
