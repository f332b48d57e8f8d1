"""A stream, byte for byte (api.md §3.6, §1.1)."""

import json
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.contract.live_server import LiveServer
from tests.contract.scripted_engine import SEPARATORS
from tests.contract.wire import BASES, PAAS, Answer, chat, events, post

pytestmark = pytest.mark.timeout(180)
HEAD = rb'data: \{"id":"(?P<id>\d{14}[0-9a-f]{16})","created":(?P<created>\d{10}),"object":"chat\.completion\.chunk","model":"(?P<model>[^"]+)","choices":\[\{"index":0,'
TEXT = re.compile(
    HEAD
    + rb'"delta":\{"role":"assistant","(?P<key>reasoning_content|content)":"(?P<text>(?:[^"\\\x00-\x1f]|\\.)+)"\}\}\]\}'
)
CALL = re.compile(
    HEAD
    + rb'"delta":\{"role":"assistant","tool_calls":\[\{"index":(?P<index>\d),"id":"(?P<call>call_-?\d{1,19})","type":"function",'
    rb'"function":\{"name":"(?P<name>[^"]+)","arguments":"(?P<arguments>(?:[^"\\\x00-\x1f]|\\.)*)"\}\}\]\}\}\]\}'
)
LAST = re.compile(
    HEAD + rb'"finish_reason":"(?P<reason>[a-z_]+)","delta":\{"role":"assistant","content":""\}\}\],'
    rb'"usage":\{"prompt_tokens":(?P<prompt>\d+),"completion_tokens":(?P<completion>\d+),"total_tokens":(?P<total>\d+),'
    rb'"prompt_tokens_details":\{"cached_tokens":(?P<cached>\d+)\},"completion_tokens_details":\{"reasoning_tokens":(?P<reasoning>\d+)\}\}\}'
)
WEATHER: dict[str, Any] = {
    "messages": [{"role": "user", "content": "北京今天天气怎么样？"}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "查询一个城市的天气",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
}


def stream(server: LiveServer, **fields: Any) -> Answer:
    return chat(server, stream=True, **fields)


def scripted_stream(server: LiveServer, text: str, **fields: Any) -> Answer:
    return stream(server, messages=[{"role": "user", "content": text}], **fields)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "options",
    [{}, {"stream_options": {"include_usage": True}}, {"stream_options": {"include_usage": False}}],
    ids=str,
)
def test_chunks_are_exactly_these(server: LiveServer, base: str, options: dict[str, Any]) -> None:
    answer = stream(server, base=base, **options)
    *lines, last = events(answer.body)
    matches = [TEXT.fullmatch(line) for line in lines]
    assert all(matches), lines
    kinds = [match["key"] for match in matches if match]
    # First all of the reasoning, then all of the answer.
    assert kinds == sorted(kinds, reverse=True) and set(kinds) == {b"reasoning_content", b"content"}
    end = LAST.fullmatch(last)
    assert end, last
    assert end["reason"] == b"stop"
    assert int(end["total"]) == int(end["prompt"]) + int(end["completion"])
    # One token ends the reasoning, one ends the answer (api.md §3.3).
    assert 0 < int(end["reasoning"]) < int(end["completion"])
    assert int(end["cached"]) <= int(end["prompt"])
    heads = {(match["id"], match["created"], match["model"]) for match in [*matches, end] if match}
    assert len(heads) == 1


GOOD = (
    b'data: {"id":"20261121165245b546d61098d7c2b4","created":1795251165,"object":"chat.completion.chunk",'
    b'"model":"glm-4.6","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}'
)
PLANTED = [
    (b'"index":0,', b'"index":0,"finish_reason":null,'),
    (b'"role":"assistant",', b""),
    (b'"content":"a"', b'"reasoning_content":"b","content":"a"'),
    (b'"content":"a"', b'"content":null'),
    (b'"content":"a"', b'"content":""'),
    (b'"delta":', b'"logprobs":null,"delta":'),
    (b"}}]}", b'}}],"usage":null}'),
    (
        b'"created":1795251165,"object":"chat.completion.chunk"',
        b'"object":"chat.completion.chunk","created":1795251165',
    ),
    (b'"created":1795251165', b'"created":1795251165.5'),
    (b"data: {", b"data:{"),
    (b"20261121165245b546d61098d7c2b4", b"chatcmpl-1"),
]


@pytest.mark.parametrize(("part", "other"), PLANTED, ids=range(len(PLANTED)))
def test_a_planted_difference_is_seen(part: bytes, other: bytes) -> None:
    assert TEXT.fullmatch(GOOD)
    assert part in GOOD
    assert not TEXT.fullmatch(GOOD.replace(part, other, 1))


def test_headers_of_a_stream(server: LiveServer) -> None:
    answer = stream(server)
    assert answer.header("content-type") == "text/event-stream;charset=UTF-8"
    assert answer.header("x-bigmodel-engine") == "glm-demo"
    assert answer.header("content-length") is None
    assert json.loads(events(answer.body)[0][6:])["id"] == answer.header("x-log-id")


def test_an_id_tells_the_time_in_utc_8(server: LiveServer) -> None:
    chunk = json.loads(events(stream(server).body)[0][6:])
    told = datetime.strptime(chunk["id"][:14], "%Y%m%d%H%M%S").replace(tzinfo=timezone(timedelta(hours=8)))
    assert abs(told.timestamp() - time.time()) < 60
    assert abs(chunk["created"] - told.timestamp()) <= 1


def test_thinking_off_shows_no_reasoning(server: LiveServer) -> None:
    lines = events(stream(server, thinking={"type": "disabled"}, max_tokens=32).body)
    matches = [TEXT.fullmatch(line) for line in lines[:-1]]
    assert matches and all(match and match["key"] == b"content" for match in matches)
    end = LAST.fullmatch(lines[-1])
    assert end and end["reasoning"] == b"0" and int(end["completion"]) <= 32


@pytest.mark.parametrize("tool_stream", [None, False, True])
def test_a_tool_call_is_exactly_this(server: LiveServer, tool_stream: bool | None) -> None:
    lines = events(stream(server, **WEATHER, tool_stream=tool_stream).body)
    calls = [match for line in lines if (match := CALL.fullmatch(line))]
    assert len(calls) > 1 if tool_stream else len(calls) == 1
    assert {(call["index"], call["name"]) for call in calls} == {(b"0", b"get_weather")}
    assert len({call["call"] for call in calls}) == 1
    arguments = "".join(json.loads(b'"' + call["arguments"] + b'"') for call in calls)
    assert json.loads(arguments) == {"city": "北京"}
    end = LAST.fullmatch(lines[-1])
    assert end and end["reason"] == b"tool_calls"
    rest = [line for line in lines[:-1] if not CALL.fullmatch(line)]
    assert all(TEXT.fullmatch(line) for line in rest)


@pytest.mark.parametrize("model", ["glm-4.5-air", "glm-4-flash"])
def test_usage_has_the_details_that_the_model_has(server: LiveServer, model: str) -> None:
    usage = json.loads(events(stream(server, model=model).body)[-1][6:])["usage"]
    expected = ["prompt_tokens", "completion_tokens", "total_tokens"]
    if model == "glm-4.5-air":
        expected.append("prompt_tokens_details")
    assert list(usage) == expected


def test_the_model_is_echoed_as_it_was_sent(server: LiveServer) -> None:
    assert json.loads(events(stream(server, model="GLM-4.6").body)[0][6:])["model"] == "GLM-4.6"


def test_a_stream_has_no_request_id(server: LiveServer) -> None:
    answer = stream(server, request_id="stream-id")
    assert b"request_id" not in answer.body and b"stream-id" not in answer.body


def test_content_and_reasoning_of_one_delta_are_parted(scripted: LiveServer) -> None:
    lines = events(scripted_stream(scripted, "calls").body)
    first, second = TEXT.fullmatch(lines[0]), TEXT.fullmatch(lines[1])
    assert first and (first["key"], first["text"]) == (b"reasoning_content", b"two cities")
    assert second and (second["key"], second["text"]) == (b"content", b"I look. ")


@pytest.mark.parametrize("tool_stream", [False, True])
def test_calls_of_one_reply_are_numbered_in_a_row(scripted: LiveServer, tool_stream: bool) -> None:
    lines = events(scripted_stream(scripted, "calls", tools=WEATHER["tools"], tool_stream=tool_stream).body)
    calls = [match for line in lines if (match := CALL.fullmatch(line))]
    ids = {call["index"]: int(call["call"].removeprefix(b"call_")) for call in calls}
    assert ids[b"1"] - ids[b"0"] == 1
    assert abs(ids[b"0"]) > 10**12
    pieces: dict[bytes, str] = {}
    for call in calls:
        pieces[call["name"]] = pieces.get(call["name"], "") + json.loads(b'"' + call["arguments"] + b'"')
    # A call without arguments has empty ones, not none.
    assert pieces == {b"get_weather": '{"city": "北京"}', b"get_time": "{}"}


def test_line_separators_are_never_raw(scripted: LiveServer) -> None:
    body = scripted_stream(scripted, "separators").body
    # Whoever splits the stream at all that Unicode calls a line end sees the same lines.
    assert [line for line in body.decode().splitlines() if line] == [
        *map(bytes.decode, events(body)),
        "data: [DONE]",
    ]
    texts = [json.loads(line[6:])["choices"][0]["delta"] for line in events(body)]
    assert texts[0]["reasoning_content"] == SEPARATORS
    assert texts[1]["content"] == SEPARATORS


def test_a_dead_engine_ends_a_stream_with_network_error(scripted: LiveServer) -> None:
    lines = events(scripted_stream(scripted, "die").body)
    assert [json.loads(line[6:])["choices"][0].get("finish_reason") for line in lines] == [
        None,
        None,
        "network_error",
    ]
    assert LAST.fullmatch(lines[-1])


def test_an_error_before_the_first_token_is_no_stream(scripted: LiveServer) -> None:
    for text, status, code in (("busy", 429, "1305"), ("broken", 500, "1234"), ("too long", 400, "1261")):
        body = {"model": "glm-4.6", "stream": True, "messages": [{"role": "user", "content": text}]}
        answer = post(scripted, body, base=PAAS)
        assert (answer.status, answer.json["error"]["code"]) == (status, code)
        assert answer.header("content-type") == "application/json; charset=UTF-8"
