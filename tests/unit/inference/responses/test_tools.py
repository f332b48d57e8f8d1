"""Every kind of tool becomes a function of GLM's, and finds back to itself."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_SENT_TOOLS
from openbigmodel.inference.responses.tools import (
    Called,
    Tool,
    ToolChoice,
    Tools,
    function_name,
    read_tool_choice,
    read_tools,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
ALL: list[dict[str, Any]] = [
    {"type": "function", "name": "get_weather", "description": "d", "parameters": SCHEMA, "strict": True},
    {"type": "file_search", "vector_store_ids": ["x"]},
    {"type": "web_search", "search_context_size": "high", "filters": {"allowed_domains": ["a.cn", "b.cn"]}},
    {
        "type": "custom",
        "name": "patch",
        "description": "Apply",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
    },
    {
        "type": "namespace",
        "name": "crm",
        "description": "n",
        "tools": [{"type": "function", "name": "find"}, {"type": "custom", "name": "note"}],
    },
]


def read(tools: list[dict[str, Any]]) -> Tools:
    return read_tools(msgspec.json.decode(json.dumps(tools), type=list[Tool]))


def choose(choice: object, tools: list[dict[str, Any]] = ALL) -> tuple[list[str], object]:
    value = choice if choice is None else msgspec.convert(choice, str | ToolChoice)
    functions, glm = read_tool_choice(value, read(tools))
    return [
        tool["function"]["name"] if tool["type"] == "function" else tool["type"] for tool in functions
    ], glm


def test_all_kinds() -> None:
    tools = read(ALL)
    functions = json.loads(msgspec.json.encode(tools.functions))
    custom = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert functions == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "d",
                "parameters": SCHEMA,
                "strict": True,
            },
        },
        {
            "type": "web_search",
            "web_search": {
                "enable": True,
                "search_result": True,
                "content_size": "high",
                "search_domain_filter": "a.cn",
            },
        },
        {
            "type": "function",
            "function": {
                "name": "patch",
                "description": "Apply\n\nThe input must match this lark grammar:\nstart: X",
                "parameters": custom,
            },
        },
        {"type": "function", "function": {"name": "crm__find"}},
        {"type": "function", "function": {"name": "crm__note", "parameters": custom}},
    ]
    assert tools.called == {
        "get_weather": Called("get_weather"),
        "patch": Called("patch", custom=True),
        "crm__find": Called("find", "crm"),
        "crm__note": Called("note", "crm", custom=True),
    }
    assert tools.places == ["tools[0]", "tools[2]", "tools[3]", "tools[4].tools[0]", "tools[4].tools[1]"]


@pytest.mark.parametrize(
    ("tools", "code", "field"),
    [
        ([{"type": "function"}], "1213", "tools[0].name"),
        ([{"type": "function", "name": ""}], "1213", "tools[0].name"),
        ([{"type": "function", "name": "a b"}], "1214", "tools[0].name"),
        ([{"type": "custom", "name": "x" * 65}], "1214", "tools[0].name"),
        ([{"type": "namespace", "tools": []}], "1213", "tools[0].name"),
        (
            [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}],
            "1213",
            "tools[0].tools[0].name",
        ),
        ([{"type": "function", "name": "a", "parameters": []}], "1214", "tools[0].parameters"),
        ([{"type": "function", "name": "a"}, {"type": "custom", "name": "a"}], "1214", "tools[1].name"),
    ],
)
def test_a_tool_without_a_usable_name_is_refused(tools: list[dict[str, Any]], code: str, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(tools)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_a_long_name_in_a_namespace_is_cut_and_stays_its_own() -> None:
    names = {function_name("n" * 60, name) for name in ("find", "note", "finder")}
    assert len(names) == 3
    assert all(len(name) == 64 for name in names)
    assert function_name("n" * 60, "find") in names
    assert function_name(None, "find") == function_name("", "find") == "find"


EVERY = ["get_weather", "web_search", "patch", "crm__find", "crm__note"]


@pytest.mark.parametrize(
    ("choice", "names", "glm"),
    [
        (None, EVERY, None),
        ("none", EVERY, "none"),
        ("auto", EVERY, "auto"),
        ("required", EVERY, "required"),
        (
            {"type": "function", "name": "get_weather"},
            EVERY,
            {"type": "function", "function": {"name": "get_weather"}},
        ),
        ({"type": "custom", "name": "patch"}, EVERY, {"type": "function", "function": {"name": "patch"}}),
        (
            {"type": "function", "name": "find", "namespace": "crm"},
            EVERY,
            {"type": "function", "function": {"name": "crm__find"}},
        ),
        ({"type": "web_search"}, EVERY, "auto"),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_weather"}, {"type": "web_search"}],
            },
            ["get_weather", "web_search"],
            "required",
        ),
        ({"type": "allowed_tools", "tools": []}, ["web_search"], "auto"),
    ],
)
def test_choices(choice: object, names: list[str], glm: object) -> None:
    assert choose(choice) == (names, glm)


@pytest.mark.parametrize(
    ("choice", "code", "field"),
    [
        ("any", "1214", "tool_choice"),
        ({"type": "function"}, "1213", "tool_choice.name"),
        ({"type": "function", "name": "nobody"}, "1214", "tool_choice.name"),
        (
            {"type": "allowed_tools", "tools": [{"type": "function", "name": "nobody"}]},
            "1214",
            "tool_choice.tools[0].name",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice: object, code: str, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        choose(choice)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize("nested", [False, True])
def test_tools_have_an_end(nested: bool) -> None:
    tools = [Tool(type="new")] * MAX_SENT_TOOLS
    read_tools(tools)
    many = [Tool(type="namespace", name="n", tools=tools)] if nested else [*tools, *tools[:1]]
    with pytest.raises(ApiError) as caught:
        read_tools(many)
    assert (caught.value.code, caught.value.field) == ("1214", "tools")
