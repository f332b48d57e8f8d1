"""A message of the conversation in an engine's words.

Rule: only known keys get through, and content is never null where an engine could mind: it is text, a list of parts
where one of them is a picture or a film, or, with tool calls only, absent.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.translate_tools import ENGINE_TOOL_TYPE
from openbigmodel.errors import ApiError
from openbigmodel.schemas.chat import ContentPart, Message, ToolCall

# What callers of an engine are told to use instead; a file has become text before it gets here.
_ENGINES_PARTS = frozenset(("image_url", "video_url", "file"))
# As OpenAI has them; engines that are strict about names refuse others, which mean nothing to a GLM model anyway.
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
# What only some engines can look at or listen to, in a caller's words.
_MEDIA_NAMES: Mapping[str, tuple[str, str]] = {
    "image_url": ("图片", "images"),
    "video_url": ("视频", "videos"),
    "input_audio": ("音频", "audio"),
}


def check_media(messages: Iterable[Message], taken: frozenset[str]) -> None:
    """Before anything is fetched for it: what none of a model's engines takes. Raises ApiError 1210.

    `taken`: the parts besides text that one of them does. Files become text, so they are always taken.
    """
    for index, message in enumerate(messages):
        if message.content is not None and not isinstance(message.content, str):
            for place, part in enumerate(message.content):
                if part.type in _MEDIA_NAMES and part.type not in taken:
                    raise _not_taken(f"messages[{index}].content[{place}]", part.type, taken)


def engine_message(index: int, message: Message, profile: Profile) -> dict[str, Any]:
    """One message; `index` is its place, for errors. Raises ApiError 1210 for a part that the engine does not take."""
    result: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": _content(index, message, profile),
    }
    if message.name and _NAME.fullmatch(message.name):
        result["name"] = message.name
    if message.reasoning_content:
        result[profile.history_reasoning] = message.reasoning_content
    if message.tool_calls:
        result["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.role == "tool":
        result["tool_call_id"] = message.tool_call_id or ""
    return result


def _content(index: int, message: Message, profile: Profile) -> str | list[dict[str, Any]] | None:
    content = message.content
    if isinstance(content, str):
        return content
    if content is None:
        # Templates print a null as "None", and Ollama refuses it.
        return None if message.tool_calls and message.role != "tool" else ""
    if all(part.type == "text" for part in content):
        return "".join(part.text or "" for part in content)
    return [_part(f"messages[{index}].content[{place}]", part, profile) for place, part in enumerate(content)]


def _part(field: str, part: ContentPart, profile: Profile) -> dict[str, Any]:
    """A part in OpenAI's words; images and videos are data URLs by now, files are text."""
    kind = part.type
    if kind == "text":
        return {"type": kind, "text": part.text or ""}
    given: object = getattr(part, kind, None) if kind in profile.media else None
    if given is None:
        raise _not_taken(field, kind, profile.media)
    return {"type": kind, kind: {"url": given} if isinstance(given, str) else given}


def _not_taken(field: str, kind: str, taken: frozenset[str]) -> ApiError:
    known = ["text", *sorted(taken & _ENGINES_PARTS)]
    zh, en = f"取值范围 {known}", f"the engine behind this model takes only {known}"
    if kind in _MEDIA_NAMES and kind not in taken:
        name_zh, name_en = _MEDIA_NAMES[kind]
        zh = f"该模型背后的引擎不支持{name_zh}。请去掉这一部分，或请运营者为该模型配置支持{name_zh}的引擎。"
        en = (
            f"the engine behind this model takes no {name_en}. "
            f"Leave this part out, or have the operator set up an engine for the model that takes {name_en}."
        )
    return ApiError(
        "1210",
        field=f"{field}.type",
        detail_zh=f"{field}.type 参数非法：{zh}",
        detail_en=f"{field}.type is invalid: {en}",
    )


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = call.function
    assert function is not None, "checked by inference.chat_request"
    arguments = function.arguments
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    return {
        "id": call.id or "",
        "type": ENGINE_TOOL_TYPE,
        "function": {"name": function.name, "arguments": arguments or "{}"},
    }
