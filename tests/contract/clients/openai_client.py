"""OpenAI's Python SDK, waiting or asynchronous: `openai_client.py WORLD OpenAI|AsyncOpenAI`."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import openai
import scenarios
from scenarios import DO_NOT_THINK, GREETING, TOOLS, WEATHER_ZH, Reply, world

T = TypeVar("T")
# The SDK has no parameter for what only GLM has.
GLM_FIELDS = ("thinking", "tool_stream", "request_id")
name = sys.argv[2]
# Without `with`: one loop for the whole life of the asynchronous client, as in a program.
loop = asyncio.new_event_loop()


def wait(work: Coroutine[Any, Any, T]) -> T:
    return loop.run_until_complete(work)


def arguments(messages: list[Any], fields: dict[str, Any]) -> dict[str, Any]:
    extra = {field: fields.pop(field) for field in GLM_FIELDS if field in fields}
    return {"model": "glm-4.6", "messages": messages, "extra_body": extra or None, **fields}


class Waiting:
    def __init__(self, **options: Any) -> None:
        self.sdk = openai.OpenAI(**options)

    def chat(self, messages: list[Any], **fields: Any) -> Reply:
        completion = self.sdk.chat.completions.create(**arguments(messages, fields))
        return scenarios.whole(completion.model_dump(), completion.choices[0].message)

    def stream(self, messages: list[Any], **fields: Any) -> Reply:
        chunks = self.sdk.chat.completions.create(stream=True, **arguments(messages, fields))
        return scenarios.assembled(chunk.model_dump() for chunk in chunks)

    def models(self) -> list[dict[str, Any]]:
        return [model.model_dump() for model in self.sdk.models.list()]

    def model(self, model_id: str) -> dict[str, Any]:
        return self.sdk.models.retrieve(model_id).model_dump()

    def first_chunks(self, count: int) -> list[str]:
        stream = self.sdk.chat.completions.create(
            model="glm-4.6", messages=[{"role": "user", "content": "count"}], stream=True
        )
        read = [next(stream).choices[0].delta.content for _ in range(count)]
        stream.close()
        return read

    def gathered(self) -> list[dict[str, Any]]:
        """The SDK's own putting together of a stream."""
        results = []
        for fields in (
            {"messages": GREETING},
            {"messages": [{"role": "user", "content": WEATHER_ZH}], "tools": TOOLS},
        ):
            with self.sdk.chat.completions.stream(model="glm-4.6", **fields) as stream:
                for _ in stream:
                    pass
                results.append(stream.get_final_completion().model_dump())
        return results


class Async:
    def __init__(self, **options: Any) -> None:
        self.sdk = openai.AsyncOpenAI(**options)

    async def _chat(self, messages: list[Any], fields: dict[str, Any]) -> Reply:
        completion = await self.sdk.chat.completions.create(**arguments(messages, fields))
        return scenarios.whole(completion.model_dump(), completion.choices[0].message)

    def chat(self, messages: list[Any], **fields: Any) -> Reply:
        return wait(self._chat(messages, fields))

    async def _stream(self, messages: list[Any], fields: dict[str, Any]) -> Reply:
        stream: AsyncIterator[Any] = await self.sdk.chat.completions.create(
            stream=True, **arguments(messages, fields)
        )
        return scenarios.assembled([chunk.model_dump() async for chunk in stream])

    def stream(self, messages: list[Any], **fields: Any) -> Reply:
        return wait(self._stream(messages, fields))

    async def _models(self) -> list[dict[str, Any]]:
        return [model.model_dump() async for model in self.sdk.models.list()]

    def models(self) -> list[dict[str, Any]]:
        return wait(self._models())

    async def _model(self, model_id: str) -> dict[str, Any]:
        return (await self.sdk.models.retrieve(model_id)).model_dump()

    def model(self, model_id: str) -> dict[str, Any]:
        return wait(self._model(model_id))

    async def _first_chunks(self, count: int) -> list[str]:
        stream = await self.sdk.chat.completions.create(
            model="glm-4.6", messages=[{"role": "user", "content": "count"}], stream=True
        )
        read = [(await anext(stream)).choices[0].delta.content for _ in range(count)]
        await stream.close()
        return read

    def first_chunks(self, count: int) -> list[str]:
        return wait(self._first_chunks(count))

    async def _gathered(self) -> list[dict[str, Any]]:
        results = []
        for fields in (
            {"messages": GREETING},
            {"messages": [{"role": "user", "content": WEATHER_ZH}], "tools": TOOLS},
        ):
            async with self.sdk.chat.completions.stream(model="glm-4.6", **fields) as stream:
                async for _ in stream:
                    pass
                results.append((await stream.get_final_completion()).model_dump())
        return results

    def gathered(self) -> list[dict[str, Any]]:
        return wait(self._gathered())

    def at_once(self) -> list[dict[str, Any]]:
        """Eight requests on one loop."""

        async def ask() -> list[Reply]:
            asked = [self._chat(GREETING, {"thinking": DO_NOT_THINK}) for _ in range(8)]
            return await asyncio.gather(*asked)

        return [reply.seen for reply in wait(ask())]


make = {"OpenAI": Waiting, "AsyncOpenAI": Async}[name]
here = world()
usual = make()


def connect(key: str) -> Waiting | Async:
    return make(api_key=key)


def slow(**options: Any) -> Waiting | Async:
    return make(api_key=here.slow_key, base_url=here.slow_root + "/v1", **options)


def cancelled() -> dict[str, Any]:
    return {"read": slow().first_chunks(3), "left_s": scenarios.now_s()}


played = {
    **scenarios.everyday(usual),
    **scenarios.tool_streaming(usual),
    **scenarios.mistakes(connect, here.key, here.wrong_key),
    **scenarios.jwt_credentials(connect, here),
    "float-request-id": lambda: usual.chat(GREETING, request_id=round(1000 * time.time()) + 0.5).seen,
    "models": usual.models,
    "model": lambda: usual.model("glm-4.6"),
    "unknown-model-shown": lambda: usual.model("glm-none"),
    "stream-helper": usual.gathered,
    "include-usage": lambda: usual.stream(GREETING, stream_options={"include_usage": True}).seen,
    "completion-tokens": lambda: usual.chat(GREETING, max_completion_tokens=2, thinking=DO_NOT_THINK).seen,
    "cancelled": cancelled,
    "busy": lambda: slow(max_retries=1).chat([{"role": "user", "content": "busy"}]).seen,
    "broken-stream": lambda: slow().stream([{"role": "user", "content": "die"}]).seen,
    "separators": lambda: slow().stream([{"role": "user", "content": "separators"}]).seen,
}
if isinstance(usual, Async):
    played["at-once"] = usual.at_once
scenarios.play(name, played)
