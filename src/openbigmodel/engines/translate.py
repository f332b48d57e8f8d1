"""A GLM chat request in the words of an OpenAI-compatible engine.

The allow-list is the type: only what is written here reaches an engine, so a caller cannot steer one with
fields that the platform does not know (reliability.md §2.4). How engines differ is a `Profile`, data only.
"""

from typing import Any, Literal

import msgspec

from openbigmodel.schemas.chat import ChatRequest, Message, ResponseFormat, ToolCall
from openbigmodel.schemas.engine import EngineRequest

# Tool kinds that the platform itself has to run; an engine knows only functions (api.md §3.4).
ENGINE_TOOL_TYPE = "function"


class Profile(msgspec.Struct, frozen=True):
    """How one kind of engine differs from the others.

    `always_stream`: ask for a stream even when the caller wants one body, to see tokens as they come.
    `counts_in_chunks`: each chunk carries llama-server's counters.
    `thinking_always_said`: send `enable_thinking` also when the caller was silent.
    `keep_alive`: connections may be reused.
    `greedy_by_default`: a caller who names no temperature gets the most likely answer.
    `compiles_schemas`: turns schemas and forced calls into grammars, some of which stop it for good.
    `speaks_glm`: bigmodel.cn itself or another Open BigModel, which takes GLM's own fields.
    `max_output_tokens`: the most that this engine may produce for one request.
    `running_usage`: each chunk can carry the counts so far (`stream_options.continuous_usage_stats`), so that an
    answer that breaks off can be billed to the token. Chunks that all differ cost the relay 4 µs more each.
    `prompt_counter`: how the engine tells the size of a prompt without answering it: `input_tokens`, the chat
    request itself to `/chat/completions/input_tokens`; `tokenize`, its messages to `/tokenize` at the server's root.
    """

    name: str
    always_stream: bool = False
    counts_in_chunks: bool = False
    thinking_always_said: bool = False
    keep_alive: bool = True
    greedy_by_default: bool = False
    speaks_glm: bool = False
    compiles_schemas: bool = False
    max_output_tokens: int | None = None
    running_usage: bool = False
    prompt_counter: Literal["", "input_tokens", "tokenize"] = ""


# Any engine that speaks the OpenAI protocol.
OPENAI = Profile(name="openai")
# bigmodel.cn, api.z.ai, another Open BigModel.
GLM = Profile(name="glm", speaks_glm=True)
# llama-server resets reused connections after a stream (engine.md §2.4, 5).
LLAMA_SERVER = Profile(
    name="llama-server",
    always_stream=True,
    counts_in_chunks=True,
    thinking_always_said=True,
    keep_alive=False,
    compiles_schemas=True,
    prompt_counter="input_tokens",
)
# vLLM, and what counts as it does.
VLLM = Profile(name="vllm", running_usage=True, prompt_counter="tokenize")


class Generation(msgspec.Struct, frozen=True):
    """What the platform decided about a request before any engine is asked.

    `thinking` is what the caller or the model's rules say, None when neither does; `thinking_default` is then
    what an engine that must be told is told. `clear_thinking` is None when nobody has an opinion. `effort` is the model's own word for the reasoning effort.
    `max_tokens` bounds the answer; `max_tokens_asked` tells a caller's wish from the catalogue's default.
    `temperature` and `top_p` are None when the choice is the engine's; `temperature` 0 is greedy.
    """

    thinking: bool | None
    thinking_default: bool
    clear_thinking: bool | None
    effort: str | None
    max_tokens: int
    max_tokens_asked: bool
    temperature: float | None
    top_p: float | None


_COUNTING_KEYWORDS = frozenset(
    ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
)
_MAX_COUNTED = 1000
_ENCODE = msgspec.json.Encoder().encode
_INCLUDE_USAGE = {"include_usage": True}
_RUNNING_USAGE = {"include_usage": True, "continuous_usage_stats": True}


def to_openai(
    request: ChatRequest,
    messages: list[Message] | None,
    target: str,
    generation: Generation,
    profile: Profile,
) -> bytes:
    """The body for `POST /chat/completions` of an engine that knows the model as `target`.

    `messages` is None when the request's own can be sent on as they came.
    """
    stream = bool(request.stream) or profile.always_stream
    body = EngineRequest(
        model=target,
        messages=request.messages if messages is None else [_message(message) for message in messages],
        stream=stream,
        temperature=generation.temperature,
        top_p=generation.top_p,
        stop=_stops(request.stop) if request.stop else None,
        seed=request.seed,
    )
    if profile.max_output_tokens is not None:
        body.max_tokens = min(generation.max_tokens, profile.max_output_tokens)
    elif generation.max_tokens_asked:
        # Unasked, an engine fits the answer to its context; the catalogue's default may be more than it has.
        body.max_tokens = generation.max_tokens
    if profile.greedy_by_default and request.temperature is None and request.top_p is None:
        body.temperature, body.top_p = 0.0, None
    if request.tools:
        if profile.speaks_glm:
            # It runs the platform's tools (web_search, retrieval, mcp) itself.
            body.tools, body.tool_choice = request.tools, request.tool_choice
        else:
            _add_tools(body, request, profile)
    if request.response_format is not None and request.response_format.type != "text":
        wanted = request.response_format
        if profile.compiles_schemas and wanted.json_schema is not None:
            wanted = ResponseFormat(type=wanted.type, json_schema=_tamed(wanted.json_schema))
        body.response_format = wanted
    if profile.speaks_glm:
        _add_glm_fields(body, request, generation)
        return _ENCODE(body)
    if stream:
        # Forced on: a stream that could opt out of its usage could not be billed.
        body.stream_options = _RUNNING_USAGE if profile.running_usage else _INCLUDE_USAGE
        if profile.counts_in_chunks:
            body.timings_per_token = True
            # llama-server notices that its reader has left when it has something to tell: so it reports on long
            # prompts too, and a slot is free within 0.3 s instead of after the whole prompt (docs/engine-notes.md).
            body.return_progress = True
    _add_template_arguments(body, generation, profile)
    return _ENCODE(body)


def _stops(stop: str | list[str]) -> list[str] | None:
    """Stop words without empty ones, with which every answer would end before it begins."""
    return [word for word in ([stop] if isinstance(stop, str) else stop) if word] or None


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    result: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": content
        if content is None or isinstance(content, str)
        else "".join(p.text or "" for p in content),
    }
    if message.reasoning_content:
        result["reasoning_content"] = message.reasoning_content
    if message.tool_calls:
        result["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.role == "tool":
        result["tool_call_id"] = message.tool_call_id or ""
        result["content"] = result["content"] or ""
    return result


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


def _add_tools(body: EngineRequest, request: ChatRequest, profile: Profile) -> None:
    """Function tools and the choice among them.

    With "none" the tools are left out altogether: engines that are told "none" still render them into the
    prompt, and the model's call then leaks as text (engine.md §2.4, 9). A named function becomes the only tool,
    which every engine understands.
    """
    choice = request.tool_choice
    if choice == "none":
        return
    tools = [_function_tool(tool) for tool in request.tools or () if tool.get("type") == ENGINE_TOOL_TYPE]
    if isinstance(choice, dict):
        wanted = choice.get("function", {}).get("name")
        tools = [tool for tool in tools if tool["function"]["name"] == wanted]
    if not tools:
        return
    body.tools = [_tamed(tool) for tool in tools] if profile.compiles_schemas else tools
    if profile.compiles_schemas:
        # It lets the model say anything before the call that it waits for, to the end of its tokens; so this is
        # "auto" here, as it is on bigmodel.cn (api.md §14).
        return
    if choice == "required" or isinstance(choice, dict):
        body.tool_choice = "required"


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


def _function_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function without its nulls: some engines take a null description for a fault of their own."""
    function = {name: value for name, value in tool["function"].items() if value is not None}
    return {"type": ENGINE_TOOL_TYPE, "function": function}


def _add_template_arguments(body: EngineRequest, generation: Generation, profile: Profile) -> None:
    """Thinking is a matter of the chat template: vLLM, SGLang and llama-server take its arguments alike."""
    thinking = generation.thinking
    if thinking is None and profile.thinking_always_said:
        thinking = generation.thinking_default
    arguments: dict[str, Any] = {}
    if thinking is not None:
        arguments["enable_thinking"] = thinking
    if thinking is not False:
        if generation.clear_thinking is not None:
            arguments["clear_thinking"] = generation.clear_thinking
        if generation.effort is not None:
            arguments["reasoning_effort"] = generation.effort
    if arguments:
        body.chat_template_kwargs = arguments


def _add_glm_fields(body: EngineRequest, request: ChatRequest, generation: Generation) -> None:
    """What only GLM's own protocol has. What the caller left open stays open, but for what our base decides.

    The Coding Plan base keeps reasoning by default; an upstream that is reached by its other base would not.
    """
    thinking: dict[str, Any] = {}
    if request.thinking is not None and request.thinking.type is not None:
        thinking["type"] = request.thinking.type
    if generation.clear_thinking is False or (
        request.thinking and request.thinking.clear_thinking is not None
    ):
        thinking["clear_thinking"] = generation.clear_thinking
    body.thinking = thinking or None
    body.reasoning_effort = request.reasoning_effort
    body.do_sample = request.do_sample
    body.tool_stream = request.tool_stream
