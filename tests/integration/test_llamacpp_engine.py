"""The embedded engine for real: the demo model in the real worker (engine.md §2.4: the traps are named there)."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from openbigmodel import engines
from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.llamacpp import EngineTimings, LlamaCppSpec, Supervisor
from openbigmodel.engines.llamacpp.process import WORKER_COMMAND

DEMO = Path(engines.__file__).parent / "demo" / "glm-demo.gguf"
SPEC = LlamaCppSpec(path=DEMO, context_tokens=1024, slots=2, prompt_cache_mib=16)
TIMINGS = EngineTimings(backoff_s=0.01, health_every_s=0.2)
HELLO = {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 64, "temperature": 0}
# Runs until the context is full: about half a second.
ENDLESS = {"prompt": "你好", "n_predict": 100_000, "ignore_eos": True, "stream": True}


@asynccontextmanager
async def running(
    spec: LlamaCppSpec = SPEC, timings: EngineTimings = TIMINGS, **seams: Any
) -> AsyncIterator[Supervisor]:
    engine = Supervisor("glm-demo", spec, timings=timings, **seams)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


def client_of(engine: Supervisor, api_key: str | None = None) -> httpx.AsyncClient:
    endpoint = engine.endpoint
    assert endpoint is not None
    key = endpoint.api_key if api_key is None else api_key
    headers = {"authorization": f"Bearer {key}"} if key else {}
    root = endpoint.url.removesuffix(endpoint.path)
    return httpx.AsyncClient(base_url=root, headers=headers, timeout=30, trust_env=False)


def pid_of(engine: Supervisor) -> int:
    assert engine.pid is not None
    return engine.pid


def is_gone(pid: int) -> bool:
    """Ended; a zombie of another parent counts, since only that parent can remove it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


async def next_endpoint(engine: Supervisor, failed: Endpoint | None) -> Endpoint:
    known: asyncio.Future[Endpoint | EngineUnavailable] = asyncio.get_running_loop().create_future()
    engine.when_ready(known.set_result, failed)
    outcome = await asyncio.wait_for(known, 20)
    assert isinstance(outcome, Endpoint), outcome
    return outcome


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_start_answer_restart_stop(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        states: list[str] = []
        began = time.monotonic()
        async with running(on_state=lambda state, reason: states.append(state)) as engine:
            assert time.monotonic() - began < 10
            async with client_of(engine) as client:
                await answers_a_chat(client)
            first, pid = engine.endpoint, pid_of(engine)
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            second = await next_endpoint(engine, first)
            async with client_of(engine) as client:
                await answers_a_chat(client)
            assert time.monotonic() - killed < 2
            assert first is not None
            assert (second.port, second.api_key) != (first.port, first.api_key)
            pid = pid_of(engine)
            stopped = time.monotonic()
            await engine.stop()
            assert time.monotonic() - stopped < 3
            assert is_gone(pid)
            assert not Path(f"/proc/{pid}").exists(), "a zombie is left"
        assert states == ["starting", "ready", "restarting", "ready", "stopped"]

    run(main())


async def answers_a_chat(client: httpx.AsyncClient) -> None:
    reply = (await client.post("/v1/chat/completions", json=HELLO)).raise_for_status().json()
    assert reply["model"] == "glm-demo"
    assert reply["choices"][0]["message"]["content"]


def test_the_worker_is_closed_to_others() -> None:
    async def main() -> None:
        async with running() as engine:
            endpoint = engine.endpoint
            assert endpoint is not None
            assert endpoint.host == "127.0.0.1"
            assert len(endpoint.api_key) >= 32
            for key in ("", "wrong"):
                async with client_of(engine, key) as stranger:
                    for path in ("/v1/chat/completions", "/completion", "/v1/embeddings", "/tokenize"):
                        assert (await stranger.post(path, json=HELLO)).status_code == 401, path
                    for path in ("/slots", "/props", "/v1/models", "/metrics"):
                        assert (await stranger.get(path)).status_code == 401, path
                    page = await stranger.get("/")
                    assert page.status_code in (401, 404)
                    asked = await stranger.get("/health", headers={"origin": "http://evil.example"})
                    assert asked.headers.get("access-control-allow-origin") not in (
                        "*",
                        "http://evil.example",
                    )
            # Its key is neither in its arguments nor in its environment, where other users may look.
            process = Path(f"/proc/{pid_of(engine)}")
            assert endpoint.api_key.encode() not in (process / "cmdline").read_bytes()
            assert endpoint.api_key.encode() not in (process / "environ").read_bytes()

    asyncio.run(main())


def test_bounds_hold() -> None:
    async def main() -> None:
        spec = LlamaCppSpec(path=DEMO, context_tokens=256, slots=2, max_output=8)
        async with running(spec) as engine, client_of(engine) as client:
            slots = (await client.get("/slots")).json()
            assert [slot["n_ctx"] for slot in slots] == [256, 256]
            reply = (await client.post("/completion", json={"prompt": "你好", "ignore_eos": True})).json()
            assert reply["tokens_predicted"] == 8
            settings = (await client.get("/props")).json()["default_generation_settings"]["params"]
            assert (settings["temperature"], settings["min_p"], settings["top_k"]) == (1.0, 0.0, 0)
            long = await client.post("/completion", json={"prompt": "你好" * 400, "n_predict": 1})
            assert long.status_code == 400
            assert "context" in long.text
            # Closed even with the key: polling it delays cancelling.
            assert (await client.get("/metrics")).status_code == 501

    asyncio.run(main())


def test_malformed_requests_are_refused_and_do_no_harm() -> None:
    async def main() -> None:
        async with running() as engine, client_of(engine) as client:
            pid = pid_of(engine)
            for body in (b"", b"{", b"[]", b'{"messages": 5}', b'{"messages": [{"role": 1}]}', b"\xff\xfe"):
                reply = await client.post("/v1/chat/completions", content=body)
                assert 400 <= reply.status_code <= 500, body
                assert "error" in reply.json()
            await answers_a_chat(client)
            assert engine.pid == pid

    asyncio.run(main())


async def busy_slots(client: httpx.AsyncClient) -> int:
    return sum(slot["is_processing"] for slot in (await client.get("/slots")).json())


def test_a_client_that_leaves_frees_its_slot() -> None:
    async def main() -> None:
        spec = LlamaCppSpec(path=DEMO, context_tokens=4096, slots=1)
        async with running(spec) as engine, client_of(engine) as client:
            async with client.stream("POST", "/completion", json=ENDLESS) as stream:
                # Held on to: the iterator's end would end the stream.
                lines = stream.aiter_lines()
                await anext(lines)
                assert await busy_slots(client) == 1
            left = time.monotonic()
            while await busy_slots(client):
                assert time.monotonic() - left < 1
                await asyncio.sleep(0.02)

    asyncio.run(main())


async def reads_for_ever(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/completion", json={**ENDLESS, "id_slot": 0}) as stream:
        async for _ in stream.aiter_lines():
            pass


def test_a_client_that_leaves_while_its_prompt_is_read_frees_its_slot() -> None:
    """Needs `return_progress`, as soon as anybody else is served: the library looks whether a reader is still there
    when it has something for that reader, or when for a whole second it had nothing for anybody."""
    prompt = {
        "prompt": "你好吗天气" * 700,
        "n_predict": 4,
        "stream": True,
        "return_progress": True,
        "id_slot": 1,
    }

    async def main() -> None:
        spec = LlamaCppSpec(path=DEMO, context_tokens=4096, slots=2)
        async with running(spec) as engine, client_of(engine) as client:
            other = asyncio.create_task(reads_for_ever(client))
            async with client.stream("POST", "/completion", json=prompt) as stream:
                lines = stream.aiter_lines()
                first = json.loads((await anext(lines)).removeprefix("data: "))
                assert first["prompt_progress"]["processed"] < first["prompt_progress"]["total"] / 10
            left = time.monotonic()
            while (await client.get("/slots")).json()[1]["is_processing"]:
                assert time.monotonic() - left < 1
                await asyncio.sleep(0.05)
            other.cancel()
            await asyncio.wait({other})

    asyncio.run(main())


def test_health_is_answered_while_many_wait() -> None:
    """The library starts too few threads when many requests arrive at once; then a busy worker looked hung."""

    async def main() -> None:
        timings = replace(TIMINGS, health_every_s=0.05, health_timeout_s=1.5, health_misses_max=1)
        spec = LlamaCppSpec(path=DEMO, context_tokens=4096, slots=2)
        async with running(spec, timings) as engine:
            pid = pid_of(engine)
            async with client_of(engine) as client:
                waiting = [asyncio.create_task(client.post("/completion", json=ENDLESS)) for _ in range(60)]
                await asyncio.sleep(1.8)
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
            assert engine.state == "ready"
            assert engine.pid == pid

    asyncio.run(main())


def test_two_engines_at_once() -> None:
    async def main() -> None:
        async with running() as one, running() as other:
            async with client_of(one) as client, client_of(other) as other_client:
                await asyncio.gather(answers_a_chat(client), answers_a_chat(other_client))
            one_key = one.endpoint.api_key if one.endpoint else ""
            async with client_of(other, one_key) as stranger:
                assert (await stranger.get("/v1/models")).status_code == 401
            os.kill(pid_of(one), signal.SIGSEGV)
            async with client_of(other) as client:
                await answers_a_chat(client)
            await next_endpoint(one, one.endpoint)
            assert other.state == "ready"

    asyncio.run(main())


def test_a_segfault_is_survived_and_three_are_reported() -> None:
    async def main() -> None:
        async with running() as engine:
            for _ in range(3):
                endpoint = engine.endpoint
                os.kill(pid_of(engine), signal.SIGSEGV)
                while engine.endpoint is endpoint or engine.state not in ("ready", "broken"):
                    await asyncio.sleep(0.01)
            assert engine.state == "broken"
            told: list[Endpoint | EngineUnavailable] = []
            engine.when_ready(told.append)
            assert "SIGSEGV" in str(told[0])

    asyncio.run(main())


def test_a_damaged_model_is_explained_by_the_engines_own_log(tmp_path: Path) -> None:
    """The header is right, so only the engine can find the fault: its reason is on stderr and nowhere else."""
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(DEMO.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight", 1))

    async def main() -> None:
        with pytest.raises(EngineUnavailable) as caught:
            async with running(LlamaCppSpec(path=damaged)):
                pass
        assert "cannot be loaded" in caught.value.reason
        assert "blk.0.attn_q.weight" in caught.value.detail

    asyncio.run(main())


def test_a_truncated_model_is_explained(tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(DEMO.read_bytes()[:-1000])

    async def main() -> None:
        with pytest.raises(EngineUnavailable, match="incomplete"):
            async with running(LlamaCppSpec(path=short)):
                pass

    asyncio.run(main())


def test_another_template(tmp_path: Path) -> None:
    template = tmp_path / "echo.jinja"
    template.write_text("{% for m in messages %}<|user|>{{ m.content }}{% endfor %}<|assistant|>OVERRIDDEN")

    async def main() -> None:
        spec = LlamaCppSpec(path=DEMO, context_tokens=512, slots=1, chat_template=template)
        async with running(spec) as engine, client_of(engine) as client:
            prompt = (await client.post("/apply-template", json=HELLO)).raise_for_status().json()["prompt"]
            assert "OVERRIDDEN" in prompt

    asyncio.run(main())


PARENT = """
import asyncio, sys
from pathlib import Path
from openbigmodel.engines.llamacpp import Supervisor, LlamaCppSpec
async def main():
    engine = Supervisor("glm-demo", LlamaCppSpec(path=Path(sys.argv[1]), context_tokens=512, slots=1))
    await engine.start()
    print(engine.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def python_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def ends_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_gone(pid):
            return True
        time.sleep(0.01)
    return False


def test_a_worker_does_not_outlive_a_killed_platform() -> None:
    command = (sys.executable, "-c", PARENT, str(DEMO))
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=python_path(), text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        assert ends_within(pid, 1)


# An engine library that loads for a minute and never lets Python run meanwhile, as the real one with a large model.
LOADS_FOR_EVER = """
import ctypes, sys
from unittest.mock import MagicMock
CommonParams = MagicMock
def Server(params):
    print("loading", file=sys.stderr, flush=True)
    ctypes.PyDLL(None).sleep(60)
"""
GRANDPARENT = """
import json, os, subprocess, sys, time
worker = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
config = {"parent": os.getpid(), "alias": "a", "settings": {}}
worker.stdin.write(json.dumps(config).encode() + b"\\n")
worker.stdin.flush()
assert worker.stderr.readline() == b"loading\\n"
print(worker.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def loading(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "xllamacpp.py").write_text(LOADS_FOR_EVER)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_a_worker_does_not_outlive_a_platform_killed_while_it_loads(loading: dict[str, str]) -> None:
    command = (sys.executable, "-c", GRANDPARENT, *WORKER_COMMAND)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=loading, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        assert ends_within(pid, 1)


def test_a_loading_worker_obeys_sigterm(loading: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(WORKER_COMMAND, stdin=pipe, stderr=pipe, env=loading, text=True) as worker:
        assert worker.stdin is not None
        assert worker.stderr is not None
        worker.stdin.write(json.dumps({"parent": os.getpid(), "alias": "a", "settings": {}}) + "\n")
        worker.stdin.flush()
        assert worker.stderr.readline() == "loading\n"
        worker.terminate()
        assert worker.wait(timeout=1) == -signal.SIGTERM


def test_the_loop_runs_on_while_a_model_loads(tmp_path: Path) -> None:
    library = LOADS_FOR_EVER.replace("sleep(60)", "sleep(1)") + "    raise RuntimeError('enough')"
    (tmp_path / "xllamacpp.py").write_text(library)

    async def main() -> None:
        slowest = 0.0

        async def ticks() -> None:
            nonlocal slowest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                slowest = max(slowest, time.monotonic() - before)

        ticking = asyncio.create_task(ticks())
        began = time.monotonic()
        with pytest.raises(EngineUnavailable, match="enough"):
            async with running(command=("env", f"PYTHONPATH={tmp_path}", *WORKER_COMMAND)):
                pass
        ticking.cancel()
        assert time.monotonic() - began > 1
        assert slowest < 0.5

    asyncio.run(main())
