"""A model's raw text, read as an engine with parsers of its own would have told it."""

import json
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import load_catalog
from openbigmodel.engines.fake_script import Data, Reply, Step
from openbigmodel.engines.profiles import RawFormat
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request
from openbigmodel.inference.raw_text_reader import RawTextReader, raw_text_parser
from openbigmodel.inference.reply import BodyWriter, ReplyHead

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
        },
    }
]
TEXT = (
    "I look it up.</think>So:<tool_call>get_weather<arg_key>city</arg_key><arg_value>北京</arg_value>"
    "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call>"
)


def read(
    text: str, written: RawFormat = "glm47", finish_reason: str = "stop", **fields: Any
) -> tuple[dict[str, Any], RawTextReader]:
    model = load_catalog().find("glm-4.7")
    assert model is not None
    asked = {"model": model.id, "messages": [{"role": "user", "content": "hi"}], "tools": TOOLS, **fields}
    request = read_chat_request(json.dumps(asked).encode())
    generation = check_chat_request(request, model, Surface("/base"))
    writer = BodyWriter(ReplyHead("id", "id", 1, "glm-4.7"), 0)
    reader = RawTextReader(writer, raw_text_parser(written, request, generation))
    steps: list[Step] = [
        *Reply(content=tuple(text)).events(),
        *Reply(content=tuple(text), finish_reason=finish_reason).finish(),
    ]
    for step in steps:
        assert isinstance(step, Data)
        reader.feed_stream(step.data)
    assert reader.ended_well() is (finish_reason != "abort")
    assert reader.finish_reason is not None
    body = json.loads(writer.finish(reader.finish_reason, reader.usage(), 1))
    message: dict[str, Any] = body["choices"][0]["message"]
    return message, reader


def test_reasoning_answer_and_call() -> None:
    message, reader = read(TEXT)
    assert message["reasoning_content"] == "I look it up."
    assert message["content"] == "So:"
    call = message["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "北京", "days": 3})
    assert reader.finish_reason == "tool_calls"
    usage: Usage = reader.usage()
    assert usage.completion_tokens == len(TEXT)
    assert 0 < usage.reasoning_tokens <= len(TEXT)


def test_what_is_held_back_comes_at_the_end() -> None:
    message, _ = read("</think>2 < 3 and <tool_c")
    assert message["content"] == "2 < 3 and <tool_c"


@pytest.mark.parametrize(
    ("written", "thinking", "starts"),
    [
        ("glm47", {"type": "enabled"}, True),
        ("glm47", {"type": "disabled"}, False),
        ("glm47", None, True),
        ("glm45", {"type": "enabled"}, False),
        ("glm0414", None, False),
    ],
)
def test_where_the_template_has_opened_the_reasoning(written: RawFormat, thinking: Any, starts: bool) -> None:
    message, _ = read("no tags at all", written, thinking=thinking)
    assert ("reasoning_content" in message) is starts


CUT = "</think><tool_call>get_weather<arg_key>city</arg_key><arg_value>Bei"


@pytest.mark.parametrize(
    ("finish_reason", "arguments"), [("stop", '{"city":"Bei"}'), ("length", '{"city":"Bei')]
)
def test_a_call_that_was_cut_is_not_made_to_look_whole(finish_reason: str, arguments: str) -> None:
    message, reader = read(CUT, finish_reason=finish_reason)
    assert message["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": arguments}
    assert reader.finish_reason == ("tool_calls" if finish_reason == "stop" else finish_reason)


def test_a_call_that_was_cut_after_its_name_has_no_arguments() -> None:
    message, _ = read("</think><tool_call>get_weather", finish_reason="length")
    assert message["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": ""}


def test_a_call_of_a_dead_engine_stays_as_it_is() -> None:
    message, reader = read(CUT, finish_reason="abort")
    assert message["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"Bei'}
    assert reader.finish_reason == "network_error"
