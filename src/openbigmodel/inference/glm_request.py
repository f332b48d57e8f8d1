"""A caller's request for an upstream that speaks GLM itself: the caller's own JSON, with another model's name in it.

Nothing else is interpreted: unknown fields, integers of any size, floats as they were written and media URLs reach the
upstream byte for byte. Three members of ours go in, and only when they apply, beside what the caller has written there:

    thinking.clear_thinking      false on the Coding Plan base, unless the caller has said it
    max_tokens                   the bound of an engine that has one, for callers who ask for more or do not say
    stream_options.include_usage true where the caller says anything there: a stream without could not be charged

A top-level name that comes twice goes out once, with its last value, at the first one's place: that value is the one
that was checked and is paid for (msgspec lets the last one win), whereas an upstream might take the first.
"""

import msgspec

from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.translate import Generation
from openbigmodel.errors import ApiError
from openbigmodel.schemas.chat import ChatRequest

# A JSON object whose values stay as they were written.
Members = dict[str, msgspec.Raw]
read_members = msgspec.json.Decoder(Members, float_hook=float).decode
_ENCODE = msgspec.json.Encoder().encode
_FALSE = msgspec.Raw(b"false")
_TRUE = msgspec.Raw(b"true")
_NULL = msgspec.Raw(b"null")


def request_for_upstream(
    body: bytes, target: str, request: ChatRequest, generation: Generation, profile: Profile
) -> bytes:
    """The body for `POST /chat/completions` of an upstream that knows the model as `target`.

    `request` is what `body` was read as. Raises ApiError 1210 where only luck has let it through so far: nested to the
    very limit, or a name that is no text.
    """
    try:
        members = read_members(body)
        members["model"] = msgspec.Raw(_ENCODE(target))
        if generation.clear_thinking is False:
            _keep_reasoning(members, request)
        # Null is as good as absent (api.md §3.1).
        if request.stream and members.get("stream_options", _NULL) != _NULL:
            _tell_usage(members)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(
            "1210", detail_zh="请求体无法转发。", detail_en="The request body cannot be passed on."
        ) from error
    if profile.max_output_tokens is not None:
        _bound_answer(members, request, generation, profile.max_output_tokens)
    return _ENCODE(members)


def _keep_reasoning(members: Members, request: ChatRequest) -> None:
    """The Coding Plan base keeps reasoning by default; an upstream that is reached by its other base would not."""
    asked = request.thinking
    if asked is not None and asked.clear_thinking is not None:
        return
    thinking = {} if asked is None else read_members(members["thinking"])
    members["thinking"] = msgspec.Raw(_ENCODE({**thinking, "clear_thinking": _FALSE}))


def _tell_usage(members: Members) -> None:
    try:
        options = read_members(members["stream_options"])
    except msgspec.ValidationError:
        # No object, so it says nothing that could be kept.
        options = {}
    members["stream_options"] = msgspec.Raw(_ENCODE({**options, "include_usage": _TRUE}))


def _bound_answer(members: Members, request: ChatRequest, generation: Generation, most: int) -> None:
    """The engine's own bound, for callers who ask for more or do not say."""
    if request.max_tokens is None and request.max_completion_tokens is None:
        members["max_tokens"] = msgspec.Raw(_ENCODE(min(generation.max_tokens, most)))
    if request.max_tokens is not None and request.max_tokens > most:
        members["max_tokens"] = msgspec.Raw(_ENCODE(most))
    if request.max_completion_tokens is not None and request.max_completion_tokens > most:
        members["max_completion_tokens"] = msgspec.Raw(_ENCODE(most))
