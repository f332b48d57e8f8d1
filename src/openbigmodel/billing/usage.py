"""Measured usage of one request, in tokens."""

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False):
    """`cached_tokens` is part of `prompt_tokens`, `reasoning_tokens` part of `completion_tokens`.

    `measured` is False when the engine never said its final counts and these are the platform's own, which
    never exceed what was produced.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    measured: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.cached_tokens <= self.prompt_tokens
        assert 0 <= self.reasoning_tokens <= self.completion_tokens
