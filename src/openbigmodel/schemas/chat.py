"""Chat completions on the wire: the request of a caller and the reply of a caller (api.md §3).

Unknown fields are ignored and null means absent, as on bigmodel.cn. What the types cannot say (ranges, which
fields go together) is said in `inference/chat_request.py`.
"""

from typing import Any, Literal

import msgspec

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Thinking(msgspec.Struct, gc=False):
    """Whether the model reasons before it answers (api.md §3.5)."""

    type: Literal["enabled", "disabled"] | None = None
    clear_thinking: bool | None = None


class FunctionCall(msgspec.Struct, gc=False):
    """A call that the model made. `arguments` is a JSON text; some clients send the object itself."""

    name: str
    arguments: str | dict[str, Any] | None = None


class ToolCall(msgspec.Struct, gc=False):
    """One entry of an assistant message's `tool_calls`."""

    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None


class MediaUrl(msgspec.Struct, gc=False):
    """An image or a video: a URL, a data URL or bare base64 (api.md §3.1)."""

    url: str


class FilePart(msgspec.Struct, gc=False, omit_defaults=True):
    """A file that the model shall read, in one of three ways."""

    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None


class AudioPart(msgspec.Struct, gc=False, omit_defaults=True):
    """Sound in base64; `format` is wav or mp3."""

    data: str
    format: str | None = None


class ContentPart(msgspec.Struct, gc=False, omit_defaults=True):
    """One part of a message whose content is a list; `type` says which of the other fields counts."""

    type: str
    text: str | None = None
    image_url: str | MediaUrl | None = None
    video_url: str | MediaUrl | None = None
    file: FilePart | None = None
    file_url: str | MediaUrl | None = None
    input_audio: AudioPart | None = None


class Message(msgspec.Struct, gc=False):
    """One message of the conversation. `developer` is what newer OpenAI clients call `system`."""

    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class ResponseFormat(msgspec.Struct, gc=False, omit_defaults=True):
    """Free text, any JSON object, or JSON of a given schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class Finding(msgspec.Struct, frozen=True, gc=False):
    """Something sensitive: how severe, 0 being worst and 3 slight, and in whose part of it all (api.md §8.3)."""

    level: int
    role: Literal["user", "assistant", "history"]


class SensitiveWordCheck(msgspec.Struct, gc=False):
    """`DISABLE` as the status switches moderation off, for accounts that may (api.md §3.1)."""

    type: str | None = None
    status: str | None = None


class PlainMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The most common message by far: nothing but a role and a text, so it can be sent on as it came."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, gc=False):
    """The body of `POST …/chat/completions` (api.md §3.1).

    `messages` stays as it came; it is a list of Message.
    """

    model: str
    messages: msgspec.Raw
    stream: bool | None = None
    thinking: Thinking | None = None
    reasoning_effort: ReasoningEffort | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    tool_stream: bool | None = None
    response_format: ResponseFormat | None = None
    # The official SDK's own tests send a float (api.md §3.1).
    request_id: str | int | float | None = None
    user_id: str | int | float | None = None
    sensitive_word_check: SensitiveWordCheck | None = None
    seed: int | None = None
    # Unknown to bigmodel.cn and so never an error; only some engines are told (engines/profiles.py).
    top_k: Any = None
    min_p: Any = None
    repetition_penalty: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None


class CachedTokens(msgspec.Struct, gc=False):
    """Part of the prompt that came from the engine's prefix cache."""

    cached_tokens: int


class ReasoningTokens(msgspec.Struct, gc=False):
    """Part of the completion that was reasoning."""

    reasoning_tokens: int


class ReplyUsage(msgspec.Struct, gc=False, omit_defaults=True):
    """Token counts in a stream's last chunk; the details are missing for some models (api.md §3.3)."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens | None = None
    completion_tokens_details: ReasoningTokens | None = None


class ReplyFunction(msgspec.Struct, gc=False):
    """A call's function in a chunk."""

    name: str
    arguments: str


class ReplyToolCall(msgspec.Struct, gc=False):
    """A tool call in a chunk. Each field is a string in every fragment: clients insist (api.md §3.6)."""

    index: int
    id: str
    type: str
    function: ReplyFunction


# A body that is not streamed has its keys in alphabetical order (api.md §1.1), hence the order of the fields below.


class BodyFunction(msgspec.Struct, gc=False):
    """A call's function."""

    arguments: str
    name: str


class BodyToolCall(msgspec.Struct, gc=False):
    """A tool call. Unlike OpenAI's, it carries its index outside streams too (api.md §3.3)."""

    function: BodyFunction
    id: str
    index: int
    type: str = "function"


class BodyMessage(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """The answer."""

    content: str
    reasoning_content: str | None = None
    role: Literal["assistant"]
    tool_calls: list[BodyToolCall] | None = None


class BodyChoice(msgspec.Struct, gc=False):
    """The one choice."""

    finish_reason: str
    index: int
    message: BodyMessage


class BodyUsage(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """Token counts; the details are missing for some models (api.md §3.3)."""

    completion_tokens: int
    completion_tokens_details: ReasoningTokens | None = None
    prompt_tokens: int
    prompt_tokens_details: CachedTokens | None = None
    total_tokens: int


class ReplyBody(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """A chat completion. `content_filter` is there only when moderation has found something (api.md §3.3)."""

    choices: list[BodyChoice]
    content_filter: tuple[Finding, ...] = ()
    created: int
    id: str
    model: str
    object: str
    request_id: str
    usage: BodyUsage
