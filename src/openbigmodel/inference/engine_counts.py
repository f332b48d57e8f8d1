"""What an engine says of its own counts, in whatever shape: an answer does not die of how its tokens are told.

Rule: a count is a whole number from 0 on, also one written as 20.0; anything else is no count, as if it had not been
said. Nearly every engine writes them as they should be, so this is only asked when the quick way has failed.
"""

from typing import Any

import msgspec

from openbigmodel.schemas.engine import (
    Choice,
    CompletionDetails,
    EngineReply,
    EngineUsage,
    PromptDetails,
    Timings,
)


class _Reply(msgspec.Struct, gc=False):
    """An EngineReply whose counts are yet to be judged."""

    choices: list[Choice] | None = None
    usage: Any = None
    timings: Any = None
    error: Any = None


_DECODE = msgspec.json.Decoder(_Reply, float_hook=float).decode


def read_patiently(data: bytes) -> EngineReply:
    """A chunk or a complete reply, with what can be understood of its counts. Raises msgspec.MsgspecError."""
    reply = _DECODE(data)
    return EngineReply(reply.choices or [], usage_of(reply.usage), timings_of(reply.timings), reply.error)


def usage_of(value: Any) -> EngineUsage | None:
    """A usage object; None for what is none."""
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    return EngineUsage(
        prompt_tokens=_count(value.get("prompt_tokens")),
        completion_tokens=_count(value.get("completion_tokens")),
        reasoning_tokens=_count(value.get("reasoning_tokens")),
        prompt_tokens_details=PromptDetails(_count(prompt.get("cached_tokens")))
        if isinstance(prompt, dict)
        else None,
        completion_tokens_details=CompletionDetails(_count(completion.get("reasoning_tokens")))
        if isinstance(completion, dict)
        else None,
    )


def timings_of(value: Any) -> Timings | None:
    """Counters of llama-server; None if they do not say what was produced."""
    if not isinstance(value, dict):
        return None
    produced = _count(value.get("predicted_n"))
    if produced is None:
        return None
    return Timings(_count(value.get("cache_n")) or 0, _count(value.get("prompt_n")) or 0, produced)


def _count(value: Any) -> int | None:
    # True is an int to Python.
    whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    return int(value) if whole and value >= 0 else None
