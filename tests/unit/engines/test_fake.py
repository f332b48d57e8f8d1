"""The fake engine does what its script says, and its record is true. Read with another client than ours."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    SCRIPTS,
    Close,
    Data,
    Gate,
    Head,
    Raw,
    Reply,
    Reset,
    Script,
    Sleep,
    Stall,
    Step,
    error_answer,
)

Test = Callable[[FakeEngine, httpx.AsyncClient], Awaitable[None]]


def run(test: Test, *scripts: Script | list[Step], **options: Any) -> None:
    async def main() -> None:
        async with FakeEngine(**options) as engine:
            engine.play(*scripts)
            async with httpx.AsyncClient(base_url=engine.endpoint.url, trust_env=False, timeout=5) as client:
                await test(engine, client)

    asyncio.run(asyncio.wait_for(main(), 10))


async def ask(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(
        "/chat/completions", json={"messages": [{"role": "user", "content": "a b c"}], **fields}
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.002)


def content(response: httpx.Response) -> str:
    chunks = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def test_a_stream_and_a_body_on_one_connection() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        stream = await ask(client, model="m")
        body = await ask(client, model="m")

        assert stream.headers["content-type"] == "text/event-stream"
        assert content(stream) == "Hello, world"
        assert stream.text.endswith("data: [DONE]\n\n")
        assert body.json()["choices"][0]["message"]["content"] == "Hello, world"
        assert engine.accepted == 1
        first = engine.requests[0]
        assert (first.method, first.target) == ("POST", "/v1/chat/completions")
        assert first.headers["content-type"] == "application/json"
        assert (first.json["model"], first.tokens, first.left_s) == ("m", 3, None)
        await until(lambda: engine.requests[1].over)

    run(test, Reply().stream(), Reply().body())


def test_an_error() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        response = await ask(client)

        assert (response.status_code, response.json()["error"]["message"]) == (429, "slow down")

    run(test, error_answer(429, "slow down"))


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([Close()], httpx.RemoteProtocolError),
        ([Head(), Data(b"x"), Close()], httpx.RemoteProtocolError),
        ([Head(), Data(b"x"), Reset()], httpx.ReadError),
        ([Head(framing=9), Data(b"x"), Close()], httpx.RemoteProtocolError),
        ([Raw(b"nonsense\r\n\r\n")], httpx.RemoteProtocolError),
    ],
)
def test_a_fault(steps: list[Step], error: type[Exception]) -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        with pytest.raises(error):
            await ask(client)
        await until(lambda: engine.requests[0].over)
        assert engine.requests[0].left_s is None

    run(test, steps)


def test_a_body_that_ends_with_the_connection() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        assert content(await ask(client)) == "Hello, world"

    run(test, [Head(framing="close"), *Reply().stream()[1:]])


@pytest.mark.parametrize("silence", [Stall(), Gate(), Sleep(60)])
def test_it_notes_when_the_client_leaves(silence: Step) -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        task = asyncio.create_task(ask(client))
        await until(lambda: bool(engine.requests) and engine.requests[0].tokens == 3)
        assert not engine.requests[0].over
        task.cancel()
        await until(lambda: engine.requests[0].over)

        assert (engine.requests[0].started_s, engine.requests[0].left_s) == (5.0, 5.0)

    run(test, [Head(), *Reply().events(), silence], now_s=lambda: 5.0)


def test_a_gate() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        task = asyncio.create_task(ask(client))
        await until(lambda: bool(engine.requests))
        engine.requests[0].open_gate()
        await until(lambda: engine.requests[0].tokens == 3)
        assert not task.done()
        engine.requests[0].open_gate()

        assert content(await task) == "Hello, world"

    head, *steps = Reply().stream()
    run(test, [Gate(), head, *steps[:4], Gate(), *steps[4:]])


def test_it_waits_for_a_slow_reader() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        async with client.stream(
            "POST", "/chat/completions", json={"model": "fake-endless-1000000"}
        ) as response:
            assert response.status_code == 200
            request = engine.requests[0]
            produced = -1
            while produced != request.tokens:  # until all buffers on the way are full
                produced = request.tokens
                await asyncio.sleep(0.1)
        await until(lambda: request.left_s is not None)

    def endless(request: Any) -> Any:
        yield Head()
        while True:
            yield Data(b"x" * 100_000, 1)

    run(test, endless, send_buffer_bytes=65_536)


def test_models_by_name() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        assert content(await ask(client, model="fake-echo", stream=True)) == "a b c"
        assert (await ask(client, model="fake-echo")).json()["usage"]["completion_tokens"] == 3
        assert (await ask(client, model="fake-error-418")).status_code == 418
        for name in ("fake-reset-after-2", "fake-close-after"):
            with pytest.raises(httpx.TransportError):
                await ask(client, model=name)
        assert [request.tokens for request in engine.requests[-2:]] == [2, 3]
        for unknown in ("no-such", "fake-no-such", None):
            assert (await ask(client, model=unknown)).status_code == 404

    run(test)


@pytest.mark.parametrize("name", ["fake-stall-2", "fake-endless-100"])
def test_models_that_never_end(name: str) -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        task = asyncio.create_task(ask(client, model=name))
        await until(lambda: bool(engine.requests) and engine.requests[0].tokens >= 2)
        task.cancel()
        await until(lambda: engine.requests[0].over)

    run(test)


def test_the_list_of_models_and_health() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        assert [entry["id"] for entry in (await client.get("/models")).json()["data"]] == list(SCRIPTS)
        assert (await client.get("/health")).status_code == 200
        assert (await client.post("/models", content=b"no JSON")).status_code == 404

    run(test)


def test_a_half_request_is_no_request() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        for text in (b"POST / HTTP/1.1\r\nContent-Le", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"):
            _, writer = await asyncio.open_connection(engine.endpoint.host, engine.endpoint.port)
            writer.write(text)
            await writer.drain()
            writer.close()
        await until(lambda: engine.accepted == 2 and not engine.clients)
        assert engine.requests == []

    run(test)


def test_the_command() -> None:
    command = [sys.executable, "-m", "openbigmodel.engines.fake", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        finally:
            process.terminate()


def test_probes_take_no_script_from_a_request() -> None:
    async def test(engine: FakeEngine, client: httpx.AsyncClient) -> None:
        engine.play(Reply(content=("scripted",)).body())
        engine.pages["/version"] = (200, {"version": "1"})
        root = engine.endpoint.url.removesuffix("/v1")

        assert (await client.get(f"{root}/version")).json() == {"version": "1"}
        assert (await client.get(f"{root}/nowhere")).status_code == 404
        assert "scripted" in (await ask(client, model="any")).text
        assert [request.target for request in engine.probes] == ["/version", "/nowhere"]
        assert len(engine.requests) == 1

    run(test)
