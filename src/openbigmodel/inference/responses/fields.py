"""Where things stand in a caller's request: errors name fields as the caller knows them, never as GLM calls them.

The checks that all dialects share speak of `messages[4].tool_calls[0]`; who sent items looks for `input[7]`.
"""

import re
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from openbigmodel.errors import ApiError

_PATH_IN_ERROR = re.compile(r"^(.*?)(?: - at `(?:key )?(?:in )?\$(.*)`)?$", re.DOTALL)
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
_GLM_PATH = re.compile(
    r"\bmessages\[(?P<message>\d+)\](?:\.tool_calls\[(?P<call>\d+)\])?(?P<rest>(?:\.\w+|\[\d+\])*)"
    r"|\btools\[(?P<tool>\d+)\](?P<of_tool>(?:\.\w+|\[\d+\])*)"
    r"|\b(?P<name>messages|tool_choice\.function\.name|response_format\.json_schema|response_format|max_tokens"
    r"|max_completion_tokens|reasoning_effort|user_id)\b",
    # In a Chinese sentence the next character is a letter, too.
    re.ASCII,
)
_NULL, _OBJECT = b"n{"
_NAMES = {
    "messages": "input",
    "tool_choice.function.name": "tool_choice.name",
    "response_format.json_schema": "text.format.schema",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "user_id": "user",
}


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a message comes from; `calls` says the same of its tool calls, one by one.

    `content` is what the item calls its content; None if the place is all that can be said.
    """

    field: str
    calls: tuple[str, ...] = ()
    content: str | None = "content"


def illegal(field: str, zh: str, en: str) -> ApiError:
    """An ApiError 1214 with what is expected there."""
    return ApiError("1214", field=field, detail_zh=zh, detail_en=en)


def check_text(field: str, raw: bytes | msgspec.Raw) -> str:
    """JSON that has not been read yet as the text that it has to be. Raises ApiError 1210 if it is not UTF-8."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(
            "1210",
            field=field,
            detail_zh=f"请求体不是合法的JSON：{field} 不是UTF-8。",
            detail_en=f"The request body is not valid JSON: {field} is not UTF-8.",
        ) from error


def object_at(field: str, raw: msgspec.Raw) -> msgspec.Raw | None:
    """What stands there, unread; None for null. What is in it is judged later, or not at all.

    Raises ApiError 1210 or 1214.
    """
    first = memoryview(raw)[0]
    if first == _NULL:
        return None
    if first != _OBJECT:
        raise illegal(field, "必须是JSON对象。", "It must be a JSON object.")
    check_text(field, raw)
    return raw


def raise_for_decoding(error: Exception, within: str = "") -> NoReturn:
    """Tell what could not be decoded. Raises ApiError 1210 (no JSON), 1213 (field missing) or 1214 (wrong type)."""
    if not isinstance(error, msgspec.ValidationError):
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise ApiError(
            "1210",
            detail_zh=f"请求体不是合法的JSON：{reason}",
            detail_en=f"The request body is not valid JSON: {reason}",
        ) from error
    match = _PATH_IN_ERROR.match(str(error))
    assert match is not None
    reason, path = match[1], (within + (match[2] or "")).lstrip(".")
    missing = _MISSING_FIELD.search(reason)
    if missing:
        raise ApiError("1213", field=f"{path}.{missing[1]}" if path else missing[1]) from error
    raise illegal(path or "body", f"（{reason}）", f"({reason})") from error


def own_words(text: str, messages: Sequence[Place] = (), tools: Sequence[str] | None = None) -> str:
    """A field's name, or a sentence with some, in the caller's words. What has no place there is `input` or `tools`.

    Without `tools` they are counted as the caller counts them: so it is with what is found while a request is read.
    """

    def own(match: re.Match[str]) -> str:
        if match["name"]:
            return _NAMES[match["name"]]
        if match["tool"]:
            number, rest = int(match["tool"]), _flat(match["of_tool"])
            if tools is None:
                return f"tools[{number}]{rest}"
            return tools[number] + rest if number < len(tools) else "tools"
        number = int(match["message"])
        return _in_item(messages[number], match) if number < len(messages) else "input"

    return _GLM_PATH.sub(own, text)


def _in_item(place: Place, match: re.Match[str]) -> str:
    rest = _flat(match["rest"])
    if match["call"] and int(match["call"]) < len(place.calls):
        return place.calls[int(match["call"])] + rest
    if place.content is None:
        return place.field
    if rest.startswith(".content"):
        rest = f".{place.content}{rest.removeprefix('.content')}"
    return place.field + rest


def _flat(rest: str) -> str:
    """Without the objects that GLM has around what is flat here."""
    return rest.replace(".function", "").replace(".image_url.url", ".image_url").replace(".file.", ".")
