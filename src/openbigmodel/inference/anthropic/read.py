"""A Messages request as a GLM request (api.md §6).

What GLM has no word for does no harm: `cache_control`, `context_management`, `service_tier`, betas and whatever comes
next are ignored. What GLM's models cannot do is not done: there is no thinking budget, and `max_tokens` beyond the
model's own is taken for that, since clients ask for what Anthropic's models have.

A caller who does not ask for thinking gets none to see, as at Anthropic: programs read `content[0].text`. Where a model
thinks whatever it is told, it is told to think little, and that is kept from the caller.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from openbigmodel.catalog import Model
from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.conversation import Conversation
from openbigmodel.inference.anthropic.fields import Origins
from openbigmodel.inference.anthropic.messages import MessagesRequest, decode_request
from openbigmodel.inference.anthropic.tools import ToolNames, glm_tool_choice, glm_tools
from openbigmodel.inference.chat_request import MAX_USER_ID_CHARACTERS
from openbigmodel.schemas.chat import ChatRequest, ReasoningEffort, ResponseFormat
from openbigmodel.schemas.chat import Thinking as GlmThinking

_MIN_USER_ID_CHARACTERS = 6
_MIN_TOP_P = 0.01
_STRONGER_EFFORTS: dict[ReasoningEffort, ReasoningEffort] = {"medium": "high", "xhigh": "max"}
_ENCODE = msgspec.json.Encoder().encode

Shown = Literal["text", "sign", "nothing"]
ModelFinder = Callable[[str], Model | None]


class ReplyWishes(msgspec.Struct, gc=False):
    """What the reply's writer needs to know of the request.

    `thinking`: the text of it is shown, or only that there was some, or nothing. `names` are the caller's names of
    tools by GLM's. `one_call`: at most one tool is called at a time. `prompt_bytes` is the size of the
    prompt as JSON, without the `media` in it.
    """

    thinking: Shown = "nothing"
    names: dict[str, str] = {}
    one_call: bool = False
    stop_sequences: tuple[str, ...] = ()
    prompt_bytes: int = 0
    media: int = 0
    origins: Origins = msgspec.field(default_factory=Origins)


def read_messages_request(
    body: bytes, model_of: ModelFinder, *, thinking_optional: bool = False, counting: bool = False
) -> tuple[ChatRequest, bytes, ReplyWishes]:
    """A request, the JSON of it in GLM's words, and what its reply depends on.

    `thinking_optional`: every model can be told not to think. `counting`: nothing is to be answered, so nobody says how
    long an answer may be. Raises ApiError 1210, 1213 or 1214 with Anthropic's names of fields.
    """
    asked = decode_request(body)
    if asked.max_tokens is None and not counting:
        raise ApiError("1213", field="max_tokens")
    model = model_of(asked.model)
    names = ToolNames()
    conversation = Conversation(names)
    if asked.system:
        conversation.add_system(asked.system)
    for index, message in enumerate(asked.messages):
        conversation.add(message, index)
    tools, origins = glm_tools(asked.tools or [], names)
    choice = asked.tool_choice
    thinks, effort = _thinking(asked, model, thinking_optional=thinking_optional)
    messages = conversation.encoded()
    request = ChatRequest(
        model=asked.model,
        messages=msgspec.Raw(messages),
        stream=bool(asked.stream),
        thinking=None if thinks is None else GlmThinking(type="enabled" if thinks else "disabled"),
        reasoning_effort=effort,
        temperature=asked.temperature,
        top_p=_top_p(asked.top_p),
        top_k=asked.top_k,
        max_tokens=_max_tokens(asked, model),
        stop=asked.stop_sequences or None,
        tools=tools or None,
        tool_choice=None if choice is None else glm_tool_choice(choice, tools, names),
        tool_stream=True if asked.stream and tools else None,
        response_format=_response_format(asked),
        user_id=_user_id(asked),
    )
    wishes = ReplyWishes(
        thinking=_shown(asked),
        names=names.long(),
        one_call=choice is not None and choice.disable_parallel_tool_use is True,
        stop_sequences=tuple(asked.stop_sequences or ()),
        prompt_bytes=len(messages) - conversation.media_bytes + (len(_ENCODE(tools)) if tools else 0),
        media=conversation.media,
        origins=Origins(conversation.origins, origins),
    )
    return request, _body(request), wishes


def _body(request: ChatRequest) -> bytes:
    """Only what is there: what is absent must stay so on its way to an upstream of our own kind."""
    fields: dict[str, Any] = {
        name: value for name in request.__struct_fields__ if (value := getattr(request, name)) is not None
    }
    if request.thinking is not None:
        fields["thinking"] = {"type": request.thinking.type}
    if request.stream is False:
        del fields["stream"]
    return _ENCODE(fields)


def _thinking(
    asked: MessagesRequest, model: Model | None, *, thinking_optional: bool
) -> tuple[bool | None, ReasoningEffort | None]:
    """Whether to think, None where that is not to be said, and with which effort."""
    effort: ReasoningEffort | None = asked.output_config.effort if asked.output_config is not None else None
    if model is None:
        return None, effort
    if effort is not None and model.efforts and effort not in model.efforts:
        effort = _STRONGER_EFFORTS.get(effort, effort)
    if _wants_thinking(asked):
        return (True if model.thinking in ("dynamic", "always") else None), effort
    if model.thinking == "dynamic" or (model.thinking == "always" and thinking_optional):
        return False, effort
    if model.thinking == "always" and "low" in model.efforts:
        # With which glm-5.3 does not reason at all most of the time (api.md §3.5).
        return None, effort or "low"
    return None, effort


def _wants_thinking(asked: MessagesRequest) -> bool:
    return asked.thinking is not None and asked.thinking.type in ("enabled", "adaptive")


def _shown(asked: MessagesRequest) -> Shown:
    if not _wants_thinking(asked):
        return "nothing"
    assert asked.thinking is not None
    return "sign" if asked.thinking.display == "omitted" else "text"


def _max_tokens(asked: MessagesRequest, model: Model | None) -> int | None:
    if asked.max_tokens is None or model is None:
        return asked.max_tokens
    return min(asked.max_tokens, model.max_tokens)


def _top_p(top_p: float | None) -> float | None:
    """Anthropic's range begins at 0, GLM's just above."""
    return _MIN_TOP_P if top_p is not None and 0.0 <= top_p < _MIN_TOP_P else top_p


def _response_format(asked: MessagesRequest) -> ResponseFormat | None:
    wanted = asked.output_format
    if asked.output_config is not None and asked.output_config.format is not None:
        wanted = asked.output_config.format
    if wanted is None:
        return None
    named = {"name": "output", "schema": wanted.schema, "strict": True}
    return ResponseFormat(type="json_schema", json_schema=named)


def _user_id(asked: MessagesRequest) -> str | None:
    """Anthropic takes any length, GLM 6 to 128 characters (api.md §3.1); Claude Code's have 159 and more."""
    user_id = asked.metadata.user_id if asked.metadata is not None else None
    if not user_id:
        return None
    if _MIN_USER_ID_CHARACTERS <= len(user_id) <= MAX_USER_ID_CHARACTERS:
        return user_id
    return hashlib.sha256(user_id.encode()).hexdigest()
