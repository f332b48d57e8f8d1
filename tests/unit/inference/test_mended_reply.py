"""What is to keep to a schema is mended when it has come to its end, and never before."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.profiles import OPENAI, VLLM, Profile
from openbigmodel.inference.mended_reply import MendedReply, mended
from openbigmodel.inference.reply import BodyWriter, ReplyHead, StreamWriter
from openbigmodel.schemas.chat import ChatRequest

HEAD = ReplyHead("id", "id", 1, "glm-4.6")
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["a"],
        },
    },
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def request(**fields: Any) -> ChatRequest:
    body = {"model": "glm-4.6", "messages": [], **fields}
    return msgspec.json.decode(json.dumps(body).encode(), type=ChatRequest)


def body(writer: MendedReply, finish_reason: str = "tool_calls") -> dict[str, Any]:
    message: dict[str, Any] = json.loads(writer.finish(finish_reason, Usage(), 1))["choices"][0]["message"]
    return message


def with_call(*pieces: str, finish_reason: str = "tool_calls") -> str:
    writer = MendedReply(BodyWriter(HEAD, 0), [TOOL], None)
    writer.tool_call(0, "add", "")
    for piece in pieces:
        writer.tool_call(0, None, piece)
    arguments: str = body(writer, finish_reason)["tool_calls"][0]["function"]["arguments"]
    return arguments


@pytest.mark.parametrize(
    ("pieces", "handed_on"),
    [
        (('{"a": 1', ', "note": "x"}'), '{"a": 1, "note": "x"}'),  # to the letter
        (('{"a": "1"}',), '{"a": 1}'),
        (("{'a': 1,}",), '{"a": 1}'),
        (('```json\n{"a": 1}\n```',), '{"a": 1}'),
        (('{"b": 1}',), '{"b": 1}'),  # nothing can be done
        (("no JSON",), "no JSON"),
        ((), "{}"),
    ],
)
def test_arguments(pieces: tuple[str, ...], handed_on: str) -> None:
    assert with_call(*pieces) == handed_on


@pytest.mark.parametrize("finish_reason", ["length", "sensitive", "network_error"])
def test_arguments_that_were_cut_off_are_not_made_to_look_whole(finish_reason: str) -> None:
    assert with_call('{"a": "1', finish_reason=finish_reason) == '{"a": "1'


def test_calls_of_a_stream_come_in_order_and_whole() -> None:
    inner = StreamWriter(HEAD, 0, tool_stream=False)
    writer = MendedReply(inner, [TOOL], None)
    writer.content("so: ")
    writer.tool_call(0, "add", '{"a":')
    writer.tool_call(0, None, '"1"}')
    writer.tool_call(1, "add", '{"a":2}')
    data = writer.take() + writer.finish("tool_calls", Usage(), 1)
    deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in data.decode().split("\n\n")[:-2]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["function"]["arguments"]) for call in calls] == [
        (0, '{"a": 1}'),
        (1, '{"a":2}'),
    ]
    assert deltas[0]["content"] == "so: "


@pytest.mark.parametrize(
    ("answer", "handed_on", "broken"),
    [
        ('{"n": 1}', '{"n": 1}', False),
        ('```json\n{"n": "1"}\n```', '{"n": 1}', False),
        ("no JSON", "no JSON", True),
        ('{"m": 1}', '{"m": 1}', True),
    ],
)
def test_an_answer_in_json(answer: str, handed_on: str, broken: bool) -> None:
    writer = MendedReply(BodyWriter(HEAD, 0), None, SCHEMA)
    writer.content(answer[:3])
    writer.content_run([json.dumps(answer[3:])[1:-1].encode()])
    writer.reasoning("why")
    assert body(writer, "stop") == {"content": handed_on, "reasoning_content": "why", "role": "assistant"}
    assert bool(writer.broken) is broken


def test_an_answer_that_was_cut_off_stays_as_it_is() -> None:
    writer = MendedReply(BodyWriter(HEAD, 0), None, SCHEMA)
    writer.content('{"n": "1')
    assert body(writer, "length")["content"] == '{"n": "1'


WANTED = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("fields", "profile", "looks"),
    [
        ({}, OPENAI, False),
        ({"tools": [TOOL]}, OPENAI, True),
        ({"tools": [TOOL], "stream": True}, OPENAI, True),
        ({"tools": [TOOL], "stream": True, "tool_stream": True}, OPENAI, False),
        ({"response_format": WANTED}, OPENAI, True),
        ({"response_format": {"type": "json_object"}}, OPENAI, True),
        ({"response_format": {"type": "text"}}, OPENAI, False),
        ({"response_format": WANTED}, VLLM, False),
        ({"response_format": WANTED, "stream": True}, OPENAI, False),
    ],
)
def test_only_where_there_is_something_to_look_at(
    fields: dict[str, Any], profile: Profile, looks: bool
) -> None:
    writer = BodyWriter(HEAD, 0)
    assert (mended(writer, request(**fields), profile) is not writer) is looks


def test_what_moderation_found_reaches_the_reply() -> None:
    inner = BodyWriter(HEAD, 0)
    writer = MendedReply(inner, [TOOL], None)
    writer.content_filter = ()
    assert writer.content_filter is inner.content_filter
