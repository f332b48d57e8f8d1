"""Files in requests, that the platform fetches before an engine is asked: the platform's own preparation of them.

Only the worker that fetches is not real. What it brings makes a prompt longer than the request told, or is refused.
"""

import asyncio
from collections.abc import Callable
from random import Random

from openbigmodel.catalog import Model
from openbigmodel.errors import ApiError
from openbigmodel.media.fetcher import Fetcher, FetcherUnavailable
from openbigmodel.media.preparation import Done, Media, Preparation
from openbigmodel.media.task import Outcome, Task
from openbigmodel.schemas.chat import Message
from openbigmodel.settings import MediaSettings
from tests.simulation.requests import Ask

# How long a file is, in bytes of text.
SIZES = (1, 40, 400)
# What the platform allows for the words around it.
FRAME_TOKENS = 64


class SlowFetcher(Fetcher):
    """Takes its time, and sometimes finds nothing or is not there. A file's URL ends with its size."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def run(
        self,
        task: Task,
        payload: str,
        host: str = "",
        expect: Callable[[int], None] = lambda _: None,
        owner: str = "",
    ) -> tuple[Outcome, bytes]:
        random = self._random
        if random.random() < 0.05:
            raise FetcherUnavailable("too many wait")
        await asyncio.sleep(random.choice((0.001, 0.1, 3)) * random.random())
        if random.random() < 0.05:
            return Outcome(refusal="unreachable"), b""
        data = b"x" * int(payload.rpartition("/")[2])
        expect(len(data))
        return Outcome(media_type="text/plain", size=len(data)), data


class WatchedMedia(Media):
    """Says whose file is ready, before the request goes on."""

    def __init__(self, random: Random, whose: Callable[[], Ask], ready: Callable[[Ask], None]) -> None:
        """`whose` is the request that is being taken in; `ready` hears of it with its longer prompt."""
        super().__init__(MediaSettings(), SlowFetcher(random))
        self._whose = whose
        self._ready = ready
        self._crashed = False

    def prepare(self, messages: list[Message], model: Model, done: Done, owner: str) -> Preparation:
        ask = self._whose()

        def told(outcome: list[Message] | ApiError) -> None:
            if self._crashed:
                return
            if not isinstance(outcome, ApiError):
                assert ask.file is not None
                ask.prompt_bound += ask.file + FRAME_TOKENS
            self._ready(ask)
            done(outcome)

        return super().prepare(messages, model, told, owner)

    def crash(self) -> None:
        """Nobody hears of a file any more. Its task must not be left to the garbage collector, which has no order."""
        self._crashed = True
        for task in list(self._preparing):
            task.cancel()
