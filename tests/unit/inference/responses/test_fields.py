"""Errors name what the caller sent."""

import msgspec
import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.responses.fields import (
    Place,
    check_text,
    illegal,
    object_at,
    own_words,
    raise_for_decoding,
)

PLACES = [
    Place("instructions", content=None),
    Place("input[0]"),
    Place("input[2]", ("input[2]", "input[3]")),
    Place("input[4]", content="output"),
]
TOOLS = ["tools[1]", "tools[2].tools[0]"]


@pytest.mark.parametrize(
    ("glm", "own"),
    [
        ("messages", "input"),
        ("messages[0].content", "instructions"),
        ("messages[1].content[2].image_url.url", "input[0].content[2].image_url"),
        ("messages[1].content[0].file.file_data", "input[0].content[0].file_data"),
        ("messages[1].role", "input[0].role"),
        ("messages[2].tool_calls[1].function.arguments", "input[3].arguments"),
        ("messages[2].tool_calls[1].id", "input[3].id"),
        ("messages[2].tool_calls[7].id", "input[2].id"),
        ("messages[3].content[1].type", "input[4].output[1].type"),
        ("messages[9].content", "input"),
        ("tools", "tools"),
        ("tools[1].function.parameters", "tools[2].tools[0].parameters"),
        ("tools[0].web_search", "tools[1].web_search"),
        ("tools[2].function", "tools"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("response_format.json_schema", "text.format.schema"),
        ("response_format", "text.format"),
        ("reasoning_effort", "reasoning.effort"),
        ("user_id", "user"),
        ("temperature", "temperature"),
    ],
)
def test_fields_are_the_caller_s(glm: str, own: str) -> None:
    assert own_words(glm, PLACES, TOOLS) == own


def test_so_are_those_in_a_sentence() -> None:
    assert (
        own_words("max_tokens参数非法：限制数值范围[1,98304]")
        == "max_output_tokens参数非法：限制数值范围[1,98304]"
    )
    assert (
        own_words("messages[1].content[0].type is not text.", PLACES)
        == "input[0].content[0].type is not text."
    )
    assert own_words("tools[1].tools[0].name, tools[0].function.x") == "tools[1].tools[0].name, tools[0].x"
    # Where nothing is known of the request, no number is better than a wrong one.
    assert own_words("messages[1].content[0].type is not text.") == "input is not text."


class Inner(msgspec.Struct):
    a: int


class Outer(msgspec.Struct):
    inner: list[Inner]
    names: dict[str, int] = {}


@pytest.mark.parametrize(
    ("body", "within", "code", "field"),
    [
        (b'{"inner": [', "", "1210", None),
        (b"\xff", "", "1210", None),
        (b"[" * 100_000, "", "1210", None),
        (b"[1]", "", "1214", "body"),
        (b"{}", "", "1213", "inner"),
        (b'{"inner": [{"a": 1}, {}]}', "", "1213", "inner[1].a"),
        (b'{"inner": [{"a": "x"}]}', "", "1214", "inner[0].a"),
        (b'{"inner": [{"a": "x"}]}', "input", "1214", "input.inner[0].a"),
        (b'{"inner": [], "names": {"b": "x"}}', "", "1214", "names[...]"),
    ],
)
def test_what_cannot_be_decoded_is_told(body: bytes, within: str, code: str, field: str | None) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError, UnicodeDecodeError)) as failed:
        msgspec.json.decode(body, type=list if body.startswith(b"[[") else Outer)
    with pytest.raises(ApiError) as caught:
        raise_for_decoding(failed.value, within)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_what_is_illegal_says_what_would_be_right() -> None:
    error = illegal("store", "不行。", "No.")
    assert (error.code, error.field) == ("1214", "store")
    assert error.message("zh").endswith("不行。") and error.message("en").endswith("No.")


def test_what_is_no_text_is_refused() -> None:
    assert check_text("f", msgspec.Raw('{"a":"好"}'.encode())) == '{"a":"好"}'
    raw = msgspec.Raw(b'{"a":"\xff"}')
    for check in (check_text, object_at):
        with pytest.raises(ApiError) as refused:
            check("tools[0].parameters", raw)
        assert (refused.value.code, refused.value.field) == ("1210", "tools[0].parameters")
        assert "tools[0].parameters" in refused.value.message("en")
