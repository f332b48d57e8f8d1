"""The pipeline's bench with moderation: a word list, a checker's service that does as it is told, and a price."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.engines.fake_script import (
    Reply,
)
from openbigmodel.limits import ModelLimits
from openbigmodel.moderation.checker import HttpChecker
from openbigmodel.moderation.moderator import Moderator
from openbigmodel.moderation.words import WordList
from tests.unit.inference.pipeline_bench import Bench, RecordingSink, run

WORDS = WordList({"炸弹": 1, "bomb": 1, "폭탄": 0, "mild": 3}, block_level=2)
PRICE = Price(model="glm-4.6", version=1, bands=(Band(input=10**9, output=10**9),))
BALANCE = 10**12
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {}}}]
LIMITS = {"*": ModelLimits(in_flight=5, rpm=60, tpm=10_000_000)}


SENTENCE = "这是一个很长很长的句子" * 4 + "。"


class Checker:
    """A checker's service: blocks texts with 坏, notes those with 怪, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        self.held = False
        self._go = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        self.asked.append(question)
        if self.held:
            await self._go.wait()
            self._go.clear()
        text = "".join(part["text"] for part in question["parts"])
        level = {"level": 3} if "怪" in text else {}
        return httpx.Response(self.status, json={"allowed": "坏" not in text, **level})

    def answer(self) -> None:
        """Answer the question that waits."""
        self._go.set()

    def texts(self, stage: str) -> list[str]:
        return ["".join(part["text"] for part in q["parts"]) for q in self.asked if q["stage"] == stage]


def moderated(
    test: Callable[[Bench], Awaitable[None]], *scripts: Any, words: WordList | None = WORDS, **options: Any
) -> None:
    wanted = {"inputs": options.pop("inputs", True), "outputs": options.pop("outputs", True)}
    moderator = Moderator(words, options.pop("checker", None), may_disable=["trusted"], **wanted)
    run(test, *scripts, moderator=moderator, price=PRICE, balance=BALANCE, **{"limits_of": LIMITS, **options})


def checked(
    test: Callable[[Bench, Checker], Awaitable[None]], *scripts: Any, passes: bool = False, **options: Any
) -> None:
    """The same with a checker."""
    service = Checker()
    notes: list[str] = []
    client = HttpChecker(
        "http://checker.example/",
        key="",
        timeout_s=0.2,
        concurrency=4,
        failure_passes=passes,
        note=notes.append,
        transport=httpx.MockTransport(service),
    )
    moderated(lambda bench: test(bench, service), *scripts, checker=client, **options)


def contents(*texts: str, **fields: Any) -> Reply:
    return Reply(content=texts, **fields)


def filtered(sink: RecordingSink, role: str, level: int = 1) -> bool:
    """Whether the answer is a refusal by moderation, to the letter (api.md §8.3)."""
    start = f'{{"contentFilter":[{{"level":{level},"role":"{role}"}}],"error":{{"code":"1301","message":"System det'
    return sink.status == 400 and sink.body.decode().startswith(start)


def sensitive(sink: RecordingSink) -> bool:
    """Whether the stream was ended by moderation."""
    last = sink.chunks[-1]
    assert sink.events[-1] == "[DONE]"
    assert all("finish_reason" not in chunk["choices"][0] for chunk in sink.chunks[:-1])
    return bool(last["choices"][0]["finish_reason"] == "sensitive")
