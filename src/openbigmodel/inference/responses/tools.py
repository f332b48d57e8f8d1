"""Tools of a Responses request as GLM's functions, and the way back from a function's name to the tool.

function     as it is
custom       a function with one text, `input`: models of GLM call nothing else
namespace    its tools, each by the namespace's name and its own
web_search   GLM's
others       are left out: no engine of ours runs them
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_SENT_TOOLS
from openbigmodel.inference.function_names import short_name
from openbigmodel.inference.responses.fields import illegal, object_at

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WEB_SEARCHES = ("web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11")
_CONTENT_SIZES = {"low": "medium", "medium": "medium", "high": "high"}
# The text that a custom tool takes is this argument of the function that stands for it.
CUSTOM_INPUT = "input"
_CUSTOM_PARAMETERS = {
    "type": "object",
    "properties": {CUSTOM_INPUT: {"type": "string"}},
    "required": [CUSTOM_INPUT],
}


class SearchFilters(msgspec.Struct, gc=False):
    """Where a web search looks."""

    allowed_domains: list[str] | None = None


class CustomFormat(msgspec.Struct, gc=False):
    """What a custom tool's text must look like: anything, or sentences of a grammar."""

    type: str | None = None
    syntax: str | None = None
    definition: str | None = None


class Tool(msgspec.Struct, gc=False):
    """One entry of `tools`, of whatever type."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"null")
    strict: bool | None = None
    format: CustomFormat | None = None
    tools: list["Tool"] | None = None
    filters: SearchFilters | None = None
    search_context_size: str | None = None


class NamedTool(msgspec.Struct, gc=False):
    """The tool that a choice names."""

    type: str | None = None
    name: str | None = None
    namespace: str | None = None


class ToolChoice(NamedTool, gc=False):
    """`tool_choice` where it is an object: one tool, or some of them."""

    mode: Literal["auto", "required"] | None = None
    tools: list[NamedTool] | None = None


class Called(msgspec.Struct, frozen=True, gc=False):
    """The tool that a function stands for."""

    name: str
    namespace: str | None = None
    custom: bool = False


class Tools(msgspec.Struct, gc=False):
    """GLM's list of tools, what each function in it stands for, and where each comes from."""

    functions: list[dict[str, Any]]
    called: Mapping[str, Called]
    places: list[str]


def read_tools(tools: list[Tool]) -> Tools:
    """Raises ApiError 1213 or 1214."""
    if len(tools) + sum(len(tool.tools or ()) for tool in tools) > MAX_SENT_TOOLS:
        raise illegal("tools", f"不能超过{MAX_SENT_TOOLS}个。", f"At most {MAX_SENT_TOOLS} tools.")
    functions: list[dict[str, Any]] = []
    called: dict[str, Called] = {}
    places: list[str] = []

    def add(tool: Tool, field: str, namespace: str | None) -> None:
        if tool.type in {"function", "custom"}:
            name = _name(tool, field)
            key = function_name(namespace, name)
            if key in called:
                raise illegal(f"{field}.name", "与另一个工具重名。", "Another tool has this name.")
            called[key] = Called(name, namespace, tool.type == "custom")
            functions.append({"type": "function", "function": _function(tool, key, field)})
        elif tool.type in _WEB_SEARCHES:
            functions.append({"type": "web_search", "web_search": _web_search(tool)})
        else:
            return
        places.append(field)

    for index, tool in enumerate(tools):
        field = f"tools[{index}]"
        if tool.type != "namespace":
            add(tool, field, None)
            continue
        namespace = _name(tool, field)
        for position, inner in enumerate(tool.tools or ()):
            add(inner, f"{field}.tools[{position}]", namespace)
    return Tools(functions, called, places)


def _name(tool: Tool, field: str) -> str:
    if not tool.name:
        raise ApiError("1213", field=f"{field}.name")
    if not _NAME.fullmatch(tool.name):
        raise illegal(
            f"{field}.name",
            "只能包含字母、数字、下划线和连字符，最长64个字符。",
            "Letters, digits, underscore and hyphen only, 64 characters at most.",
        )
    return tool.name


def function_name(namespace: str | None, name: str) -> str:
    """What the model calls a tool; the same for the same tool in every request of a conversation."""
    return short_name(f"{namespace}__{name}") if namespace else name


def _function(tool: Tool, key: str, field: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": key}
    description = tool.description or ""
    if tool.type == "custom":
        form = tool.format
        if form is not None and form.definition:
            description += f"\n\nThe input must match this {form.syntax or ''} grammar:\n{form.definition}"
        function["parameters"] = _CUSTOM_PARAMETERS
    elif (parameters := object_at(f"{field}.parameters", tool.parameters)) is not None:
        function["parameters"] = parameters
    if description:
        function["description"] = description.strip()
    if tool.strict is not None and tool.type != "custom":
        function["strict"] = tool.strict
    return function


def _web_search(tool: Tool) -> dict[str, Any]:
    search: dict[str, Any] = {"enable": True, "search_result": True}
    if tool.search_context_size in _CONTENT_SIZES:
        search["content_size"] = _CONTENT_SIZES[tool.search_context_size]
    if tool.filters is not None and tool.filters.allowed_domains:
        # GLM's search is limited to one.
        search["search_domain_filter"] = tool.filters.allowed_domains[0]
    return search


def read_tool_choice(
    choice: str | ToolChoice | None, tools: Tools
) -> tuple[list[dict[str, Any]], str | dict[str, Any] | None]:
    """The tools that may be called, and GLM's `tool_choice`. Raises ApiError 1213 or 1214."""
    if choice is None or isinstance(choice, str):
        if choice not in {None, "none", "auto", "required"}:
            raise illegal(
                "tool_choice", "取值范围 none、auto、required。", "One of none, auto, required, or an object."
            )
        return tools.functions, choice
    if choice.type == "allowed_tools":
        allowed = {
            _chosen(tool, f"tool_choice.tools[{index}].name", tools)
            for index, tool in enumerate(choice.tools or ())
            if tool.type in {"function", "custom"}
        }
        functions = [
            tool
            for tool in tools.functions
            if tool["type"] != "function" or tool["function"]["name"] in allowed
        ]
        return functions, choice.mode or "auto"
    if choice.type in {"function", "custom"}:
        name = _chosen(choice, "tool_choice.name", tools)
        return tools.functions, {"type": "function", "function": {"name": name}}
    # A tool that the platform runs when the model asks for it.
    return tools.functions, "auto"


def _chosen(tool: NamedTool, field: str, tools: Tools) -> str:
    if not tool.name:
        raise ApiError("1213", field=field)
    name = function_name(tool.namespace, tool.name)
    if name not in tools.called:
        raise illegal(field, "tools中没有该工具。", "No tool has this name.")
    return name
