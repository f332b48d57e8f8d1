"""Items of a Responses conversation as GLM's messages, in order.

message                               a message
reasoning                             the reasoning of the assistant's message that comes next
function_call, custom_tool_call       a tool call of the assistant's message before, or of one of its own
…_output                              a message of the role tool
records of tools that were run here   nothing: the model knows their results from its own words
"""

from typing import Any

import msgspec

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_MESSAGES
from openbigmodel.inference.responses.fields import Place, check_text, illegal, raise_for_decoding
from openbigmodel.inference.responses.tools import CUSTOM_INPUT, function_name

_ROLES = ("user", "assistant", "system", "developer")
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_RECORDS = (
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
)


class Link(msgspec.Struct, gc=False):
    """An address in an object, as in chat completions."""

    url: str


class Part(msgspec.Struct, gc=False):
    """A piece of a message, of reasoning, or of what a tool gave."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | Link | None = None
    detail: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Item(msgspec.Struct, gc=False):
    """One entry of `input` or of a response's `output`, of whatever type; a message may leave its type out."""

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | dict[str, msgspec.Raw] | None = None
    input: str | None = None
    output: str | list[Part] | None = None


_DECODE_INPUT = msgspec.json.Decoder(str | list[Item], float_hook=float).decode
# What its members are is judged with all other arguments, by `chat_request`.
_DECODE_ARGUMENTS = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ENCODE = msgspec.json.Encoder().encode


def read_items(raw: bytes | msgspec.Raw, field: str = "input") -> list[Item]:
    """Decode items; a text is a user's message. Raises ApiError 1210, 1213 or 1214."""
    try:
        read: str | list[Item] = _DECODE_INPUT(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise_for_decoding(error, field)
    if isinstance(read, str):
        return [Item(role="user", content=read)]
    if len(read) > MAX_MESSAGES:
        raise illegal(field, f"不能超过{MAX_MESSAGES}项。", f"At most {MAX_MESSAGES} items.")
    return read


class Messages:
    """Collects the messages of a conversation; `places` says where each comes from."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._places: list[tuple[str, list[str], str | None]] = []
        self._reasoning: list[str] = []
        # Whether the last message is the assistant's and may get tool calls.
        self._open = False

    @property
    def places(self) -> list[Place]:
        """Where each message comes from."""
        return [Place(field, tuple(calls), content) for field, calls, content in self._places]

    def add_system(self, text: str, field: str) -> None:
        """What the caller has to say to the model before all else."""
        self._add({"role": "system", "content": text}, field, None)

    def add(self, items: list[Item], field: str, *, numbered: bool = True) -> None:
        """More of the conversation. `numbered`: the caller can count the items of `field`. Raises ApiError."""
        first = len(self._places)
        for index, item in enumerate(items):
            self._item(item, f"{field}[{index}]" if numbered else field)
        if not numbered:
            self._places[first:] = [(field, calls, None) for _, calls, _ in self._places[first:]]

    def _add(self, message: dict[str, Any], field: str, content: str | None = "content") -> None:
        self._open = message["role"] == "assistant"
        if self._open and self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        # Reasoning that no answer followed is of no use to anybody.
        self._reasoning = []
        self.messages.append(message)
        self._places.append((field, [], content))

    def _item(self, item: Item, field: str) -> None:
        match item.type or "message":
            case "message":
                self._message(item, field)
            case "reasoning":
                self._open = False
                if text := _text(item.content, f"{field}.content"):
                    self._reasoning.append(text)
            case "function_call" | "custom_tool_call":
                self._call(item, field)
            case "function_call_output" | "custom_tool_call_output":
                if not item.call_id:
                    raise ApiError("1213", field=f"{field}.call_id")
                if item.output is None:
                    raise ApiError("1213", field=f"{field}.output")
                content = _content(item.output, f"{field}.output")
                message = {"role": "tool", "tool_call_id": item.call_id, "content": content}
                self._add(message, field, "output")
            case kind if kind not in _RECORDS:
                raise illegal(
                    f"{field}.type",
                    f"不支持 {kind}；请直接发送消息、调用及其结果，或使用 previous_response_id。",
                    f"{kind} is not supported: send the message, call or output itself, or previous_response_id.",
                )

    def _message(self, item: Item, field: str) -> None:
        if item.role not in _ROLES:
            raise illegal(f"{field}.role", f"取值范围 {_ROLES}。", f"One of {', '.join(_ROLES)}.")
        if item.content is None:
            raise ApiError("1213", field=f"{field}.content")
        if item.role == "assistant":
            text = _text(item.content, f"{field}.content")
            self._add({"role": "assistant", "content": text}, field)
        else:
            content = _content(item.content, f"{field}.content")
            self._add({"role": item.role, "content": content}, field)

    def _call(self, item: Item, field: str) -> None:
        if not item.call_id:
            raise ApiError("1213", field=f"{field}.call_id")
        if not item.name:
            raise ApiError("1213", field=f"{field}.name")
        if item.type == "function_call":
            arguments = _arguments(item, f"{field}.arguments")
        else:
            if item.input is None:
                raise ApiError("1213", field=f"{field}.input")
            arguments = _ENCODE({CUSTOM_INPUT: item.input}).decode()
        if not self._open:
            self._add({"role": "assistant", "content": ""}, field)
        call = {
            "id": item.call_id,
            "type": "function",
            "function": {"name": function_name(item.namespace, item.name), "arguments": arguments},
        }
        self.messages[-1].setdefault("tool_calls", []).append(call)
        self._places[-1][1].append(field)


def _arguments(item: Item, field: str) -> str:
    arguments = item.arguments
    if isinstance(arguments, dict):
        return check_text(field, _ENCODE(arguments))
    if not arguments or not arguments.strip():
        return "{}"
    try:
        _DECODE_ARGUMENTS(arguments)
    except (msgspec.MsgspecError, RecursionError) as error:
        # Chat templates take arguments apart.
        raise illegal(field, "必须是JSON对象的字符串。", "It must be the text of a JSON object.") from error
    return arguments


def _content(content: str | list[Part], field: str) -> str | list[dict[str, Any]]:
    """GLM's content: one text where there is only text, so that most messages stay plain."""
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{field}[{position}]") for position, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts or ""


def _text(content: str | list[Part] | None, field: str) -> str:
    """The text of a content that has nothing else."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_plain(part, f"{field}[{position}]") for position, part in enumerate(content))


def _plain(part: Part, field: str) -> str:
    if part.type == "refusal":
        return part.refusal or ""
    if part.type not in _TEXTS:
        raise illegal(f"{field}.type", f"不支持 {part.type}，只能是文本。", f"{part.type} is no text.")
    if part.text is None:
        raise ApiError("1213", field=f"{field}.text")
    return part.text


def _part(part: Part, field: str) -> dict[str, Any]:
    if part.type == "input_image":
        if part.file_id is not None and part.image_url is None:
            raise illegal(
                f"{field}.file_id", "不支持，请使用image_url。", "It is not supported; use image_url."
            )
        link = part.image_url
        if not link:
            raise ApiError("1213", field=f"{field}.image_url")
        image = {"url": link if isinstance(link, str) else link.url}
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if part.type == "input_file":
        file = {
            name: value
            for name, value in (
                ("file_data", part.file_data),
                ("file_url", part.file_url),
                ("file_id", part.file_id),
                ("filename", part.filename),
            )
            if value is not None
        }
        if not file.keys() - {"filename"}:
            raise ApiError("1213", field=f"{field}.file_data")
        return {"type": "file", "file": file}
    return {"type": "text", "text": _plain(part, field)}
