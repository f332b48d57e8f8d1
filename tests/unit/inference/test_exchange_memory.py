"""What a request was made of is gone as soon as it is over, without the help of the garbage collector.

Bodies may be megabytes: what waits for a collection adds up to gigabytes, and what only structs refer to that the
collector does not look at would stay for ever.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    DONE,
    End,
    Gate,
    Head,
    Reply,
    Reset,
    Step,
    error_answer,
    event,
    json_answer,
)
from openbigmodel.engines.profiles import GLM as GLM_PLATFORM
from openbigmodel.engines.profiles import OPENAI, Profile
from openbigmodel.inference.anthropic.dialect import AnthropicDialect
from openbigmodel.inference.asking import Asking
from openbigmodel.inference.attempt import Attempt
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.dialect import Dialect
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.glm_dialect import GLM
from openbigmodel.media.fetcher import Expect, Fetcher
from openbigmodel.media.preparation import Media, Preparation
from openbigmodel.media.task import Outcome, Task
from openbigmodel.moderation.moderator import Moderator
from openbigmodel.moderation.words import WordList
from openbigmodel.settings import MediaSettings
from tests.newcomers import newcomers
from tests.unit.inference import pipeline_bench
from tests.unit.inference.glm_upstream import upstream_chunk
from tests.unit.inference.pipeline_bench import PAAS, PRINCIPAL, Bench, RecordingSink, run, until

OF_A_REQUEST = (ChatExchange, Asking, Attempt, EngineReader, Preparation)
REPLY = Reply(content=("a", "b"))
MODERATOR = Moderator(WordList({"bomb": 0}, block_level=3), None)
UPSTREAM: list[Step] = [Head(), event(upstream_chunk({"content": "a"}, "stop"), tokens=1), DONE, End()]


IsClear = Callable[[], bool]


@pytest.fixture(autouse=True)
def memory_is_clear() -> Iterator[IsClear]:
    """Whether nothing is left of the test's requests."""
    with newcomers(*OF_A_REQUEST) as left:
        yield lambda: not left()


def anthropic(bench: Bench) -> Dialect:
    def model_of(model_id: str) -> Any:
        route = bench.pipeline.registry.route(model_id)
        return None if route is None else route.model

    return AnthropicDialect(model_of)


async def ask(bench: Bench, dialect: Dialect, *, leaves: bool = False, **fields: Any) -> RecordingSink:
    fields = {"model": "glm-4.6", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
    sink = RecordingSink(bench.trace, "request")
    caller = Caller(PRINCIPAL, PAAS, "/path", "en", dialect=dialect)
    exchange = bench.pipeline.chat(json.dumps(fields).encode(), caller, sink)
    if leaves:
        await until(lambda: sink.status == 200)
        assert exchange is not None
        exchange.client_left()
    else:
        await asyncio.wait_for(sink.over.wait(), 3)
    return sink


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("dialect", [lambda bench: GLM, anthropic], ids=["glm", "anthropic"])
@pytest.mark.parametrize("moderator", [None, MODERATOR], ids=["plain", "moderated"])
def test_after_an_answer(
    memory_is_clear: IsClear, stream: bool, dialect: Callable[[Bench], Dialect], moderator: Moderator | None
) -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            assert (await ask(bench, dialect(bench), stream=stream)).status == 200
        await until(memory_is_clear)

    script = REPLY.stream() if stream else REPLY.body()
    run(test, script, script, script, moderator=moderator)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("dialect", [lambda bench: GLM, anthropic], ids=["glm", "anthropic"])
def test_after_an_answer_of_another_platform(
    memory_is_clear: IsClear, stream: bool, dialect: Callable[[Bench], Dialect]
) -> None:
    async def test(bench: Bench) -> None:
        assert (await ask(bench, dialect(bench), stream=stream)).status == 200
        await until(memory_is_clear)

    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}]
    }
    run(test, UPSTREAM if stream else json_answer(200, body, tokens=1), profile=GLM_PLATFORM)


@pytest.mark.parametrize("profile", [OPENAI, GLM_PLATFORM], ids=["openai", "glm"])
def test_after_others_were_asked_in_vain(memory_is_clear: IsClear, profile: Profile) -> None:
    async def test(bench: Bench) -> None:
        assert (await ask(bench, anthropic(bench), stream=True)).status == 200
        assert len(bench.engine.requests) == len(bench.others[0].requests) == 1
        await until(memory_is_clear)

    async def with_another(bench: Bench) -> None:
        async with FakeEngine() as other:
            other.play(UPSTREAM if profile is GLM_PLATFORM else REPLY.stream())
            second = Bench(bench.engine, others=[other], profile=profile)
            await test(second)
            await second.stop()

    run(with_another, error_answer(503))


def test_after_refusals(memory_is_clear: IsClear) -> None:
    async def test(bench: Bench) -> None:
        assert (await ask(bench, GLM, messages=[])).status == 400
        assert (await ask(bench, GLM)).status == 400
        assert (await ask(bench, GLM, messages=[{"role": "user", "content": "bomb"}])).status == 400
        await until(memory_is_clear)

    run(test, error_answer(400), moderator=MODERATOR)


def test_after_deaths_and_callers_who_left(memory_is_clear: IsClear) -> None:
    dies: list[Step] = [Head(), event(upstream_chunk({"content": "a"}), tokens=1), Reset()]
    endless: list[Step] = [Head(), *REPLY.events(), Gate(), End()]

    async def test(bench: Bench) -> None:
        await ask(bench, GLM, stream=True)
        await ask(bench, GLM, stream=True, leaves=True)
        await ask(bench, anthropic(bench), stream=True, leaves=True)
        await until(memory_is_clear)

    run(test, dies, endless, endless, moderator=MODERATOR)


class Pages(Fetcher):
    """A web of texts of so many MiB; one of none is never answered."""

    async def run(
        self, task: Task, payload: str, host: str = "", expect: Expect = lambda size: None, owner: str = ""
    ) -> tuple[Outcome, bytes]:
        size = int(payload.rpartition("/")[2]) << 20
        expect(size)
        if not size:
            await asyncio.Event().wait()
        return Outcome(media_type="text/plain"), b"a" * size


def pages(*sizes: int) -> list[dict[str, Any]]:
    parts = [{"type": "file", "file": {"file_url": f"https://a.example/{size}"}} for size in sizes]
    return [{"role": "user", "content": parts}]


@pytest.mark.parametrize("moderator", [None, MODERATOR], ids=["plain", "moderated"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
def test_after_media(
    memory_is_clear: IsClear, monkeypatch: pytest.MonkeyPatch, stream: bool, moderator: Moderator | None
) -> None:
    monkeypatch.setattr(pipeline_bench, "MODELS", (*pipeline_bench.MODELS, "glm-4.6v"))
    endless: list[Step] = [Head(), *REPLY.events(), Gate(), End()]
    script = REPLY.stream() if stream else REPLY.body()

    async def test(bench: Bench) -> None:
        bench.pipeline.media = media = Media(MediaSettings(held_mb=64), Pages())

        async def answered(*sizes: int, leaves: bool = False, stream: bool = stream) -> int:
            before = media.room.taken
            sink = await ask(
                bench, GLM, model="glm-4.6v", messages=pages(*sizes), stream=stream, leaves=leaves
            )
            await until(lambda: media.room.taken == before)
            return sink.status

        assert await answered(1, 2) == 200
        assert await answered(1, 20) == 400
        taken = media.room.share("account")
        assert taken.take(media.room.most_for_one)
        assert await answered(1) == 429
        taken.leave()
        assert await answered(1) == 500
        assert await answered(1, leaves=True, stream=True) == 200
        sink = RecordingSink(bench.trace, "request")
        body = json.dumps({"model": "glm-4.6v", "messages": pages(1, 0)}).encode()
        exchange = bench.pipeline.chat(body, Caller(PRINCIPAL, PAAS, "/path", "en"), sink)
        assert exchange is not None
        await until(lambda: media.room.taken == 1 << 20)
        exchange.client_left()
        assert not media.room.taken
        del exchange
        await until(memory_is_clear)

    run(test, script, error_answer(500), endless, moderator=moderator)
