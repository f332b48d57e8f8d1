"""Callers who pay a real server, over HTTP, and remember what they were told: a whole answer is an acknowledged charge.

Every request has a number, which is in its text, in its `request_id` and, by the engine's script, in its answer: so
bill, answer and the engine's own record can be held against each other, whatever becomes of the server.
"""

import asyncio
import json
import random
import re
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from openbigmodel.engines.fake_script import DONE, End, FakeRequest, Head, Reply, Sleep, Step

MODEL = "paid"
# Nano-yuan for a token: 10 and 20 yuan for a million.
PRICE = "price = { input = 10.0, output = 20.0 }\n"
PROMPT_NANO, COMPLETION_NANO = 10_000, 20_000
_NUMBER = re.compile(r"number (\d+)")


class Told(msgspec.Struct, frozen=True):
    """What a caller was told of its request when the answer was whole."""

    number: int
    prompt_tokens: int
    completion_tokens: int


def tokens_of(number: int) -> tuple[int, int]:
    """How long the prompt and the answer of a request are, as its number says."""
    return 7 + number % 5, 1 + number % 12


def script(request: FakeRequest) -> Iterable[Step]:
    """What the engine does for a request: it takes its time, so that kills meet it at work."""
    found = _NUMBER.search(str(request.json.get("messages")))
    number = 0 if found is None else int(found[1])
    prompt, completion = tokens_of(number)
    reply = Reply(content=("word ",) * completion, prompt_tokens=prompt)
    pause = Sleep(0.001 * (number % 7))
    if not request.json.get("stream"):
        return [pause, *reply.body()]
    steps: list[Step] = [Head()]
    for event in reply.events():
        steps += [event, pause]
    return [*steps, *reply.finish(), DONE, End()]


class Callers:
    """Asks with one key. `asked` are the numbers of all requests, `told` the answers that were whole.

    `broken` are the requests for a whole body that got none, which may be asked again.
    """

    def __init__(self, port: int, key: str, dice: random.Random) -> None:
        self.asked: set[int] = set()
        self.told: list[Told] = []
        self.broken: list[int] = []
        self._port = port
        self._key = key
        self._dice = dice
        self._next = 0

    async def crowd(self, callers: int) -> None:
        """So many callers, who ask again and again until the server is gone."""
        await asyncio.gather(*(self._ask_on() for _ in range(callers)))

    async def ask_again(self) -> list[str]:
        """Repeat what was broken off; what is wrong with the answers."""
        numbers, self.broken = self.broken, []
        found = []
        for number in numbers:
            status, answer = await self._ask(number, stream=False)
            # Charged, and its answer stored or not; or made now.
            if status not in (200, 400) or (status == 400 and b'"1231"' not in answer):
                found.append(f"request {number}, asked again, is answered {status} {answer[:200]!r}")
        return found

    async def _ask_on(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self._next += 1
                number, stream = self._next, self._dice.random() < 0.7
                try:
                    await self._ask(number, stream=stream)
                except (OSError, asyncio.IncompleteReadError):
                    if not stream:
                        self.broken.append(number)
                    raise

    async def _ask(self, number: int, *, stream: bool) -> tuple[int, bytes]:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": f"number {number}"}],
            "stream": stream,
            "max_tokens": 50,
            "request_id": f"request-{number}",
        }
        self.asked.add(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            data = json.dumps(body).encode()
            writer.write(
                b"POST /api/paas/v4/chat/completions HTTP/1.0\r\nAuthorization: Bearer %b\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (self._key.encode(), len(data), data)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await reader.read(-1)
        finally:
            writer.close()
        status = int(head.split(b" ", 2)[1])
        if status == 200:
            self._hear(number, head, answer, stream=stream)
        return status, answer

    def _hear(self, number: int, head: bytes, answer: bytes, *, stream: bool) -> None:
        if stream:
            if not answer.endswith(b"data: [DONE]\n\n"):
                raise asyncio.IncompleteReadError(answer, None)
            last = answer.split(b"\n\n")[-3].removeprefix(b"data: ")
        else:
            size = re.search(rb"content-length: (\d+)", head)
            if size is None or len(answer) < int(size[1]):
                raise asyncio.IncompleteReadError(answer, None)
            last = answer
        said = json.loads(last)
        if said["choices"][0]["finish_reason"] != "network_error":
            usage = said["usage"]
            self.told.append(Told(number, usage["prompt_tokens"], usage["completion_tokens"]))
