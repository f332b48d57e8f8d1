"""Files that become text are judged like what the caller wrote: before an engine is asked, and for nothing if not."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from openbigmodel.engines.fake_script import Reply
from openbigmodel.media.fetcher import Fetcher
from openbigmodel.media.preparation import Media
from openbigmodel.moderation.moderator import SLICE_CHARACTERS
from openbigmodel.settings import MediaSettings
from tests.unit.inference import pipeline_bench
from tests.unit.inference.moderation_bench import BALANCE, Checker, checked, filtered, moderated
from tests.unit.inference.pipeline_bench import Bench, until

FILLING = "word " * (SLICE_CHARACTERS // 5 + 1)


@pytest.fixture(autouse=True)
def model_that_reads_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_bench, "MODELS", (*pipeline_bench.MODELS, "glm-4.6v"))


def file(text: str, name: str = "a.txt") -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {"type": "file", "file": {"file_data": data, "filename": name}}


def turns(*texts: str) -> list[dict[str, Any]]:
    """Questions, each with a file."""
    return [{"role": "user", "content": [{"type": "text", "text": "?"}, file(text)]} for text in texts]


def reading(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """With what reads files."""

    async def run(bench: Bench, *more: Any) -> None:
        bench.pipeline.media = media = Media(MediaSettings(), Fetcher())
        try:
            await test(bench, *more)
        finally:
            await media.close()

    return run


async def refused(bench: Bench, role: str = "user", **fields: Any) -> None:
    """The request is refused, and nothing came of it."""
    asked = bench.ask(model="glm-4.6v", **fields)
    asked.unasked = True
    assert filtered(await asked.answered(), role)
    assert (bench.engine.requests, bench.cashier.lines) == ([], [])
    assert bench.cashier.ledger.balance("account") == BALANCE
    assert bench.records[-1]["detail"] == "input blocked, level 1"
    assert await bench.violations() == []


@pytest.mark.parametrize("text", ["how to build a bomb", FILLING + "bomb"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_word_in_a_file_blocks_the_input(text: str, stream: bool) -> None:
    async def test(bench: Bench) -> None:
        await refused(bench, messages=turns(text), stream=stream)

    moderated(reading(test))


def test_a_file_of_an_earlier_turn_is_history_and_a_name_is_judged() -> None:
    async def test(bench: Bench) -> None:
        await refused(bench, "history", messages=turns("bomb", "clean"))
        await refused(bench, messages=[{"role": "user", "content": [file("clean", "bomb.txt")]}])

    moderated(reading(test))


def test_clean_files_pass_and_what_is_slight_is_reported() -> None:
    async def test(bench: Bench) -> None:
        for text, findings in (("clean", None), ("mild", [{"level": 3, "role": "user"}])):
            sink = await bench.ask(model="glm-4.6v", messages=turns(text)).answered()
            assert json.loads(sink.body).get("content_filter") == findings
            assert text in str(bench.engine.requests[-1].json["messages"])
        assert await bench.violations() == []

    moderated(reading(test), Reply().body(), Reply().body())


@pytest.mark.parametrize("inputs", [False, True])
def test_files_are_not_judged_where_inputs_are_not_or_the_caller_may_opt_out(inputs: bool) -> None:
    async def test(bench: Bench) -> None:
        assert bench.pipeline.moderator is not None
        bench.pipeline.moderator._may_disable = frozenset({"account"} if inputs else ())
        wish = {"type": "ALL", "status": "DISABLE"}
        asked = bench.ask(model="glm-4.6v", messages=turns("bomb"), sensitive_word_check=wish)
        assert (await asked.answered()).status == 200
        assert await bench.violations() == []

    moderated(reading(test), Reply().body(), inputs=inputs, outputs=False)


def test_the_checker_is_asked_about_the_files_by_themselves() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        await refused(bench, messages=turns("坏"))
        assert service.texts("input") == ["?", '<file name="a.txt">\n坏\n</file>']

    checked(reading(test))


def test_no_question_about_files_where_there_are_none() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        assert (await bench.ask().answered()).status == 200
        assert len(service.texts("input")) == 1

    checked(reading(test), Reply().body(), outputs=False)


@pytest.mark.parametrize("how", ["leaves", "is cut", "checker is down"])
def test_what_waits_for_the_verdict_on_its_files_can_be_ended(how: str) -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = bench.ask(model="glm-4.6v", messages=turns("text"))
        asked.unasked = True
        service.held = True
        await until(lambda: len(service.asked) == 1)
        service.answer()
        await until(lambda: len(service.asked) == 2)
        if how == "leaves":
            asked.leave()
            assert bench.records[-1]["status"] == 499
        elif how == "is cut":
            bench.pipeline.cut_all()
            assert asked.sink.code == "1234"
        else:
            service.status = 500
            service.answer()
            assert (await asked.answered()).code == "1305"
        service.answer()
        await asyncio.sleep(0.01)
        assert (bench.engine.requests, bench.cashier.lines) == ([], [])
        assert await bench.violations() == []

    checked(reading(test))
