"""From the bytes of a chat request to a request that is known to be sound, or an error that names the field.

Order of judgement and texts follow bigmodel.cn (api.md §3.2); what it leaves out, the field's name and index,
is always there, because "messages is illegal" alone has cost its users days (api.md §11).
"""

import re
from collections.abc import Iterable
from math import isinf
from typing import Any, NoReturn

import msgspec

from openbigmodel.auth.leaked import without_secrets
from openbigmodel.catalog import Model
from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.translate import Generation
from openbigmodel.errors import ApiError
from openbigmodel.inference.long_bodies import MAX_VALUES, check_values, readable
from openbigmodel.inference.measurement import UNBOUNDED
from openbigmodel.media.parts import check_parts
from openbigmodel.schemas.chat import ChatRequest, Message, PlainMessage, ToolCall

MAX_MESSAGES = 10_000
MAX_TOOLS = 128
# With those that other dialects send and GLM does not have.
MAX_SENT_TOOLS = 1_000
MAX_STOPS = 4
MAX_JSON_DEPTH = 64
# Of one tool or one response schema; the largest that real tools bring have some hundreds.
MAX_SCHEMA_VALUES = 5_000
MAX_SCHEMA_MEMBERS = 500
# Of one call; no model writes as many.
MAX_ARGUMENT_VALUES = 50_000
MAX_REQUEST_ID_CHARACTERS = 64
MAX_USER_ID_CHARACTERS = 128
# What a chat template adds to a prompt beyond the size of its JSON: its opening, and instructions for tools.
_TEMPLATE_TOKENS = 64
_TOOL_TEMPLATE_TOKENS = 512
# What an upstream that fetches media itself may make of a part of which only the URL is seen here, by its type.
_RELAYED_TOKENS = {"text": 0, "image_url": 4096, "video_url": 65_536, "input_audio": 4096}
# A file; and a part of a type that only the upstream knows may be one.
_RELAYED_FILE_TOKENS = 131_072
# What a tool that the upstream runs itself, such as a web search, may add to the prompt.
_PLATFORM_TOOL_TOKENS = 32_768

# msgspec itself takes a hundred times as long for a number such as 1e308 as for 1.5; Python does not.
_DECODE = msgspec.json.Decoder(ChatRequest, float_hook=float).decode
_DECODE_PLAIN_MESSAGES = msgspec.json.Decoder(list[PlainMessage], float_hook=float).decode
_DECODE_MESSAGES = msgspec.json.Decoder(list[Message], float_hook=float).decode
_DECODE_ARGUMENTS = msgspec.json.Decoder(float_hook=float).decode
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH_IN_ERROR = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
_INT64_MAX = 2**63 - 1
_THINKS_BY_DEFAULT = ("dynamic", "always")
_NO_SWITCH = ("none", "in_content")


class Surface(msgspec.Struct, frozen=True):
    """One of the bases under which chat is served, at which path below it, and how it differs (api.md §3.5, §3.7).

    `coding`: the Coding Plan base renames models, keeps reasoning by default and lets thinking be switched off
    on models that otherwise always think.
    """

    prefix: str
    coding: bool = False
    path: str = "/chat/completions"


def read_chat_request(body: bytes, *, ours: bool = False) -> ChatRequest:
    """Decode a body. `ours`: it was written here.

    Raises ApiError 1210 (no JSON), 1213 (field missing) or 1214 (wrong type, too many values).
    """
    try:
        return _DECODE(body if ours else readable(body))
    except msgspec.ValidationError as error:
        _raise_for_field(str(error))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(error) from error


def read_messages(request: ChatRequest, model: Model, *, relayed: bool = False) -> list[Message] | None:
    """Decode and judge the messages; None when they are so plain that an engine can have them as they came.

    `relayed`: another GLM platform answers, and is the one to say which images, videos and files it takes.
    Raises ApiError 1210, 1213 or 1214.
    """
    raw = request.messages
    try:
        plain = _DECODE_PLAIN_MESSAGES(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        plain = []
    # Only a list that passes every check by its type alone: at least one message, one of them a question.
    if (
        plain
        and len(plain) <= MAX_MESSAGES
        and plain[-1].content
        and (plain[-1].role == "user" or any(m.role == "user" for m in plain))
    ):
        return None
    try:
        messages = _DECODE_MESSAGES(raw)
    except msgspec.ValidationError as error:
        _raise_for_field(str(error), "messages")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(error) from error
    if len(raw) > MAX_VALUES:
        check_values(_arguments_of(messages), "messages")
    _check_messages(messages)
    if not relayed:
        check_parts(messages, model)
    if _says_nothing(messages[-1]):
        # An engine would take it for the beginning of its own answer.
        messages.pop()
    return messages


def _says_nothing(message: Message) -> bool:
    return message.role == "assistant" and not message.content and not message.tool_calls


def _no_json(error: Exception) -> ApiError:
    reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
    return ApiError(
        "1210",
        detail_zh=f"请求体不是合法的JSON：{reason}",
        detail_en=f"The request body is not valid JSON: {reason}",
    )


def _raise_for_field(text: str, within: str = "") -> NoReturn:
    """Turn the decoder's words into GLM's: which field, and what was expected there."""
    match = _PATH_IN_ERROR.match(text)
    assert match is not None
    reason, path = match[1], (within + (match[2] or "")).lstrip(".")
    missing = _MISSING_FIELD.search(reason)
    if missing:
        raise ApiError("1213", field=f"{path}.{missing[1]}" if path else missing[1])
    raise ApiError("1214", field=path or "body", detail_zh=f"（{reason}）", detail_en=f"({reason})")


def _illegal(field: str, zh: str, en: str) -> ApiError:
    return ApiError("1214", field=field, detail_zh=zh, detail_en=en)


def fit_for_log(request_id: object) -> str:
    """A caller's id before it is judged: one of 10 MB must not get as far as the log, nor any secret."""
    return without_secrets(str(request_id)[:MAX_REQUEST_ID_CHARACTERS])


def check_chat_request(request: ChatRequest, model: Model, surface: Surface) -> Generation:
    """Judge what types cannot say, messages aside, and settle how to generate.

    Raises ApiError 1210, 1212, 1213 or 1214.
    """
    if model.stream_only and not request.stream:
        raise ApiError("1212", method="SYNC")
    if request.tools:
        _check_tools(request)
    _check_sampling(request)
    _check_small_fields(request)
    temperature, top_p = request.temperature, request.top_p
    if request.do_sample is False:
        temperature, top_p = 0.0, None
    else:
        temperature = model.temperature if temperature is None else temperature
        top_p = model.top_p if top_p is None else top_p
    thinking = clear_thinking = None
    if request.thinking is not None or model.thinking == "always" or surface.coding:
        thinking = _thinking(request, model, surface)
        clear_thinking = _clear_thinking(request, model, surface)
    effort = request.reasoning_effort
    max_tokens_asked = request.max_tokens is not None or request.max_completion_tokens is not None
    return Generation(
        thinking=thinking,
        thinking_default=model.thinking in _THINKS_BY_DEFAULT,
        clear_thinking=clear_thinking,
        effort=None if effort is None else model.efforts.get(effort),
        max_tokens=_max_tokens(request, model) if max_tokens_asked else model.default_max_tokens,
        max_tokens_asked=max_tokens_asked,
        temperature=temperature,
        top_p=top_p,
    )


def _arguments_of(messages: list[Message]) -> bytes:
    """All arguments that came as texts, whose values are none of the body's as long as they are not taken apart."""
    return b",".join(
        call.function.arguments.encode()
        for message in messages
        for call in message.tool_calls or ()
        if call.function is not None and isinstance(call.function.arguments, str)
    )


def _check_messages(messages: list[Message]) -> None:
    if not messages:
        raise _illegal("messages", "不能为空。", "It must not be empty.")
    if len(messages) > MAX_MESSAGES:
        raise _illegal("messages", f"不能超过{MAX_MESSAGES}条。", f"At most {MAX_MESSAGES} messages.")
    asked = False
    for index, message in enumerate(messages):
        role = message.role
        content = message.content
        if role in ("user", "tool"):
            asked = True
        if content is None and role not in {"assistant", "tool"}:
            raise ApiError("1213", field=f"messages[{index}].content")
        if message.tool_calls:
            for position, call in enumerate(message.tool_calls):
                _check_tool_call(f"messages[{index}].tool_calls[{position}]", call)
    if not asked:
        raise _illegal(
            "messages", "至少需要一条role为user的消息。", "At least one message with role user is required."
        )


def _check_tool_call(field: str, call: ToolCall) -> None:
    function = call.function
    if function is None:
        raise ApiError("1213", field=f"{field}.function")
    if not function.name:
        raise ApiError("1213", field=f"{field}.function.name")
    arguments = function.arguments
    if isinstance(arguments, dict):
        _check_json(f"{field}.function.arguments", arguments, MAX_ARGUMENT_VALUES, MAX_ARGUMENT_VALUES)
    elif arguments:
        if len(arguments) > MAX_ARGUMENT_VALUES:
            check_values(arguments.encode(), f"{field}.function.arguments", MAX_ARGUMENT_VALUES)
        try:
            decoded = _DECODE_ARGUMENTS(arguments)
        except (msgspec.DecodeError, RecursionError):
            decoded = None
        # Chat templates take arguments apart, so an engine cannot do with anything but an object.
        if not isinstance(decoded, dict):
            raise _illegal(
                f"{field}.function.arguments",
                "必须是JSON对象的字符串。",
                "It must be the text of a JSON object.",
            )
        _check_json(f"{field}.function.arguments", decoded, MAX_ARGUMENT_VALUES, MAX_ARGUMENT_VALUES)


def _check_tools(request: ChatRequest) -> None:
    tools = request.tools
    if not tools:
        return
    if len(tools) > MAX_TOOLS:
        raise _illegal("tools", f"不能超过{MAX_TOOLS}个。", f"At most {MAX_TOOLS} tools.")
    for index, tool in enumerate(tools):
        field = f"tools[{index}]"
        kind = tool.get("type")
        if not isinstance(kind, str) or not kind:
            raise ApiError("1213", field=f"{field}.type")
        if kind != "function":
            continue
        function = tool.get("function")
        if not isinstance(function, dict):
            raise ApiError("1213", field=f"{field}.function")
        name = function.get("name")
        if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
            raise _illegal(
                f"{field}.function.name",
                "只能包含字母、数字、下划线和连字符，最长64个字符。",
                "Letters, digits, underscore and hyphen only, 64 characters at most.",
            )
        description = function.get("description")
        if description is not None and not isinstance(description, str):
            raise _illegal(f"{field}.function.description", "必须是字符串。", "It must be a string.")
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise _illegal(
                f"{field}.function.parameters", "必须是JSON Schema对象。", "It must be a JSON Schema object."
            )
        _check_json(field, tool, MAX_SCHEMA_VALUES, MAX_SCHEMA_MEMBERS)
    if isinstance(request.tool_choice, dict):
        function = request.tool_choice.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ApiError("1213", field="tool_choice.function.name")
        if function["name"] not in {
            tool["function"]["name"] for tool in tools if tool.get("type") == "function"
        }:
            raise _illegal("tool_choice.function.name", "tools中没有该函数。", "No tool has this name.")


def _check_json(field: str, value: Any, max_values: int, max_members: int) -> None:
    """Bound what anything recursive or quadratic, ours or an engine's, walks next: depth, size, and big numbers.

    An engine turns a schema into a grammar; ten thousand properties keep one busy for a minute and cost it a
    gigabyte.
    """
    level, left = [value], max_values
    for _ in range(MAX_JSON_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict | list):
                if len(item) > max_members:
                    raise _illegal(
                        field,
                        f"单个对象或数组超过{max_members}项。",
                        f"More than {max_members} members in one place.",
                    )
                left -= len(item)
                if left < 0:
                    raise _illegal(field, f"超过{max_values}个值。", f"More than {max_values} values.")
                below.extend(item.values() if isinstance(item, dict) else item)
            elif isinstance(item, int | float) and not -_INT64_MAX <= item <= _INT64_MAX:
                if isinstance(item, int):
                    raise _illegal(field, "整数超出64位范围。", "An integer is beyond 64 bits.")
                if isinf(item):
                    raise _illegal(field, "数值超出范围。", "A number is out of range.")
        if not below:
            return
        level = below
    raise _illegal(field, f"嵌套超过{MAX_JSON_DEPTH}层。", f"Nested more than {MAX_JSON_DEPTH} levels deep.")


def _check_sampling(request: ChatRequest) -> None:
    temperature, top_p = request.temperature, request.top_p
    if temperature is not None and not 0.0 <= temperature <= 1.0:
        raise _illegal("temperature", "取值范围[0.0,1.0]。", "Range [0.0,1.0].")
    if top_p is not None and not 0.01 <= top_p <= 1.0:
        raise _illegal("top_p", "取值范围[0.01,1.0]。", "Range [0.01,1.0].")
    if request.seed is not None and not -_INT64_MAX <= request.seed <= _INT64_MAX:
        raise _illegal("seed", "整数超出64位范围。", "An integer is beyond 64 bits.")


def _check_small_fields(request: ChatRequest) -> None:
    stop = request.stop
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        raise _illegal("stop", f"最多{MAX_STOPS}个停止词。", f"At most {MAX_STOPS} stop words.")
    if request.request_id is not None and not 1 <= len(str(request.request_id)) <= MAX_REQUEST_ID_CHARACTERS:
        raise _illegal(
            "request_id",
            f"长度为1至{MAX_REQUEST_ID_CHARACTERS}个字符。",
            f"1 to {MAX_REQUEST_ID_CHARACTERS} characters.",
        )
    if request.user_id is not None and len(str(request.user_id)) > MAX_USER_ID_CHARACTERS:
        raise _illegal(
            "user_id",
            f"最长{MAX_USER_ID_CHARACTERS}个字符。",
            f"At most {MAX_USER_ID_CHARACTERS} characters.",
        )
    wanted = request.response_format
    if wanted is not None and wanted.json_schema is not None:
        _check_json("response_format.json_schema", wanted.json_schema, MAX_SCHEMA_VALUES, MAX_SCHEMA_MEMBERS)


def _thinking(request: ChatRequest, model: Model, surface: Surface) -> bool | None:
    """Whether to think; None when the model has no such switch, or the caller left it to the model."""
    if model.thinking in _NO_SWITCH:
        return None
    wanted = request.thinking.type if request.thinking is not None else None
    if model.thinking == "always" and not surface.coding:
        effort = request.reasoning_effort
        if wanted == "disabled" or (effort is not None and effort not in model.efforts):
            raise ApiError(
                "1210",
                detail_zh="该模型始终思考，不支持关闭思考；请使用 low、high 或 max。",
                detail_en="This model always engages in thinking and cannot be disabled; please use low, high, or max",
            )
        return True
    return None if wanted is None else wanted == "enabled"


def _clear_thinking(request: ChatRequest, model: Model, surface: Surface) -> bool | None:
    """Whether earlier reasoning is left out of the prompt; None leaves it to the chat template, which does so.

    The templates of models that always think keep it unless told otherwise (api.md §13.1), bigmodel.cn does not.
    """
    asked = request.thinking.clear_thinking if request.thinking is not None else None
    if asked is not None or model.thinking in ("none", "in_content"):
        return asked
    if surface.coding:
        return False
    return True if model.thinking == "always" else None


def _max_tokens(request: ChatRequest, model: Model) -> int:
    """What the caller asked for, in either field."""
    asked = request.max_tokens if request.max_tokens is not None else request.max_completion_tokens
    assert asked is not None
    if not 1 <= asked <= model.max_tokens or asked != int(asked):
        field = "max_tokens" if request.max_tokens is not None else "max_completion_tokens"
        raise ApiError(
            "1210",
            detail_zh=f"{field}参数非法：限制数值范围[1,{model.max_tokens}]",
            detail_en=f"{field} is invalid: the range is [1,{model.max_tokens}]",
        )
    return int(asked)


def prompt_bound(
    request: ChatRequest,
    body: bytes,
    messages: list[Message] | None = None,
    context_tokens: int = UNBOUNDED,
    *,
    relayed: bool = False,
) -> int:
    """Tokens that the prompt has at most: a token is never less than a byte, and JSON is longer than a template.

    Media that the platform prepares come on top when they are known. `relayed`: another platform answers, which gets
    every field, fetches what `messages` (None: plain ones) name, and runs tools of its own: these are allowed for, up
    to the model's `context_tokens`.
    """
    if relayed:
        bound = len(body) + min(_allowed_for(messages or (), request), context_tokens)
    elif request.tools or request.response_format is not None:
        bound = len(body)
    else:
        return len(request.messages) + _TEMPLATE_TOKENS
    if request.tools or request.response_format is not None:
        bound += _TOOL_TEMPLATE_TOKENS
    return bound + _TEMPLATE_TOKENS


def _allowed_for(messages: Iterable[Message], request: ChatRequest) -> int:
    """Tokens that an upstream may add to the prompt for what it fetches and finds."""
    tokens = 0
    for message in messages:
        if message.content is not None and not isinstance(message.content, str):
            tokens += sum(_RELAYED_TOKENS.get(part.type, _RELAYED_FILE_TOKENS) for part in message.content)
    for tool in request.tools or ():
        if tool.get("type") != "function":
            tokens += _PLATFORM_TOOL_TOKENS
    return tokens


def completion_bound(generation: Generation, profile: Profile) -> int:
    """Tokens that the answer has at most. An engine that was not told is stopped there."""
    cap = profile.max_output_tokens
    return generation.max_tokens if cap is None or cap > generation.max_tokens else cap
