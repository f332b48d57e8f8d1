"""Real engines as the platform finds them: llama-server as it is shipped, and another Open BigModel.

Also what only a real engine can say: its own words about a prompt that is too long or a picture, and whether it
returns raw text when it is told to.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from openbigmodel.engines.engine_errors import fault_of_engine
from openbigmodel.engines.factory import demo_model_path
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from openbigmodel.engines.probing import Found, Prober
from openbigmodel.engines.profiles import LLAMA_SERVER, OPENAI, Profile
from openbigmodel.engines.remote import RemoteEngine, endpoint_of
from tests.integration.running_platform import running_platform
from tests.unit.engines.asked import asked
from tests.unit.engines.engine_listener import Listener

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "天气",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@asynccontextmanager
async def llama_server() -> AsyncIterator[RemoteEngine]:
    supervisor = Supervisor("glm-demo", LlamaCppSpec(path=demo_model_path(), context_tokens=512, slots=1))
    await supervisor.start()
    try:
        assert supervisor.endpoint is not None
        prober = Prober(supervisor.endpoint, identify=True)
        yield RemoteEngine("llama", supervisor.endpoint, OPENAI, prober=prober)
    finally:
        await supervisor.stop()


def with_llama_server(test: Callable[[RemoteEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        async with llama_server() as engine:
            await test(engine)
            await engine.stop()

    uvloop.run(main())


async def answer(
    engine: RemoteEngine, profile: Profile, model: str = "glm-4.6", **fields: Any
) -> tuple[int, bytes]:
    """Status and body of what the engine says to a caller's request."""
    body = asked(profile, model, **fields) | {"model": "glm-demo", "stream": False}
    body.pop("stream_options", None)
    listener = Listener()
    engine.post("/chat/completions", json.dumps(body).encode(), listener)
    await asyncio.wait_for(listener.over.wait(), 30)
    assert [what for what, _ in listener.heard] == ["started", "data", "ended"]
    return listener.heard[0][1], listener.heard[1][1]


def test_llama_server_is_found_out() -> None:
    async def test(engine: RemoteEngine) -> None:
        await engine.start()
        assert (engine.state, engine.profile) == ("ready", LLAMA_SERVER)

    with_llama_server(test)


def test_a_wrong_key_is_a_refusal() -> None:
    async def test(engine: RemoteEngine) -> None:
        endpoint = msgspec.structs.replace(engine._pool._endpoint, api_key="wrong")
        stranger = RemoteEngine("x", endpoint, LLAMA_SERVER, prober=Prober(endpoint, identify=False))
        # Its list of models is open to everybody, so only a request shows it.
        status, body = await answer(stranger, LLAMA_SERVER, max_tokens=1)
        fault = fault_of_engine(status, body, "id")
        assert (fault.error.code, fault.blames, stranger.state) == ("1234", "operator", "refused")
        await stranger.stop()

    with_llama_server(test)


def test_its_own_words_are_understood() -> None:
    async def test(engine: RemoteEngine) -> None:
        long = [{"role": "user", "content": "你好" * 2000}]
        status, body = await answer(engine, LLAMA_SERVER, messages=long)
        assert fault_of_engine(status, body, "id").error.code == "1261"
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        message = {"role": "user", "content": [{"type": "text", "text": "?"}, picture]}
        status, body = await answer(engine, LLAMA_SERVER, "glm-4.5v", messages=[message], max_tokens=1)
        fault = fault_of_engine(status, body, "id")
        assert (fault.error.code, fault.blames) == ("1210", "caller"), body

    with_llama_server(test)


def test_told_so_it_leaves_the_reasoning_in_the_text() -> None:
    raw = msgspec.structs.replace(LLAMA_SERVER, parse="glm45")
    question: dict[str, Any] = {
        "messages": [{"role": "user", "content": "北京今天天气怎么样？"}],
        "tools": [WEATHER],
        "max_tokens": 200,
        "temperature": 0.0,
        "thinking": {"type": "enabled"},
    }

    async def test(engine: RemoteEngine) -> None:
        _, parsed = await answer(engine, LLAMA_SERVER, **question)
        _, text = await answer(engine, raw, **question)
        read, unread = (json.loads(body)["choices"][0]["message"] for body in (parsed, text))
        assert read["reasoning_content"] and read["tool_calls"], read
        assert "reasoning_content" not in unread
        # Calls it finds all the same, unless it was started with --skip-chat-parsing.
        assert unread["content"] == f"<think>{read['reasoning_content']}</think>"
        assert unread["tool_calls"][0]["function"] == read["tool_calls"][0]["function"]

    with_llama_server(test)


def test_another_open_bigmodel_is_any_server_of_openais_kind(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        endpoint = endpoint_of(f"{platform.url}/v1", platform.key)

        async def look(key: str) -> Found:
            return await Prober(
                msgspec.structs.replace(endpoint, api_key=key), identify=True, keys=(key,)
            ).look()

        found, refused = uvloop.run(look(platform.key)), uvloop.run(look("a.b"))

    assert (found.state, found.profile, found.plan_keys) == ("ready", OPENAI.name, frozenset())
    assert (refused.state, "api_key" in refused.reason) == ("refused", True)
