"""An error about a GLM field names the field that the caller wrote."""

import pytest

from openbigmodel.engines.engine_errors import RelayedError
from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.fields import Origins, in_callers_words
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_messages
from tests.unit.inference.anthropic.messages_bench import (
    CATALOG,
    asked,
    assistant,
    tool_result,
    tool_use,
    user,
)

REQUEST = asked(
    system="s",
    messages=[
        user("a"),
        assistant("b", tool_use("c1"), tool_use("c2")),
        user(
            tool_result("c2"),
            tool_result("c1"),
            "x",
            {"type": "image", "source": {"type": "url", "url": "u"}},
        ),
    ],
    tools=[
        {"type": "code_execution_20250825", "name": "left_out"},
        {"name": "f", "input_schema": {}},
    ],
)
ORIGINS: Origins = REQUEST.extra.origins


@pytest.mark.parametrize(
    ("glm", "anthropic"),
    [
        ("messages[0].content", "system"),
        ("messages[1].content", "messages.0.content"),
        ("messages[2].role", "messages.1.content"),
        ("messages[2].tool_calls[1].function.arguments", "messages.1.content.2.input"),
        ("messages[2].tool_calls[0].function.name", "messages.1.content.1.name"),
        ("messages[3].content", "messages.2.content.1"),
        ("messages[4].tool_call_id", "messages.2.content.0"),
        ("messages[5].content[0].text", "messages.2.content.2.text"),
        ("messages[5].content[1].image_url.url", "messages.2.content.3.source"),
        ("messages[5].content[1].type", "messages.2.content.3.type"),
        ("messages[5].content[9].type", "messages.2.content"),
        ("messages[9].content", "messages[9].content"),
        ("messages", "messages"),
        ("tools[0].function.parameters", "tools.1.input_schema"),
        ("tools[0].function.name", "tools.1.name"),
        ("tools[0]", "tools.1"),
        ("tools[5].function", "tools[5].function"),
        ("tools", "tools"),
        ("stop", "stop_sequences"),
        ("stop[1]", "stop_sequences.1"),
        ("user_id", "metadata.user_id"),
        ("reasoning_effort", "output_config.effort"),
        ("response_format.json_schema", "output_config.format.schema"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("max_tokens", "max_tokens"),
        ("temperature", "temperature"),
        ("messages.0.content.1.text", "messages.0.content.1.text"),
    ],
)
def test_a_field(glm: str, anthropic: str) -> None:
    error = in_callers_words(ApiError("1213", field=glm), ORIGINS)
    assert error.field == anthropic
    assert anthropic in error.message("zh") and anthropic in error.message("en")


def test_a_field_that_is_named_in_a_sentence() -> None:
    said = ApiError(
        "1210",
        detail_zh="messages[5].content[1].type 参数非法",
        detail_en="messages[5].content[1].type is bad",
    )
    error = in_callers_words(said, ORIGINS)
    assert error.message("zh") == "messages.2.content.3.type 参数非法"
    assert error.message("en") == "messages.2.content.3.type is bad"


def test_two_fields_that_do_not_go_together() -> None:
    field = "messages[5].content[1].file.file_url"
    error = in_callers_words(ApiError("1215", field1=field, field2="stop"), ORIGINS)
    assert "messages.2.content.3.source.url and stop_sequences " in error.message("en")


def test_the_rest_of_an_error_stays() -> None:
    said = ApiError(
        "1308", number=5, unit={"zh": "小时", "en": "hours"}, next_flush_time="noon", retry_after_s=9
    )
    assert in_callers_words(said, ORIGINS).message("en") == said.message("en")
    moved = in_callers_words(
        ApiError("1214", field="stop", detail_zh="停", detail_en="Stop.", status=413, retry_after_s=9), None
    )
    assert (moved.status, moved.retry_after_s, moved.field) == (413, 9, "stop_sequences")


def test_what_the_platform_itself_says_of_a_request() -> None:
    request = asked(
        messages=[
            user("a"),
            user("look", {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}),
        ],
        stop_sequences=["1", "2", "3", "4", "5"],
    )
    model = CATALOG["glm-4.6"]
    with pytest.raises(ApiError) as refused:
        read_messages(request.request, model)
    assert "messages.1.content.1" in in_callers_words(refused.value, request.extra.origins).message("en")
    with pytest.raises(ApiError) as refused:
        check_chat_request(request.request, model, Surface(prefix=""))
    assert in_callers_words(refused.value, request.extra.origins).field == "stop_sequences"


@pytest.mark.parametrize("code", ["1999", "1214"])
def test_what_an_upstream_says_stays_as_it_is(code: str) -> None:
    said = RelayedError(code, "messages[1].content 超限", 429, retry=False, retry_after_s=None)
    assert in_callers_words(said, ORIGINS) is said
    assert in_callers_words(said, None).message("en") == "messages[1].content 超限"
