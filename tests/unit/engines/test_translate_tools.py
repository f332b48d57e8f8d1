"""Tools, the choice among them and the form of the answer, as engines are asked for them."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.engines.profiles import (
    LLAMA_SERVER,
    LMDEPLOY,
    OLLAMA,
    OPENAI,
    PROFILES,
    TENSORRT_LLM,
    VLLM,
    Profile,
)
from openbigmodel.engines.translate_tools import keeps_to_format
from openbigmodel.schemas.chat import ResponseFormat
from tests.unit.engines.asked import TOOLS, asked


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


def tamed(schema: Any) -> Any:
    """What llama-server is sent of a schema, which is the same for tools and for answers."""
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = asked(LLAMA_SERVER, tools=[tool], response_format=wanted)
    sent = body["tools"][0]["function"]["parameters"]
    assert body["response_format"]["json_schema"]["schema"] == sent
    return sent


DATA = {"pattern": "^a$", "maxLength": 5000, "deep": [{"pattern": "b"}]}
BOMB = {"type": "string", "pattern": "^(((a{0,99}){0,99}){0,99})$"}


@pytest.mark.parametrize("keyword", ["const", "default", "enum", "example", "examples"])
def test_data_inside_a_schema_is_not_tamed(keyword: str) -> None:
    value = [DATA] if keyword in ("enum", "examples") else DATA
    schema = {"type": "object", "properties": {"a": {keyword: value}, "b": BOMB}}

    assert tamed(schema)["properties"] == {"a": {keyword: value}, "b": {"type": "string"}}


@pytest.mark.parametrize(
    "naming", ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]
)
@pytest.mark.parametrize(
    "name", ["const", "default", "enum", "examples", "properties", "pattern", "maxLength"]
)
def test_what_is_only_called_like_data_is_tamed(naming: str, name: str) -> None:
    schema = {"type": "object", naming: {name: {"anyOf": [BOMB, {"type": "array", "maxItems": 10**6}]}}}

    assert tamed(schema)[naming] == {name: {"anyOf": [{"type": "string"}, {"type": "array"}]}}


@pytest.mark.parametrize(
    "target", ["#/default", "#/$defs/a/default", "#/properties/a/const", "https://a.example/x"]
)
def test_data_that_a_reference_may_make_a_schema_of_is_tamed(target: str) -> None:
    schema = {
        "type": "object",
        "default": BOMB,
        "$defs": {"a": {"default": BOMB}},
        "properties": {"a": {"const": BOMB}, "b": {"$ref": target}},
    }

    assert "pattern" not in json.dumps(tamed(schema))


def test_a_reference_to_a_definition_leaves_data_alone() -> None:
    schema = {
        "$defs": {"a": {"type": "object", "default": DATA, "properties": {"next": {"$ref": "#"}}}},
        "properties": {"b": {"$ref": "#/$defs/a"}},
    }

    assert tamed(schema) == schema


@pytest.mark.parametrize(
    ("schema", "keeps"),
    [
        ({"type": "string", "maxLength": 1000}, True),
        ({"type": "string", "default": DATA}, True),
        ({"type": "string", "maxLength": 1001}, False),
        (BOMB, False),
    ],
)
def test_an_engine_keeps_to_what_it_was_sent(schema: Any, keeps: bool) -> None:
    for given in (schema, {"name": "x", "schema": schema}):
        wanted = ResponseFormat("json_schema", given)
        assert keeps_to_format(wanted, LLAMA_SERVER) is keeps
        assert keeps_to_format(wanted, VLLM)
        assert not keeps_to_format(wanted, OPENAI)
    assert keeps_to_format(ResponseFormat("json_object"), LLAMA_SERVER)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "b"}}])
def test_a_call_is_forced_where_that_works(profile: Profile, choice: Any) -> None:
    body = asked(profile, tools=TOOLS, tool_choice=choice)

    assert body.get("tool_choice") == (
        None if profile in (LLAMA_SERVER, OLLAMA, TENSORRT_LLM) else "required"
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == (
        ["b"] if isinstance(choice, dict) else ["a", "b"]
    )


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
def test_none_means_no_tools(profile: Profile) -> None:
    assert not {"tools", "tool_choice"} & set(asked(profile, tools=TOOLS, tool_choice="none"))


def test_a_function_has_the_keys_of_the_specification_and_no_nulls() -> None:
    tool = {
        "type": "function",
        "cache_control": {"type": "ephemeral"},
        "function": {
            "name": "f",
            "description": None,
            "parameters": {"type": "object"},
            "strict": True,
            "defer_loading": True,
            "examples": [],
        },
    }

    assert asked(LMDEPLOY, tools=[tool])["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    ]


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schema": SCHEMA}, {"name": "answer", "schema": SCHEMA}),
        ({"name": "weather", "schema": SCHEMA}, {"name": "weather", "schema": SCHEMA}),
        ({"name": "天气", "schema": SCHEMA}, {"name": "answer", "schema": SCHEMA}),
        (
            {"name": "w", "schema": SCHEMA, "strict": True, "description": None, "other": 1},
            {"name": "w", "schema": SCHEMA, "strict": True},
        ),
        # The schema itself, as callers of GLM write it.
        (SCHEMA, {"name": "answer", "schema": SCHEMA}),
    ],
)
def test_a_schema_is_named_and_in_its_place(given: dict[str, Any], said: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": given}

    assert asked(VLLM, response_format=wanted)["response_format"] == {
        "type": "json_schema",
        "json_schema": said,
    }


@pytest.mark.parametrize("given", [None, {}, {"schema": "text"}, {"schema": None}, {"schema": [SCHEMA]}])
def test_without_a_schema_any_object_will_do(given: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": given}

    assert asked(OPENAI, response_format=wanted)["response_format"] == {"type": "json_object"}


def test_a_bare_schema_is_tamed_as_well() -> None:
    wanted = {"type": "json_schema", "json_schema": {"type": "string", "pattern": "a"}}
    said = asked(LLAMA_SERVER, response_format=wanted)["response_format"]

    assert said["json_schema"] == {"name": "answer", "schema": {"type": "string"}}


def test_a_named_function_with_raw_text_is_only_the_one_sent() -> None:
    raw = msgspec.structs.replace(OPENAI, parse="glm47")
    body = asked(raw, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "a"}})

    assert [tool["function"]["name"] for tool in body["tools"]] == ["a"]
    assert "tool_choice" not in body
