"""Engines say much that the relay does not read, and null for what they do not know."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.schemas.engine import Delta, EngineReply, EngineUsage


def decode(value: object) -> EngineReply:
    return msgspec.json.decode(json.dumps(value), type=EngineReply)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"choices": [], "usage": None, "timings": None, "error": None},
        {"choices": [{}]},
        {
            "choices": [
                {"index": 0, "delta": {}, "finish_reason": None, "logprobs": None, "stop_reason": None}
            ]
        },
        {"choices": [{"delta": {"role": "assistant", "content": None, "tool_calls": None, "refusal": None}}]},
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": None, "id": None, "type": "function", "function": None}]}}
            ]
        },
        {"choices": [], "usage": {"prompt_tokens": None, "prompt_tokens_details": {"cached_tokens": None}}},
        {"choices": [], "timings": {"prompt_ms": 1.5, "draft_n": 3}},
    ],
)
def test_nothing_said(value: dict[str, Any]) -> None:
    assert decode(value).error is None


def test_both_names_of_reasoning() -> None:
    reply = decode({"choices": [{"delta": {"reasoning": "a"}}, {"delta": {"reasoning_content": "b"}}]})

    assert [choice.delta for choice in reply.choices] == [Delta(reasoning="a"), Delta(reasoning_content="b")]


def test_usage_with_its_details() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}
    found = decode({"usage": usage}).usage

    assert isinstance(found, EngineUsage) and found.completion_tokens_details is not None
    assert (found.prompt_tokens, found.completion_tokens_details.reasoning_tokens) == (3, 1)


def test_an_error_of_any_shape() -> None:
    assert decode({"error": "text"}).error == "text"
    assert decode({"error": {"message": "m", "code": 500}}).error["message"] == "m"
