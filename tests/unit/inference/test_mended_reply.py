"""What is to keep to a schema is mended when it has come to its end, and never before."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.profiles import LLAMA_SERVER, OPENAI, VLLM, Profile
from openbigmodel.inference.mended_reply import MAX_KEPT_CHARACTERS, MendedReply, mended
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


def of_format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


WANTED = of_format(SCHEMA)
TAMED = of_format({"type": "object", "properties": {"s": {"type": "string", "maxLength": 5000}}})


def streamed(*pieces: str, finish_reason: str = "stop", schema: object = SCHEMA) -> tuple[str, str]:
    """What the caller of a stream gets, and what the log hears."""
    writer = MendedReply(StreamWriter(HEAD, 0, tool_stream=False), None, schema, streams=True)
    data = b""
    for number, piece in enumerate(pieces):
        if number % 2:
            writer.content_run([json.dumps(piece)[1:-1].encode()])
        else:
            writer.content(piece)
        said = writer.take()
        assert said, "it comes as it was said"
        data += said
    data += writer.finish(finish_reason, Usage(), 1)
    chunks = [json.loads(event[6:]) for event in data.decode().split("\n\n")[:-2]]
    return "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks), writer.broken


@pytest.mark.parametrize(
    ("pieces", "broken"),
    [
        (('{"n"', ": 1}\n"), ""),
        (("no ", "JSON"), "the answer does not keep to its schema"),
        (('{"m": 1}',), "the answer does not keep to its schema"),
        (
            ("```json\n", '{"n": 1}', "\n```"),
            "the answer does not keep to its schema, and was streamed before it could be mended",
        ),
        (
            ('{"n": "1"}',),
            "the answer does not keep to its schema, and was streamed before it could be mended",
        ),
        ((), ""),
    ],
)
def test_a_streamed_answer_is_judged_for_the_log_alone(pieces: tuple[str, ...], broken: str) -> None:
    assert streamed(*pieces) == ("".join(pieces), broken)


@pytest.mark.parametrize("finish_reason", ["length", "tool_calls", "sensitive", "network_error"])
def test_only_a_streamed_answer_that_is_one_is_judged(finish_reason: str) -> None:
    assert streamed("I look", finish_reason=finish_reason) == ("I look", "")


def test_a_streamed_answer_is_kept_up_to_a_bound() -> None:
    fits = json.dumps({"n": 1, "s": "x" * (MAX_KEPT_CHARACTERS - 20)})
    assert len(fits) <= MAX_KEPT_CHARACTERS
    assert streamed(fits)[1] == ""
    long = "x" * (MAX_KEPT_CHARACTERS // 2)
    said, broken = streamed(long, long, long)
    assert len(said) == 3 * len(long)
    assert broken == f"{3 * len(long)} characters are too many to be held against their schema"


def test_nothing_is_kept_beyond_the_bound() -> None:
    writer = MendedReply(StreamWriter(HEAD, 0, tool_stream=False), None, SCHEMA, streams=True)
    tracemalloc.start()
    try:
        for _ in range(64):
            writer.content("x" * (MAX_KEPT_CHARACTERS // 8))
            writer.take()
        assert tracemalloc.get_traced_memory()[0] < 2 * MAX_KEPT_CHARACTERS
    finally:
        tracemalloc.stop()


def test_text_beside_calls_is_no_answer() -> None:
    writer = MendedReply(BodyWriter(HEAD, 0), [TOOL], SCHEMA)
    writer.content("I look.")
    writer.tool_call(0, "add", '{"a": 1}')
    assert body(writer)["content"] == "I look."
    assert writer.broken == ""


def test_calls_go_on_as_they_come_while_the_answer_is_judged() -> None:
    wanted = request(tools=[TOOL], stream=True, tool_stream=True, response_format=WANTED)
    writer = mended(StreamWriter(HEAD, 0, tool_stream=True), wanted, OPENAI)
    writer.tool_call(0, "add", '{"a": "1')
    assert b'{\\"a\\": \\"1' in writer.take()


def test_more_of_a_call_that_was_handed_on_is_not_hidden() -> None:
    """It is no JSON now, as the engine would have it."""
    writer = MendedReply(BodyWriter(HEAD, 0), [TOOL], None)
    writer.tool_call(0, "add", '{"a": 1}')
    writer.tool_call(1, "add", '{"a": 2}')
    writer.tool_call(0, None, '{"a": 3}')
    calls = body(writer)["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"a": 1}{"a": 3}', '{"a": 2}']


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
        ({"response_format": WANTED, "stream": True}, OPENAI, True),
        ({"response_format": WANTED, "stream": True}, VLLM, False),
        ({"response_format": WANTED, "stream": True}, LLAMA_SERVER, False),
        ({"response_format": TAMED, "stream": True}, LLAMA_SERVER, True),
        ({"response_format": TAMED}, LLAMA_SERVER, True),
        ({"response_format": TAMED}, VLLM, False),
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
