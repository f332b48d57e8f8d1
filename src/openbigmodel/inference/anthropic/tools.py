"""Anthropic's tools as GLM's (api.md §3.4).

A caller's own tools become functions. Of those that are known by their type alone, the ones that the caller runs get
the schema that Anthropic's models know by heart, web search becomes GLM's, and the others are left out: nobody here
could run them, and a model that is offered one would wait for it.
"""

import re
from typing import Any

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.messages import Tool, ToolChoice, illegal
from openbigmodel.inference.function_names import MAX_NAME_CHARACTERS, short_name

_MAX_LONG_NAME_CHARACTERS = 256
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class ToolNames:
    """Names that are too long for GLM, and what they are called there instead."""

    __slots__ = ("_long",)

    def __init__(self) -> None:
        self._long: dict[str, str] = {}

    def short(self, name: str) -> str:
        """The name for GLM, always the same for the same name."""
        if len(name) <= MAX_NAME_CHARACTERS or len(name) > _MAX_LONG_NAME_CHARACTERS:
            return name
        short = short_name(name)
        self._long[short] = name
        return short

    def long(self) -> dict[str, str]:
        """The caller's names by those for GLM, where they differ."""
        return self._long


def glm_tools(tools: list[Tool], names: ToolNames) -> tuple[list[dict[str, Any]], list[str]]:
    """The tools in GLM's words, and where each comes from. Raises ApiError 1213 or 1214."""
    found: list[dict[str, Any]] = []
    origins: list[str] = []
    for index, tool in enumerate(tools):
        at = f"tools.{index}"
        made = _glm_tool(tool, at, names)
        if made is not None:
            found.append(made)
            origins.append(at)
    return found, origins


def _glm_tool(tool: Tool, at: str, names: ToolNames) -> dict[str, Any] | None:
    kind = tool.type or "custom"
    if kind == "custom":
        if tool.input_schema is None:
            raise ApiError("1213", field=f"{at}.input_schema")
        schema, description = tool.input_schema, tool.description
    elif kind.startswith("web_search_"):
        return {"type": "web_search", "web_search": _web_search(tool)}
    else:
        known = next((known for prefix, known in _KNOWN.items() if kind.startswith(prefix)), None)
        if known is None:
            return None
        description, schema = known
    if not tool.name:
        raise ApiError("1213", field=f"{at}.name")
    name = names.short(tool.name)
    if len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise illegal(
            f"{at}.name",
            f"只能包含字母、数字、下划线和连字符，最长{_MAX_LONG_NAME_CHARACTERS}个字符。",
            f"Letters, digits, underscore and hyphen only, {_MAX_LONG_NAME_CHARACTERS} characters at most.",
        )
    function: dict[str, Any] = {"name": name, "parameters": schema}
    if description is not None:
        function["description"] = description
    return {"type": "function", "function": function}


def _web_search(tool: Tool) -> dict[str, Any]:
    options: dict[str, Any] = {"enable": True, "search_engine": "search_std", "search_result": True}
    if tool.allowed_domains and len(tool.allowed_domains) == 1:
        # GLM takes one.
        options["search_domain_filter"] = tool.allowed_domains[0]
    return options


def glm_tool_choice(choice: ToolChoice, tools: list[dict[str, Any]], names: ToolNames) -> Any:
    """The choice in GLM's words. Raises ApiError 1213 or 1214."""
    if choice.type != "tool":
        return {"auto": "auto", "any": "required", "none": "none"}[choice.type]
    if not choice.name:
        raise ApiError("1213", field="tool_choice.name")
    name = names.short(choice.name)
    if not any(tool.get("function", {}).get("name") == name for tool in tools):
        raise illegal("tool_choice.name", "tools中没有该工具。", "No tool that can be called has this name.")
    return {"type": "function", "function": {"name": name}}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _number(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


_RANGE = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "First and last line to view, counted from 1; -1 as the last is the end of the file.",
}

# What the caller's own program runs: description and schema by the beginning of the type.
_KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "bash_": (
        "Run a command in a bash shell that keeps its state between calls, or restart the shell.",
        _object(
            {
                "command": _text("The command to run; not needed with restart."),
                "restart": {"type": "boolean", "description": "True to restart the shell."},
            }
        ),
    ),
    "text_editor_": (
        "View, create and edit text files.",
        _object(
            {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert"],
                    "description": "What to do.",
                },
                "path": _text("Path of the file or folder."),
                "view_range": _RANGE,
                "file_text": _text("For create: the whole text."),
                "old_str": _text("For str_replace: the text to replace, which must occur exactly once."),
                "new_str": _text("For str_replace: what to put in its place."),
                "insert_line": _number("For insert: the line after which to insert, 0 for the beginning."),
                "insert_text": _text("For insert: the text."),
            },
            "command",
            "path",
        ),
    ),
    "memory_": (
        "Keep notes in files below /memories, which outlast this conversation.",
        _object(
            {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
                    "description": "What to do.",
                },
                "path": _text("Path of the file or folder."),
                "view_range": _RANGE,
                "file_text": _text("For create: the whole text."),
                "old_str": _text("For str_replace: the text to replace."),
                "new_str": _text("For str_replace: what to put in its place."),
                "insert_line": _number("For insert: the line after which to insert."),
                "insert_text": _text("For insert: the text."),
                "old_path": _text("For rename: the path now."),
                "new_path": _text("For rename: the new path."),
            },
            "command",
        ),
    ),
}
