"""Random texts mean to the parser what they mean to a reader who has all of the text; and no text breaks it."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openbigmodel.engines.glm_parser import CallStarted, Event, GlmParser
from tests.conftest import SCALE
from tests.unit.engines.glm_parser.corpus import STREAMS, TOOLS, said
from tests.unit.engines.glm_parser.reference_parse import reference_parse, strict, whole_characters

EXAMPLES = max(100, round(1_500 * SCALE))

TAGS = (
    "<think> </think> <tool_call> </tool_call> <arg_key> </arg_key> <arg_value> </arg_value> <|user|> <|assistant|>"
    " <|observation|> <|endoftext|> <|begin_of_box|> <|end_of_box|>"
).split()
NAMES = ["now", "get_weather", "get_weather_map", "plan_trip", "write_file", "搜索文档", "f-1.x", "no name"]
KEYS = "city days celsius content stops options ratio limit note start ring size anything more 关键词".split()
VALUES = [
    *("3", " 3 ", "-1.50", "1e999", "01", "NaN", "true", "True", "None", "null", "[1, 'a']", '["a", {"b": 2}]', "{'a': (1,)}"),
    *("{1}", "[", '"q"', "'q'", "", "北京", 'say "hi"\\n', "a\r\nb\t", "</arg_valu", "<tool_call>now</tool_call>", "\ud83d"),
]  # fmt: skip
JSON_PIECES = '{ } [ ] : , "city" "days" "a\\n" "\\u4f60" "\\ud83d\\ude00" "\\d" "\\u1" "x 1 -2.5e3 true None nul "name" "arguments" "now" \n'.split(
    " "
)

# Around what is allowed of blanks, of names, of keys, of digits and of brackets.
LIMITS = [
    *("\n" * count for count in (15, 16, 17, 63, 64, 65)),
    *("x" * count for count in (127, 128, 129, 509, 510, 511, 512, 513)),
    *("1" * count for count in (400, 401)),
    '{"a":' + "[" * 126,
    '{"a":' + "[" * 129,
]

tags = st.sampled_from(TAGS)
words = st.one_of(
    st.text(max_size=8),
    st.text(" \t\r\n<>/|{}\"'\\:,_", max_size=6),
    st.sampled_from(["\n", " ", "\n" * 70, "Hello", "好的。", "a < b", *NAMES, *VALUES, *LIMITS]),
)
keys = st.sampled_from(KEYS) | st.text(max_size=3)
values = st.sampled_from(VALUES) | words | st.integers().map(str)
blanks = st.sampled_from(["", "", "\n", " \r\n"])


@st.composite
def tagged_calls(draw: st.DrawFn) -> str:
    text = "<tool_call>" + draw(blanks) + draw(st.sampled_from(NAMES)) + draw(blanks)
    for _ in range(draw(st.integers(0, 3))):
        text += f"<arg_key>{draw(keys)}</arg_key>{draw(blanks)}<arg_value>{draw(values)}</arg_value>{draw(blanks)}"
    return text + draw(st.sampled_from(["</tool_call>", "</tool_call>", ""]))


@st.composite
def json_objects(draw: st.DrawFn) -> str:
    members = draw(st.lists(st.tuples(keys, values), max_size=3))
    text = ", ".join(f'"{key}": {value}' for key, value in members)
    return "{" + text + draw(st.sampled_from(["}", "}", ",}", ""]))


broken_json = st.lists(st.sampled_from(JSON_PIECES), max_size=8).map(lambda pieces: "{" + " ".join(pieces))
any_json = json_objects() | broken_json


@st.composite
def json_calls(draw: st.DrawFn) -> str:
    name, text = draw(st.sampled_from(NAMES)), draw(any_json)
    heads = [
        "<tool_call>" + name + ">",
        "<tool_call>" + name + "\n",
        "<tool_call>",
        name + "\n",
        "<|assistant|>" + name + "\n",
    ]
    hermes = f'<tool_call>{{"name": "{name}", "arguments": {text}}}</tool_call>'
    return draw(st.sampled_from([hermes, *(head + text for head in heads)])) + draw(
        st.sampled_from(["</tool_call>", "\n", ""])
    )


def cut_off(text: str, size: int) -> str:
    return text[: len(text) - size]


pieces = st.one_of(tags, words, tagged_calls(), json_calls())
texts = st.builds(
    cut_off,
    st.lists(pieces, max_size=8).map("".join),
    st.sampled_from([0, 0, 0, 1, 2, 5, 9]),
)
formats = st.sampled_from(["glm45", "glm47", "glm0414"])
thinking = st.sampled_from([True, False, None])


def parse(text: str, written: Any, opened: bool | None, cuts: list[int]) -> list[Event]:
    parser = GlmParser(written, TOOLS, starts_thinking=opened)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    events = [event for start, end in pairwise(edges) for event in parser.feed(text[start:end])]
    return events + parser.finish()


def meaning(events: list[Event]) -> list[Any]:
    """With arguments read, so that it can be compared to the reference."""
    return [
        (*rest, whole_characters(strict(last))) if rest[0] == "call" else (*rest, last)
        for *rest, last in said(events)
    ]


@pytest.mark.timeout(60 + EXAMPLES / 50)
@settings(max_examples=EXAMPLES)
@given(text=texts, written=formats, opened=thinking, cuts=st.lists(st.integers(0, 200), max_size=12))
@example(text="<tool_call>now<|observation|>", written="glm47", opened=False, cuts=[15])
def test_random_texts_mean_what_the_reference_says(
    text: str, written: str, opened: bool | None, cuts: list[int]
) -> None:
    expected = [
        (*rest, whole_characters(last)) if rest[0] == "call" else (*rest, last)
        for *rest, last in reference_parse(text, written, opened)
    ]
    assert meaning(parse(text, written, opened, cuts)) == expected


def test_the_corpus_means_what_the_reference_says() -> None:
    for stream in STREAMS:
        found = reference_parse(stream.text, stream.format, stream.thinking)
        expected = [
            (*rest, strict(last)) if rest[0] == "call" else (*rest, last) for *rest, last in stream.says
        ]
        assert whole_characters(found) == whole_characters(expected), stream.name


@pytest.mark.timeout(60 + EXAMPLES / 50)
@settings(max_examples=EXAMPLES)
@given(text=st.text(st.characters(), max_size=60) | texts, written=formats, opened=thinking)
def test_no_visible_text_is_lost(text: str, written: str, opened: bool | None) -> None:
    events = parse(text, written, opened, [])
    if any(isinstance(event, CallStarted) for event in events):
        return
    dropped = re.compile(r"</?think>|<\|(?:endoftext|system|user|assistant|observation)\|>|[ \t\r\n]+")
    shown = "".join(text for _, text in said(events))
    assert dropped.sub("", shown) == dropped.sub("", text)
