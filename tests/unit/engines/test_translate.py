"""What each kind of engine is asked, field by field, and what it is never told."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.catalog import load_catalog
from openbigmodel.engines.translate import GLM, LLAMA_SERVER, OPENAI, VLLM, Profile, to_openai
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request, read_messages

CATALOG = load_catalog()
PAAS = Surface(prefix="/api/paas/v4")
USER = {"role": "user", "content": "hi"}
TOOLS = [
    {"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}},
    {"type": "web_search", "web_search": {"enable": True}},
    {"type": "function", "function": {"name": "b"}},
]


def asked(profile: Profile = OPENAI, model: str = "glm-4-flash", **fields: Any) -> dict[str, Any]:
    request = read_chat_request(json.dumps({"model": model, "messages": [USER], **fields}).encode())
    known = CATALOG.find(model)
    assert known is not None
    messages = read_messages(request, known)
    generation = check_chat_request(request, known, PAAS)
    body = json.loads(to_openai(request, messages, "target", generation, profile))
    assert isinstance(body, dict)
    return body


def test_the_least() -> None:
    body = asked()

    assert body.pop("model") == "target"
    assert body.pop("messages") == [USER]
    assert body.pop("stream") is False
    assert set(body) <= {"temperature", "top_p"}


@pytest.mark.parametrize(
    "field", ["n", "logit_bias", "priority", "stream_options", "chat_template", "user_id", "request_id"]
)
def test_fields_that_callers_cannot_steer_an_engine_with(field: str) -> None:
    fields: dict[str, Any] = {field: 3 if field != "user_id" else "someone"}
    assert field not in asked(**fields)


def test_a_callers_say_about_the_usage_is_overruled() -> None:
    assert asked(stream=True, stream_options={"include_usage": False})["stream_options"] == {
        "include_usage": True
    }


def test_vllm_is_asked_to_count_as_it_goes() -> None:
    assert asked(VLLM, stream=True)["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }
    assert "stream_options" not in asked(VLLM)


def test_llama_server_always_streams_and_counts() -> None:
    body = asked(LLAMA_SERVER)

    assert (body["stream"], body["timings_per_token"], body["return_progress"]) == (True, True, True)
    assert body["stream_options"] == {"include_usage": True}
    assert "timings_per_token" not in asked(OPENAI, stream=True)


def test_another_glm_platform_is_asked_in_its_own_words() -> None:
    body = asked(
        GLM,
        "glm-4.6",
        stream=True,
        tool_stream=True,
        do_sample=True,
        reasoning_effort="high",
        thinking={"type": "enabled", "clear_thinking": None},
    )

    assert body["thinking"] == {"type": "enabled"}
    assert (body["tool_stream"], body["do_sample"], body["reasoning_effort"]) == (True, True, "high")
    assert "stream_options" not in body and "chat_template_kwargs" not in body


def test_what_the_caller_left_out_another_glm_platform_decides() -> None:
    assert not {"thinking", "tool_stream", "do_sample", "reasoning_effort"} & set(asked(GLM, "glm-4.6"))


def test_max_tokens() -> None:
    limited = msgspec.structs.replace(LLAMA_SERVER, max_output_tokens=512)

    assert "max_tokens" not in asked()
    assert asked(max_tokens=100)["max_tokens"] == 100
    assert asked(max_completion_tokens=100)["max_tokens"] == 100
    assert asked(limited)["max_tokens"] == 512
    assert asked(limited, max_tokens=100)["max_tokens"] == 100
    assert asked(limited, max_tokens=4000)["max_tokens"] == 512


def test_sampling() -> None:
    greedy = msgspec.structs.replace(OPENAI, greedy_by_default=True)

    assert asked(temperature=0.3, top_p=0.5) | {"temperature": 0.3, "top_p": 0.5} == asked(
        temperature=0.3, top_p=0.5
    )
    assert asked(do_sample=False, top_p=0.5)["temperature"] == 0.0
    assert "top_p" not in asked(do_sample=False, top_p=0.5)
    assert asked(greedy)["temperature"] == 0.0
    assert "top_p" not in asked(greedy)
    assert asked(greedy, temperature=0.3)["temperature"] == 0.3
    assert asked(greedy, top_p=0.5)["top_p"] == 0.5


def test_stops_and_seed() -> None:
    assert asked(stop="x")["stop"] in ("x", ["x"])
    assert asked(stop=["x", "y"])["stop"] == ["x", "y"]
    assert "stop" not in asked()
    assert asked(seed=0)["seed"] == 0


@pytest.mark.parametrize(
    ("choice", "names", "said"),
    [
        (None, ["a", "b"], None),
        ("auto", ["a", "b"], None),
        ("none", None, None),
        ("required", ["a", "b"], "required"),
        ({"type": "function", "function": {"name": "b"}}, ["b"], "required"),
    ],
)
def test_tools_and_the_choice_among_them(choice: Any, names: list[str] | None, said: str | None) -> None:
    body = asked(tools=TOOLS, **({} if choice is None else {"tool_choice": choice}))

    assert [tool["function"]["name"] for tool in body["tools"]] == names if names else "tools" not in body
    assert body.get("tool_choice") == said


@pytest.mark.parametrize("tools", [[], [TOOLS[1]]])
def test_without_functions_there_are_no_tools(tools: list[Any]) -> None:
    assert not {"tools", "tool_choice"} & set(asked(tools=tools, tool_choice="required"))


def test_response_format() -> None:
    schema = {"name": "answer", "schema": {"type": "object"}}

    assert "response_format" not in asked(response_format={"type": "text"})
    plain = asked(response_format={"type": "json_object"})["response_format"]
    assert {name: value for name, value in plain.items() if value is not None} == {"type": "json_object"}
    wanted = {"type": "json_schema", "json_schema": schema}
    assert asked(response_format=wanted)["response_format"] == wanted


@pytest.mark.parametrize(
    ("profile", "model", "fields", "arguments"),
    [
        (OPENAI, "glm-4-flash", {}, None),
        (OPENAI, "glm-4.6", {}, None),
        (LLAMA_SERVER, "glm-4.6", {}, {"enable_thinking": True}),
        (LLAMA_SERVER, "glm-4-flash", {}, {"enable_thinking": False}),
        (OPENAI, "glm-4.6", {"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        (
            OPENAI,
            "glm-4.6",
            {"thinking": {"type": "enabled", "clear_thinking": False}},
            {"enable_thinking": True, "clear_thinking": False},
        ),
        (
            OPENAI,
            "glm-5.3",
            {"reasoning_effort": "low"},
            {"enable_thinking": True, "clear_thinking": True, "reasoning_effort": "low"},
        ),
    ],
)
def test_thinking(
    profile: Profile, model: str, fields: dict[str, Any], arguments: dict[str, Any] | None
) -> None:
    assert asked(profile, model, **fields).get("chat_template_kwargs") == arguments


def test_messages_that_have_to_be_written_anew() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"city": "北京"}}}
    bare = {"function": {"name": "g"}}
    body = asked(
        messages=[
            {
                "role": "developer",
                "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}],
            },
            USER,
            {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call, bare]},
            {"role": "tool", "tool_call_id": "call_1", "content": None},
            {"role": "tool", "content": "sunny"},
        ]
    )

    assert body["messages"] == [
        {"role": "system", "content": "be kind"},
        USER,
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"city":"北京"}'},
                },
                {"id": "", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "", "tool_call_id": "call_1"},
        {"role": "tool", "content": "sunny", "tool_call_id": ""},
    ]


def test_unknown_fields_of_a_message_do_not_get_through() -> None:
    (message,) = asked(messages=[{**USER, "cache_control": {"type": "ephemeral"}, "audio": None}])["messages"]

    assert message == USER


def test_a_forced_call_is_a_free_one_where_forcing_means_rambling() -> None:
    forced = asked(LLAMA_SERVER, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "b"}})

    assert [tool["function"]["name"] for tool in forced["tools"]] == ["b"]
    assert "tool_choice" not in forced


def test_schemas_lose_what_makes_a_grammar_explode() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "^(((a{0,99}){0,99}){0,99})$", "maxLength": 10**6},
            "list": {
                "type": "array",
                "items": {"type": "string", "pattern": "a", "maxLength": 5},
                "minItems": 2,
            },
        },
    }
    tame = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string"},
            "list": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 2},
        },
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}

    assert asked(LLAMA_SERVER, response_format=wanted)["response_format"]["json_schema"]["schema"] == tame
    assert asked(LLAMA_SERVER, tools=[tool])["tools"][0]["function"]["parameters"] == tame
    assert asked(response_format=wanted)["response_format"]["json_schema"]["schema"] == schema
