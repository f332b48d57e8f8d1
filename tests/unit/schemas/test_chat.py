"""What the types alone promise: unknown fields are ignored, null is absent, and a reply says no more than it knows."""

import msgspec
import pytest

from openbigmodel.schemas.chat import (
    AudioPart,
    CachedTokens,
    ChatRequest,
    ContentPart,
    FilePart,
    MediaUrl,
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


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ({"type": "text", "text": "a"}, ContentPart("text", "a")),
        ({"type": "image_url", "image_url": "u"}, ContentPart("image_url", image_url="u")),
        ({"type": "image_url", "image_url": {"url": "u"}}, ContentPart("image_url", image_url=MediaUrl("u"))),
        ({"type": "video_url", "video_url": {"url": "u"}}, ContentPart("video_url", video_url=MediaUrl("u"))),
        ({"type": "file_url", "file_url": {"url": "u"}}, ContentPart("file_url", file_url=MediaUrl("u"))),
        ({"type": "file", "file": {"file_id": "1"}}, ContentPart("file", file=FilePart(file_id="1"))),
        (
            {"type": "input_audio", "input_audio": {"data": "d"}},
            ContentPart("input_audio", input_audio=AudioPart("d")),
        ),
    ],
)
def test_a_part_is_sent_on_as_it_came(raw: dict[str, object], part: ContentPart) -> None:
    assert msgspec.convert(raw, ContentPart) == part
    assert msgspec.to_builtins(part) == raw
    assert (
        msgspec.convert({**raw, "cache_control": {}, "image_url": raw.get("image_url")}, ContentPart) == part
    )


@pytest.mark.parametrize("value", [1, ["u"], {"href": "u"}, {"url": 1}])
def test_an_image_is_a_text_or_has_a_url(value: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.image_url|\$\.image_url\.url"):
        msgspec.convert({"type": "image_url", "image_url": value}, ContentPart)
