import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path

import pytest

from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.llamacpp.process import (
    STDERR_TAIL_BYTES,
    STDERR_TAIL_LINES,
    WorkerProcess,
    WorkerRefused,
    answers_health,
)
from tests.unit.engines.llamacpp.fake_worker import PYTHON


async def failure(how: str, timeout_s: float = 20) -> EngineUnavailable:
    worker = await WorkerProcess.spawn((*PYTHON, how), {})
    try:
        with pytest.raises(EngineUnavailable) as caught:
            await worker.ready(timeout_s, "key")
        return caught.value
    finally:
        await worker.end()


def test_ready_and_well() -> None:
    async def main() -> None:
        worker = await WorkerProcess.spawn((*PYTHON, "well"), {"told": "this"})
        endpoint = await worker.ready(20, "key")
        assert endpoint == Endpoint("127.0.0.1", endpoint.port, "key")
        assert await answers_health(endpoint, 5)
        assert '{"told": "this"}' in worker.stderr_tail
        assert await worker.epitaph() == "still running"
        await worker.end()
        with pytest.raises(ConnectionRefusedError):
            await answers_health(endpoint, 5)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("how", "kind", "reason", "detail"),
    [
        ("refuse", WorkerRefused, "The model cannot be loaded. No such thing.", "fake worker"),
        ("garbage", WorkerRefused, "something else than agreed", "fake worker"),
        ("null", WorkerRefused, "something else than agreed", "fake worker"),
        ("odd", WorkerRefused, "something else than agreed", "fake worker"),
        ("endless", WorkerRefused, "something else than agreed", "fake worker"),
        ("exit", EngineUnavailable, "ended while loading: exit status 7", "fake worker, exit"),
        ("illegal", WorkerRefused, "SIGILL: this CPU lacks instructions", "fake worker"),
    ],
)
def test_a_start_that_fails_is_explained(how: str, kind: type, reason: str, detail: str) -> None:
    error = asyncio.run(failure(how))
    assert type(error) is kind
    assert reason in error.reason
    assert detail in error.detail


def test_a_load_that_never_ends() -> None:
    assert "did not load within 0 s" in asyncio.run(failure("silent", timeout_s=0.2)).reason


def test_only_the_end_of_stderr_is_kept() -> None:
    detail = asyncio.run(failure("chatty")).detail
    assert detail.endswith("the end")
    assert len(detail) <= STDERR_TAIL_BYTES
    assert len(detail.splitlines()) <= STDERR_TAIL_LINES


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="cannot be started"):
        asyncio.run(WorkerProcess.spawn((str(tmp_path / "none"),), {}))


def test_a_worker_that_ends_before_it_has_read_its_configuration() -> None:
    async def main() -> None:
        worker = await WorkerProcess.spawn(
            (sys.executable, "-I", "-S", "-c", "pass"), {"long": "x" * 500_000}
        )
        with pytest.raises(EngineUnavailable, match="exit status 0"):
            await worker.ready(20, "key")
        await worker.end()

    asyncio.run(main())


def test_a_deaf_worker_is_killed_after_the_grace() -> None:
    async def main() -> None:
        worker = await WorkerProcess.spawn((*PYTHON, "deaf"), {})
        await worker.ready(20, "key")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await worker.end(grace_s=0.2)
        assert 0.2 <= loop.time() - began < 2
        assert (await worker.epitaph()).startswith("SIGKILL")
        await worker.end()
        # Nothing is left for the kernel to remember: neither process nor zombie.
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)

    asyncio.run(main())


def test_a_polite_worker_ends_within_the_grace() -> None:
    async def main() -> str:
        worker = await WorkerProcess.spawn((*PYTHON, "well"), {})
        await worker.ready(20, "key")
        await worker.end(grace_s=20)
        return await worker.epitaph()

    assert asyncio.run(main()) == "SIGTERM"


def test_an_unnamed_signal_has_its_number() -> None:
    async def main() -> str:
        worker = await WorkerProcess.spawn((*PYTHON, "well"), {})
        await worker.ready(20, "key")
        os.kill(worker.pid, signal.SIGRTMIN + 3)
        await worker.wait()
        await worker.end()
        return await worker.epitaph()

    assert asyncio.run(main()) == f"signal {signal.SIGRTMIN + 3}"


def health_of(how: str, timeout_s: float = 5) -> Coroutine[None, None, bool]:
    async def main() -> bool:
        worker = await WorkerProcess.spawn((*PYTHON, how), {})
        try:
            return await answers_health(await worker.ready(20, "key"), timeout_s)
        finally:
            await worker.end()

    return main()


def test_health_of_workers_that_are_not_well() -> None:
    assert not asyncio.run(health_of("ill"))
    assert not asyncio.run(health_of("hang", timeout_s=0.1))


def test_health_when_nobody_listens() -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(health_of("closed"))
