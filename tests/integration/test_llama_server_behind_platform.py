"""llama-server as it is shipped, run by somebody else: `bigmodel serve` finds it out and speaks to it as `openai`.

A real process on a real port, its model the demo's; what the caller sees is GLM's, whatever that server says.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.factory import demo_model_path
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from tests.integration.server_process import Chat, ServerProcess, server, wait_until

MODELS = ("glm-4.6", "glm-4.7")
SLOTS = 2
HELLO = {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 48, "temperature": 0.0}
WEATHER = {
    "messages": [{"role": "user", "content": "北京今天天气怎么样？"}],
    "max_tokens": 200,
    "temperature": 0.0,
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "天气",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
}
# What llama-server adds and GLM has not.
THEIR_FIELDS = (
    "timings",
    "system_fingerprint",
    "prompt_progress",
    "logprobs",
    "__verbose",
    "generation_settings",
)


@contextmanager
def llama_server() -> Iterator[Endpoint]:
    """The server, looked after by a loop of its own."""
    loop = asyncio.new_event_loop()
    keeper = threading.Thread(target=loop.run_forever)
    keeper.start()
    spec = LlamaCppSpec(path=demo_model_path(), context_tokens=1024, slots=SLOTS, max_output=4096)
    supervisor = Supervisor("glm-demo", spec)
    try:
        asyncio.run_coroutine_threadsafe(supervisor.start(), loop).result(60)
        assert supervisor.endpoint is not None
        yield supervisor.endpoint
    finally:
        asyncio.run_coroutine_threadsafe(_stop(supervisor), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        keeper.join()
        loop.close()


async def _stop(supervisor: Supervisor) -> None:
    await supervisor.stop()
    await asyncio.sleep(0.01)  # for those of its tasks that are being cancelled


@pytest.fixture(scope="module")
def llama() -> Iterator[Endpoint]:
    with llama_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def platform(llama: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = f'[[engines]]\nname = "theirs"\nkind = "openai"\nbase_url = "{llama.url}"\napi_key = "{llama.api_key}"\n'
    config += "".join(
        f'[[models]]\nid = "{model}"\nengine = "theirs"\ntarget = "glm-demo"\n' for model in MODELS
    )
    with server(tmp_path_factory.mktemp("platform"), config=config) as process:
        yield process


def _ask(platform: ServerProcess, **fields: Any) -> Chat:
    return platform.ask(platform.key, **fields)


def _message(body: Any) -> dict[str, Any]:
    message: dict[str, Any] = body["choices"][0]["message"]
    return message


def _record(platform: ServerProcess, log_id: str) -> dict[str, Any]:
    def lines() -> list[dict[str, Any]]:
        return [record for record in platform.records if record.get("id") == log_id]

    wait_until(lambda: bool(lines()))
    return lines()[0]


def _busy_slots(llama: Endpoint) -> int:
    root = llama.url.removesuffix(llama.path)
    headers = {"Authorization": f"Bearer {llama.api_key}"}
    slots = httpx.get(f"{root}/slots", headers=headers, trust_env=False).raise_for_status().json()
    return sum(slot["is_processing"] for slot in slots)


def test_it_is_found_out(platform: ServerProcess) -> None:
    assert any("llama-server" in line for line in platform.log), platform.log


def test_a_body_and_a_stream_say_the_same(platform: ServerProcess) -> None:
    whole = _ask(platform, **HELLO).reply()
    assert whole.status == 200
    stream = _ask(platform, **HELLO, stream=True).read()
    final = stream.chunks[-1]

    assert stream.done and stream.text == _message(whole.json)["content"] != ""
    assert final["choices"][0]["finish_reason"] == whole.json["choices"][0]["finish_reason"]
    assert final["usage"]["completion_tokens"] == whole.json["usage"]["completion_tokens"] > 1
    assert final["usage"]["prompt_tokens"] == whole.json["usage"]["prompt_tokens"] > 1
    assert not any(field in whole.body.decode() + json.dumps(stream.chunks) for field in THEIR_FIELDS)
    # Only the second has the prompt in its cache, and who counts tells.
    assert final["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_thinking_is_switched_on_and_off(platform: ServerProcess) -> None:
    on = _ask(platform, **HELLO, thinking={"type": "enabled"}).reply().json
    off = _ask(platform, **HELLO, thinking={"type": "disabled"}).reply().json
    streamed = _ask(platform, **HELLO, thinking={"type": "enabled"}, stream=True).read()

    assert _message(on)["reasoning_content"]
    assert not _message(off).get("reasoning_content")
    assert "<think>" not in json.dumps([on, off, streamed.chunks])
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed.chunks]
    assert (
        "".join(delta.get("reasoning_content", "") for delta in deltas) == _message(on)["reasoning_content"]
    )
    assert on["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


@pytest.mark.parametrize("tool_stream", [False, True])
def test_calls_come_whole_or_as_they_are_written(platform: ServerProcess, tool_stream: bool) -> None:
    whole = _ask(platform, **WEATHER).reply().json
    stream = _ask(platform, **WEATHER, stream=True, tool_stream=tool_stream).read()

    (call,) = _message(whole)["tool_calls"]
    assert (whole["choices"][0]["finish_reason"], stream.finish_reason) == ("tool_calls", "tool_calls")
    assert call["function"]["name"] == "get_weather" and json.loads(call["function"]["arguments"])["city"]
    pieces = [
        piece["function"]
        for chunk in stream.chunks
        for piece in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert "".join(piece["arguments"] for piece in pieces) == call["function"]["arguments"]
    assert {piece["name"] for piece in pieces} == {"get_weather"}
    assert (len(pieces) > 1) == tool_stream
    assert not any(field in json.dumps([whole, stream.chunks]) for field in THEIR_FIELDS)


def test_the_bill_of_a_caller_who_leaves_is_what_was_made(platform: ServerProcess, llama: Endpoint) -> None:
    question = {
        "messages": [{"role": "user", "content": "写一首很长的诗"}],
        "max_tokens": 900,
        "temperature": 1.0,
    }
    chat = _ask(platform, **question, stream=True, stop=["不会出现的话"]).read(3)
    log_id = chat.response.getheader("x-log-id") or ""
    chat.leave()

    record = _record(platform, log_id)
    assert record["client_left"] and record["engine"] == "theirs"
    assert record["completion_tokens"] >= 3 and record["prompt_tokens"] > 0
    # It stops, and has its places again.
    wait_until(lambda: _busy_slots(llama) == 0, 2)


def test_its_refusals_are_glms(platform: ServerProcess) -> None:
    too_long = _ask(platform, messages=[{"role": "user", "content": "你好" * 4000}]).reply()
    assert (too_long.status, too_long.json["error"]["code"]) == (400, "1261")
