"""Calls come out whole and in order, whatever order their pieces came in."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.calls_in_order import CallsInOrder
from openbigmodel.inference.dialect import ReplyWriter
from openbigmodel.inference.mended_reply import MendedReply
from openbigmodel.inference.reply import BodyWriter, ReplyHead, StreamWriter
from openbigmodel.inference.responses.write import ResponseHead, ResponsesWriter
from tests.conftest import SCALE
from tests.unit.inference.anthropic import messages_bench as anthropic
from tests.unit.inference.responses.event_rules import follow

HEAD = ReplyHead("id", "id", 1, "glm-4.6")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "fgh"]
WANTED = [("f", '{"x": "abc"}'), ("g", '{"y": [1, {"z": 2}]}'), ("h", "{}")]
MIXES = round(200 * SCALE)
Said = list[tuple[str, str]]


def told(calls: CallsInOrder) -> Said:
    return [(call.name, call.arguments()) for call in calls.ready()]


def test_a_call_can_go_when_it_is_complete_and_another_has_begun() -> None:
    calls = CallsInOrder()
    calls.add(0, "f", '{"a": {}')
    calls.add(1, "g", "{}")
    assert told(calls) == []
    calls.add(0, None, "}")
    assert told(calls) == [("f", '{"a": {}}')]
    calls.add(2, "h", "")
    assert told(calls) == [("g", "{}")]
    assert [call.name for call in calls.rest()] == ["h"]
    assert calls.rest() == []


def test_no_call_goes_before_an_earlier_one() -> None:
    calls = CallsInOrder()
    for index, arguments in enumerate(("", "{}", "{}", "{}")):
        calls.add(index, "f", arguments)
    assert told(calls) == [], "the first may still get its arguments"
    assert [call.index for call in calls.rest()] == [0, 1, 2, 3]


@pytest.mark.parametrize("arguments", ["{'a': 1}", "[1]", "5", '{"a":', "{}}", "{" * 100_000 + "}"])
def test_what_is_no_object_waits_for_the_end(arguments: str) -> None:
    calls = CallsInOrder()
    calls.add(0, "f", arguments)
    calls.add(1, "g", "{}")
    assert told(calls) == []


def test_a_call_waits_for_its_name() -> None:
    calls = CallsInOrder()
    calls.add(0, None, "{}")
    calls.add(1, "g", "{}")
    assert told(calls) == []
    calls.add(0, "f", "")
    assert told(calls) == [("f", "{}")]


def test_nobody_looks_at_a_call_for_ever() -> None:
    calls = CallsInOrder()
    calls.add(1, "g", "{}")
    calls.add(0, "f", "{")
    for _ in range(64):
        calls.add(0, None, '"a}')
        assert told(calls) == []
    calls.add(0, None, '": 1}')
    assert told(calls) == []
    assert [call.index for call in calls.rest()] == [0, 1]


def ended(writer: ReplyWriter) -> bytes:
    return writer.take() + writer.finish("tool_calls", Usage(), 1)


def of_stream(writer: ReplyWriter) -> Said:
    found: dict[int, tuple[str, str]] = {}
    for event in ended(writer).decode().split("\n\n")[:-2]:
        for call in json.loads(event[6:])["choices"][0]["delta"].get("tool_calls", ()):
            before = found.get(call["index"], ("", ""))[1]
            found[call["index"]] = call["function"]["name"], before + call["function"]["arguments"]
    assert list(found) == sorted(found)
    return list(found.values())


def of_body(writer: ReplyWriter) -> Said:
    calls = json.loads(ended(writer))["choices"][0]["message"]["tool_calls"]
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


def of_message(content: list[dict[str, Any]]) -> Said:
    return [(block["name"], json.dumps(block["input"])) for block in content]


def of_response(response: dict[str, Any]) -> Said:
    return [(item["name"], item["arguments"]) for item in response["output"]]


def responses(*, streams: bool) -> ResponsesWriter:
    return ResponsesWriter(ResponseHead("1" * 30, 1, "glm-4.6", 7), streams=streams)


WAYS: dict[str, tuple[Callable[[], ReplyWriter], Callable[[ReplyWriter], Said]]] = {
    "stream": (lambda: StreamWriter(HEAD, 0, tool_stream=False), of_stream),
    "tool_stream": (lambda: StreamWriter(HEAD, 0, tool_stream=True), of_stream),
    "body": (lambda: BodyWriter(HEAD, 0), of_body),
    "messages stream": (
        anthropic.stream,
        lambda writer: of_message(anthropic.message(ended(writer))["content"]),
    ),
    "messages body": (
        anthropic.writer,
        lambda writer: of_message(json.loads(ended(writer))["content"]),
    ),
    "responses stream": (
        lambda: responses(streams=True),
        lambda writer: of_response(follow(ended(writer))[1]),
    ),
    "responses body": (
        lambda: responses(streams=False),
        lambda writer: of_response(json.loads(ended(writer))),
    ),
}


@pytest.mark.parametrize("mends", [False, True], ids=["plain", "mended"])
@pytest.mark.parametrize("way", WAYS)
def test_mixed_pieces_reach_every_caller_as_they_were_meant(way: str, mends: bool) -> None:
    new, read = WAYS[way]
    for seed in range(MIXES):
        chance = random.Random(seed)
        writer = new()
        reply: ReplyWriter = MendedReply(writer, TOOLS, None) if mends else writer
        waiting = [list(arguments) if arguments != "{}" else [] for _, arguments in WANTED]
        begun = 0
        while begun < len(WANTED) or any(waiting):
            index = chance.choice([i for i, rest in enumerate(waiting) if i == begun or (i < begun and rest)])
            size = chance.randrange(4)
            piece, waiting[index] = "".join(waiting[index][:size]), waiting[index][size:]
            reply.tool_call(index, WANTED[index][0] if index == begun else None, piece)
            begun += index == begun
        assert read(reply) == WANTED, seed
