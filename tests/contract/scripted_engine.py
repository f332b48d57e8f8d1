"""The scripted engine of the package, in a thread of its own, told what to do by the last message of a request.

count       a number each 20 ms until the caller leaves
separators  text with U+2028, U+2029 and U+0085 in it
calls       reasoning and content in one delta, then two tool calls
die         two words, then the connection is cut
busy, broken, too long      429, 500, 400 for the length of the prompt
anything else               one word
"""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    DONE,
    Close,
    End,
    FakeRequest,
    Head,
    Reply,
    Sleep,
    Step,
    error_answer,
    event,
)

T = TypeVar("T")
SEPARATORS = "一\u2028二\u2029三\u0085四\u000b五\u001e六"
START_TIMEOUT_S = 10.0


def _text(request: FakeRequest) -> str:
    return str(request.json["messages"][-1]["content"])


def _count() -> Iterable[Step]:
    yield Head()
    for number in itertools.count():
        yield from Reply(content=(f"{number} ",)).events()
        yield Sleep(0.02)


def _calls() -> list[Step]:
    # What some engines send, and what no caller may see.
    both = {"reasoning_content": "two cities", "content": "I look. "}
    calls = Reply(
        content=(),
        calls=(("get_weather", ('{"city": "北', '京"}')), ("get_time", ())),
        finish_reason="tool_calls",
    )
    return [
        Head(),
        event({"choices": [{"index": 0, "delta": both}]}),
        *calls.events(),
        *calls.finish(),
        DONE,
        End(),
    ]


def _separators() -> list[Step]:
    arguments = json.dumps({"text": SEPARATORS}, ensure_ascii=False)
    reply = Reply(
        reasoning=(SEPARATORS,),
        content=(SEPARATORS,),
        calls=(("note", (arguments,)),),
        finish_reason="tool_calls",
    )
    return reply.stream()


def _script(request: FakeRequest) -> Iterable[Step]:
    match _text(request):
        case "count":
            return _count()
        case "separators":
            return _separators()
        case "calls":
            return _calls()
        case "die":
            return [Head(), *Reply(content=("half ", "an answer")).events(), Close()]
        case "busy":
            return error_answer(429, "queue is full")
        case "broken":
            return error_answer(500, "out of memory")
        case "too long":
            return error_answer(400, "This model's maximum context length is 10 tokens")
        case text if text.startswith("quote: "):
            return error_answer(400, f"cannot parse {text}")
        case _:
            reply = Reply(content=("fine",))
            return reply.stream() if request.json["stream"] else reply.body()


class _Engine(FakeEngine):
    def script_for(self, request: FakeRequest) -> Iterable[Step]:
        # Whoever looks what it is finds an engine that nobody knows.
        return super().script_for(request) if request.method == "GET" else _script(request)


class ScriptedEngine:
    """`base_url` is where it answers. Its clock is that of `time.time`, which clients in other processes have too."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._engine = _Engine(now_s=time.time)
        self._wait(self._engine.start())
        self.base_url = self._engine.endpoint.url

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT_S)

    def requests(self, text: str) -> list[FakeRequest]:
        """Those whose last message was this, in order."""
        return [request for request in list(self._engine.requests) if _text(request) == text]

    def stop(self) -> None:
        self._wait(self._engine.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()
