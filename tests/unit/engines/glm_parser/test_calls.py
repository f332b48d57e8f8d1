"""Arguments of calls: limits, and what the streams of the corpus do not reach."""

import json

import pytest

from openbigmodel.engines.glm_parser import calls
from openbigmodel.engines.glm_parser.argument_types import ArgumentTypes
from openbigmodel.engines.glm_parser.calls import JsonCall, TaggedCall
from openbigmodel.engines.glm_parser.events import CallArguments, EventList

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {"properties": {"n": {"type": "integer"}, "s": {"type": "string"}}},
        },
    }
]


def read(text: str, *, piece: int = 0) -> tuple[str, str]:
    """The arguments and what comes after the call, whose text is given in pieces of so many characters."""
    events = EventList()
    call = TaggedCall("f", ArgumentTypes(TOOLS), events)
    data, position, size = "", 0, piece or len(text)
    for start in range(0, len(text), size):
        data += text[start : start + size]
        if not call.over:
            position = call.advance(data, position, ended=False)
    if not call.over:
        position = call.advance(data, position, ended=True)
    fragments = [event.fragment for event in events.take() if isinstance(event, CallArguments)]
    return "".join(fragments), data[position:]


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize("size", [512, 513])
def test_a_key_is_not_endless(size: int, piece: int) -> None:
    text = f"<arg_key>{'k' * size}</arg_key><arg_value>1</arg_value></tool_call>"
    arguments, rest = read(text, piece=piece)
    if size == 512:
        assert (arguments, rest) == ('{"' + "k" * 512 + '":"1"}', "")
    else:
        assert (arguments, rest) == ("{}", text.removeprefix("<arg_key>"))


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_a_value_that_waits_too_long_is_text(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "HELD_MAX_CHARACTERS", 20)
    for digits in (20, 21):
        text = f"<arg_key>n</arg_key><arg_value>{'7' * digits}</arg_value></tool_call>"
        quote = "" if digits == 20 else '"'
        assert read(text, piece=piece) == (f'{{"n":{quote}{"7" * digits}{quote}}}', "")


def test_arguments_are_not_endless() -> None:
    pairs = "".join(f"<arg_key>{number}</arg_key><arg_value>x</arg_value>" for number in range(1030))
    arguments, rest = read(pairs + "</tool_call>")
    assert rest == ""
    assert list(json.loads(arguments)) == [str(number) for number in range(1024)]


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize(
    ("text", "arguments", "rest"),
    [
        ("</tool_call>x", "{}", "x"),
        ("  junk", "{}", "junk"),
        ("<arg_key>n</arg_key> junk", "{}", "junk"),
        ("<arg_key>n<tool_call>", "{}", "<tool_call>"),
        ("<arg_key></arg_key><arg_value></arg_value></tool_call>", '{"":""}', ""),
        ("<arg_key>n</arg_key><arg_value></arg_value></tool_call>", '{"n":""}', ""),
        ("<arg_key>n</arg_key><arg_value> 1 </arg_value></tool_call>", '{"n":1}', ""),
        ("<arg_key>n</arg_key><arg_value> x </arg_value></tool_call>", '{"n":" x "}', ""),
        ("<arg_key>s</arg_key><arg_value>x<|user|>", '{"s":"x"}', ""),
        ("<arg_key>s</arg_key><arg_value>x<|user|><|user|>", '{"s":"x<|user|>"}', ""),
        ("<arg_key>s</arg_key><arg_value>x</tool_call><|user", '{"s":"x</tool_call><|user"}', ""),
        ("<arg_key>s</arg_key><arg_value>x</tool_call></tool_call>", '{"s":"x</tool_call>"}', ""),
        ("<arg_key>n</arg_key><arg_value>1</tool_call>\n", '{"n":1}', ""),
        (
            "<arg_key>n</arg_key><arg_value>1</arg_value><arg_key>n</arg_key><arg_value>2</tool_call>",
            '{"n":1}',
            "",
        ),
    ],
)
def test_a_tagged_call(text: str, arguments: str, rest: str, piece: int) -> None:
    assert read(text, piece=piece) == (arguments, rest)


def test_a_call_in_json() -> None:
    events = EventList()
    call = JsonCall(events)
    assert call.advance('{"a": 1} x', 0, ended=False) == 8
    assert call.over
    assert [event for event in events.take() if isinstance(event, CallArguments)] == [
        CallArguments(-1, '{"a":1}')
    ]
