"""A consumer that writes down what it is told, and a loop to be told on."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

Heard = tuple[str, Any]


class Listener:
    """Reads one response. Neighbouring pieces of the body are one entry."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.over = asyncio.Event()

    def engine_started(self, status: int) -> None:
        self.heard.append(("started", status))

    def engine_data(self, data: bytes) -> None:
        if self.heard[-1][0] == "data":
            self.heard[-1] = ("data", self.heard[-1][1] + data)
        else:
            self.heard.append(("data", data))

    def engine_ended(self) -> None:
        self.heard.append(("ended", None))
        self.over.set()

    def engine_failed(self, reason: str) -> None:
        self.heard.append(("failed", reason))
        self.over.set()

    async def outcome(self) -> list[Heard]:
        await asyncio.wait_for(self.over.wait(), 3)
        return self.heard

    async def body(self) -> Any:
        """The body of a response that was whole."""
        heard = await self.outcome()
        assert [what for what, _ in heard] == ["started", "data", "ended"], heard
        return heard[1][1]

    async def failure(self) -> str:
        what, reason = (await self.outcome())[-1]
        assert what == "failed"
        return str(reason)


async def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 3
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        await asyncio.sleep(0.002)


def run(test: Coroutine[Any, Any, None]) -> None:
    """On the loop that the server uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 10))
