"""The conformance suite against ourselves, one run for each kind of engine: what the tests judge and the docs show.

embedded      suite → platform in try-out mode (demo model in the built-in worker)
llama-server  suite → platform (kind openai) → llama-server of the demo model
glm           suite → platform (kind glm)    → the suite's engine, in GLM's words
vllm, sglang  suite → platform (kind openai) → the suite's engine, in theirs
chained       suite → platform (kind glm) → platform (kind glm or openai) → the suite's engine
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from openbigmodel import engines
from openbigmodel.cli.conformance_backend import Measured, measure
from openbigmodel.conformance.suite import Report
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from tests.integration.server_process import ServerProcess
from tests.planted_gateway import free_port

MODEL, MEDIA_MODEL = "glm-5.2", "glm-4.6v"
DEMO = Path(engines.__file__).parent / "demo" / "glm-demo.gguf"


def config(kind: str, base_url: str, *, profile: str = "", api_key: str = "") -> str:
    """Settings with one engine for both models."""
    lines = ["[[engines]]", 'name = "next"', f'kind = "{kind}"', f'base_url = "{base_url}"']
    lines += [f'profile = "{profile}"'] if profile else []
    lines += [f'api_key = "{api_key}"'] if api_key else []
    for model in (MODEL, MEDIA_MODEL):
        lines += ["[[models]]", f'id = "{model}"', 'engine = "next"']
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def platform(folder: Path, text: str = "", *, ready: bool = False) -> Iterator[ServerProcess]:
    """A platform that has started; its engine may still have to."""
    folder.mkdir(parents=True, exist_ok=True)
    process = ServerProcess(folder, config=text)
    try:
        yield process.started(ready=ready)
    finally:
        process.stop()


async def _stopped(engine: Supervisor) -> None:
    await engine.stop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextlib.contextmanager
def llama_server() -> Iterator[Endpoint]:
    """llama-server with the demo model, as xllamacpp ships it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    engine = Supervisor("demo", LlamaCppSpec(path=DEMO, context_tokens=2048, slots=4))
    try:
        asyncio.run_coroutine_threadsafe(engine.start(), loop).result(30)
        assert engine.endpoint is not None
        yield engine.endpoint
    finally:
        asyncio.run_coroutine_threadsafe(_stopped(engine), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def _measured(
    process: ServerProcess, port: int | None = None, upstream: str | None = None, *, platforms: int = 1
) -> Report:
    """Each platform on the way may take a second to notice that its caller has left."""
    url = f"http://127.0.0.1:{process.port}"
    measured = Measured(url, process.key, MODEL, MEDIA_MODEL, port, upstream, float(platforms))
    return asyncio.run(measure(measured))


def embedded(folder: Path) -> Report:
    with platform(folder, ready=True) as process:
        return _measured(process)


def behind_llama_server(folder: Path) -> Report:
    with llama_server() as endpoint:
        text = config("openai", endpoint.url, api_key=endpoint.api_key)
        with platform(folder, text, ready=True) as process:
            return _measured(process)


def _scripted(upstream: str) -> Callable[[Path], Report]:
    def run(folder: Path) -> Report:
        port = free_port()
        glm = upstream == "glm"
        text = config(
            "glm" if glm else "openai", f"http://127.0.0.1:{port}/v1", profile="" if glm else upstream
        )
        with platform(folder, text) as process:
            return _measured(process, port, upstream)

    return run


def _chained(upstream: str) -> Callable[[Path], Report]:
    def run(folder: Path) -> Report:
        port = free_port()
        glm = upstream == "glm"
        text = config(
            "glm" if glm else "openai", f"http://127.0.0.1:{port}/v1", profile="" if glm else upstream
        )
        with platform(folder / "inner", text) as inner:
            text = config("glm", f"http://127.0.0.1:{inner.port}/api/paas/v4", api_key=inner.key)
            with platform(folder / "outer", text) as outer:
                return _measured(outer, port, upstream, platforms=2)

    return run


RUNS: dict[str, Callable[[Path], Report]] = {
    "embedded": embedded,
    "llama-server": behind_llama_server,
    "openai (vLLM)": _scripted("vllm"),
    "openai (SGLang)": _scripted("sglang"),
    "glm": _scripted("glm"),
    "glm → glm": _chained("glm"),
    "glm → openai": _chained("vllm"),
}
# The runs with the suite's engine behind us, and its kind.
KINDS = {
    "openai (vLLM)": "openai",
    "openai (SGLang)": "openai",
    "glm": "glm",
    "glm → glm": "glm",
    "glm → openai": "openai",
}
# Where a call cannot be forced, and the recommended checks that say so (docs/conformance.md).
UNFORCED = frozenset(("embedded", "llama-server"))
FORCED_CHECKS = frozenset(("answers.tool_choice_required", "answers.tool_choice_named"))
