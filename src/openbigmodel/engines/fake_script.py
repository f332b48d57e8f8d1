"""What a scripted engine does and says: the steps of a script, replies that are turned into steps, scripts by name.

Rule: no I/O. `fake.py` plays scripts; a test puts them together, or takes a reply apart and plants a fault.
"""

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec


class Head(msgspec.Struct, frozen=True):
    """The response's head. The body is chunked, or ends with the connection, or has `framing` bytes."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/event-stream"),)
    framing: Literal["chunked", "close"] | int = "chunked"


class Data(msgspec.Struct, frozen=True):
    """Part of the body, framed as the head said; worth so many tokens."""

    data: bytes
    tokens: int = 0


class Raw(msgspec.Struct, frozen=True):
    """Bytes as they are, for what is no HTTP."""

    data: bytes


class Sleep(msgspec.Struct, frozen=True):
    """Say nothing for a while."""

    seconds: float


class Gate(msgspec.Struct, frozen=True):
    """Say nothing until `FakeRequest.open_gate` is called."""


class Stall(msgspec.Struct, frozen=True):
    """Say nothing any more."""


class Reset(msgspec.Struct, frozen=True):
    """Drop the connection with a TCP reset, as a killed process with unread input does."""


class Close(msgspec.Struct, frozen=True):
    """Close the connection, whatever is missing."""


class End(msgspec.Struct, frozen=True):
    """The body is complete; the connection stays, unless the body ends with it."""


_CHINESE = re.compile(r"[\u2e80-\u9fff]")
_CHINESE_IN_TOKEN = 12

Step = Head | Data | Raw | Sleep | Gate | Stall | Reset | Close | End


class Dialect(msgspec.Struct, frozen=True):
    """How engines differ in what they say: the name of the reasoning, and llama-server's counters in each chunk."""

    reasoning_key: str = "reasoning"
    timings: bool = False


VLLM = Dialect()
LLAMA_SERVER = Dialect(reasoning_key="reasoning_content", timings=True)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says, one token for each string; `calls` are names with pieces of arguments."""

    content: tuple[str, ...] = ("Hello", ", ", "world")
    reasoning: tuple[str, ...] = ()
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()
    finish_reason: str = "stop"
    prompt_tokens: int = 7
    dialect: Dialect = VLLM

    @property
    def tokens(self) -> int:
        """How many tokens the reply has: one for each of its events."""
        return sum(1 for _ in self._deltas())

    def usage(self) -> dict[str, Any]:
        """The counts as an engine reports them."""
        count = self.tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": count,
            "total_tokens": self.prompt_tokens + count,
        }

    def _deltas(self) -> Iterator[dict[str, Any]]:
        yield from ({self.dialect.reasoning_key: text} for text in self.reasoning)
        yield from ({"content": text} for text in self.content)
        for index, (name, pieces) in enumerate(self.calls):
            head = {"index": index, "id": f"call-{index}", "type": "function"}
            yield {"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]}
            yield from (
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces
            )

    def events(self) -> list[Step]:
        """The tokens, one event each."""
        return [self._chunk(delta, number) for number, delta in enumerate(self._deltas(), 1)]

    def _chunk(self, delta: dict[str, Any], number: int) -> Data:
        timings = {"timings": {"cache_n": 0, "prompt_n": self.prompt_tokens, "predicted_n": number}}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        tokens = sum(_tokens_of(text) for text in delta.values() if isinstance(text, str))
        return event(
            {"choices": [choice], **(timings if self.dialect.timings else {})}, tokens=max(1, tokens)
        )

    def finish(self) -> list[Step]:
        """The finish reason; then the usage in an event of its own, without choices."""
        choice = {"index": 0, "delta": {}, "finish_reason": self.finish_reason}
        return [event({"choices": [choice]}), event({"choices": [], "usage": self.usage()})]

    def stream(self) -> list[Step]:
        """The whole reply as a stream."""
        opening = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        return [Head(), opening, *self.events(), *self.finish(), DONE, End()]

    def body(self) -> list[Step]:
        """The whole reply as one body."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.content) or None}
        if self.reasoning:
            message[self.dialect.reasoning_key] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": f"call-{index}",
                    "type": "function",
                    "function": {"name": name, "arguments": "".join(pieces)},
                }
                for index, (name, pieces) in enumerate(self.calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        tokens = max(self.tokens, _tokens_of("".join((*self.reasoning, *self.content))))
        return json_answer(200, {"choices": [choice], "usage": self.usage()}, tokens=tokens)


def _tokens_of(text: str) -> int:
    """What a model must have made for it, however a script cuts its texts: a token has one word or a few characters."""
    return len(text.split()) + len(_CHINESE.findall(text)) // _CHINESE_IN_TOKEN


def event(value: object, *, tokens: int = 0) -> Data:
    """One server-sent event with a JSON value."""
    return Data(b"data: " + msgspec.json.encode(value) + b"\n\n", tokens)


def json_answer(status: int, value: object, *, tokens: int = 0) -> list[Step]:
    """A whole JSON response."""
    body = msgspec.json.encode(value)
    return [Head(status, (("Content-Type", "application/json"),), len(body)), Data(body, tokens), End()]


def error_answer(status: int, message: str = "no such luck") -> list[Step]:
    """An error as OpenAI-compatible engines report it."""
    return json_answer(status, {"error": {"message": message, "type": "fake_error", "code": status}})


DONE = Data(b"data: [DONE]\n\n")


class FakeRequest:
    """One request on record. Times are seconds of the engine's clock."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes, now_s: float) -> None:
        self.method, self.target, _ = f"{line}  ".split(" ", 2)
        self.headers = headers
        self.body = body
        self.started_s = now_s
        self.ended_s: float | None = None
        self.left_s: float | None = None
        """When the client left before the script was over."""
        self.tokens = 0
        """How many tokens were handed to the socket."""
        self._gate = asyncio.Event()

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded; empty if it is no JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}

    @property
    def over(self) -> bool:
        """Whether nobody works on it any more."""
        return self.ended_s is not None

    def open_gate(self) -> None:
        """Let the script go on beyond its Gate."""
        self._gate.set()

    async def gate(self) -> None:
        """Until the gate is opened; it closes again behind whoever passes."""
        await self._gate.wait()
        self._gate.clear()


Script = Callable[[FakeRequest], Iterable[Step]]


def _echo(request: FakeRequest, count: int) -> Iterable[Step]:
    messages = request.json.get("messages") or [{}]
    words = re.findall(r"\S+\s*", str(messages[-1].get("content"))) or ["?"]
    reply = Reply(content=tuple(words))
    return reply.stream() if request.json.get("stream") else reply.body()


def _endless(request: FakeRequest, count: int) -> Iterable[Step]:
    yield Head()
    for number in itertools.count(1):
        yield from Reply(content=(f"{number} ",)).events()
        yield Sleep(1 / count)


def _after(last: Step) -> Callable[[FakeRequest, int], Iterable[Step]]:
    return lambda _, count: [Head(), *Reply(content=("word ",) * count).events(), last]


# Model names for use by hand; `-N` at the end is a number, 3 if it is missing.
SCRIPTS: dict[str, Callable[[FakeRequest, int], Iterable[Step]]] = {
    "fake-echo": _echo,  # the last message, a word a token
    "fake-endless": _endless,  # N tokens a second, for ever
    "fake-stall": _after(Stall()),  # N tokens, then nothing
    "fake-reset-after": _after(Reset()),  # N tokens, then a TCP reset
    "fake-close-after": _after(Close()),  # N tokens, then the connection's end
    "fake-error": lambda _, count: error_answer(count),  # status N
}


def script_of(request: FakeRequest) -> Iterable[Step]:
    """The script that a request's model name asks for."""
    if request.method == "GET" and request.target.endswith(("/health", "/models")):
        models = [{"id": name, "object": "model"} for name in SCRIPTS]
        return json_answer(200, {"object": "list", "data": models})
    match = re.fullmatch(r"(fake-[a-z-]*[a-z])(?:-(\d+))?", str(request.json.get("model")))
    if not match or match[1] not in SCRIPTS:
        return error_answer(404, f"the fake models are {', '.join(SCRIPTS)}")
    return SCRIPTS[match[1]](request, int(match[2] or 3))
