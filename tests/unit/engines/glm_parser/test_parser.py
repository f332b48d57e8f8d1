"""What raw texts say, and when: every stream of the corpus whole, and what must not wait."""

from typing import Any, get_args

import pytest

from openbigmodel.engines.glm_parser import (
    CallArguments,
    CallEnded,
    CallStarted,
    Content,
    Event,
    Format,
    GlmParser,
    Reasoning,
)
from tests.unit.engines.glm_parser.corpus import STREAMS, TOOLS, Stream, said
from tests.unit.engines.glm_parser.reference_parse import Members, strict


def parser_for(stream: Stream) -> GlmParser:
    assert stream.format in get_args(Format.__value__ if hasattr(Format, "__value__") else Format)
    return GlmParser(stream.format, TOOLS, starts_thinking=stream.thinking)  # type: ignore[arg-type]


def feed(parser: GlmParser, *pieces: str) -> list[list[Event]]:
    return [parser.feed(piece) for piece in pieces]


def new(written: Any = "glm47", *, thinking: bool | None = False) -> GlmParser:
    return GlmParser(written, TOOLS, starts_thinking=thinking)


def test_the_corpus_is_large_and_of_every_format() -> None:
    assert len(STREAMS) >= 40
    assert len({stream.name for stream in STREAMS}) == len(STREAMS)
    assert {stream.format for stream in STREAMS} == set(get_args(Format))
    assert {stream.thinking for stream in STREAMS} == {True, False, None}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_says(stream: Stream) -> None:
    parser = parser_for(stream)
    assert said(parser.feed(stream.text) + parser.finish()) == stream.says


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_says_the_same_character_by_character(stream: Stream) -> None:
    parser = parser_for(stream)
    events = [event for character in stream.text for event in parser.feed(character)]
    assert said(events + parser.finish()) == stream.says


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_arguments_of_a_stream_are_objects(stream: Stream) -> None:
    for said_kind, *rest in stream.says:
        if said_kind == "call":
            assert isinstance(strict(rest[1]), Members)


def test_text_does_not_wait() -> None:
    parser = new(thinking=True)
    assert feed(parser, "I", " see", " <", "b", "> <th", "</think>ok") == [
        [Reasoning("I")],
        [Reasoning(" see")],
        [Reasoning(" ")],
        [Reasoning("<b")],
        [Reasoning("> <th")],
        [Content("ok")],
    ]
    assert parser.finish() == []


def test_a_call_does_not_wait() -> None:
    parser = new()
    head = "<tool_call>get_weather\n<arg_key>days</arg_key><arg_value>1"
    assert feed(
        parser, head, "2</arg_value>", "<arg_key>city</arg_key><arg_value>Be", "r</", 'n "</arg_'
    ) == [
        [CallStarted(0, "get_weather"), CallArguments(0, "{")],
        [CallArguments(0, '"days":12')],
        [CallArguments(0, ',"city":"Be')],
        [CallArguments(0, "r")],
        [CallArguments(0, '</n \\"')],
    ]
    assert parser.in_call
    assert feed(parser, "value>", "</tool_call>") == [
        [CallArguments(0, '"')],
        [CallArguments(0, "}"), CallEnded(0)],
    ]
    assert not parser.in_call


@pytest.mark.parametrize(
    ("written", "text", "come"),
    [
        ("glm47", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Bei</arg_val", '{"city":"Bei'),
        ("glm47", "<tool_call>get_weather<arg_key>days</arg_key><arg_value>1", "{"),
        ("glm47", "<tool_call>get_weather<arg_key>days</arg_key><arg_value>1</arg_value>", '{"days":1'),
        ("glm45", "<tool_call>get_weather\n<arg_key>ci", "{"),
        ("glm0414", 'get_weather\n{"city": "Be', '{"city":"Be'),
        ("glm0414", 'get_weather\n{"days": 1', "{"),
    ],
)
def test_a_call_that_a_limit_cut_stays_open(written: Format, text: str, come: str) -> None:
    parser = new(written)
    events = [event for character in text for event in parser.feed(character)]
    assert parser.in_call
    events += parser.finish(cut=True)
    assert not any(isinstance(event, CallEnded) for event in events)
    assert said([*events, CallEnded(0)]) == [("call", "get_weather", come)]
    whole = new(written)
    assert isinstance(strict(said(whole.feed(text) + whole.finish())[0][2]), Members)


def test_a_call_of_which_only_the_name_came_before_the_limit() -> None:
    parser = new()
    assert parser.feed("<tool_call>now") == []
    assert parser.finish(cut=True) == [CallStarted(0, "now")]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_limit_changes_nothing_outside_of_calls(stream: Stream) -> None:
    parser, cut = parser_for(stream), parser_for(stream)
    parser.feed(stream.text)
    cut.feed(stream.text)
    if not parser.in_call:
        texts = [event for event in parser.finish() if isinstance(event, Content | Reasoning)]
        assert [event for event in cut.finish(cut=True) if isinstance(event, Content | Reasoning)] == texts


def test_a_name_goes_out_as_soon_as_it_is_complete() -> None:
    parser = new()
    assert feed(parser, "<tool_call>n", "ow", "<arg_k") == [[], [], []]
    assert parser.feed("ey>") == [CallStarted(0, "now"), CallArguments(0, "{")]


def test_json_does_not_wait() -> None:
    parser = new("glm0414")
    assert feed(parser, "get_w", "eather", "\n", '{"ci', 'ty": "Be', "r\\", 'n", "days"', ": 1", "2}") == [
        [],
        [],
        [],
        [CallStarted(0, "get_weather"), CallArguments(0, "{")],
        [CallArguments(0, '"city":"Be')],
        [CallArguments(0, "r")],
        [CallArguments(0, '\\n"')],
        [],
        [CallArguments(0, ',"days":12}'), CallEnded(0)],
    ]


def test_what_is_no_name_goes_out_at_once() -> None:
    parser = new()
    assert feed(parser, "<tool_call>", "标", "签") == [[], [Content("<tool_call>标")], [Content("签")]]


def test_a_box_tag_goes_out_in_one_piece() -> None:
    for thinking in (True, False):
        kind = Reasoning if thinking else Content
        parser = new("glm45", thinking=thinking)
        assert feed(parser, "is <|begin_", "of_box", "|>4", "2<|end", "_of_box|>") == [
            [kind("is ")],
            [],
            [kind("<|begin_of_box|>4")],
            [kind("2")],
            [kind("<|end_of_box|>")],
        ]


def test_the_other_kind_of_box_is_text() -> None:
    parser = new()
    assert parser.feed("a<|begin_of_video|>b") == [Content("a<|begin_of_video|>b")]


@pytest.mark.parametrize("blanks", [64, 65])
def test_blanks_that_wait_for_a_call_are_few(blanks: int) -> None:
    parser = new()
    text = "\n" * blanks
    events = parser.feed(text) + parser.feed("<tool_call>now</tool_call>")
    expected = [] if blanks == 64 else [("content", text)]
    assert said(events) == [*expected, ("call", "now", "{}")]


def test_blanks_that_wait_for_thinking_are_few() -> None:
    parser = new(thinking=None)
    assert parser.feed("\n" * 65) == [Content("\n" * 65)]
    assert said(parser.feed("<think>") + parser.finish()) == [("content", "<think>")]


def test_json_that_is_no_call_is_read_twice_eight_times_at_most() -> None:
    parser = new()
    call = '<tool_call>{"name": "now"}'
    events = parser.feed('<tool_call>{"x": 1}' * 8 + call) + parser.finish()
    assert said(events) == [("content", '<tool_call>{"x": 1}' * 8 + call)]


def test_without_tools_calls_are_calls_with_texts() -> None:
    parser = GlmParser("glm47", [], starts_thinking=False)
    events = parser.feed("<tool_call>f<arg_key>n</arg_key><arg_value>1</arg_value></tool_call>")
    assert said(events) == [("call", "f", '{"n":"1"}')]


def test_without_tools_0414_has_no_calls() -> None:
    parser = GlmParser("glm0414", [], starts_thinking=False)
    assert parser.feed('f\n{"n": 1}') == [Content('f\n{"n": 1}')]


def test_nothing_says_nothing() -> None:
    for thinking in (True, False, None):
        parser = new(thinking=thinking)
        assert parser.feed("") == []
        assert parser.finish() == []
