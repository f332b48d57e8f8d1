"""An engine is asked for the size of a prompt in its own way, whatever it does, an answer comes once and in time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    Close,
    Data,
    Gate,
    Head,
    Script,
    Stall,
    Step,
    error_answer,
    json_answer,
)
from openbigmodel.engines.profiles import LLAMA_SERVER, VLLM, Profile
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.inference import prompt_count
from openbigmodel.inference.prompt_count import PromptQuestion

ASKED = {
    "model": "m",
    "messages": [{"role": "user", "content": "北京"}],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "chat_template_kwargs": {"enable_thinking": False},
    "stream": True,
    "max_tokens": 7,
}
SOON_S = 3.0


class Asking:
    """A question, and the answers to it."""

    def __init__(self, engine: RemoteEngine) -> None:
        self.answers: list[int | None] = []
        self.came = asyncio.Event()
        self.question = PromptQuestion(engine, json.dumps(ASKED).encode(), self._answer)

    def _answer(self, count: int | None) -> None:
        self.answers.append(count)
        self.came.set()

    async def answer(self) -> int | None:
        await asyncio.wait_for(self.came.wait(), SOON_S)
        await asyncio.sleep(0.02)  # for a second one
        assert len(self.answers) == 1
        return self.answers[0]


def run(
    test: Callable[[FakeEngine, RemoteEngine], Awaitable[None]],
    *scripts: Script | list[Step],
    profile: Profile = VLLM,
) -> None:
    async def main() -> None:
        async with FakeEngine() as fake:
            fake.play(*scripts)
            engine = RemoteEngine("fake", fake.endpoint, profile)
            await test(fake, engine)
            await engine.stop()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_vllm_is_asked_beside_its_api_with_what_makes_the_prompt() -> None:
    async def test(fake: FakeEngine, engine: RemoteEngine) -> None:
        assert await Asking(engine).answer() == 23
        request = fake.requests[0]
        kept = {key: ASKED[key] for key in ("model", "messages", "tools", "chat_template_kwargs")}
        assert request.target == "/tokenize"
        assert request.json == {**kept, "add_generation_prompt": True}

    run(test, json_answer(200, {"count": 23, "max_model_len": 4096, "tokens": [1] * 23}))


def test_llama_server_is_asked_the_chat_request_itself() -> None:
    async def test(fake: FakeEngine, engine: RemoteEngine) -> None:
        assert await Asking(engine).answer() == 23
        request = fake.requests[0]
        assert request.target == "/v1/chat/completions/input_tokens"
        assert request.json == ASKED

    run(test, json_answer(200, {"object": "response.input_tokens", "input_tokens": 23}), profile=LLAMA_SERVER)


@pytest.mark.parametrize(
    "steps",
    [
        error_answer(404),
        error_answer(500),
        [Close()],
        [Head(framing=10), Data(b"{"), Close()],
        json_answer(200, {"count": "many"}),
        json_answer(200, {"count": 0}),
        json_answer(200, {"count": -3}),
        json_answer(200, {"error": "no"}),
        json_answer(200, [23]),
        [Head(framing=5), Data(b"hello")],
    ],
)
def test_no_answer_is_an_answer(steps: list[Step]) -> None:
    async def test(_: FakeEngine, engine: RemoteEngine) -> None:
        assert await Asking(engine).answer() is None

    run(test, steps)


def test_nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_count, "COUNT_TIMEOUT_S", 0.05)

    async def test(fake: FakeEngine, engine: RemoteEngine) -> None:
        start_s = time.monotonic()
        assert await Asking(engine).answer() is None
        assert time.monotonic() - start_s < 1
        await asyncio.sleep(0.05)  # until the engine has seen that nobody listens
        assert fake.requests[0].left_s is not None

    run(test, [Head(), Stall()])


def test_giving_up_is_an_answer_at_once() -> None:
    async def test(fake: FakeEngine, engine: RemoteEngine) -> None:
        asking = Asking(engine)
        asking.question.give_up()
        asking.question.give_up()
        assert asking.answers == [None]
        assert await asking.answer() is None

    run(test, [Gate()])


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_count, "_MAX_ANSWER_BYTES", 1000)

    async def test(_: FakeEngine, engine: RemoteEngine) -> None:
        assert await Asking(engine).answer() is None

    run(test, [Head(), Data(b"[" * 2000), Stall()])


def test_an_engine_that_is_away_is_no_answer() -> None:
    class Away(RemoteEngine):
        def post(self, path: str, body: bytes, consumer: Any, key: str | None = None) -> Any:
            raise EngineUnavailable("It is broken.")

    async def test() -> None:
        asking = Asking(Away("away", Endpoint("127.0.0.1", 1), VLLM))
        assert asking.answers == []
        assert await asking.answer() is None

    asyncio.run(test())
