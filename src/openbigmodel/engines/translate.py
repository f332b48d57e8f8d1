"""A GLM chat request in the words of an OpenAI-compatible engine.

The allow-list is the type: only what is written here reaches an engine, so a caller cannot steer one with
fields that the platform does not know (reliability.md §2.4). How engines differ is in `profiles.py`, as data.
Messages and tools have files of their own. docs/reference/engines.md shows what becomes of each field.
"""

from typing import Any

import msgspec

from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.translate_messages import engine_message
from openbigmodel.engines.translate_tools import add_tools, answer_format
from openbigmodel.schemas.chat import ChatRequest, Message
from openbigmodel.schemas.engine import EngineRequest


class Generation(msgspec.Struct, frozen=True):
    """What the platform decided about a request before any engine is asked.

    `thinking` is what the caller or the model's rules say, None when neither does; `thinking_default` is then
    what an engine that must be told is told. `clear_thinking` is None when nobody has an opinion. `effort` is the
    model's own word for the reasoning effort.
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


# Of each extra, the least and the most that means something; beyond that it is left out, as every unknown field is.
_EXTRA_BOUNDS = {
    "top_k": (1, 1_000_000),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}
_MOST_EFFORT = "high"
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

    `messages` is None when the request's own can be sent on as they came. Raises ApiError 1210 for a content part
    that the engine does not take.
    """
    stream = bool(request.stream) or profile.always_stream
    body = EngineRequest(
        model=target,
        messages=request.messages
        if messages is None
        else [engine_message(index, message, profile) for index, message in enumerate(messages)],
        stream=stream,
        max_tokens=_max_tokens(generation, profile),
        temperature=generation.temperature,
        top_p=generation.top_p,
        stop=_stops(request.stop) if request.stop else None,
        seed=request.seed,
    )
    if profile.greedy_by_default and request.temperature is None and request.top_p is None:
        body.temperature, body.top_p = 0.0, None
    if request.tools:
        add_tools(body, request, profile)
    if request.response_format is not None:
        body.response_format = answer_format(request.response_format, profile)
    if stream:
        # Forced on: a stream that could opt out of its usage could not be billed.
        body.stream_options = _RUNNING_USAGE if profile.running_usage else _INCLUDE_USAGE
    return _with(body, _fields_of_few(body, request, generation, profile))


def _with(body: EngineRequest, more: dict[str, Any]) -> bytes:
    """Fields that few requests have stand behind the others: each one in the type would cost every request."""
    encoded = _ENCODE(body)
    return encoded[:-1] + b"," + _ENCODE(more)[1:] if more else encoded


def _max_tokens(generation: Generation, profile: Profile) -> int | None:
    """The limit that the engine is told. Unasked, one without a limit of its own fits the answer to its context."""
    most = generation.max_tokens
    if profile.max_output_tokens is not None:
        most = min(most, profile.max_output_tokens)
    elif not generation.max_tokens_asked:
        # The catalogue's default may be more than the engine has.
        return None
    # As much as the whole context, or more, is refused, and means the same as no limit.
    return None if profile.context_tokens is not None and most >= profile.context_tokens else most


def _stops(stop: str | list[str]) -> list[str] | None:
    """Stop words without empty ones, with which every answer would end before it begins."""
    return [word for word in ([stop] if isinstance(stop, str) else stop) if word] or None


def _fields_of_few(
    body: EngineRequest, request: ChatRequest, generation: Generation, profile: Profile
) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if profile.counts_in_chunks and body.stream:
        more["timings_per_token"] = True
        # llama-server notices that its reader has left when it has something to tell: so it reports on long
        # prompts too, and a slot is free within 0.3 s instead of after the whole prompt (docs/engine-notes.md).
        more["return_progress"] = True
    _add_thinking(more, generation, profile)
    if profile.extras:
        _add_extras(more, request, profile)
    if profile.parse:
        more.update(profile.raw_fields)
        if body.tools is None:
            more.pop("tool_choice", None)
    return more


def _add_thinking(more: dict[str, Any], generation: Generation, profile: Profile) -> None:
    thinking = generation.thinking
    if thinking is None and profile.thinking_always_said:
        thinking = generation.thinking_default
    effort = generation.effort if thinking is not False else None
    if thinking is None and effort is None and generation.clear_thinking is None:
        return
    if profile.thinking == "effort":
        if thinking is False:
            more["reasoning_effort"] = profile.efforts["none"]
        elif thinking or effort is not None:
            more["reasoning_effort"] = profile.efforts.get(effort or _MOST_EFFORT, _MOST_EFFORT)
        return
    arguments: dict[str, Any] = {}
    if thinking is not None:
        arguments["enable_thinking"] = thinking
        if profile.thinking == "field":
            more["enable_thinking"] = thinking
    if thinking is not False and profile.clears_thinking and generation.clear_thinking is not None:
        arguments["clear_thinking"] = generation.clear_thinking
    if effort is not None:
        (arguments if profile.effort == "template" else more)["reasoning_effort"] = effort
    if arguments:
        more["chat_template_kwargs"] = arguments


def _add_extras(more: dict[str, Any], request: ChatRequest, profile: Profile) -> None:
    for name in profile.extras:
        value = getattr(request, name)
        if value is None:
            continue
        least, most = _EXTRA_BOUNDS[name]
        number = isinstance(value, int if name == "top_k" else int | float) and not isinstance(value, bool)
        if number and least <= value <= most:
            more[name] = value
