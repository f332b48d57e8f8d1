"""A Messages request on the wire, and what is wrong with one (api.md §6).

Rule: unknown fields and null are no mistake, because clients are years ahead of any server that copies theirs. What is
wrong is named as Anthropic names it: `messages.0.content.1.text`.
"""

import re
from typing import Any, Literal, NoReturn, TypeVar

import msgspec

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_MESSAGES, MAX_SENT_TOOLS
from openbigmodel.inference.long_bodies import readable

# Of a request, wherever they stand. Clients shorten their conversations long before.
MAX_BLOCKS = 20_000
_PATH_IN_ERROR = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
_ABSENT = msgspec.Raw()


class Block(msgspec.Struct, gc=False):
    """One block of content. Which fields it has is a matter of its type, and of no interest for an unknown one."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _ABSENT
    tool_use_id: str | None = None
    content: msgspec.Raw = _ABSENT
    is_error: bool | None = None
    source: msgspec.Raw = _ABSENT
    title: str | None = None
    context: str | None = None


class Source(msgspec.Struct, gc=False):
    """Where an image or a document is; `content` is that of a document made of blocks."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: msgspec.Raw = _ABSENT


class InputMessage(msgspec.Struct, gc=False):
    """One message. `system` in the middle of a conversation is new and rare."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(msgspec.Struct, gc=False):
    """A tool of the caller's own, or one that has a meaning at Anthropic and is known by its type."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    allowed_domains: list[str] | None = None


class ToolChoice(msgspec.Struct, gc=False):
    """Whether a tool is called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct, gc=False):
    """Whether the model thinks, and whether the caller sees it. GLM has no budget."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    display: str | None = None


class OutputFormat(msgspec.Struct, gc=False):
    """JSON of a schema."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, gc=False):
    """How much effort, and which form."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(msgspec.Struct, gc=False):
    """Who uses the caller's product."""

    user_id: str | None = None


class MessagesRequest(msgspec.Struct, gc=False):
    """The body of `POST /v1/messages` and, without `max_tokens`, of `POST /v1/messages/count_tokens`."""

    model: str
    messages: list[InputMessage]
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    metadata: Metadata | None = None


_Wire = TypeVar("_Wire")
_REQUEST = msgspec.json.Decoder(MessagesRequest, float_hook=float)
_SOURCE = msgspec.json.Decoder(Source, float_hook=float)
_CONTENT = msgspec.json.Decoder(str | list[Block] | None, float_hook=float)


def decode_request(body: bytes) -> MessagesRequest:
    """Raises ApiError 1210 (no JSON), 1213 (a field is missing) or 1214 (its type is wrong)."""
    asked = _decoded(_REQUEST, body, "")
    if len(asked.messages) > MAX_MESSAGES:
        raise illegal("messages", f"不能超过{MAX_MESSAGES}条。", f"At most {MAX_MESSAGES} messages.")
    if len(asked.tools or ()) > MAX_SENT_TOOLS:
        raise illegal("tools", f"不能超过{MAX_SENT_TOOLS}个。", f"At most {MAX_SENT_TOOLS} tools.")
    return asked


def decode_source(block: Block, path: str) -> Source:
    """The source of the block at `path`. Raises ApiError 1213 or 1214."""
    if not bytes(block.source):
        raise ApiError("1213", field=f"{path}.source")
    return _decoded(_SOURCE, block.source, f"{path}.source")


def decode_content(content: msgspec.Raw, path: str) -> str | list[Block]:
    """What stands at `path` in the content of a block. Raises ApiError 1213 or 1214."""
    if not bytes(content):
        return ""
    return _decoded(_CONTENT, content, path) or ""


def illegal(field: str, zh: str, en: str) -> ApiError:
    """What is wrong with a field."""
    return ApiError("1214", field=field, detail_zh=zh, detail_en=en)


def dotted(path: str) -> str:
    """`messages[0].content` the way Anthropic writes it."""
    return _INDEX.sub(r".\1", path).lstrip(".")


def _decoded(decoder: "msgspec.json.Decoder[_Wire]", data: bytes | msgspec.Raw, within: str) -> _Wire:
    try:
        return decoder.decode(data if within else readable(data))
    except msgspec.ValidationError as error:
        _raise_for_field(str(error), within)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise ApiError(
            "1210",
            detail_zh=f"请求体不是合法的JSON：{reason}",
            detail_en=f"The request body is not valid JSON: {reason}",
        ) from error


def _raise_for_field(text: str, within: str) -> NoReturn:
    """The decoder's words in ours: which field, and what was expected there."""
    match = _PATH_IN_ERROR.match(text)
    assert match is not None
    reason, path = match[1], dotted(within + (match[2] or ""))
    missing = _MISSING_FIELD.search(reason)
    if missing:
        raise ApiError("1213", field=f"{path}.{missing[1]}" if path else missing[1])
    raise illegal(path or "body", f"（{reason}）", f"({reason})")
