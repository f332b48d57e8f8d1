"""The built-in engine's worker dies, the disk of another engine's host burns: what a caller of the real server sees."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import Chat, ServerProcess, alive, server, wait_until

# With this many tokens to come the demo model is at work for long enough to be killed in the middle.
LONG = {
    "messages": [{"role": "user", "content": "请写一首关于长城的长诗"}],
    "max_tokens": 512,
    "stream": True,
}
NEXT_ANSWER_WITHIN_S = 2.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("demo")) as process:
        yield process


@pytest.fixture(scope="module")
def engine() -> Iterator[ThreadedFakeEngine]:
    with fake_engine() as threaded:
        yield threaded


@pytest.fixture(scope="module")
def faulty(engine: ThreadedFakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("faulty"), config=engine.config) as process:
        yield process


def worker_of(process: ServerProcess) -> int:
    (pid,) = process.workers
    return pid


def kill_worker(process: ServerProcess) -> None:
    pid = worker_of(process)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def stream_stopped_in_the_middle(process: ServerProcess) -> Chat:
    """A stream whose worker is frozen, so that it cannot end before it is killed."""
    chat = process.ask(process.key, **LONG)
    chat.read(2)
    os.kill(worker_of(process), signal.SIGSTOP)
    return chat


def test_a_worker_killed_in_mid_stream(demo: ServerProcess) -> None:
    chat = stream_stopped_in_the_middle(demo)
    before = worker_of(demo)
    kill_worker(demo)
    start_s = time.monotonic()
    chat.read()
    following = demo.ask(demo.key, max_tokens=16).reply()
    took_s = time.monotonic() - start_s

    assert (chat.finish_reason, chat.done) == ("network_error", True)
    assert chat.chunks[-1]["usage"]["completion_tokens"] >= 2
    assert [
        chunk for chunk in chat.chunks[:-1] if "finish_reason" in chunk["choices"][0] or "usage" in chunk
    ] == []
    assert following.status == 200, following.body
    assert took_s < NEXT_ANSWER_WITHIN_S
    assert worker_of(demo) != before
    wait_until(lambda: any(record.get("finish_reason") == "network_error" for record in demo.records))


def test_a_worker_killed_before_its_first_word_is_asked_again_unseen(demo: ServerProcess) -> None:
    # Three crashes in five minutes would rest the engine: this is the second of this module's.
    os.kill(worker_of(demo), signal.SIGSTOP)
    chat = demo.ask(demo.key, stream=True, max_tokens=16)
    time.sleep(0.1)  # until the worker's socket has the request
    kill_worker(demo)
    chat.read()

    assert (chat.response.status, chat.done) == (200, True)
    assert chat.finish_reason in ("stop", "length")


def test_two_hundred_at_once_are_all_answered(demo: ServerProcess) -> None:
    def ask(number: int) -> int:
        return demo.ask(demo.key, max_tokens=8, stream=number % 2 == 0).reply().status

    with ThreadPoolExecutor(200) as crowd:
        statuses = list(crowd.map(ask, range(200)))

    assert statuses == [200] * 200
    wait_until(lambda: in_flight(demo) == 0)


def in_flight(process: ServerProcess) -> int:
    lines = process.get("/metrics").body.decode().splitlines()
    (line,) = [line for line in lines if line.startswith("bigmodel_requests_in_flight ")]
    return int(float(line.split()[1]))


@pytest.mark.parametrize("model", ["fake-reset-after-2", "fake-close-after-2"])
def test_a_remote_engine_that_breaks_in_mid_stream(faulty: ServerProcess, model: str) -> None:
    chat = faulty.ask(faulty.key, model=model, stream=True).read()

    assert (chat.text, chat.finish_reason, chat.done) == ("word word ", "network_error", True)
    assert chat.chunks[-1]["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("model", "status"), [("fake-reset-after-2", 500), ("fake-error-503", 500), ("glm-none", 400)]
)
def test_a_remote_engine_that_breaks_before_the_answer_is_whole(
    faulty: ServerProcess, model: str, status: int
) -> None:
    reply = faulty.ask(faulty.key, model=model).reply()

    assert (reply.status, reply.json["error"]["code"]) == (status, "1234" if status == 500 else "1211")
    assert (
        faulty.ask(faulty.key, model="fake-echo").reply().json["choices"][0]["message"]["content"] == "你好"
    )


def test_usage_is_on_the_disk_when_the_answer_ends(faulty: ServerProcess) -> None:
    chat = faulty.ask(faulty.key, model="fake-echo", request_id="on-disk", stream=True).read()

    assert chat.done
    assert usage_rows(faulty.folder, "on-disk") == 1


def usage_rows(folder: Path, request_id: str) -> int:
    connection = apsw.Connection(str(folder / "data" / "bigmodel.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("SELECT count(*) FROM usage WHERE request_id = ?", (request_id,)).get)
    finally:
        connection.close()
