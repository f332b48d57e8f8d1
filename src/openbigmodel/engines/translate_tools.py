"""Tools, the choice among them, and the form of the answer in an engine's words.

Rule: an engine is sent functions and nothing else, each with the keys of OpenAI's specification and without nulls.
What the platform has to run itself (web_search, retrieval, mcp, code_interpreter …) stays here (api.md §3.4).
"""

import re
from typing import Any

from openbigmodel.engines.profiles import Profile
from openbigmodel.schemas.chat import ChatRequest, ResponseFormat
from openbigmodel.schemas.engine import EngineRequest

ENGINE_TOOL_TYPE = "function"
# Strict engines take no others; some take a null description for a fault of their own.
_FUNCTION_KEYS = ("name", "description", "parameters", "strict")
_FORMAT_KEYS = ("description", "strict")
_FORMAT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNNAMED_FORMAT = "answer"
_COUNTING_KEYWORDS = frozenset(
    ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
)
_MAX_COUNTED = 1000


def add_tools(body: EngineRequest, request: ChatRequest, profile: Profile) -> None:
    """Function tools and the choice among them.

    With "none" the tools are left out altogether: engines that are told "none" still render them into the
    prompt, and the model's call then leaks as text (engine.md §2.4, 9). A named function becomes the only tool,
    which every engine understands.
    """
    choice = request.tool_choice
    if choice == "none":
        return
    tools = [_function_tool(tool) for tool in request.tools or () if tool.get("type") == ENGINE_TOOL_TYPE]
    forced = choice == "required"
    if isinstance(choice, dict):
        forced = True
        wanted = choice.get("function", {}).get("name")
        tools = [tool for tool in tools if tool["function"]["name"] == wanted]
    if not tools:
        return
    body.tools = [_tamed(tool) for tool in tools] if profile.compiles_schemas else tools
    # Where it cannot be forced this is "auto", as it is on bigmodel.cn (api.md §14); a forced call is made by the
    # engine's own grammar, so nobody else could read it.
    if forced and profile.forces_calls and not profile.parse:
        body.tool_choice = "required"


def _function_tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    return {
        "type": ENGINE_TOOL_TYPE,
        "function": {key: function[key] for key in _FUNCTION_KEYS if function.get(key) is not None},
    }


def answer_format(wanted: ResponseFormat, profile: Profile) -> ResponseFormat | None:
    """OpenAI's `response_format`, which all engines take; None for free text.

    Engines insist on a name and on a schema below `schema`; callers of GLM often give the schema itself.
    """
    if wanted.type == "text":
        return None
    given = wanted.json_schema
    if wanted.type == "json_object" or not given:
        return ResponseFormat(type="json_object")
    name, schema = given.get("name"), given.get("schema", given)
    if not isinstance(schema, dict):
        return ResponseFormat(type="json_object")
    written: dict[str, Any] = {
        "name": name if isinstance(name, str) and _FORMAT_NAME.fullmatch(name) else _UNNAMED_FORMAT,
        "schema": _tamed(schema) if profile.compiles_schemas else schema,
    }
    if schema is not given:
        written.update({key: given[key] for key in _FORMAT_KEYS if given.get(key) is not None})
    return ResponseFormat(type="json_schema", json_schema=written)


def _tamed(schema: Any) -> Any:
    """A schema without what makes a grammar explode: patterns, and bounds in the thousands.

    `^(((a{0,99}){0,99}){0,99})$` alone keeps llama-server busy for minutes, deaf to everybody.
    """
    if isinstance(schema, list):
        return [_tamed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _tamed(value)
        for name, value in schema.items()
        if not (name == "pattern" and isinstance(value, str))
        and not (name in _COUNTING_KEYWORDS and isinstance(value, int) and value > _MAX_COUNTED)
    }
