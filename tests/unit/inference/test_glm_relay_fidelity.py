"""What other gateways lose between a caller and GLM (peers.md §1c): an entry for each, and all of it goes through
here.
"""

import json
from typing import Any

import pytest

from openbigmodel.catalog import Model
from openbigmodel.engines.profiles import GLM
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request
from openbigmodel.inference.glm_request import request_for_upstream
from tests.unit.inference.glm_upstream import (
    event,
    events_of,
    exactly,
    judge,
    judge_body,
    relay,
    relay_body,
    upstream_chunk,
)

USER = {"role": "user", "content": "hi"}
SEARCH = {
    "type": "web_search",
    "web_search": {"enable": True, "search_engine": "search_pro", "search_result": True},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "thinking": {"thinking": {"type": "enabled", "clear_thinking": False}},
    "reasoning_effort": {"reasoning_effort": "max"},
    "do_sample, request_id, user_id, meta, sensitive_word_check, watermark_enabled": {
        "do_sample": False,
        "request_id": "request-0001",
        "user_id": "user-0001",
        "meta": {"user_info": "u", "bot_info": "b", "bot_name": "n", "user_name": "m"},
        "sensitive_word_check": {"type": "ALL", "status": "DISABLE"},
        "watermark_enabled": False,
    },
    "tool_stream": {"stream": True, "tool_stream": True},
    "platform tools": {
        "tools": [
            SEARCH,
            {"type": "retrieval", "retrieval": {"knowledge_id": "1", "prompt_template": "{{knowledge}}"}},
            {"type": "code_interpreter", "code_interpreter": {"sandbox": "none"}},
            {"type": "mcp", "mcp": {"server_label": "s", "transport_type": "sse", "headers": {"a": "b"}}},
            {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}},
        ]
    },
    "response_format": {"response_format": {"type": "json_object"}},
    "history reasoning_content": {
        "messages": [USER, {"role": "assistant", "content": "", "reasoning_content": "r"}, USER]
    },
    "content file_url": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "file_url", "file_url": {"url": "https://example.com/a.pdf"}},
                    {"type": "image_url", "image_url": {"url": "http://127.0.0.1/never-fetched-here.png"}},
                ],
            }
        ]
    },
}  # fmt: skip

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
FOUND = {
    "content": "…",
    "icon": "",
    "link": "l",
    "media": "",
    "publish_date": "",
    "refer": "ref_1",
    "title": "t",
}
SAID: dict[str, Any] = {
    "web_search": [FOUND],
    "content_filter": [{"role": "history", "level": 2}],
    "video_result": [{"url": "u", "cover_image_url": "c"}],
}


def _message(**more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hi", "reasoning_content": "r", **more}
    return {
        "choices": [{"finish_reason": "stop", "index": 0, "message": message}],
        "created": 1,
        "id": "2026",
        "model": "glm-4.7",
        "object": "chat.completion",
        "request_id": "2026",
        "usage": USAGE,
    }


BODIES: dict[str, dict[str, Any]] = {
    "reasoning_content, request_id, cached_tokens, web_search, content_filter, video_result": _message() | SAID,
    "audio": _message(audio={"id": "a", "data": "AAAA", "expires_at": 2**60}),
    "finish_reason sensitive": json.loads(json.dumps(_message()).replace('"stop"', '"sensitive"')),
}  # fmt: skip
_CALL = {"index": 0, "id": "call_-1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "final-chunk usage": [upstream_chunk(), upstream_chunk(finish="stop", usage=USAGE)],
    "top-level web_search, content_filter": [
        upstream_chunk(**SAID),
        upstream_chunk(finish="stop", usage=USAGE, **SAID),
    ],
    "finish_reason sensitive": [upstream_chunk(), upstream_chunk(finish="sensitive", usage=USAGE)],
    "reasoning_content": [upstream_chunk({"role": "assistant", "reasoning_content": "r"}), upstream_chunk(finish="stop")],
    "tool_stream": [
        upstream_chunk({"role": "assistant", "tool_calls": [_CALL]}),
        upstream_chunk({"role": "assistant", "tool_calls": [_CALL | {"function": {"name": "f", "arguments": "1}"}}]}),
        upstream_chunk(finish="tool_calls", usage=USAGE),
    ],
    "mcp": [
        upstream_chunk({"tool_calls": [{"id": "1", "type": "mcp", "mcp": {"type": "mcp_call", "output": "o"}}]}),
        upstream_chunk(finish="stop", usage=USAGE),
    ],
}  # fmt: skip


@pytest.mark.parametrize("row", REQUESTS)
def test_what_callers_say_reaches_the_upstream(row: str) -> None:
    body = json.dumps({"model": "here", "messages": [USER], **REQUESTS[row]}).encode()
    request = read_chat_request(body)
    generation = check_chat_request(
        request, Model(id="here", thinking="dynamic"), Surface(prefix="/api/paas/v4")
    )

    got = exactly(request_for_upstream(body, "there", request, generation, GLM))
    assert got == tuple((name, "there" if name == "model" else value) for name, value in exactly(body))


@pytest.mark.parametrize("row", BODIES)
def test_what_an_upstream_says_in_a_body_reaches_the_caller(row: str) -> None:
    body = json.dumps(BODIES[row]).encode()

    judge_body(body, relay_body(body))


@pytest.mark.parametrize("row", STREAMS)
def test_what_an_upstream_says_in_a_stream_reaches_the_caller(row: str) -> None:
    chunks = STREAMS[row]

    relayed = relay([*map(event, chunks), b"data: [DONE]\n\n"])
    judge([json.dumps(chunk).encode() for chunk in chunks], relayed)


@pytest.mark.parametrize("cut", ["clean", "reset"])
def test_an_upstream_that_dies_is_not_passed_off_as_one_that_has_ended(cut: str) -> None:
    relayed = relay([event(upstream_chunk())], died=cut == "reset")
    *_, last, done = events_of(relayed.before + relayed.end)

    assert json.loads(last)["choices"][0]["finish_reason"] == "network_error"
    assert done == b"[DONE]"
