"""What the platform says of GLM's fields, said of the fields that the caller wrote.

`messages[4].tool_calls[0].function.arguments` was `messages.2.content.1.input`, and nobody could find it otherwise.
"""

import re

import msgspec

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.conversation import Origin
from openbigmodel.inference.anthropic.messages import dotted

_MESSAGES_PATH = re.compile(r"messages\[(\d+)\]((?:\.\w+|\[\d+\])*)")
_PART = re.compile(r"\.(content|tool_calls)\[(\d+)\](.*)", re.DOTALL)
_TOOLS_PATH = re.compile(r"tools\[(\d+)\]((?:\.\w+|\[\d+\])*)")
# Below the place itself: how a field is called there. Longest first.
_WITHIN = (
    (".function.parameters", ".input_schema"),
    (".function.arguments", ".input"),
    (".image_url.url", ".source"),
    (".image_url", ".source"),
    (".file.file_data", ".source.data"),
    (".file.file_url", ".source.url"),
    (".file.file_id", ".source.file_id"),
    (".file", ".source"),
    (".function", ""),
)
# Of 1215, which names two fields.
_FIELD_PARAMS = ("field1", "field2")
_TOP = (
    ("tool_choice.function", "tool_choice"),
    ("response_format.json_schema", "output_config.format.schema"),
    ("response_format", "output_config.format"),
    ("reasoning_effort", "output_config.effort"),
    ("stop", "stop_sequences"),
    ("user_id", "metadata.user_id"),
)


class Origins(msgspec.Struct, gc=False):
    """Where the messages and tools of a GLM request come from."""

    messages: list[Origin] = []
    tools: list[str] = []


def in_callers_words(error: ApiError, origins: Origins | None) -> ApiError:
    """The same error about the caller's own fields; without `origins` only those have another name that stand alone.

    What an upstream has said in its own words stays so, and so does its code, which our table need not have.
    """
    if type(error) is not ApiError:
        return error
    origins = origins or Origins()
    field, zh, en = error.field, error.detail_zh, error.detail_en
    params = {
        name: _field(value, origins) if name in _FIELD_PARAMS and isinstance(value, str) else value
        for name, value in error.params.items()
        if name != "field"
    }
    return ApiError(
        error.code,
        field=None if field is None else _field(field, origins),
        detail_zh=None if zh is None else _text(zh, origins),
        detail_en=None if en is None else _text(en, origins),
        retry_after_s=error.retry_after_s,
        status=error.status,
        content_filter=error.content_filter,
        **params,
    )


def _field(field: str, origins: Origins) -> str:
    moved = _text(field, origins)
    if moved != field:
        return moved
    for glm, anthropic in _TOP:
        if field == glm or field.startswith((glm + ".", glm + "[")):
            return dotted(anthropic + field[len(glm) :])
    return field


def _text(text: str, origins: Origins) -> str:
    text = _MESSAGES_PATH.sub(lambda match: _message(match, origins.messages), text)
    return _TOOLS_PATH.sub(lambda match: _tool(match, origins.tools), text)


def _message(match: "re.Match[str]", origins: list[Origin]) -> str:
    index, rest = int(match[1]), match[2]
    if index >= len(origins):
        return match[0]
    origin = origins[index]
    part = _PART.fullmatch(rest)
    if part is not None:
        places = origin.parts if part[1] == "content" else origin.calls
        position = int(part[2])
        return places[position] + _within(part[3]) if position < len(places) else origin.message
    # All of a message's own fields come from this one place.
    return origin.message


def _tool(match: "re.Match[str]", origins: list[str]) -> str:
    index = int(match[1])
    return origins[index] + _within(match[2]) if index < len(origins) else match[0]


def _within(rest: str) -> str:
    for glm, anthropic in _WITHIN:
        if rest.startswith(glm):
            return anthropic + dotted_rest(rest[len(glm) :])
    return dotted_rest(rest)


def dotted_rest(rest: str) -> str:
    """The end of a path, which keeps the dot that it begins with."""
    return f".{dotted(rest)}" if rest else ""
