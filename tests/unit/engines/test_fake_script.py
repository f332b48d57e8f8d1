"""Replies become what engines say, in both dialects."""

import json
from typing import Any

from openbigmodel.engines.fake_script import (
    DONE,
    LLAMA_SERVER,
    Data,
    End,
    Head,
    Reply,
    Step,
    error_answer,
)

REPLY = Reply(content=("a", "b"), reasoning=("r",), calls=(("f", ("{", "}")),), finish_reason="tool_calls")


def said(steps: list[Step]) -> list[dict[str, Any]]:
    return [
        json.loads(step.data.removeprefix(b"data: "))
        for step in steps
        if isinstance(step, Data) and step != DONE
    ]


def test_a_stream_of_vllm() -> None:
    steps = REPLY.stream()
    opening, *tokens, finish, usage = said(steps)

    assert (steps[0], steps[-2:]) == (Head(), [DONE, End()])
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert tokens[0]["choices"][0] == {"index": 0, "delta": {"reasoning": "r"}, "finish_reason": None}
    assert [token["choices"][0]["delta"].get("content") for token in tokens] == [
        None,
        "a",
        "b",
        None,
        None,
        None,
    ]
    assert tokens[3]["choices"][0]["delta"]["tool_calls"][0]["function"] == {"name": "f", "arguments": ""}
    assert finish["choices"][0]["finish_reason"] == "tool_calls"
    assert usage == {
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 6, "total_tokens": 13},
    }
    assert sum(step.tokens for step in steps if isinstance(step, Data)) == REPLY.tokens == 6


def test_llama_server_counts_in_each_chunk() -> None:
    tokens = said(Reply(content=("a",), reasoning=("r",), dialect=LLAMA_SERVER).events())

    assert tokens[0]["choices"][0]["delta"] == {"reasoning_content": "r"}
    assert [token["timings"]["predicted_n"] for token in tokens] == [1, 2]


def test_a_body() -> None:
    head, data, end = REPLY.body()
    assert isinstance(data, Data)
    body = json.loads(data.data)

    assert (head, end) == (Head(200, (("Content-Type", "application/json"),), len(data.data)), End())
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "ab",
        "reasoning": "r",
        "tool_calls": [{"id": "call-0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert (body["usage"], data.tokens) == (REPLY.usage(), 6)


def test_a_body_that_is_only_content() -> None:
    (body,) = said(Reply(content=()).body())

    assert body["choices"][0]["message"] == {"role": "assistant", "content": None}


def test_an_error() -> None:
    head, data, _ = error_answer(503, "busy")
    assert isinstance(head, Head) and isinstance(data, Data)

    assert head.status == 503
    assert json.loads(data.data)["error"]["message"] == "busy"
