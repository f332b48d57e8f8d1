"""Replies have the shapes, key orders and omissions of bigmodel.cn, byte for byte."""

import json
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.reply import DONE, BodyWriter, ReplyHead, StreamWriter
from openbigmodel.schemas.chat import Finding

HEAD = ReplyHead(id="20260913025810940aeb8d5ddb4064", request_id="mine", created=1789239492, model="glm-5.2")
USAGE = Usage(prompt_tokens=13, cached_tokens=2, completion_tokens=9, reasoning_tokens=5, measured=True)
PREFIX = (
    '{"id":"20260913025810940aeb8d5ddb4064","created":1789239492,"object":"chat.completion.chunk",'
    '"model":"glm-5.2","choices":[{"index":0,'
)


ENDED_S = 1789239500


def events(data: bytes) -> list[str]:
    parts = data.decode().split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") for part in parts)
    return [part[6:] for part in parts]


def deltas(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(event)["choices"][0]["delta"] for event in events(data) if event != "[DONE]"]


def test_a_content_chunk_byte_for_byte() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.content("4")

    assert events(writer.take()) == [PREFIX + '"delta":{"role":"assistant","content":"4"}}]}']


def test_reasoning_and_content_never_share_a_delta() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.reasoning("\n1")
    writer.content("4")

    assert deltas(writer.take()) == [
        {"role": "assistant", "reasoning_content": "\n1"},
        {"role": "assistant", "content": "4"},
    ]


def test_the_last_chunk_alone_has_reason_and_usage() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.content("4")
    first = events(writer.take())
    last = events(writer.finish("stop", USAGE, ENDED_S))

    assert "finish_reason" not in first[0] and "usage" not in first[0]
    assert last == [
        PREFIX
        + '"finish_reason":"stop","delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":13,'
        '"completion_tokens":9,"total_tokens":22,"prompt_tokens_details":{"cached_tokens":2},'
        '"completion_tokens_details":{"reasoning_tokens":5}}}',
        "[DONE]",
    ]


def test_nothing_is_taken_twice() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.content("4")
    writer.take()

    assert writer.take() == b""


def test_line_separators_are_never_raw() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.content("a\u2028b\u2029c\u0085d\x0b\x1ee")
    writer.tool_call(0, "f", '"\u2028"')
    data = writer.finish("stop", USAGE, ENDED_S).decode()

    assert [line for line in data.split("\n") if line] == [line for line in data.splitlines() if line]
    assert deltas(data.encode())[0]["content"] == "a\u2028b\u2029c\u0085d\x0b\x1ee"


def test_a_call_goes_out_whole_when_the_next_begins() -> None:
    writer = StreamWriter(HEAD, -394, tool_stream=False)
    writer.tool_call(0, "get_weather", "")
    writer.tool_call(0, None, '{"city":')
    writer.tool_call(0, None, '"北京"}')
    assert writer.take() == b""
    writer.tool_call(1, "now", "")
    assert deltas(writer.take()) == [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_-394",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"北京"}'},
                }
            ],
        }
    ]

    last = deltas(writer.finish("tool_calls", USAGE, ENDED_S))

    assert last[0]["tool_calls"][0] == {
        "index": 1,
        "id": "call_-393",
        "type": "function",
        "function": {"name": "now", "arguments": "{}"},
    }


def test_tool_stream_repeats_id_type_and_name_on_every_fragment() -> None:
    writer = StreamWriter(HEAD, 7, tool_stream=True)
    writer.tool_call(0, "f", "")
    writer.tool_call(0, None, '{"a":')
    writer.tool_call(0, None, "1}")
    calls = [delta["tool_calls"][0] for delta in deltas(writer.take())]

    assert [call["function"]["arguments"] for call in calls] == ["", '{"a":', "1}"]
    assert {(call["id"], call["type"], call["function"]["name"]) for call in calls} == {
        ("call_7", "function", "f")
    }


def test_tool_stream_of_a_call_without_arguments_ends_as_an_empty_object() -> None:
    writer = StreamWriter(HEAD, 7, tool_stream=True)
    writer.tool_call(0, "f", "")
    data = writer.take() + writer.finish("tool_calls", USAGE, ENDED_S)
    fragments = [call["function"]["arguments"] for d in deltas(data) for call in d.get("tool_calls", ())]

    assert "".join(fragments) == "{}"


def arguments_of(data: bytes) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for delta in deltas(data):
        for call in delta.get("tool_calls", ()):
            found.setdefault(call["index"], []).append(call["function"]["arguments"])
    return found


def test_tool_stream_goes_back_to_a_call_that_seemed_to_have_no_arguments() -> None:
    writer = StreamWriter(HEAD, 7, tool_stream=True)
    writer.tool_call(0, "f", "")
    writer.tool_call(1, "g", "")
    writer.tool_call(0, None, '{"x":1}')
    data = writer.take() + writer.finish("tool_calls", USAGE, ENDED_S)

    assert {index: "".join(pieces) for index, pieces in arguments_of(data).items()} == {0: '{"x":1}', 1: "{}"}


def test_a_call_that_an_engine_goes_back_to_is_told_once_and_whole() -> None:
    writer = StreamWriter(HEAD, 7, tool_stream=False)
    writer.tool_call(0, "f", '{"x": "ab')
    writer.tool_call(1, "g", "{}")
    assert writer.take() == b""
    writer.tool_call(0, None, 'c"}')

    assert arguments_of(writer.take()) == {0: ['{"x": "abc"}']}
    assert arguments_of(writer.finish("tool_calls", USAGE, ENDED_S)) == {1: ["{}"]}


def test_more_of_a_call_that_was_told_is_not_hidden() -> None:
    writer = StreamWriter(HEAD, 7, tool_stream=False)
    writer.tool_call(0, "f", "{}")
    writer.tool_call(1, "g", "{}")
    writer.tool_call(0, None, " ")
    writer.tool_call(0, None, "x")
    data = writer.take() + writer.finish("tool_calls", USAGE, ENDED_S)

    assert arguments_of(data) == {0: ["{}", "x"], 1: ["{}"]}


@pytest.mark.parametrize("reason", ["length", "model_context_window_exceeded"])
@pytest.mark.parametrize("tool_stream", [False, True])
def test_a_call_that_was_cut_before_its_arguments_is_not_told_to_have_none(
    reason: str, tool_stream: bool
) -> None:
    stream, body = StreamWriter(HEAD, 7, tool_stream=tool_stream), BodyWriter(HEAD, 7)
    for writer in (stream, body):
        writer.tool_call(0, "f", "")
        writer.tool_call(1, "g", "")
    said = arguments_of(stream.take() + stream.finish(reason, USAGE, ENDED_S))

    assert {index: "".join(pieces) for index, pieces in said.items()} == {0: "{}", 1: ""}
    calls = json.loads(body.finish(reason, USAGE, ENDED_S))["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", ""]


def test_a_body_byte_for_byte() -> None:
    writer = BodyWriter(HEAD, -394)
    writer.reasoning("想")
    writer.content("我先")
    writer.content("读取")
    writer.tool_call(0, "read", '{"resource": "quote"}')
    writer.tool_call(1, "targets", "")

    assert writer.take() == b""
    assert writer.finish("tool_calls", USAGE, ENDED_S).decode() == (
        '{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"content":"我先读取",'
        '"reasoning_content":"想","role":"assistant","tool_calls":['
        '{"function":{"arguments":"{\\"resource\\": \\"quote\\"}","name":"read"},"id":"call_-394","index":0,'
        '"type":"function"},'
        '{"function":{"arguments":"{}","name":"targets"},"id":"call_-393","index":1,"type":"function"}]}}],'
        '"created":1789239500,"id":"20260913025810940aeb8d5ddb4064","model":"glm-5.2","object":"chat.completion",'
        '"request_id":"mine","usage":{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":5},'
        '"prompt_tokens":13,"prompt_tokens_details":{"cached_tokens":2},"total_tokens":22}}'
    )


def test_a_body_without_reasoning_has_no_such_key() -> None:
    writer = BodyWriter(HEAD, 0)

    assert json.loads(writer.finish("stop", USAGE, ENDED_S))["choices"][0]["message"] == {
        "content": "",
        "role": "assistant",
    }


def test_usage_details_are_left_out_for_models_without_them() -> None:
    head = ReplyHead("i", "i", 1, "glm-4-flash", shows_cached_tokens=False, shows_reasoning_tokens=False)

    body = json.loads(BodyWriter(head, 0).finish("stop", USAGE, ENDED_S))

    assert body["usage"] == {"prompt_tokens": 13, "completion_tokens": 9, "total_tokens": 22}


def test_a_stream_ends_with_done() -> None:
    assert StreamWriter(HEAD, 0, tool_stream=False).finish("stop", USAGE, ENDED_S).endswith(DONE)


def test_a_call_that_broke_off_is_not_delivered() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.tool_call(0, "f", "{}")
    writer.tool_call(1, "get_weather", '{"city": "Bei')
    data = writer.take() + writer.finish("network_error", USAGE, ENDED_S)

    assert [call["function"]["name"] for d in deltas(data) for call in d.get("tool_calls", ())] == ["f"]


def test_what_moderation_found_is_told_at_the_end() -> None:
    found = (Finding(1, "assistant"), Finding(3, "user"))
    stream, body = StreamWriter(HEAD, 0, tool_stream=False), BodyWriter(HEAD, 0)
    stream.content_filter = body.content_filter = found
    said = [{"level": 1, "role": "assistant"}, {"level": 3, "role": "user"}]

    *_, last, _ = stream.finish("sensitive", USAGE, ENDED_S).split(b"\n\n")[:-1]
    assert json.loads(last[6:])["content_filter"] == said
    answer = json.loads(body.finish("stop", USAGE, ENDED_S))
    assert answer["content_filter"] == said
    assert list(answer) == sorted(answer)


def test_a_call_that_moderation_ended_is_not_delivered() -> None:
    writer = StreamWriter(HEAD, 0, tool_stream=False)
    writer.tool_call(0, "f", '{"q": ')

    assert not [d for d in deltas(writer.finish("sensitive", USAGE, ENDED_S)) if "tool_calls" in d]


def test_a_name_that_comes_late_is_kept() -> None:
    stream, body = StreamWriter(HEAD, 0, tool_stream=False), BodyWriter(HEAD, 0)
    for writer in (stream, body):
        writer.tool_call(0, None, "")
        writer.tool_call(0, "f", "{}")

    assert deltas(stream.finish("tool_calls", USAGE, ENDED_S))[0]["tool_calls"][0]["function"]["name"] == "f"
    answer = json.loads(body.finish("tool_calls", USAGE, ENDED_S))
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
