"""Tools and the choice among them in GLM's words."""

from typing import Any

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.messages import Tool, ToolChoice
from openbigmodel.inference.anthropic.tools import ToolNames, glm_tool_choice, glm_tools
from openbigmodel.inference.function_names import MAX_NAME_CHARACTERS

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def made(*tools: Tool) -> list[dict[str, Any]]:
    return glm_tools(list(tools), ToolNames())[0]


def test_the_callers_own_become_functions() -> None:
    function = {"name": "f", "parameters": SCHEMA, "description": "It does."}
    expected = [{"type": "function", "function": function}]
    assert made(Tool(name="f", description="It does.", input_schema=SCHEMA)) == expected
    assert made(Tool(name="f", type="custom", description="It does.", input_schema=SCHEMA)) == expected
    assert "description" not in made(Tool(name="f", input_schema=SCHEMA))[0]["function"]


@pytest.mark.parametrize("version", ["20250305", "20260209", "20260318"])
def test_web_search_becomes_the_platforms(version: str) -> None:
    tool = Tool(name="web_search", type=f"web_search_{version}")
    searched = {"enable": True, "search_engine": "search_std", "search_result": True}
    assert made(tool) == [{"type": "web_search", "web_search": searched}]
    tool.allowed_domains = ["a.example"]
    assert made(tool)[0]["web_search"]["search_domain_filter"] == "a.example"
    tool.allowed_domains = ["a.example", "b.example"]
    assert "search_domain_filter" not in made(tool)[0]["web_search"]


@pytest.mark.parametrize(
    ("kind", "name", "parameter"),
    [
        ("bash_20250124", "bash", "command"),
        ("text_editor_20250728", "str_replace_based_edit_tool", "old_str"),
        ("memory_20250818", "memory", "new_path"),
    ],
)
def test_what_anthropics_models_know_by_heart_is_explained_to_glms(
    kind: str, name: str, parameter: str
) -> None:
    function = made(Tool(name=name, type=kind))[0]["function"]
    assert function["name"] == name and function["description"]
    assert parameter in function["parameters"]["properties"]
    assert set(function["parameters"]["required"]) <= set(function["parameters"]["properties"])


@pytest.mark.parametrize(
    "kind", ["code_execution_20250825", "web_fetch_20250910", "mcp_toolset", "computer_1"]
)
def test_what_nobody_here_can_run_is_left_out(kind: str) -> None:
    tools, origins = glm_tools(
        [Tool(name="a", input_schema={}), Tool(type=kind), Tool(name="b", input_schema={})], ToolNames()
    )
    assert [tool["function"]["name"] for tool in tools] == ["a", "b"]
    assert origins == ["tools.0", "tools.2"]


def test_long_names_are_shortened_the_same_way_each_time_and_never_alike() -> None:
    names = ToolNames()
    long = ["mcp__" + "a" * 80 + str(number) for number in range(500)]
    short = [names.short(name) for name in long]
    assert len(set(short)) == 500
    assert all(len(name) == MAX_NAME_CHARACTERS for name in short)
    assert [names.long()[name] for name in short] == long
    assert ToolNames().short(long[3]) == short[3]
    exact = "a" * MAX_NAME_CHARACTERS
    assert names.short(exact) == exact


@pytest.mark.parametrize(
    ("tool", "code", "field"),
    [
        (Tool(name="f"), "1213", "tools.1.input_schema"),
        (Tool(input_schema={}), "1213", "tools.1.name"),
        (Tool(name="", input_schema={}), "1213", "tools.1.name"),
        (Tool(name="a b", input_schema={}), "1214", "tools.1.name"),
        (Tool(name="é" * 70, input_schema={}), "1214", "tools.1.name"),
        (Tool(name="a" * 300, input_schema={}), "1214", "tools.1.name"),
    ],
)
def test_a_mistake_is_named(tool: Tool, code: str, field: str) -> None:
    with pytest.raises(ApiError) as refused:
        made(Tool(name="fine", input_schema={}), tool)
    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize(("wanted", "expected"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_the_choice(wanted: Any, expected: str) -> None:
    assert glm_tool_choice(ToolChoice(type=wanted), [], ToolNames()) == expected


def test_a_named_choice() -> None:
    names = ToolNames()
    long = "b" * 70
    tools, _ = glm_tools([Tool(name="a", input_schema={}), Tool(name=long, input_schema={})], names)
    for name in ("a", long):
        choice = glm_tool_choice(ToolChoice(type="tool", name=name), tools, names)
        assert choice == {"type": "function", "function": {"name": names.short(name)}}
    wrong: list[tuple[str | None, str]] = [("c", "1214"), (None, "1213")]
    for unknown, code in wrong:
        with pytest.raises(ApiError) as refused:
            glm_tool_choice(ToolChoice(type="tool", name=unknown), tools, names)
        assert (refused.value.code, refused.value.field) == (code, "tool_choice.name")
