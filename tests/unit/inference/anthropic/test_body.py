"""One message, with the blocks in the order in which they began."""

import json
from typing import Any

import pytest

from openbigmodel.inference.dialect import ReplyWriter
from tests.unit.inference.anthropic.messages_bench import ID, USAGE, writer

THINK = {"type": "enabled", "budget_tokens": 1024}
ENDED_S = 1767424400


def finished(reply: ReplyWriter, reason: str = "stop") -> dict[str, Any]:
    assert reply.take() == b""
    found: dict[str, Any] = json.loads(reply.finish(reason, USAGE, ENDED_S))
    return found


def test_a_message_byte_for_byte() -> None:
    reply = writer(thinking=THINK)
    reply.reasoning("hm")
    reply.content("你")
    reply.content_run([b"\\u597d", b"!"])
    assert reply.finish("stop", USAGE, ENDED_S).decode() == (
        f'{{"id":"msg_{ID}","type":"message","role":"assistant","model":"glm-4.6","content":['
        f'{{"type":"thinking","thinking":"hm","signature":"{ID}"}},{{"type":"text","text":"你好!"}}],'
        '"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":532,"output_tokens":20,'
        '"cache_read_input_tokens":20,"cache_creation_input_tokens":0,"service_tier":"standard",'
        '"server_tool_use":{"web_search_requests":0},"output_tokens_details":{"thinking_tokens":5}}}'
    )


def test_calls() -> None:
    reply = writer()
    reply.content("I look.")
    reply.tool_call(0, "get_weather", '{"n": 12345678901234567890,')
    reply.tool_call(1, "now", "")
    reply.tool_call(0, None, ' "city": "北京"}')
    found = finished(reply, "tool_calls")
    assert found["content"] == [
        {"type": "text", "text": "I look."},
        {
            "type": "tool_use",
            "id": "call_7",
            "name": "get_weather",
            "input": {"n": 12345678901234567890, "city": "北京"},
        },
        {"type": "tool_use", "id": "call_8", "name": "now", "input": {}},
    ]
    assert (found["stop_reason"], found["stop_sequence"]) == ("tool_use", None)


def test_one_call_at_most() -> None:
    reply = writer(tool_choice={"type": "any", "disable_parallel_tool_use": True})
    reply.tool_call(0, "f", "{}")
    reply.tool_call(1, "g", "{}")
    assert [block["name"] for block in finished(reply, "tool_calls")["content"]] == ["f"]


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (None, []),
        ({"type": "adaptive", "display": "omitted"}, [{"type": "thinking", "thinking": "", "signature": ID}]),
    ],
)
def test_thinking_that_is_not_to_be_seen(thinking: Any, expected: list[Any]) -> None:
    reply = writer(thinking=thinking)
    reply.reasoning("secret")
    reply.reasoning_run([b"more"])
    reply.content("yes")
    assert finished(reply)["content"] == [*expected, {"type": "text", "text": "yes"}]


@pytest.mark.parametrize("reason", ["length", "sensitive"])
def test_half_a_call_is_no_call(reason: str) -> None:
    reply = writer()
    reply.tool_call(0, "f", '{"a": "b')
    assert finished(reply, reason)["content"] == []


def test_what_is_no_json_is_said_to_be_none() -> None:
    reply = writer()
    reply.tool_call(0, "f", '{"a": b}')
    assert finished(reply, "tool_calls")["content"][0]["input"] == {"INVALID_JSON": '{"a": b}'}


def test_long_names_come_back_whole() -> None:
    name = "mcp__" + "a" * 80
    reply = writer(tools=[{"name": name, "input_schema": {}}])
    reply.tool_call(0, next(iter(reply._wishes.names)), "{}")  # type: ignore[attr-defined]
    assert finished(reply)["content"][0]["name"] == name


def test_the_stop_sequence_is_named_where_the_engine_tells() -> None:
    reply = writer(stop_sequences=["END"], met="END")
    reply.content("a")
    found = finished(reply)
    assert (found["stop_reason"], found["stop_sequence"]) == ("stop_sequence", "END")


def test_an_answer_that_broke_off_is_an_error() -> None:
    reply = writer()
    reply.content("half")
    assert finished(reply, "network_error")["error"]["type"] == "api_error"
