"""With the real worker; how it behaves among hostile servers is in tests/integration/test_media_worker.py."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openbigmodel.media.fetcher import WAITING_MAX, Fetcher, FetcherUnavailable
from openbigmodel.media.task import Outcome, Task

TEXT = Task(kind="file", form="base64", size=4, bytes_max=100)


def with_fetcher(use: Callable[[Fetcher], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        fetcher = Fetcher(**options)  # type: ignore[arg-type]
        try:
            await use(fetcher)
        finally:
            await fetcher.close()
            assert fetcher.pid is None

    asyncio.run(run())


def test_one_worker_serves_many_tasks() -> None:
    async def use(fetcher: Fetcher) -> None:
        assert fetcher.pid is None
        found = await asyncio.gather(*(fetcher.run(TEXT, "YWJj") for _ in range(20)))
        assert found == [(Outcome(media_type="text/plain", size=3), b"abc")] * 20
        first = fetcher.pid
        await fetcher.run(TEXT, "YWJj")
        assert fetcher.pid == first

    with_fetcher(use, concurrency=4)


def test_close_without_a_worker_does_nothing() -> None:
    async def use(fetcher: Fetcher) -> None:
        await fetcher.close()

    with_fetcher(use)


def test_too_many_who_wait_are_refused_and_another_account_is_not() -> None:
    async def use(fetcher: Fetcher) -> None:
        alone = WAITING_MAX // 3
        tasks = [asyncio.ensure_future(fetcher.run(TEXT, "YWJj", owner="a")) for _ in range(alone + 2)]
        other = asyncio.ensure_future(fetcher.run(TEXT, "YWJj", owner="b"))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        assert [type(failure) for failure in failures] == [FetcherUnavailable]
        assert "waiting" in str(failures[0])
        assert (await other)[1] == b"abc"
        assert fetcher.idle

    with_fetcher(use, concurrency=1)


HANGS_ON_URLS = """
import socket
c = socket.socket(fileno=0)
kept = []
while True:
    _, fds, _, _ = socket.recv_fds(c, 99, 1)
    if not fds:
        continue
    s = socket.socket(fileno=fds[0])
    kept.append(s)
    if b'"url"' not in s.recv(9999):
        s.sendall(b'{"size": 3}\\nabc')
"""


def test_what_needs_no_network_does_not_wait_for_servers_that_hang() -> None:
    url = Task(kind="file", form="url", size=4, bytes_max=100)

    async def use(fetcher: Fetcher) -> None:
        hanging = [
            asyncio.ensure_future(fetcher.run(url, "http://h/", f"host{number}", owner="a"))
            for number in range(40)
        ]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            for owner in ("a", "b"):
                assert (await fetcher.run(TEXT, "YWJj", owner=owner))[1] == b"abc"
        assert not any(task.done() for task in hanging)
        assert not fetcher.idle
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)
        assert fetcher.idle

    with_fetcher(use, command=(sys.executable, "-c", HANGS_ON_URLS))


def test_who_does_not_wait_any_more_leaves_nothing_behind() -> None:
    async def use(fetcher: Fetcher) -> None:
        await fetcher.run(TEXT, "YWJj", "a.example")
        held = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            task = asyncio.ensure_future(fetcher.run(TEXT, "YWJj", "a.example"))
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait({task})
        assert (await fetcher.run(TEXT, "YWJj"))[1] == b"abc"
        assert len(list(Path("/proc/self/fd").iterdir())) <= held + 1
        assert fetcher.idle

    with_fetcher(use)


def test_a_worker_that_died_idle_is_replaced() -> None:
    async def use(fetcher: Fetcher) -> None:
        await fetcher.run(TEXT, "YWJj")
        first = fetcher.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        while fetcher.pid is not None:
            await asyncio.sleep(0.005)
        assert (await fetcher.run(TEXT, "YWJj"))[1] == b"abc"
        assert fetcher.pid != first

    with_fetcher(use)


MUTE = "import socket, time; c = socket.socket(fileno=0); c.recv(9); time.sleep(60)"
LIAR = (
    "import socket; c = socket.socket(fileno=0)\n"
    "while True:\n"
    "    _, fds, _, _ = socket.recv_fds(c, 99, 1)\n"
    "    s = socket.socket(fileno=fds[0]); s.recv(9999); s.sendall(b'{\"size\": \"x\"}\\n'); s.close(); c.send(b'ended 1 0')"
)


def test_a_worker_that_answers_nonsense_is_not_believed() -> None:
    async def use(fetcher: Fetcher) -> None:
        outcome, _ = await fetcher.run(TEXT, "YWJj")
        assert outcome == Outcome(refusal="damaged", detail="its process ended with status 0")

    with_fetcher(use, command=(sys.executable, "-c", LIAR))


def test_a_worker_that_is_stuck_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbigmodel.media.fetcher._PATIENCE_S", 0.1)
    quick = Task(kind="file", form="base64", size=4, bytes_max=100, cpu_s=0)

    async def use(fetcher: Fetcher) -> None:
        with pytest.raises(FetcherUnavailable, match="died twice"):
            await fetcher.run(quick, "YWJj")

    with_fetcher(use, command=(sys.executable, "-c", MUTE))
