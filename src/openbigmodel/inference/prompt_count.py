"""Asks an engine how many tokens a prompt has, when it never said so: after the caller has left, or was cut off.

Rule: nobody's answer waits for this, but the last chunk of one that moderation has ended. It ends in one call of
`answer`, within COUNT_TIMEOUT_S, whatever the engine does.
"""

import asyncio
from collections.abc import Callable

import msgspec

from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.registry import Call, Engine

COUNT_TIMEOUT_S = 1.0
# vLLM sends the tokens along with their number: some 7 bytes each.
_MAX_ANSWER_BYTES = 8 * 1024 * 1024


class _Answer(msgspec.Struct, gc=False):
    """llama-server says `input_tokens`, vLLM `count`."""

    input_tokens: int | None = None
    count: int | None = None


# What of a chat request makes its prompt.
_PROMPT_FIELDS = ("model", "messages", "tools", "chat_template_kwargs")
_DECODE_ASKED = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DECODE_ANSWER = msgspec.json.Decoder(_Answer, float_hook=float).decode
_ENCODE = msgspec.json.Encoder().encode


class PromptQuestion:
    """One question under way. Consumes the engine's response; `answer` gets the count, None if there is none."""

    __slots__ = ("_answer", "_body", "_call", "_over", "_status", "_timer")

    def __init__(self, engine: Engine, asked: bytes, answer: Callable[[int | None], None]) -> None:
        """Ask `engine` about the prompt of the chat request `asked`, which it was sent before."""
        self._answer = answer
        self._body = bytearray()
        self._status = 0
        self._over = False
        self._call: Call | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(COUNT_TIMEOUT_S, self.give_up)
        try:
            self._call = engine.post(*_question(engine.profile.prompt_counter, asked), self)
        except EngineUnavailable:
            # Not from here: whoever asks must have heard of the question before it hears of its end.
            loop.call_soon(self.give_up)

    def engine_started(self, status: int) -> None:
        """See EngineConsumer."""
        self._status = status

    def engine_data(self, data: bytes) -> None:
        """See EngineConsumer."""
        self._body += data
        if len(self._body) > _MAX_ANSWER_BYTES:
            self.give_up()

    def engine_ended(self) -> None:
        """See EngineConsumer."""
        self._call = None
        self._end(_count(bytes(self._body)) if self._status == 200 else None)

    def engine_failed(self, reason: str) -> None:
        """See EngineConsumer."""
        self._call = None
        self._end(None)

    def give_up(self) -> None:
        """Do without an answer."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._end(None)

    def _end(self, count: int | None) -> None:
        if not self._over:
            self._over = True
            self._timer.cancel()
            self._answer(count)


def _question(counter: str, asked: bytes) -> tuple[str, bytes]:
    """Where to ask, and what."""
    if counter == "input_tokens":
        return "/chat/completions/input_tokens", asked
    assert counter == "tokenize"
    request = _DECODE_ASKED(asked)
    question: dict[str, object] = {name: request[name] for name in _PROMPT_FIELDS if name in request}
    return "/../tokenize", _ENCODE({**question, "add_generation_prompt": True})


def _count(body: bytes) -> int | None:
    try:
        answer = _DECODE_ANSWER(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    count = answer.input_tokens if answer.count is None else answer.count
    # No chat template renders to nothing.
    return count if count and count > 0 else None
