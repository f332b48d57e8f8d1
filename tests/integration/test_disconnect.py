"""A client that leaves stops the engine within a second, however and whenever it leaves."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openbigmodel.engines.fake_script import FakeRequest
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import ServerProcess, server, wait_until

WITHIN_S = 1.0
# reliability.md STR-03: what an engine may go on producing for somebody who has left.
EXTRA_TOKENS_MAX = 32
POEM = {
    "messages": [{"role": "user", "content": "请写一首关于长城的长诗"}],
    "max_tokens": 512,
    "stream": True,
}


@pytest.fixture(scope="module")
def engine() -> Iterator[ThreadedFakeEngine]:
    with fake_engine() as threaded:
        yield threaded


@pytest.fixture(scope="module")
def platform(engine: ThreadedFakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("remote"), config=engine.config) as process:
        yield process


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("demo")) as process:
        yield process


def connect(process: ServerProcess, body: bytes, *, length: int | None = None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", process.port), timeout=10)
    head = (
        "POST /api/paas/v4/chat/completions HTTP/1.1\r\nHost: platform\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {process.key}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def chat(model: str, *, stream: bool = True) -> bytes:
    return json.dumps(
        {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    ).encode()


def requests_of(process: ServerProcess) -> list[dict[str, Any]]:
    """The log's lines of requests; engines have lines, too, whenever something becomes of them."""
    return [record for record in process.records if "status" in record]


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def newest(engine: ThreadedFakeEngine, number: int) -> FakeRequest:
    wait_until(lambda: len(engine.requests) > number)
    return engine.requests[number]


@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize(
    ("model", "stream", "tokens"),
    [("fake-stall-2", True, 2), ("fake-stall-2", False, 2), ("fake-endless-50", True, 5)],
    ids=["a stalled stream", "a body", "a stream"],
)
def test_an_engine_elsewhere_stops(
    platform: ServerProcess,
    engine: ThreadedFakeEngine,
    model: str,
    stream: bool,
    tokens: int,
    leave: Callable[[socket.socket], None],
) -> None:
    number, lines = len(engine.requests), len(requests_of(platform))
    connection = connect(platform, chat(model, stream=stream))
    request = newest(engine, number)
    wait_until(lambda: request.tokens >= tokens)
    if stream:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    produced = request.tokens
    leave(connection)
    took_s = wait_until(lambda: request.over)

    assert request.left_s is not None
    assert took_s < WITHIN_S
    assert request.tokens <= produced + EXTRA_TOKENS_MAX
    wait_until(lambda: len(requests_of(platform)) > lines)
    record = requests_of(platform)[-1]
    assert record["client_left"]
    if stream:
        assert produced <= record["completion_tokens"] <= request.tokens


def test_leaving_before_the_body_is_whole_asks_no_engine(
    platform: ServerProcess, engine: ThreadedFakeEngine
) -> None:
    number = len(engine.requests)
    body = chat("fake-stall-2")
    connect(platform, body[:20], length=len(body)).close()
    assert platform.ask(platform.key, model="fake-echo").reply().status == 200

    assert len(engine.requests) == number + 1


def test_leaving_after_the_end_is_a_success(platform: ServerProcess) -> None:
    lines = len(requests_of(platform))
    connection = connect(platform, chat("fake-echo"))
    received = b""
    while b"[DONE]" not in received:
        received += connection.recv(65_536)
    connection.close()
    wait_until(lambda: len(requests_of(platform)) > lines)

    assert "client_left" not in requests_of(platform)[-1]
    assert requests_of(platform)[-1]["finish_reason"] == "stop"


def test_many_leave_at_once(platform: ServerProcess, engine: ThreadedFakeEngine) -> None:
    number = len(engine.requests)
    connections = [connect(platform, chat("fake-endless-50")) for _ in range(100)]
    wait_until(lambda: len(engine.requests) == number + 100)
    for connection in connections:
        reset(connection)
    took_s = wait_until(lambda: all(request.over for request in engine.requests[number:]))

    assert took_s < WITHIN_S
    wait_until(lambda: "bigmodel_requests_in_flight 0.0" in platform.get("/metrics").body.decode())


def test_the_built_in_engines_slots_are_free_again(demo: ServerProcess) -> None:
    # As many as it has slots: the next one waits until one is free.
    streams = [demo.ask(demo.key, **POEM) for _ in range(4)]
    for stream in streams:
        stream.read(1)
    lines = len(requests_of(demo))
    start_s = time.monotonic()
    for stream in streams:
        stream.leave()
    reply = demo.ask(demo.key, max_tokens=4).reply()
    took_s = time.monotonic() - start_s

    assert reply.status == 200
    assert took_s < WITHIN_S + 0.5  # and half a second for the answer itself
    wait_until(lambda: len(requests_of(demo)) >= lines + 5)
    left = [record for record in requests_of(demo) if record.get("client_left")]
    # The demo model is quick: one or the other may have finished in time.
    assert all(record["duration_ms"] < 5_000 for record in left)
