"""Delivered ≤ charged ≤ produced, whatever an engine says, and the line tells how it is known."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.measurement import NOTHING, UNBOUNDED, Measured, estimate_prompt, measured
from openbigmodel.inference.reply import BodyWriter, ReplyHead

ASKED = b'{"messages":[{"role":"user","content":"' + b"word " * 100 + b'"}]}'


def reader() -> EngineReader:
    return EngineReader(BodyWriter(ReplyHead("id", "id", 1, "m"), 0))


def chunk(delta: dict[str, Any], finish: str | None = None, **rest: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **rest}).encode() + b"\n\n"


def said(prompt: int | None, completion: int | None, cached: int = 0) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}}}


def timings(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    return {"timings": {"prompt_n": prompt, "predicted_n": completion, "cache_n": cached}}


def stream(*parts: bytes) -> EngineReader:
    found = reader()
    for part in parts:
        found.feed_stream(part)
    return found


def body(message: dict[str, Any], **rest: Any) -> EngineReader:
    found = reader()
    found.feed_body(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **rest}).encode())
    return found


THREE = [chunk({"content": text}) for text in ("a", "b", "c")]
END = chunk({}, "stop")


def look(
    read: EngineReader,
    prompt_bound: int = 1000,
    completion_bound: int = 100,
    prompt_count: int | None = None,
) -> Measured:
    return measured(read, prompt_bound, completion_bound, ASKED, prompt_count)


def test_an_engine_that_says_it_all_is_believed() -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(20, 5, cached=8))))

    assert found == Measured(Usage(20, 8, 5, 0, measured=True), "engine", "")


def test_less_than_was_delivered_is_not_believed() -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(20, 2))))

    assert (found.usage.completion_tokens, found.source) == (3, "counted")
    assert found.note == "the engine reported 2 completion tokens, 3 were delivered"


def test_more_than_was_asked_for_is_not_believed() -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(20, 101))))

    assert (found.usage.completion_tokens, found.source) == (100, "counted")
    assert found.note == "the engine reported 101 completion tokens, 100 were the most it was asked for"


def test_a_prompt_longer_than_its_request_is_believed_and_noted() -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(1001, 3, cached=1001))))

    assert (found.usage.prompt_tokens, found.usage.cached_tokens) == (1001, 1001)
    assert (found.source, found.note) == (
        "engine",
        "the engine reported 1001 prompt tokens, 1000 were held for",
    )


def test_where_nothing_is_at_stake_any_count_is_believed() -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(5000, 9000))), UNBOUNDED, UNBOUNDED)

    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.note) == (5000, 9000, "")


def test_without_usage_the_deltas_are_counted_and_the_prompt_is_estimated() -> None:
    found = look(stream(*THREE, END))

    assert found.usage == Usage(prompt_tokens=len(ASKED) // 5, completion_tokens=3)
    assert (found.source, found.note) == ("counted", "prompt estimated")


def test_an_estimate_never_goes_beyond_the_hold() -> None:
    assert look(stream(*THREE, END), prompt_bound=50).usage.prompt_tokens == 50


@pytest.mark.parametrize(("count", "prompt"), [(77, 77), (7000, 1000)])
def test_the_engines_tokenizer_knows_better(count: int, prompt: int) -> None:
    found = look(stream(*THREE), prompt_count=count)

    assert found.usage.prompt_tokens == prompt
    assert found.note == "prompt counted by the engine's tokenizer"


def test_the_last_of_running_counts_is_what_was_produced() -> None:
    parts = [chunk({"content": "x"}, **said(20, count)) for count in (1, 3, 6)]
    found = look(stream(*parts))

    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (20, 6)
    assert (found.source, found.note) == ("engine", "")


def test_the_counters_of_llama_server_are_the_engines_own() -> None:
    found = look(stream(*(chunk({"content": "x"}, **timings(12, count, cached=4)) for count in (1, 2, 3))))

    assert found.usage == Usage(prompt_tokens=16, cached_tokens=4, completion_tokens=3)
    assert (found.source, found.note) == ("engine", "")


def test_several_events_for_one_token_are_no_lie_where_the_engine_counts_on_its_way() -> None:
    # The end of the reasoning and the beginning of the answer, in two events for one token.
    parts = [chunk({"reasoning_content": "r"}, **timings(9, 1)), chunk({"content": "c"}, **timings(9, 1))]
    found = look(stream(*parts, chunk({}, "stop", **said(9, 1))))

    assert (found.usage.completion_tokens, found.source, found.note) == (1, "engine", "")


def test_one_event_with_everything_is_one_token() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": ""}}
    found = look(stream(chunk({"reasoning": "r", "content": "c", "tool_calls": [call]})))

    assert found.usage.completion_tokens == 1


def test_nothing_produced_is_nothing_used() -> None:
    for read in (reader(), stream(chunk({"role": "assistant", "content": ""}))):
        found = look(read)
        assert (found.usage, found.source, found.note) == (Usage(), "none", "nothing was produced")


def test_a_caller_who_left_after_hidden_tokens_pays_for_them() -> None:
    # A reasoning parser holds back what the engine has counted.
    found = look(stream(chunk({"content": ""}, **said(20, 4))))

    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.source) == (20, 4, "engine")


def test_an_empty_answer_that_ended_well_has_read_its_prompt() -> None:
    found = look(stream(chunk({}, "stop", **said(20, 0))))

    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.source) == (20, 0, "engine")


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": "长城很长"}, 1),
        ({"content": "one two three", "reasoning_content": "four five"}, 5),
        ({"content": " " * 500}, 1),
        ({"content": "x" * 300}, 5),
        ({"content": "长" * 40}, 3),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, 1),
        (
            {
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": '{"in":"New York","on":"\\u4e2d"}'}}],
            },
            4,
        ),
    ],
)
@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {"completion_tokens": None}}])
def test_a_body_without_usage_is_estimated_by_its_words(
    message: dict[str, Any], tokens: int, usage: dict[str, Any]
) -> None:
    found = look(body(message, **usage), completion_bound=1000)

    assert found.usage.completion_tokens == tokens
    assert (found.source, found.note) == ("counted", "completion estimated; prompt estimated")


@pytest.mark.parametrize("completion", [0, 1, 40])
def test_a_body_that_says_far_more_than_its_usage_is_estimated_by_its_words(completion: int) -> None:
    found = look(body({"content": "word " * 100}, **said(20, completion)))

    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.source) == (20, 100, "counted")
    assert found.note == f"the engine reported {completion} completion tokens, 100 were delivered"


@pytest.mark.parametrize("completion", [50, 75, 100])
def test_a_count_that_can_be_true_is_believed(completion: int) -> None:
    # Tokenizers that make one token of two common words are rare, but there are some.
    found = look(body({"content": "word " * 100}, **said(20, completion)))

    assert (found.usage.completion_tokens, found.source, found.note) == (completion, "engine", "")


def test_usage_with_nothing_but_a_prompt_keeps_it() -> None:
    prompt_alone: dict[str, Any] = {
        "usage": {"prompt_tokens": 20, "prompt_tokens_details": {"cached_tokens": 5}}
    }
    for found in (
        look(stream(*THREE, chunk({}, "stop", **prompt_alone))),
        look(stream(*(chunk({"content": "x"}, **prompt_alone) for _ in range(3)))),
    ):
        assert found.usage == Usage(20, 5, 3)
        assert (found.source, found.note) == ("counted", "")


def test_a_later_usage_that_says_less_takes_nothing_back() -> None:
    end = chunk({}, "stop", usage={"prompt_tokens": 21})
    found = look(stream(*THREE, chunk({"content": "d"}, **said(20, 9)), end))

    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.source) == (20, 9, "engine")


@pytest.mark.parametrize(
    ("size", "tokens"),
    [(1, 40), (3, 40), (8, 40), (40, 40)],
)
def test_several_tokens_in_an_event_are_seen_by_their_words(size: int, tokens: int) -> None:
    # As an engine sends them that speaks up every `size` tokens and does not count on its way.
    words = [" word", " two", ",", " three", "\n", "four", " five"]
    text = [words[index % len(words)] for index in range(tokens)]
    parts = [chunk({"content": "".join(text[at : at + size])}) for at in range(0, tokens, size)]
    found = look(stream(*parts))

    assert found.usage.completion_tokens <= tokens
    assert found.usage.completion_tokens >= tokens * 0.5
    assert found.note.endswith("prompt estimated")


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        (20.0, 20),
        (20.5, 3),
        (None, 3),
        ("20", 3),
        (True, 3),
        ([20], 3),
        ({}, 3),
        (-1, 3),
        (-1.0, 3),
    ],
)
def test_a_count_of_another_shape_is_no_death(completion: Any, kept: int) -> None:
    for usage in ({"prompt_tokens": 20, "completion_tokens": completion}, {"completion_tokens": completion}):
        found = look(stream(*THREE, chunk({}, "stop", usage=usage)))
        assert found.usage.completion_tokens == kept
        assert found.usage.prompt_tokens == (20 if "prompt_tokens" in usage else len(ASKED) // 5)
        assert look(body({"content": "a b c"}, usage=usage)).usage.completion_tokens == kept


@pytest.mark.parametrize("prompt", [20.0, "20", -20, None, False])
def test_a_prompt_of_another_shape_is_whole_or_estimated(prompt: Any) -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(prompt, 5, cached=2))))

    assert found.usage.prompt_tokens == (20 if prompt == 20.0 else len(ASKED) // 5)
    assert found.usage.completion_tokens == 5


@pytest.mark.parametrize("timings", ["soon", {"predicted_n": 3.0, "prompt_n": 4}, {"predicted_n": None}, [1]])
def test_counters_of_another_shape_are_no_death(timings: Any) -> None:
    assert look(stream(*THREE, chunk({"content": ""}, "stop", timings=timings))).usage.completion_tokens == 3


def test_a_body_with_usage_is_not_estimated() -> None:
    found = look(body({"content": "x" * 500, "reasoning_content": "y" * 500}, **said(20, 60)))

    assert (found.usage.completion_tokens, found.usage.reasoning_tokens, found.note) == (60, 30, "")


def test_half_a_usage_is_filled_in() -> None:
    found = look(stream(*THREE, chunk({}, "stop", **said(None, 4))))
    assert (found.usage.completion_tokens, found.source, found.note) == (4, "engine", "prompt estimated")

    found = look(stream(*THREE, chunk({}, "stop", usage={"prompt_tokens": 20})))
    assert (found.usage.completion_tokens, found.source) == (3, "counted")


def test_nothing_at_all_is_free() -> None:
    assert (NOTHING.usage, NOTHING.source) == (Usage(), "none")


def test_estimates_go_by_the_bytes_that_the_characters_stand_for() -> None:
    plain = json.dumps({"messages": "长城" * 100}, ensure_ascii=False).encode()
    escaped = json.dumps({"messages": "长城" * 100}).encode()

    assert estimate_prompt(plain) == estimate_prompt(escaped) == len(plain) // 5
    assert estimate_prompt(b"") == 1


@given(
    deltas=st.integers(0, 40),
    usage=st.none() | st.tuples(st.integers(-5, 10**10), st.integers(-5, 10**10), st.integers(-5, 10**10)),
    running=st.booleans(),
    prompt_bound=st.integers(1, 2000),
    completion_bound=st.integers(1, 60),
    ended=st.booleans(),
)
def test_within_bounds_whatever_is_said(
    deltas: int,
    usage: tuple[int, int, int] | None,
    running: bool,
    prompt_bound: int,
    completion_bound: int,
    ended: bool,
) -> None:
    more = {} if usage is None else said(usage[0], usage[1], usage[2])
    parts = [chunk({"content": "x"}, **(more if running else {})) for _ in range(deltas)]
    found = look(
        stream(*parts, *([chunk({}, "stop", **more)] if ended else [])), prompt_bound, completion_bound
    )
    used = found.usage

    assert used.completion_tokens <= completion_bound
    assert used.prompt_tokens <= prompt_bound or "were held for" in found.note
    assert used.completion_tokens >= min(deltas, completion_bound)
    if found.source == "none":
        assert used == Usage()
    if usage is None or (not running and not ended):
        assert used.completion_tokens == min(deltas, completion_bound)
