"""What an OpenAI-compatible engine is asked, and of its answer the fields that the relay reads.

vLLM, SGLang, llama-server and Ollama agree on these; `reasoning` is vLLM's newer name for `reasoning_content`,
`timings` is llama-server's.
"""

from typing import Any

import msgspec

from openbigmodel.schemas.chat import ResponseFormat


class EngineRequest(msgspec.Struct, gc=False, omit_defaults=True):
    """What every OpenAI-compatible engine may be asked. What only one kind takes is added by `engines/translate.py`."""

    model: str
    messages: msgspec.Raw | list[dict[str, Any]]
    stream: bool
    stream_options: dict[str, bool] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None


class FunctionDelta(msgspec.Struct, gc=False):
    """A function's name and a piece of its arguments."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct, gc=False):
    """A piece of the call with this index."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(msgspec.Struct, gc=False):
    """What one chunk adds; the same fields make up a complete message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class Choice(msgspec.Struct, gc=False):
    """`delta` in a stream, `message` in a complete reply.

    What made the engine stop is vLLM's `stop_reason` and SGLang's `matched_stop`: a stop sequence, a token's number or
    nothing.
    """

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    matched_stop: Any = None


class PromptDetails(msgspec.Struct, gc=False):
    """Prefix-cache hits."""

    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Reasoning tokens, where the engine counts them."""

    reasoning_tokens: int | None = None


class EngineUsage(msgspec.Struct, gc=False):
    """The engine's own counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Timings(msgspec.Struct, gc=False):
    """llama-server's counters so far; with `timings_per_token` they come in every chunk."""

    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class EngineReply(msgspec.Struct, gc=False):
    """A chunk of a stream or a complete reply; `error` is how engines fail after status 200."""

    choices: list[Choice] = []
    usage: EngineUsage | None = None
    timings: Timings | None = None
    error: Any = None
