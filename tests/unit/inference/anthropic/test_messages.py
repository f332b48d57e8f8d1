"""What is no Messages request is refused with the field's own name; what is merely unknown is not."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.messages import (
    Block,
    decode_content,
    decode_request,
    decode_source,
    dotted,
)
from tests.unit.inference.anthropic.messages_bench import body


def refused(data: bytes) -> ApiError:
    with pytest.raises(ApiError) as error:
        decode_request(data)
    return error.value


def test_fields_that_nobody_knows_are_no_mistake() -> None:
    request = decode_request(
        body(
            betas=["x"],
            cache_control={"type": "ephemeral"},
            container=None,
            context_management={"edits": []},
            mcp_servers=[],
            service_tier="auto",
            speed="fast",
            inference_geo="eu",
            messages=[{"role": "user", "content": [{"type": "from_2030", "wonder": 1}], "id": 1}],
        )
    )
    assert request.model == "glm-4.6"


def test_null_is_absent() -> None:
    data = json.loads(body())
    names = "system stream stop_sequences temperature top_p top_k thinking output_config tools tool_choice metadata"
    request = decode_request(json.dumps({**data, **dict.fromkeys(names.split())}).encode())
    assert (request.tools, request.thinking, request.stream) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
            "messages.0.content.0.text",
        ),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages.0.content.0"),
        ({"stop_sequences": ["a", 5]}, "stop_sequences.1"),
        ({"thinking": {"type": "hard"}}, "thinking.type"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml", "schema": {}}}}, "output_config.format.type"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": [{"name": "f", "input_schema": "object"}]}, "tools.0.input_schema"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_type_is_named(fields: dict[str, Any], field: str) -> None:
    error = refused(body(**fields))
    assert (error.code, error.status, error.field) == ("1214", 400, field)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"{}", "model"),
        (b'{"model":"a"}', "messages"),
        (b'{"model":"a","messages":[{"content":"a"}]}', "messages.0.role"),
        (b'{"model":"a","messages":[{"role":"user"}]}', "messages.0.content"),
        (b'{"model":"a","messages":[{"role":"user","content":[{}]}]}', "messages.0.content.0.type"),
        (b'{"model":"a","messages":[],"thinking":{}}', "thinking.type"),
        (
            b'{"model":"a","messages":[],"output_config":{"format":{"type":"json_schema"}}}',
            "output_config.format.schema",
        ),
    ],
)
def test_a_missing_field_is_named(data: bytes, field: str) -> None:
    error = refused(data)
    assert (error.code, error.field) == ("1213", field)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"model":"\xff"}', b'{"a":' * 100_000])
def test_what_is_no_json_is_said_to_be_none(data: bytes) -> None:
    assert refused(data).code == "1210"


def test_a_body_that_is_no_object() -> None:
    assert refused(b"[]").field == "body"


def test_content_within_a_block() -> None:
    assert decode_content(msgspec.Raw(), "a") == decode_content(msgspec.Raw(b"null"), "a") == ""
    assert decode_content(msgspec.Raw(b'"b"'), "a") == "b"
    with pytest.raises(ApiError) as error:
        decode_content(msgspec.Raw(b'[{"type":"text"},{"type":5}]'), "a.content")
    assert error.value.field == "a.content.1.type"


def test_a_block_without_a_source() -> None:
    with pytest.raises(ApiError) as error:
        decode_source(Block("image"), "a")
    assert (error.value.code, error.value.field) == ("1213", "a.source")


def test_paths_are_dotted() -> None:
    assert dotted(".messages[0].content[12].text") == "messages.0.content.12.text"
