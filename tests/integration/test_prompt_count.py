"""The size of a prompt as the built-in engine tells it without answering, held against what it says of an answer."""

import asyncio
import json

import uvloop

from openbigmodel.engines.factory import demo_model_path
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from openbigmodel.engines.profiles import LLAMA_SERVER
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.inference.measurement import estimate_prompt
from openbigmodel.inference.prompt_count import PromptQuestion

MESSAGES = [
    {"role": "system", "content": "你是一个有用的助手。"},
    {"role": "user", "content": "北京今天天气怎么样？" * 5},
]
ASKED = {"model": "glm-demo", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}


class Answer:
    """Consumes a whole response."""

    def __init__(self) -> None:
        self.body = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def engine_started(self, status: int) -> None:
        assert status == 200

    def engine_data(self, data: bytes) -> None:
        self.body += data

    def engine_ended(self) -> None:
        self.ended.set_result(None)

    def engine_failed(self, reason: str) -> None:
        self.ended.set_exception(AssertionError(reason))


def test_the_built_in_engine_counts_a_prompt_as_it_bills_one() -> None:
    async def main() -> None:
        supervisor = Supervisor(
            "glm-demo", LlamaCppSpec(path=demo_model_path(), context_tokens=1024, slots=1)
        )
        await supervisor.start()
        try:
            assert supervisor.endpoint is not None
            engine = RemoteEngine("demo", supervisor.endpoint, LLAMA_SERVER)
            body = json.dumps(ASKED).encode()
            count: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            PromptQuestion(engine, body, count.set_result)
            counted = await asyncio.wait_for(count, 10)
            answer = Answer()
            engine.post("/chat/completions", body, answer)
            await asyncio.wait_for(answer.ended, 20)
            used = json.loads(answer.body)["usage"]["prompt_tokens"]
        finally:
            await supervisor.stop()

        assert counted == used
        # Its tokenizer is a small one: nearly a token for each character, so the estimate is far below.
        assert estimate_prompt(body) <= used

    uvloop.run(main())
