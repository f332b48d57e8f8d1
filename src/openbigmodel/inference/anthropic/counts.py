"""Tokens as Anthropic counts them, and what is said where nobody has counted.

`input_tokens` is what was *not* read from the cache: Anthropic's total of a prompt is the sum of `input_tokens`,
`cache_read_input_tokens` and `cache_creation_input_tokens`, and clients add them up to show how full the context is.
The one recording (api.md §6) has nothing from the cache and fits both ways of counting. GLM's cache fills itself, so
nothing is ever written to it at the caller's wish.
"""

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.anthropic.conversation import MEDIA_TOKENS
from openbigmodel.inference.anthropic.read import ReplyWishes

# Of prose a token has 4.2 to 5 bytes, of code and JSON some 3.5; who asks wants to know whether it fits.
_BYTES_PER_TOKEN = 4
_TEMPLATE_TOKENS = 8


class ServerToolUse(msgspec.Struct, gc=False):
    """What the platform itself has done."""

    web_search_requests: int = 0


class Counts(msgspec.Struct, gc=False):
    """The usage of a message that has begun."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    service_tier: str = "standard"


class OutputDetails(msgspec.Struct, gc=False):
    """Part of the output that was reasoning, shown or not."""

    thinking_tokens: int


class FinalCounts(Counts, gc=False):
    """The usage of a complete message."""

    server_tool_use: ServerToolUse = msgspec.field(default_factory=ServerToolUse)
    output_tokens_details: OutputDetails = msgspec.field(default_factory=lambda: OutputDetails(0))


def reply_usage(usage: Usage) -> FinalCounts:
    """What a message says of its own usage."""
    return FinalCounts(
        usage.prompt_tokens - usage.cached_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        output_tokens_details=OutputDetails(usage.reasoning_tokens),
    )


def estimated_prompt(wishes: ReplyWishes) -> int:
    """Tokens of a prompt that no engine has counted, rather many than few."""
    return -(-wishes.prompt_bytes // _BYTES_PER_TOKEN) + _TEMPLATE_TOKENS + MEDIA_TOKENS * wishes.media
