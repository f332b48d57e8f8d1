"""From the bytes of a Responses request to the same request in GLM's words (api.md §5).

Unknown fields are ignored and null means absent. What only looks as if it were understood is not let through: a
conversation or a stored prompt that is not there would change the answer without a word.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import read_chat_request
from openbigmodel.inference.long_bodies import readable
from openbigmodel.inference.responses.fields import Place, check_text, illegal, object_at, raise_for_decoding
from openbigmodel.inference.responses.items import Item, Messages, read_items
from openbigmodel.inference.responses.tools import Called, Tool, ToolChoice, read_tool_choice, read_tools
from openbigmodel.schemas.chat import ChatRequest, ReasoningEffort

MAX_METADATA = 16
MAX_METADATA_KEY_CHARACTERS = 64
MAX_METADATA_VALUE_CHARACTERS = 512
MAX_ID_CHARACTERS = 128
MAX_CACHE_KEY_CHARACTERS = 1024


class Reasoning(msgspec.Struct, gc=False):
    """How hard to think. No effort switches thinking off, and there are no summaries (api.md §5)."""

    effort: ReasoningEffort | None = None


class TextFormat(msgspec.Struct, gc=False):
    """Free text, any JSON object, or JSON of a given schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = msgspec.Raw(b"null")
    strict: bool | None = None


class Text(msgspec.Struct, gc=False):
    """What the answer's text is like."""

    format: TextFormat | None = None


class ResponsesRequest(msgspec.Struct, gc=False):
    """The body of `POST …/responses`. `input` stays as it came; it is a text or a list of Item."""

    model: str
    input: msgspec.Raw
    instructions: str | None = None
    max_output_tokens: int | float | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: Reasoning | None = None
    text: Text | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    conversation: msgspec.Raw = msgspec.Raw(b"null")
    prompt: msgspec.Raw = msgspec.Raw(b"null")


class Question(msgspec.Struct, gc=False):
    """What the answer has to say again, and what has to be known to store it.

    `input` is the JSON of the request's own items, without what came before. `messages` and `tools` say where the
    parts of GLM's request come from.
    """

    account_id: str
    store: bool
    input: bytes
    instructions: str
    previous_id: str
    prompt_cache_key: str | None
    metadata: dict[str, str] | None
    parallel: bool
    called: dict[str, Called]
    messages: list[Place]
    tools: list[str]


_DECODE = msgspec.json.Decoder(ResponsesRequest, float_hook=float).decode
_ENCODE = msgspec.json.Encoder().encode
_QUOTE = ord('"')
_LARGEST_INTEGER = 2**63 - 1

# The items of a conversation so far, oldest first, by the id of its last response.
Earlier = Callable[[str], list[Item]]


def read_responses_request(
    body: bytes, account_id: str, earlier: Earlier
) -> tuple[ChatRequest, bytes, Question]:
    """Raises ApiError 1210, 1213 or 1214, and what `earlier` raises."""
    try:
        request = _DECODE(readable(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise_for_decoding(error)
    _check(request)
    previous_id = request.previous_response_id or ""
    messages = Messages()
    if request.instructions:
        messages.add_system(request.instructions, "instructions")
    items = read_items(request.input)
    if not items:
        raise illegal("input", "不能为空。", "It must not be empty.")
    if previous_id:
        messages.add(earlier(previous_id), "previous_response_id", numbered=False)
    messages.add(items, "input", numbered=memoryview(request.input)[0] != _QUOTE)
    glm: dict[str, Any] = {"model": request.model, "messages": messages.messages}
    tools = read_tools(request.tools or [])
    functions, choice = read_tool_choice(request.tool_choice, tools)
    if functions:
        glm |= {"tools": functions, "tool_choice": choice}
    glm |= _generation(request, streams_calls=bool(functions))
    glm_body = _ENCODE({name: value for name, value in glm.items() if value is not None})
    store = bool(request.store)
    if store:
        # Fields that nobody reads today are told when the items are listed.
        check_text("input", request.input)
    question = Question(
        account_id,
        store,
        bytes(request.input) if store else b"",
        request.instructions or "",
        previous_id,
        request.prompt_cache_key,
        request.metadata,
        request.parallel_tool_calls is not False,
        dict(tools.called),
        messages.places,
        # Those that are not allowed this time have been left out.
        [
            place
            for place, tool in zip(tools.places, tools.functions, strict=True)
            if any(tool is each for each in functions)
        ],
    )
    return read_chat_request(glm_body, ours=True), glm_body, question


def _check(request: ResponsesRequest) -> None:
    if bytes(request.conversation) != b"null":
        raise illegal(
            "conversation",
            "不支持，请使用 previous_response_id。",
            "It is not supported; use previous_response_id.",
        )
    if bytes(request.prompt) != b"null":
        raise illegal(
            "prompt",
            "不支持，请使用 instructions 和 input。",
            "It is not supported; use instructions and input.",
        )
    for name, value, most in (
        ("previous_response_id", request.previous_response_id, MAX_ID_CHARACTERS),
        ("prompt_cache_key", request.prompt_cache_key, MAX_CACHE_KEY_CHARACTERS),
    ):
        if value is not None and len(value) > most:
            raise illegal(name, f"最长{most}个字符。", f"At most {most} characters.")
    most_tokens = request.max_output_tokens
    if most_tokens is not None and abs(most_tokens) > _LARGEST_INTEGER:
        raise illegal("max_output_tokens", "整数超出64位范围。", "An integer is beyond 64 bits.")
    metadata = request.metadata or {}
    if (
        len(metadata) > MAX_METADATA
        or any(len(key) > MAX_METADATA_KEY_CHARACTERS for key in metadata)
        or any(len(value) > MAX_METADATA_VALUE_CHARACTERS for value in metadata.values())
    ):
        raise illegal(
            "metadata",
            f"最多{MAX_METADATA}项，键最长{MAX_METADATA_KEY_CHARACTERS}个字符，值最长{MAX_METADATA_VALUE_CHARACTERS}个字符。",
            f"At most {MAX_METADATA} entries, keys of {MAX_METADATA_KEY_CHARACTERS} and values of "
            f"{MAX_METADATA_VALUE_CHARACTERS} characters.",
        )


def _generation(request: ResponsesRequest, *, streams_calls: bool) -> dict[str, Any]:
    return {
        "stream": True if request.stream else None,
        # Here arguments always come as they are made (api.md §5).
        "tool_stream": True if request.stream and streams_calls else None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_output_tokens,
        "reasoning_effort": None if request.reasoning is None else request.reasoning.effort,
        "response_format": _response_format(request.text),
        "user_id": request.user,
    }


def _response_format(text: Text | None) -> dict[str, Any] | None:
    wanted = None if text is None else text.format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    if not wanted.name:
        raise ApiError("1213", field="text.format.name")
    shape = object_at("text.format.schema", wanted.schema)
    if shape is None:
        raise ApiError("1213", field="text.format.schema")
    schema: dict[str, Any] = {"name": wanted.name, "schema": shape}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}
