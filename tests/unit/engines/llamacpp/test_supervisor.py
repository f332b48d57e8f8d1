"""The supervisor's decisions, with fake workers that start in milliseconds; the real one is in tests/integration."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.llamacpp import supervisor
from openbigmodel.engines.llamacpp.machine import Machine
from openbigmodel.engines.llamacpp.spec import EngineTimings, LlamaCppSpec
from openbigmodel.engines.llamacpp.supervisor import EngineState, Supervisor
from tests.unit.engines.gguf_file import GLM4, STRING, write_gguf
from tests.unit.engines.llamacpp.fake_worker import PYTHON

QUICK = EngineTimings(
    load_s=20,
    health_every_s=0.05,
    health_timeout_s=0.1,
    health_misses_max=3,
    backoff_s=0.01,
    cooldown_s=30,
    stop_grace_s=1,
)


class Bench:
    """An engine under test, with all that it said."""

    def __init__(self, folder: Path, *how: str, timings: EngineTimings = QUICK, **seams: Any) -> None:
        self.states: list[tuple[EngineState, str]] = []
        spec = LlamaCppSpec(path=write_gguf(folder / "a.gguf"), slots=1)
        self.engine = Supervisor(
            "glm",
            spec,
            timings=timings,
            machine=Machine(folder),
            command=(*PYTHON, *how),
            on_state=lambda state, reason: self.states.append((state, reason)),
            **seams,
        )

    def run(self, test: Callable[[Supervisor], Awaitable[None]]) -> None:
        async def main() -> None:
            try:
                await asyncio.wait_for(test(self.engine), 20)
            finally:
                await self.engine.stop()

        asyncio.run(main())

    @property
    def path(self) -> list[EngineState]:
        return [state for state, _ in self.states]


def flaky(folder: Path, steps: str) -> tuple[str, str]:
    """A worker that behaves differently each time; the last step repeats."""
    (folder / "steps").write_text(steps)
    return "flaky", str(folder / "steps")


async def outcome(engine: Supervisor, failed: Endpoint | None = None) -> Endpoint | EngineUnavailable:
    known: asyncio.Future[Endpoint | EngineUnavailable] = asyncio.get_running_loop().create_future()
    engine.when_ready(known.set_result, failed)
    return await known


def endpoint_and_pid(engine: Supervisor) -> tuple[Endpoint | None, int | None]:
    return engine.endpoint, engine.pid


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_start_and_stop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well", new_api_key=lambda: "key")

    async def test(engine: Supervisor) -> None:
        assert engine.state == "stopped"
        await engine.start()
        assert engine.endpoint is not None
        assert engine.endpoint.api_key == "key"
        assert await outcome(engine) == engine.endpoint
        pid = engine.pid
        await engine.start()
        assert engine.pid == pid
        await engine.stop()
        assert endpoint_and_pid(engine) == (None, None)
        await engine.stop()
        # It can be used again.
        await engine.start()

    bench.run(test)
    assert bench.path == ["starting", "ready", "stopped", "starting", "ready", "stopped"]


def test_callers_wait_for_the_first_worker(tmp_path: Path) -> None:
    async def test(engine: Supervisor) -> None:
        assert isinstance(await outcome(engine), EngineUnavailable)
        start = asyncio.create_task(engine.start())
        await asyncio.sleep(0)
        assert engine.state == "starting"
        assert await outcome(engine) == engine.endpoint
        await start

    Bench(tmp_path, "well").run(test)


def test_a_killed_worker_is_replaced_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")

    async def test(engine: Supervisor) -> None:
        await engine.start()
        first = engine.endpoint
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        second = await outcome(engine, failed=first)
        assert isinstance(second, Endpoint)
        assert second != first

    bench.run(test)
    assert bench.path == ["starting", "ready", "restarting", "ready", "stopped"]
    assert "SIGKILL" in bench.states[2][1]


def test_a_suspicion_that_proves_wrong(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well", timings=replace(QUICK, health_every_s=30))

    async def test(engine: Supervisor) -> None:
        await engine.start()
        first = engine.endpoint
        assert await outcome(engine, failed=first) == first
        # An endpoint of an earlier worker says nothing about this one.
        assert await outcome(engine, failed=Endpoint("127.0.0.1", 1)) == first

    bench.run(test)
    assert bench.path == ["starting", "ready", "stopped"]


def test_a_worker_that_no_longer_listens_is_replaced(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *flaky(tmp_path, "closed well"))

    async def test(engine: Supervisor) -> None:
        await engine.start()
        await until(lambda: "restarting" in bench.path)
        await engine.start()

    bench.run(test)
    assert "no longer listens" in bench.states[2][1]


@pytest.mark.parametrize("how", ["hang", "ill"])
def test_a_hung_worker_is_killed_and_replaced(tmp_path: Path, how: str) -> None:
    bench = Bench(tmp_path, *flaky(tmp_path, f"{how} well"))

    async def test(engine: Supervisor) -> None:
        await engine.start()
        await until(lambda: "restarting" in bench.path)
        await engine.start()

    bench.run(test)
    assert "hung: 3 health checks" in bench.states[2][1]


def test_one_missed_health_check_is_forgiven(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well", timings=replace(QUICK, health_timeout_s=0.2))

    async def test(engine: Supervisor) -> None:
        await engine.start()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGSTOP)
        await asyncio.sleep(0.15)
        os.kill(engine.pid, signal.SIGCONT)
        await asyncio.sleep(0.15)
        assert engine.state == "ready"

    bench.run(test)


def test_three_crashes_break_it_and_the_log_tells_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "crash")

    async def test(engine: Supervisor) -> None:
        await engine.start()
        await until(lambda: engine.state == "broken")
        error = await outcome(engine)
        assert isinstance(error, EngineUnavailable)
        assert "exit status 1" in error.reason
        assert "it crashed" in error.detail

    bench.run(test)
    assert bench.path.count("ready") == 3
    assert bench.path[-2:] == ["broken", "stopped"]


def test_three_crashes_while_loading(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "exit")

    async def test(engine: Supervisor) -> None:
        with pytest.raises(EngineUnavailable, match="exit status 7") as caught:
            await engine.start()
        assert "fake worker, exit" in caught.value.detail

    bench.run(test)
    assert bench.path == ["starting", "broken", "stopped"]


def test_a_refusal_is_not_tried_three_times(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *flaky(tmp_path, "refuse well"))

    async def test(engine: Supervisor) -> None:
        with pytest.raises(EngineUnavailable, match="No such thing"):
            await engine.start()

    bench.run(test)


def test_a_missing_model_is_told_before_a_worker_starts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")

    async def test(engine: Supervisor) -> None:
        engine.spec.path.unlink()
        with pytest.raises(EngineUnavailable, match="There is no file"):
            await engine.start()
        assert engine.pid is None

    bench.run(test)


def test_crashes_long_ago_do_not_count(tmp_path: Path) -> None:
    clock = iter(range(0, 100_000, 400))
    bench = Bench(
        tmp_path, *flaky(tmp_path, "crash crash crash crash well"), now_s=lambda: float(next(clock))
    )

    async def test(engine: Supervisor) -> None:
        await engine.start()
        await until(lambda: bench.path.count("ready") == 5)

    bench.run(test)
    assert "broken" not in bench.path


def test_a_broken_engine_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    timings = replace(QUICK, cooldown_s=0.05)
    bench = Bench(tmp_path, *flaky(tmp_path, "refuse refuse refuse well"), timings=timings)

    async def test(engine: Supervisor) -> None:
        with pytest.raises(EngineUnavailable):
            await engine.start()
        # While it is tried, callers get their answer at once.
        assert isinstance(await outcome(engine), EngineUnavailable)
        await until(lambda: engine.state == "ready")

    bench.run(test)
    assert bench.path == ["starting", "broken", "ready", "stopped"]


def test_start_tries_a_broken_engine_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *flaky(tmp_path, "exit exit exit well"))

    async def test(engine: Supervisor) -> None:
        with pytest.raises(EngineUnavailable):
            await engine.start()
        await engine.start()

    bench.run(test)
    assert bench.path == ["starting", "broken", "starting", "ready", "stopped"]


def test_stop_while_loading_ends_the_worker_and_those_who_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "silent")

    async def test(engine: Supervisor) -> None:
        start = asyncio.create_task(engine.start())
        await until(lambda: engine.pid is not None)
        pid = engine.pid
        assert pid is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(engine.stop(), engine.stop())
        assert loop.time() - began < 3
        with pytest.raises(EngineUnavailable, match="has been stopped"):
            await start
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    bench.run(test)


def test_stop_during_the_pause_between_restarts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "crash", timings=replace(QUICK, backoff_s=30))

    async def test(engine: Supervisor) -> None:
        await engine.start()
        await until(lambda: bench.path.count("restarting") == 2)
        await engine.stop()

    bench.run(test)


def test_too_many_callers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "WAITING_MAX", 2)

    async def test(engine: Supervisor) -> None:
        start = asyncio.create_task(engine.start())
        await asyncio.sleep(0)
        second = asyncio.create_task(outcome(engine))
        await asyncio.sleep(0)
        third = await outcome(engine)
        assert isinstance(third, EngineUnavailable)
        assert "Too many" in third.reason
        await start
        assert isinstance(await second, Endpoint)

    Bench(tmp_path, "well").run(test)


def test_one_callers_mistake_does_not_harm_the_others(tmp_path: Path) -> None:
    def mistaken(known: Endpoint | EngineUnavailable) -> None:
        raise ZeroDivisionError

    async def test(engine: Supervisor) -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        start = asyncio.create_task(engine.start())
        await asyncio.sleep(0)
        engine.when_ready(mistaken)
        assert isinstance(await outcome(engine), Endpoint)
        await start
        assert isinstance(reported[0]["exception"], ZeroDivisionError)

    Bench(tmp_path, "well").run(test)


def test_a_mistake_in_the_supervisor_is_reported_as_broken(tmp_path: Path) -> None:
    def no_key() -> str:
        raise ZeroDivisionError

    async def test(engine: Supervisor) -> None:
        with pytest.raises(EngineUnavailable, match="ZeroDivisionError"):
            await engine.start()

    Bench(tmp_path, "well", new_api_key=no_key).run(test)


def test_what_is_odd_about_the_model_is_told_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")
    write_gguf(tmp_path / "a.gguf", {**GLM4, "general.architecture": (STRING, "llama")})

    async def test(engine: Supervisor) -> None:
        await engine.start()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        await until(lambda: bench.path.count("ready") == 2)
        assert [state for state, reason in bench.states if "llama" in reason] == ["starting"]

    bench.run(test)


def test_the_context_is_what_the_model_was_trained_for(tmp_path: Path) -> None:
    async def test(engine: Supervisor) -> None:
        await engine.start()
        assert engine.context_tokens == 4096

    Bench(tmp_path, "well").run(test)
