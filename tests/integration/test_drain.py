"""SIGTERM: what is under way may finish, what does not is cut as if the engine had died, and the status is 0."""

import contextlib
import http.client
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openbigmodel.engines.fake_script import Gate, Head, Reply, Step
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import Chat, ServerProcess, alive, wait_until

EXIT_WITHIN_S = 10.0
SHORT_DRAIN = "[server]\ndrain_s = 1\n"


@pytest.fixture
def engine() -> Iterator[ThreadedFakeEngine]:
    with fake_engine() as threaded:
        yield threaded


@contextlib.contextmanager
def started(folder: Path, config: str = "") -> Iterator[ServerProcess]:
    process = ServerProcess(folder, config=config)
    try:
        yield process.started()
    finally:
        process.stop()


def terminate(process: ServerProcess) -> float:
    """Ask it to stop; gives the time."""
    process.process.send_signal(signal.SIGTERM)
    wait_until(lambda: any("stopping" in line for line in process.log))
    return time.monotonic()


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def held_reply() -> list[Step]:
    opening, *events = Reply(content=("a", "b", "c")).stream()
    return [opening, *events[:2], Gate(), *events[2:]]


def test_an_idle_server_ends_at_once(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        (worker,) = process.workers
        start_s = terminate(process)

        assert process.wait_exit(EXIT_WITHIN_S) == 0
        assert time.monotonic() - start_s < 3
        assert not alive(worker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_under_way_may_finish(
    tmp_path: Path, engine: ThreadedFakeEngine, number: signal.Signals
) -> None:
    engine.engine.play(held_reply())
    with started(tmp_path, config=engine.config) as process:
        chat = process.ask(process.key, model="fake-echo", stream=True).read(1)
        process.process.send_signal(number)
        # Nobody new comes in meanwhile.
        wait_until(lambda: refuses(process.port))
        engine.open_gate(0)
        chat.read()

        assert (chat.text, chat.finish_reason, chat.done) == ("abc", "stop", True)
        assert process.wait_exit(EXIT_WITHIN_S) == 0
        assert [
            record["finish_reason"]
            for record in process.records
            if record.get("status") == 200 and "model" in record
        ] == ["stop"]


def test_a_kept_connection_holds_nobody_up(tmp_path: Path, engine: ThreadedFakeEngine) -> None:
    with started(tmp_path, config=engine.config) as process:
        idle = http.client.HTTPConnection("127.0.0.1", process.port, timeout=5)
        idle.request("GET", "/health")
        assert idle.getresponse().read()
        start_s = terminate(process)

        assert process.wait_exit(EXIT_WITHIN_S) == 0
        assert time.monotonic() - start_s < 3
        idle.close()


def test_what_does_not_finish_is_cut(tmp_path: Path, engine: ThreadedFakeEngine) -> None:
    with started(tmp_path, config=SHORT_DRAIN + engine.config) as process:
        streams = [process.ask(process.key, model="fake-stall-2", stream=True).read(2) for _ in range(20)]
        body = process.ask(process.key, model="fake-stall-2")
        wait_until(lambda: len(engine.requests) == 21)
        start_s = terminate(process)
        for stream in streams:
            stream.read()
        answer = body.reply()
        status = process.wait_exit(EXIT_WITHIN_S)
        took_s = time.monotonic() - start_s

        assert status == 0
        assert 0.9 < took_s < 3
        assert {(stream.text, stream.finish_reason, stream.done) for stream in streams} == {
            ("word word ", "network_error", True)
        }
        assert (answer.status, answer.json["error"]["code"]) == (500, "1234")
        wait_until(lambda: all(request.left_s is not None for request in engine.requests))
        details = [record["detail"] for record in process.records if "detail" in record]
        assert details == ["the platform is stopping"] * 21


def test_the_default_is_within_ten_seconds_even_for_a_client_that_does_not_read(
    tmp_path: Path, engine: ThreadedFakeEngine
) -> None:
    engine.engine.play([Head(), *Reply(content=("x" * 65_536,) * 200).events(), Gate()])
    with started(tmp_path, config=engine.config) as process:
        chat = process.ask(process.key, model="fake-echo", stream=True)
        assert chat.response.status == 200
        start_s = terminate(process)

        assert process.wait_exit(EXIT_WITHIN_S) == 0
        assert time.monotonic() - start_s < EXIT_WITHIN_S
        chat.leave()


def test_asked_twice_it_waits_for_nobody(tmp_path: Path, engine: ThreadedFakeEngine) -> None:
    with started(tmp_path, config=engine.config) as process:
        chat: Chat = process.ask(process.key, model="fake-stall-2", stream=True).read(2)
        start_s = terminate(process)
        process.process.send_signal(signal.SIGTERM)
        chat.read()

        assert process.wait_exit(EXIT_WITHIN_S) == 0
        assert time.monotonic() - start_s < 3
        assert (chat.finish_reason, chat.done) == ("network_error", True)
