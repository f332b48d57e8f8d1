"""Chunks that come alone take the short way, and nothing that an exchange promises is different for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.engines.fake_script import DONE, Close, End, Gate, Head, Reply, Stall, Step
from openbigmodel.inference.lone_chunks import LoneChunks
from tests.unit.inference.pipeline_bench import Bench, run, until

PRICE = Price("glm-4.6", 1, (Band(input=2000, output=8000, cached=400),))
MONEY: dict[str, Any] = {"price": PRICE, "balance": 10**15}
WORDS = tuple(f" word{number}" for number in range(8))


def one_by_one(reply: Reply, *end: Step) -> list[Step]:
    """Each chunk waits until the one before it was seen."""
    return [Head(), *[step for event in reply.events() for step in (event, Gate())], *end]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """What takers have said."""
    said: list[bool] = []
    take = LoneChunks.take

    def noted(self: LoneChunks, chunk: bytes, begin: int) -> bool:
        said.append(take(self, chunk, begin))
        return said[-1]

    monkeypatch.setattr(LoneChunks, "take", noted)
    yield said


async def in_turn(bench: Bench, asked: Any, count: int) -> None:
    request = await bench.engine_hears()
    for number in range(1, count + 1):
        await until(lambda number=number: asked.sink.delivered_tokens == number)  # type: ignore[misc]
        request.open_gate()


def test_a_steady_stream_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = Reply(content=WORDS)

    async def test(bench: Bench) -> None:
        with counted(monkeypatch) as said:
            asked = bench.ask(stream=True)
            await in_turn(bench, asked, 8)
            sink = await asked.answered()
        # The first teaches, the second shows that it was understood, and the end is left.
        assert said == [True] * 6 + [False]
        assert sink.text == "".join(WORDS)
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert bench.cashier.lines[0].usage.completion_tokens == 8
        assert bench.records[0]["completion_tokens"] == 8

    run(test, one_by_one(reply, *reply.finish(), DONE, End()))


def test_reasoning_and_then_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = Reply(reasoning=WORDS[:4], content=WORDS[4:])

    async def test(bench: Bench) -> None:
        with counted(monkeypatch) as said:
            asked = bench.ask(stream=True)
            await in_turn(bench, asked, 8)
            sink = await asked.answered()
        assert said.count(True) == 4
        assert sink.text == "".join(WORDS[4:])
        assert bench.cashier.lines[0].usage.completion_tokens == 8

    run(test, one_by_one(reply, *reply.finish(), DONE, End()))


def test_it_ends_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        with counted(monkeypatch) as said:
            asked = bench.ask(stream=True, max_tokens=5)
            await in_turn(bench, asked, 37)
            sink = await asked.answered()
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert bench.cashier.lines[0].usage.completion_tokens == 5
        # 32 events more than tokens are no runaway; the one after them goes the long way, which stops it.
        assert said == [True] * 35 + [False]

    run(test, one_by_one(Reply(content=(" a",) * 60), Stall()), **MONEY)


def test_a_client_that_leaves_pays_for_what_came_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        with counted(monkeypatch) as said:
            asked = bench.ask(stream=True)
            await in_turn(bench, asked, 5)
            await until(lambda: asked.sink.delivered_tokens == 6)
            asked.started.client_left()
        assert said == [True] * 4
        line = bench.cashier.lines[0]
        assert (line.usage.completion_tokens, line.finish_reason) == (6, "client_left")

    run(test, one_by_one(Reply(content=WORDS), Stall()))


def test_an_engine_that_dies_on_it_is_told_as_on_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        with counted(monkeypatch) as said:
            asked = bench.ask(stream=True)
            await in_turn(bench, asked, 8)
            sink = await asked.answered()
        assert said == [True] * 6
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert bench.cashier.lines[0].usage.completion_tokens == 8

    run(test, one_by_one(Reply(content=WORDS), Close()))


def test_an_engine_is_not_silent_that_speaks_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        with counted(monkeypatch) as said:
            asked = bench.ask(stream=True)
            request = await bench.engine_hears()
            for number in range(1, 9):
                await until(lambda number=number: asked.sink.delivered_tokens == number)  # type: ignore[misc]
                # As long as it may be silent between two tokens, each time.
                bench.now_s += 119
                asked.started.check_deadline(bench.now_s)
                bench.pipeline.swept_s = bench.now_s
                request.open_gate()
            assert (await asked.answered()).text == "".join(WORDS)
        assert said.count(True) == 6

    reply = Reply(content=WORDS)
    run(test, one_by_one(reply, *reply.finish(), DONE, End()))
