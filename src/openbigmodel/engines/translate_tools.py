"""Tools, the choice among them, and the form of the answer in an engine's words.

Rule: an engine is sent functions and nothing else, each with the keys of OpenAI's specification and without nulls.
What the platform has to run itself (web_search, retrieval, mcp, code_interpreter …) stays here (api.md §3.4).
"""

import re
from typing import Any

import msgspec

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
# What these hold is data and no schema.
_DATA_KEYWORDS = frozenset(("const", "default", "enum", "example", "examples"))
# And these hold schemas, by names that may be keywords as well.
_NAMING_KEYWORDS = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_DEFINITION = re.compile(r"#(?:/(?:\$defs|definitions)/[^/]+)?")


def add_tools(body: EngineRequest, request: ChatRequest, profile: Profile) -> None:
    """Function tools and the choice among them.

    With "none" the tools are left out altogether: engines that are told "none" still render them into the
    prompt, and the model's call then leaks as text (engine.md §2.4, 9). A named function becomes the only tool,
    which every engine understands.
    """
    choice = request.tool_choice
    if choice == "none":
        return
    tools = [
        _function_tool(tool, profile) for tool in request.tools or () if tool.get("type") == ENGINE_TOOL_TYPE
    ]
    forced = choice == "required"
    if isinstance(choice, dict):
        forced = True
        wanted = choice.get("function", {}).get("name")
        tools = [tool for tool in tools if tool["function"]["name"] == wanted]
    if not tools:
        return
    body.tools = tools
    # Where it cannot be forced this is "auto", as it is on bigmodel.cn (api.md §14); a forced call is made by the
    # engine's own grammar, so nobody else could read it.
    if forced and profile.forces_calls and not profile.parse:
        body.tool_choice = "required"


def _function_tool(tool: dict[str, Any], profile: Profile) -> dict[str, Any]:
    given = tool["function"]
    function = {key: given[key] for key in _FUNCTION_KEYS if given.get(key) is not None}
    if profile.compiles_schemas and "parameters" in function:
        function["parameters"] = _tamed(function["parameters"])
    return {"type": ENGINE_TOOL_TYPE, "function": function}


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


def keeps_to_format(wanted: ResponseFormat, profile: Profile) -> bool:
    """Whether the engine itself sees to it that the answer has this form: all of the form, as it is asked for it."""
    if not profile.enforces_schemas:
        return False
    sent = answer_format(wanted, profile)
    whole = answer_format(wanted, msgspec.structs.replace(profile, compiles_schemas=False))
    return sent == whole


def _tamed(schema: Any) -> Any:
    """A schema without what makes a grammar explode: patterns, and bounds in the thousands.

    `^(((a{0,99}){0,99}){0,99})$` alone keeps llama-server busy for minutes, deaf to everybody. What is data and no
    schema stays as it is, unless a reference could make a schema of it.
    """
    return _without_bombs(schema, spares_data=not _refers_anywhere(schema))


def _without_bombs(schema: Any, *, spares_data: bool, names: bool = False) -> Any:
    """`names`: the keys are names that the caller chose, each with a schema, and no keywords."""
    if isinstance(schema, list):
        return [_without_bombs(item, spares_data=spares_data) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for name, value in schema.items():
        if names:
            found[name] = _without_bombs(value, spares_data=spares_data)
        elif spares_data and name in _DATA_KEYWORDS:
            found[name] = value
        elif not _explodes(name, value):
            inside = name in _NAMING_KEYWORDS
            found[name] = _without_bombs(value, spares_data=spares_data, names=inside)
    return found


def _explodes(name: str, value: Any) -> bool:
    if name == "pattern":
        return isinstance(value, str)
    return name in _COUNTING_KEYWORDS and isinstance(value, int) and value > _MAX_COUNTED


def _refers_anywhere(schema: Any) -> bool:
    """Whether a reference leads elsewhere than to a definition. llama-server follows one into an example, too."""
    if isinstance(schema, list):
        return any(map(_refers_anywhere, schema))
    if not isinstance(schema, dict):
        return False
    target = schema.get("$ref")
    return (isinstance(target, str) and not _DEFINITION.fullmatch(target)) or any(
        map(_refers_anywhere, schema.values())
    )
