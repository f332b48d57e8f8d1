"""A request is sound, or the error names the field."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from openbigmodel.catalog import Model, load_catalog
from openbigmodel.engines.translate import Generation
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Surface,
    check_chat_request,
    prompt_bound,
    read_chat_request,
    read_messages,
)
from openbigmodel.schemas.chat import ChatRequest

CATALOG = load_catalog()
PAAS = Surface(prefix="/api/paas/v4")
CODING = Surface(prefix="/api/coding/paas/v4", coding=True)
USER = {"role": "user", "content": "你好"}


def model(model_id: str) -> Model:
    found = CATALOG.find(model_id)
    assert found is not None
    return found


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "glm-4.6", "messages": [USER], **fields}).encode()


def accept(
    model_id: str = "glm-4.6", surface: Surface = PAAS, **fields: Any
) -> tuple[ChatRequest, Generation]:
    request = read_chat_request(body(**fields))
    read_messages(request, model(model_id))
    return request, check_chat_request(request, model(model_id), surface)


def refuse(model_id: str = "glm-4.6", surface: Surface = PAAS, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        accept(model_id, surface, **fields)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b'{"model": NaN}',
        b'{"model": "\\ud800", "messages": []}',
        b'{"model": "a", "messages": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'\xef\xbb\xbf{"model": "a"}',
        '{"model": "a"}'.encode("utf-16"),
        b'{"model": "a", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
    ],
)
def test_what_is_no_json_is_1210(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_messages(read_chat_request(raw), model("glm-4.6"))

    assert (caught.value.code, caught.value.status) == ("1210", 400)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"{}", "model"),
        (b'{"model": "a"}', "messages"),
        (b'{"model": "a", "messages": [{"content": "x"}]}', "messages[0].role"),
        (b'{"model": "a", "messages": [{"role": "user", "content": [{}]}]}', "messages[0].content[0].type"),
    ],
)
def test_a_missing_field_is_1213_and_named(raw: bytes, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_messages(read_chat_request(raw), model("glm-4.6"))

    assert (caught.value.code, caught.value.message("zh")) == ("1213", f"未正常接收到{field}参数。")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": 5}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [USER, USER, USER, {"role": "robot", "content": "x"}]}, "messages[3].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"stream": "true"}, "stream"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": [1]}, "tools[0]"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"request_id": []}, "request_id"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_a_wrong_type_is_1214_and_named(fields: dict[str, Any], field: str) -> None:
    error = refuse(**fields)

    assert (error.code, error.field) == ("1214", field)
    assert error.message("zh").startswith(f"{field} 参数非法。请检查文档。")


def test_a_body_that_is_no_object_is_1214() -> None:
    with pytest.raises(ApiError) as caught:
        read_chat_request(b"[]")

    assert caught.value.code == "1214"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"messages": []}, "1214", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "1214", "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "1214", "messages"),
        ({"messages": [{"role": "user"}]}, "1213", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "1213",
            "messages[0].content[0].text",
        ),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{}]}]},
            "1213",
            "messages[1].tool_calls[0].function",
        ),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": {"name": ""}}]}]},
            "1213",
            "messages[1].tool_calls[0].function.name",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1"}}]},
                ]
            },
            "1214",
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "3"}}]},
                ]
            },
            "1214",
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"function": {"name": "f"}}]}, "1213", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "1213", "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "1214", "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {}}]}, "1214", "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "description": 1}}]},
            "1214",
            "tools[0].function.description",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]},
            "1214",
            "tools[0].function.parameters",
        ),
        ({"tools": [{"type": "retrieval"}] * (MAX_TOOLS + 1)}, "1214", "tools"),
        (
            {"tools": [{"type": "retrieval"}], "tool_choice": {"type": "function"}},
            "1213",
            "tool_choice.function.name",
        ),
        ({"temperature": 1.1}, "1214", "temperature"),
        ({"temperature": -0.1}, "1214", "temperature"),
        ({"top_p": 0}, "1214", "top_p"),
        ({"top_p": 1.01}, "1214", "top_p"),
        ({"seed": 2**64}, "1214", "seed"),
        ({"stop": list("abcde")}, "1214", "stop"),
        ({"request_id": "x" * 65}, "1214", "request_id"),
        ({"request_id": ""}, "1214", "request_id"),
        ({"user_id": "x" * 129}, "1214", "user_id"),
    ],
)
def test_what_types_cannot_say(fields: dict[str, Any], code: str, field: str) -> None:
    error = refuse(**fields)

    assert (error.code, error.field) == (code, field)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_schemas_nest_only_so_deep() -> None:
    function = {"name": "f", "parameters": nested(100)}

    assert refuse(tools=[{"type": "function", "function": function}]).field == "tools[0]"
    assert refuse(response_format={"type": "json_schema", "json_schema": nested(100)}).code == "1214"
    accept(tools=[{"type": "function", "function": {"name": "f", "parameters": nested(40)}}])


def asked_with(arguments: object) -> dict[str, Any]:
    call = {"function": {"name": "f", "arguments": arguments}}
    return {"messages": [USER, {"role": "assistant", "tool_calls": [call]}, USER]}


@pytest.mark.parametrize("written", [json.dumps, lambda value: value], ids=["as text", "as an object"])
def test_arguments_of_calls_nest_only_so_deep(written: Callable[[object], object]) -> None:
    accept(**asked_with(written(nested(40))))
    for arguments in (nested(100), {"a": 2**63}):
        error = refuse(**asked_with(written(arguments)))
        assert (error.code, error.field) == ("1214", "messages[1].tool_calls[0].function.arguments")


def test_arguments_that_nest_without_end_are_refused() -> None:
    error = refuse(**asked_with('{"a":' * 100_000 + "1" + "}" * 100_000))

    assert (error.code, error.field) == ("1214", "messages[1].tool_calls[0].function.arguments")


def test_messages_are_counted() -> None:
    accept(messages=[USER] * MAX_MESSAGES)
    parts = {"role": "user", "content": [{"type": "text", "text": "x"}]}
    accept(messages=[parts] * MAX_MESSAGES)
    for one in (USER, parts):
        error = refuse(messages=[one] * (MAX_MESSAGES + 1))
        assert (error.code, error.field) == ("1214", "messages")
        assert str(MAX_MESSAGES) in error.message("en")


def test_integers_beyond_64_bits_are_refused_where_they_would_be_sent_on() -> None:
    function = {"name": "f", "parameters": {"maximum": 2**70}}

    assert refuse(tools=[{"type": "function", "function": function}]).field == "tools[0]"


def test_nulls_and_unknown_fields_are_as_if_absent() -> None:
    request, generation = accept(
        thinking=None, stop=None, tools=None, tool_choice=None, response_format=None, stream=None, temperature=None,
        max_tokens=None, do_sample=None, extra=None, store=True, n=3, logprobs={"a": 1}, stream_options={"x": 1},
    )  # fmt: skip

    assert request.stream is None
    assert generation == accept()[1]


@pytest.mark.parametrize("request_id", ["abcdef", 7, 1795235525.26])
def test_request_ids_of_any_scalar_kind(request_id: object) -> None:
    assert accept(request_id=request_id)[0].request_id == request_id


def test_max_tokens_is_bounded_by_the_models_cap_and_says_so() -> None:
    error = refuse("glm-4.5-air", max_tokens=98305)

    assert (error.code, error.message("zh")) == ("1210", "max_tokens参数非法：限制数值范围[1,98304]")
    assert refuse("glm-4.5-air", max_tokens=0).code == "1210"
    assert refuse("glm-4.5-air", max_tokens=1.5).code == "1210"
    assert (
        refuse("glm-4.5-air", max_completion_tokens=98305).message("en").startswith("max_completion_tokens")
    )


def test_max_tokens_asked_for_and_by_default() -> None:
    assert accept(max_tokens=10)[1].max_tokens == 10
    assert accept(max_tokens=10.0)[1].max_tokens == 10
    assert accept(max_completion_tokens=11)[1].max_tokens == 11
    assert accept(max_tokens=10, max_completion_tokens=11)[1].max_tokens == 10
    default = accept()[1]
    assert (default.max_tokens, default.max_tokens_asked) == (65536, False)


def test_sampling_defaults_are_the_models_and_no_sampling_is_greedy() -> None:
    assert accept()[1].temperature == 1.0
    assert accept()[1].top_p == 0.95
    assert accept(temperature=0.3, top_p=0.5)[1].temperature == 0.3
    greedy = accept(do_sample=False, temperature=0.3, top_p=0.5)[1]
    assert (greedy.temperature, greedy.top_p) == (0.0, None)


def test_thinking_follows_the_caller_where_the_model_lets_it() -> None:
    assert accept()[1].thinking is None
    assert accept()[1].thinking_default is True
    assert accept(thinking={"type": "enabled"})[1].thinking is True
    assert accept(thinking={"type": "disabled"})[1].thinking is False
    assert accept("glm-4-flash", thinking={"type": "enabled"})[1].thinking is None
    assert accept("glm-4-flash")[1].thinking_default is False


def test_a_model_that_always_thinks_refuses_to_stop_on_paas_only() -> None:
    error = refuse("glm-5.3", thinking={"type": "disabled"})

    assert (error.code, error.message("zh")) == (
        "1210",
        "该模型始终思考，不支持关闭思考；请使用 low、high 或 max。",
    )
    assert refuse("glm-5.3", reasoning_effort="none").code == "1210"
    assert accept("glm-5.3", reasoning_effort="low")[1].effort == "low"
    assert accept("glm-5.3", CODING, thinking={"type": "disabled"})[1].thinking is False


def test_reasoning_is_cleared_by_default_on_paas_and_kept_on_coding() -> None:
    assert accept()[1].clear_thinking is None
    assert accept("glm-5.3")[1].clear_thinking is True
    assert accept(surface=CODING)[1].clear_thinking is False
    assert accept(thinking={"clear_thinking": False})[1].clear_thinking is False
    assert accept(surface=CODING, thinking={"clear_thinking": True})[1].clear_thinking is True


def test_media_for_a_text_model_is_1210_with_the_index() -> None:
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]

    error = refuse(messages=[USER, {"role": "user", "content": parts}])

    assert error.code == "1210"
    assert "messages[1].content[1].type" in error.message("zh")


def test_a_model_that_only_streams_refuses_a_sync_call() -> None:
    error = refuse("glm-4-assistant")

    assert (error.code, error.message("zh")) == ("1212", "当前模型不支持SYNC调用方式。")
    accept("glm-4-assistant", stream=True)


def test_tool_results_and_calls_of_earlier_turns_are_accepted() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    accept(
        messages=[
            USER,
            {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "22"},
        ]
    )
    accept(messages=[{"role": "developer", "content": "x"}, {"role": "tool", "content": "22"}])


def test_plain_messages_need_no_translation_and_others_do() -> None:
    glm = model("glm-4.6")

    def read(*messages: dict[str, Any]) -> Any:
        return read_messages(read_chat_request(body(messages=list(messages))), glm)

    assert read({"role": "system", "content": "x"}, USER, {"role": "assistant", "content": "y"}) is None
    assert read({"role": "developer", "content": "x"}, USER)
    assert read({**USER, "extra": 1})
    assert read({"role": "user", "content": [{"type": "text", "text": "x"}]})
    assert read(USER, {"role": "assistant", "content": None})


def test_a_last_answer_without_words_is_left_out() -> None:
    glm = model("glm-4.6")
    for empty in (None, ""):
        request = read_chat_request(body(messages=[USER, {"role": "assistant", "content": empty}]))
        assert [message.role for message in read_messages(request, glm) or ()] == ["user"]


def test_schemas_and_arguments_have_bounds_on_their_size() -> None:
    def tool(parameters: dict[str, Any]) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "f", "parameters": parameters}}

    wide = {f"p{number}": {"type": "string"} for number in range(501)}
    assert refuse(tools=[tool({"properties": wide})]).field == "tools[0]"
    many = {f"p{number}": {"enum": list(range(400))} for number in range(20)}
    assert "5000" in refuse(tools=[tool({"properties": many})]).message("en")
    schema = {"type": "json_schema", "json_schema": {"schema": {"enum": ["x"] * 501}}}
    assert refuse(response_format=schema).field == "response_format.json_schema"
    call = {"function": {"name": "f", "arguments": {"a": [0] * 100_001}}}
    assert refuse(messages=[USER, {"role": "assistant", "tool_calls": [call]}]).code == "1214"


def test_a_choice_of_a_function_that_is_not_there_is_refused() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]

    error = refuse(tools=tools, tool_choice={"type": "function", "function": {"name": "g"}})

    assert (error.code, error.field) == ("1214", "tool_choice.function.name")


def bound(context_tokens: int = 1_000_000, *, relayed: bool = True, **fields: Any) -> int:
    """What the hold counts the prompt for, less the request's bytes."""
    raw = body(**fields)
    request = read_chat_request(raw)
    messages = read_messages(request, model("glm-4.6v"), relayed=relayed)
    most = prompt_bound(request, raw, relayed=relayed, messages=messages, context_tokens=context_tokens)
    return most - len(raw)


def media(*types: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind, "text": "x"} for kind in types]}]


@pytest.mark.parametrize(
    ("types", "tokens"),
    [
        (["text"], 0),
        (["text", "image_url", "image_url"], 2 * 4096),
        (["video_url"], 65_536),
        (["input_audio"], 4096),
        (["file", "file_url"], 2 * 131_072),
        (["a type of tomorrow"], 131_072),
        (["file"] * 50, 1_000_000),
    ],
)
def test_media_that_an_upstream_fetches_are_held_for(types: list[str], tokens: int) -> None:
    assert bound(messages=media(*types)) == bound() + tokens


def test_what_a_relayed_request_says_outside_its_messages_is_held_for() -> None:
    assert bound(anything="x" * 100_000) == bound() >= 0
    assert bound(relayed=False, anything="x" * 100_000) < -99_000


def test_tools_that_the_upstream_runs_are_held_for_up_to_the_context() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    search = {"type": "web_search", "web_search": {"enable": True}}

    ours = bound(tools=[function])
    assert ours == bound(relayed=False, tools=[function])
    assert bound(tools=[function, search, {"type": "retrieval"}]) == ours + 2 * 32_768
    assert bound(40_000, tools=[search, search], messages=media("image_url")) == ours + 40_000
    assert bound(relayed=False, tools=[search]) == ours


def test_media_that_we_prepare_ourselves_are_held_for_when_they_are_known() -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": "https://a.example/a"}]}]

    assert bound(relayed=False, messages=messages) == bound(relayed=False)


def test_all_arguments_together_are_counted() -> None:
    arguments = '{"a": [' + ",".join(["[]"] * 9_000) + "]}"
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
    few = {"role": "assistant", "content": "", "tool_calls": [call] * 10}
    accept(messages=[USER, few])
    many = {**few, "tool_calls": [call] * 20}
    refused = refuse(messages=[USER, many])
    assert (refused.code, refused.field) == ("1214", "messages")


def test_a_number_beyond_all_bounds_is_refused() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"maximum": 1e308}}}
    accept(tools=[tool])
    raw = body(tools=[tool]).replace(b"1e+308", b"1e309")
    with pytest.raises(ApiError) as caught:
        check_chat_request(read_chat_request(raw), model("glm-4.6"), PAAS)
    assert (caught.value.code, caught.value.field) == ("1214", "tools[0]")
