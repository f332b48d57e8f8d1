"""What the types alone promise: unknown fields are ignored, null is absent, and a reply says no more than it knows."""

import msgspec
import pytest

from openbigmodel.schemas.chat import (
    CachedTokens,
    ChatRequest,
    ReplyFunction,
    ReplyToolCall,
    ReplyUsage,
)

LEAST = {"model": "m", "messages": []}


def decode(**fields: object) -> ChatRequest:
    return msgspec.json.decode(msgspec.json.encode({**LEAST, **fields}), type=ChatRequest)


def test_unknown_fields_are_ignored() -> None:
    assert decode(n=3, x={"y": [1]}) == decode()


@pytest.mark.parametrize(
    "field",
    [
        "stream",
        "thinking",
        "reasoning_effort",
        "do_sample",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "tools",
        "tool_choice",
        "tool_stream",
        "response_format",
        "request_id",
        "user_id",
        "seed",
    ],
)
def test_null_is_absent(field: str) -> None:
    assert decode(**{field: None}) == decode()


@pytest.mark.parametrize("request_id", ["a", 5, 1.5])
def test_request_ids_of_all_kinds(request_id: object) -> None:
    assert decode(request_id=request_id).request_id == request_id


def test_usage_leaves_out_details_that_a_model_has_not() -> None:
    assert (
        msgspec.json.encode(ReplyUsage(1, 2, 3))
        == b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
    )
    with_cache = ReplyUsage(1, 2, 3, prompt_tokens_details=CachedTokens(0))
    assert msgspec.to_builtins(with_cache)["prompt_tokens_details"] == {"cached_tokens": 0}


def test_a_fragment_of_a_call_has_all_its_strings() -> None:
    call = ReplyToolCall(0, "call_1", "function", ReplyFunction("f", ""))

    assert msgspec.json.encode(call) == (
        b'{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}'
    )
