"""Whatever an upstream puts into its chunks, and however the bytes are cut, it reaches the caller."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.reply import new_writer
from tests.conftest import SCALE
from tests.unit.inference.glm_upstream import facts, judge, judge_body, relay, relay_body
from tests.unit.inference.json_texts import BLANKS, WORDS, object_text, unknown_members

CHUNK_FIELDS = frozenset(("choices", "usage", "error", "timings", "code", "id", "model", "request_id"))
DELTA_FIELDS = frozenset(("content", "reasoning_content", "reasoning", "tool_calls"))
CHOICE_FIELDS = frozenset(("delta", "message", "finish_reason"))
USAGE_FIELDS = frozenset(
    ("prompt_tokens", "completion_tokens", "reasoning_tokens", "prompt_tokens_details", "completion_tokens_details")
)  # fmt: skip
HEAD = [('"id"', '"2026"'), ('"created"', "1782862782"), ('"model"', '"glm-4.7"')]
Members = list[tuple[str, str]]


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@st.composite
def deltas(draw: st.DrawFn) -> Members:
    members = draw(st.sampled_from([[], [('"role"', '"assistant"')]]))
    if draw(st.booleans()):
        members = [
            *members,
            (draw(st.sampled_from(['"content"', '"reasoning_content"'])), quoted(draw(WORDS))),
        ]
    if draw(st.integers(0, 3)) == 0:
        function = [
            ('"arguments"', quoted(draw(WORDS))),
            *draw(unknown_members(frozenset(("name", "arguments")))),
        ]
        call = [('"index"', "0"), ('"function"', object_text(function, draw(BLANKS)))]
        members = [*members, ('"tool_calls"', f"[{object_text(call)}]")]
    return members


@st.composite
def chunks(draw: st.DrawFn, finish_reason: str | None = None, kind: str = "delta") -> str:
    blank = draw(BLANKS)
    choice = [('"index"', "0")]
    if finish_reason is not None:
        choice.append(('"finish_reason"', quoted(finish_reason)))
    delta = draw(deltas()) + draw(unknown_members(DELTA_FIELDS))
    choice += [
        (f'"{kind}"', object_text(draw(st.permutations(delta)), blank)),
        *draw(unknown_members(CHOICE_FIELDS)),
    ]
    members = [*HEAD, ('"choices"', f"[{object_text(draw(st.permutations(choice)))}]")]
    if draw(st.booleans()):
        members.append(('"request_id"', '"2026"'))
    if finish_reason is not None or draw(st.integers(0, 4)) == 0:
        usage = [('"prompt_tokens"', "7"), ('"completion_tokens"', str(draw(st.integers(0, 2**70))))]
        members.append(('"usage"', object_text(usage + draw(unknown_members(USAGE_FIELDS)), blank)))
    members += draw(unknown_members(CHUNK_FIELDS))
    return object_text(draw(st.permutations(members)), blank)


def alike(text: str) -> str:
    """One of many chunks that only differ in their text, most of what a stream consists of."""
    return object_text([*HEAD, ('"choices"', f'[{{"index":0,"delta":{{"content":{quoted(text)}}}}}]')])


FINISH_REASONS = st.sampled_from(
    ["stop", "length", "tool_calls", "sensitive", "model_context_window_exceeded"]
)
STREAMS = st.tuples(
    st.lists(chunks() | WORDS.map(alike), max_size=8),
    FINISH_REASONS.flatmap(chunks),
    st.lists(chunks() | WORDS.map(alike), max_size=2),
)


@given(STREAMS, st.lists(st.integers(0, 6000), max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans())
@pytest.mark.timeout(300)
@settings(max_examples=max(10, round(300 * SCALE)))
def test_what_the_caller_gets_is_what_the_upstream_said(
    said: tuple[list[str], str, list[str]], cuts: list[int], ending: str, with_done: bool
) -> None:
    texts = [*said[0], said[1], *said[2]]
    lines = "".join(f"data: {text.replace(chr(13), '')}".replace("\n", "\ndata: ") + "\n\n" for text in texts)
    stream = (lines + "data: [DONE]\n\n" * with_done).replace("\n", ending).encode()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[a:b] for a, b in itertools.pairwise(edges)]
    relayed = relay(parts)

    judge([text.encode() for text in texts], relayed)
    ordinary = EngineReader(new_writer(facts()))
    for part in parts:
        ordinary.feed_stream(part)
    assert (relayed.reader.usage(), relayed.reader.deltas) == (ordinary.usage(), ordinary.deltas)


@given(FINISH_REASONS.flatmap(lambda reason: chunks(reason, "message")))
def test_what_a_body_says_is_what_the_upstream_said(text: str) -> None:
    judge_body(text.encode(), relay_body(text.encode()))
