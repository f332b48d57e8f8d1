"""A conversation of Anthropic's blocks as GLM's messages, with the way back for whoever finds a mistake in one.

    assistant  thinking + text + tool_use   →  one message: reasoning_content, content, tool_calls
    user       tool_result, tool_result     →  a message of role `tool` each, in the order of the calls
               text, image, document        →  one message after them

Text blocks of a caller are parted by a blank line; those of the model are not, because an answer that is sent back must
be what the model wrote. GLM's chat templates have no ids, they tell results by their order, hence the sorting.
"""

import re
from typing import Any

import msgspec

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.messages import (
    MAX_BLOCKS,
    Block,
    InputMessage,
    decode_content,
    decode_source,
    illegal,
)
from openbigmodel.inference.anthropic.tools import ToolNames

# Claude Code's first system block counts for its maker only, and is another each time: with it in the prompt no engine
# ever finds the rest of the prompt, tens of thousands of tokens, in its cache.
_BILLING_LINE = re.compile(r"x-anthropic-billing-header:[^\n]*\n*")
_BETWEEN_BLOCKS = "\n\n"
_SAYS_ERROR = ("error", "<tool_use_error", "<error")
# How many tokens an image or a page becomes is not known before an engine has seen it; vision models take about this.
MEDIA_TOKENS = 1500
_ENCODE = msgspec.json.Encoder().encode


class GlmMessage(msgspec.Struct, gc=False, omit_defaults=True):
    """A message in GLM's words (api.md §3.2)."""

    role: str
    content: str | list[dict[str, Any]]
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class Origin(msgspec.Struct, gc=False):
    """Where a GLM message, its parts and its calls come from."""

    message: str
    parts: list[str] = []
    calls: list[str] = []


class Conversation:
    """The messages so far. `media` is the number of images and documents, `media_bytes` what they take as JSON."""

    __slots__ = ("_blocks_left", "_calls", "_names", "media", "media_bytes", "messages", "origins")

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        # The ids of the last calls, in their order.
        self._calls: dict[str, int] = {}
        self._blocks_left = MAX_BLOCKS
        self.messages: list[GlmMessage] = []
        self.origins: list[Origin] = []
        self.media = 0
        self.media_bytes = 0

    def encoded(self) -> bytes:
        """The messages as JSON."""
        return _ENCODE(self.messages)

    def add_system(self, system: str | list[Block], path: str = "system") -> None:
        """Instructions. Raises ApiError 1213 or 1214."""
        self._count(system, path)
        if isinstance(system, str):
            texts = [_without_billing_line(system)]
        else:
            texts = [
                _without_billing_line(_text_of(block, f"{path}.{index}"))
                for index, block in enumerate(system)
            ]
        text = _BETWEEN_BLOCKS.join(text for text in texts if text)
        if text:
            self._add(GlmMessage("system", text), Origin(path))

    def add(self, message: InputMessage, index: int) -> None:
        """The message with this index. Raises ApiError 1213 or 1214."""
        path, content = f"messages.{index}", message.content
        if message.role == "system":
            self.add_system(content, f"{path}.content")
        elif isinstance(content, str):
            self._add(GlmMessage(message.role, content), Origin(path))
        else:
            self._count(content, f"{path}.content")
            if message.role == "assistant":
                self._add_assistant(content, path)
            else:
                self._add_user(content, path)

    def _count(self, content: str | list[Block], path: str) -> None:
        self._blocks_left -= len(content) if isinstance(content, list) else 0
        if self._blocks_left < 0:
            raise illegal(path, f"总共不能超过{MAX_BLOCKS}项。", f"At most {MAX_BLOCKS} blocks in all.")

    def _content(self, content: msgspec.Raw, path: str) -> str | list[Block]:
        """What stands at `path` in a block. Raises ApiError 1213 or 1214."""
        decoded = decode_content(content, path)
        self._count(decoded, path)
        return decoded

    def _add(self, message: GlmMessage, origin: Origin) -> None:
        self.messages.append(message)
        self.origins.append(origin)

    def _add_assistant(self, blocks: list[Block], path: str) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        origins: list[str] = []
        for index, block in enumerate(blocks):
            at = f"{path}.content.{index}"
            match block.type:
                case "text":
                    texts.append(_text_of(block, at))
                case "thinking":
                    if block.thinking is None:
                        raise ApiError("1213", field=f"{at}.thinking")
                    thoughts.append(block.thinking)
                case "tool_use":
                    calls.append(self._call(block, at))
                    origins.append(at)
                case _:
                    # What Anthropic alone can read (redacted_thinking) or has run itself (server_tool_use, …).
                    pass
        self._calls = {call["id"]: position for position, call in enumerate(calls)}
        message = GlmMessage("assistant", "".join(texts), "".join(thoughts) or None, calls or None)
        self._add(message, Origin(f"{path}.content", calls=origins))

    def _call(self, block: Block, at: str) -> dict[str, Any]:
        for name in ("id", "name"):
            if not getattr(block, name):
                raise ApiError("1213", field=f"{at}.{name}")
        assert block.name is not None
        arguments = bytes(block.input) or b"{}"
        if not arguments.startswith(b"{"):
            raise illegal(f"{at}.input", "必须是JSON对象。", "It must be a JSON object.")
        try:
            text = arguments.decode()
        except UnicodeDecodeError as error:
            raise _no_text(f"{at}.input") from error
        function = {"name": self._names.short(block.name), "arguments": text}
        return {"id": block.id, "type": "function", "function": function}

    def _add_user(self, blocks: list[Block], path: str) -> None:
        results: list[tuple[GlmMessage, Origin]] = []
        parts: list[dict[str, Any]] = []
        origins: list[str] = []
        for index, block in enumerate(blocks):
            at = f"{path}.content.{index}"
            if block.type == "tool_result":
                # A tool's message takes text alone; what else it brought comes after, as the caller's.
                found = self._parts_of_result(block, at)
                text = [part["text"] for part, _ in found if part["type"] == "text"]
                seen = [(part, origin) for part, origin in found if part["type"] != "text"]
                content = _result_text(_BETWEEN_BLOCKS.join(text), block, len(seen))
                results.append((GlmMessage("tool", content, tool_call_id=block.tool_use_id), Origin(at)))
            else:
                seen = self._parts(block, at)
            parts += [part for part, _ in seen]
            origins += [origin for _, origin in seen]
        last = len(self._calls)
        for message, origin in sorted(
            results, key=lambda each: self._calls.get(each[0].tool_call_id or "", last)
        ):
            self._add(message, origin)
        if all(part["type"] == "text" for part in parts):
            texts = [part["text"] for part in parts if part["text"]]
            if texts or not results:
                self._add(GlmMessage("user", _BETWEEN_BLOCKS.join(texts)), Origin(f"{path}.content"))
            return
        self._add(GlmMessage("user", parts), Origin(f"{path}.content", parts=origins))

    def _parts_of_result(self, block: Block, at: str) -> list[tuple[dict[str, Any], str]]:
        if not block.tool_use_id:
            raise ApiError("1213", field=f"{at}.tool_use_id")
        content = self._content(block.content, f"{at}.content")
        if isinstance(content, str):
            return [(_text_part(content), at)]
        return [
            part
            for index, inner in enumerate(content)
            for part in self._parts(inner, f"{at}.content.{index}")
        ]

    def _parts(self, block: Block, at: str) -> list[tuple[dict[str, Any], str]]:
        """A block of a caller as parts of a GLM message, each with its origin."""
        match block.type:
            case "text":
                return [(_text_part(_text_of(block, at)), at)]
            case "image":
                return [(self._medium(_image(block, at)), at)]
            case "document":
                return self._document(block, at)
            case "search_result":
                content = self._content(block.content, f"{at}.content")
                texts = [content] if isinstance(content, str) else [inner.text or "" for inner in content]
                return [(_text_part(_BETWEEN_BLOCKS.join(filter(None, [block.title, *texts]))), at)]
            case "thinking" | "tool_use":
                raise illegal(
                    f"{at}.type",
                    "只能出现在role为assistant的消息中。",
                    "Only in messages with role assistant.",
                )
            case _:
                return []

    def _document(self, block: Block, at: str) -> list[tuple[dict[str, Any], str]]:
        source = decode_source(block, at)
        about = [(_text_part(text), at) for text in (block.title, block.context) if text]
        match source.type:
            case "text":
                return [*about, (_text_part(_given(source.data, f"{at}.source.data")), at)]
            case "content":
                content = self._content(source.content, f"{at}.source.content")
                if isinstance(content, str):
                    return [*about, (_text_part(content), at)]
                inner = [
                    part
                    for index, each in enumerate(content)
                    for part in self._part_of_document(each, f"{at}.source.content.{index}")
                ]
                return [*about, *inner]
            case "base64":
                data = _given(source.data, f"{at}.source.data")
                file = {"file_data": f"data:{source.media_type or 'application/pdf'};base64,{data}"}
            case "url":
                file = {"file_url": _given(source.url, f"{at}.source.url")}
            case "file":
                file = {"file_id": _given(source.file_id, f"{at}.source.file_id")}
            case _:
                raise _unknown_source(at)
        if block.title:
            file["filename"] = block.title
        about = [(_text_part(block.context), at)] if block.context else []
        return [*about, (self._medium({"type": "file", "file": file}), at)]

    def _part_of_document(self, block: Block, at: str) -> list[tuple[dict[str, Any], str]]:
        # Each document in another would be read once more for all that are around it.
        if block.type in ("document", "search_result"):
            raise illegal(f"{at}.type", "只能是text或image。", "Only text and image.")
        return self._parts(block, at)

    def _medium(self, part: dict[str, Any]) -> dict[str, Any]:
        self.media += 1
        self.media_bytes += sum(len(value) for value in part[part["type"]].values())
        return part


def _image(block: Block, at: str) -> dict[str, Any]:
    source = decode_source(block, at)
    match source.type:
        case "base64":
            data = _given(source.data, f"{at}.source.data")
            url = f"data:{source.media_type or 'image/png'};base64,{data}"
        case "url":
            url = _given(source.url, f"{at}.source.url")
        case "file":
            return {"type": "file", "file": {"file_id": _given(source.file_id, f"{at}.source.file_id")}}
        case _:
            raise _unknown_source(at)
    return {"type": "image_url", "image_url": {"url": url}}


def _no_text(field: str) -> ApiError:
    return ApiError(
        "1210",
        field=field,
        detail_zh=f"请求体不是合法的JSON：{field} 不是UTF-8。",
        detail_en=f"The request body is not valid JSON: {field} is not UTF-8.",
    )


def _unknown_source(at: str) -> ApiError:
    return illegal(
        f"{at}.source.type",
        "可为base64、url、file、text或content。",
        "One of base64, url, file, text and content.",
    )


def _result_text(text: str, block: Block, others: int) -> str:
    """What a tool said. GLM knows no failed results, so that it failed is said in words, unless it says so itself."""
    if others:
        text = f"{text}\n" if text else ""
        text += f"[{others} attached to the next message]"
    if block.is_error and not text.lstrip().lower().startswith(_SAYS_ERROR):
        return f"Error: {text}" if text else "Error"
    return text


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _text_of(block: Block, at: str) -> str:
    return _given(block.text, f"{at}.text")


def _given(value: str | None, field: str) -> str:
    if value is None:
        raise ApiError("1213", field=field)
    return value


def _without_billing_line(text: str) -> str:
    match = _BILLING_LINE.match(text)
    return text if match is None else text[match.end() :]
