"""The edge on real sockets: pace, leaving, drain, time limits, early refusals (reliability.md §4.6)."""

import asyncio
import contextlib
import queue
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.edge import EdgeLimits, Exchange, RequestHead, Sink
from tests.integration.edge_server import (
    Address,
    edge_server,
    exchange,
    take_response,
    take_responses,
)
from tests.integration.head_catalogue import SENTINEL, post

CLOSE = b"Connection: close"


class StreamRoute:
    """Streams without end, as fast as it is let, or one part each `gap_s`; notes what it is told."""

    body_limit = 16 << 20

    def __init__(self, gap_s: float = 0.0, part: bytes = b"x" * 8192) -> None:
        self.gap_s = gap_s
        self.part = part
        self.events: queue.Queue[str] = queue.Queue()
        self.written = 0

    def accept(self, head: RequestHead, sink: Sink) -> object | None:
        if head.get(b"authorization") == b"wrong":
            sink.respond(401, b"", b"who are you")
            return None
        return "accepted"

    def owner(self, accepted: object) -> str:
        return "owner"

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        sink.start(b"")
        return Streaming(self, sink, int(head.get(b"x-parts") or b"0"))


class Streaming:
    def __init__(self, route: StreamRoute, sink: Sink, parts: int) -> None:
        self.route = route
        self.sink = sink
        self.left = parts or -1
        self.paused = False
        self.loop = asyncio.get_running_loop()
        self.timer = self.loop.call_soon(self.produce)

    def produce(self) -> None:
        if self.left == 0:
            self.sink.end(b"end")
            return
        self.left -= 1
        self.sink.write(self.route.part)
        self.route.written += len(self.route.part)
        if not self.paused:
            self.timer = self.loop.call_later(self.route.gap_s, self.produce)

    def pause(self) -> None:
        self.route.events.put("pause")
        self.paused = True
        self.timer.cancel()

    def resume(self) -> None:
        self.route.events.put("resume")
        self.paused = False
        self.timer = self.loop.call_soon(self.produce)

    def client_left(self) -> None:
        self.route.events.put("client_left")
        self.timer.cancel()


def ask(address: Address, *pieces: bytes, timeout_s: float = 5) -> bytes:
    return asyncio.run(exchange(address, pieces, timeout_s=timeout_s))


@contextlib.contextmanager
def raw_client(address: Address, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    client = socket.socket()
    client.settimeout(5)
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect(address)
    try:
        yield client
    finally:
        client.close()


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(1 << 16):
        received += data
    return received


def test_hot_and_cold_requests_on_one_connection_in_order() -> None:
    with edge_server() as server:
        raw = post(b"/hot") + post(b"/cold") + post(b"/hot", b"X-Stream: 1") + post(b"/hot?a=b") + SENTINEL
        responses = take_responses(ask(server.address, raw))
    seen = [(response.seen["by"], response.seen["target"]) for response in responses]
    assert seen == [
        *(("hot", "/hot"), ("asgi", "/cold"), ("hot", "/hot"), ("hot", "/hot?a=b")),
        ("asgi", "/sentinel"),
    ]
    for response in responses:
        assert "server" not in response.headers
        assert response.headers["date"].endswith("GMT")


def test_keep_alive_request_after_request() -> None:
    with edge_server() as server, raw_client(server.address) as client:
        for target in (b"/hot", b"/cold") * 20:
            client.sendall(post(target))
            response, rest = take_response(client.recv(1 << 16))
            assert response.seen["target"].encode() == target
            assert rest == b""


def test_head_requests_and_empty_answers() -> None:
    with edge_server() as server, raw_client(server.address) as client:
        client.sendall(post(b"/cold", method=b"HEAD", body=b"", length=None))
        answer = client.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n")
        client.sendall(SENTINEL)
        assert take_responses(read_to_end(client))[0].seen["target"] == "/sentinel"


def test_http_1_0_streams_until_close() -> None:
    with edge_server({b"/hot": StreamRoute(part=b"part ")}) as server:
        response, rest = take_response(ask(server.address, post(b"/hot", b"X-Parts: 3", version=b"HTTP/1.0")))
    assert response.body == b"part part part end"
    assert response.headers["connection"] == "close"
    assert "transfer-encoding" not in response.headers
    assert rest == b""


@pytest.mark.parametrize("target", [b"/hot", b"/cold"])
def test_100_continue(target: bytes) -> None:
    with edge_server() as server, raw_client(server.address) as client:
        client.sendall(post(target, b"Expect: 100-continue", body=b""))
        assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        response, _ = take_response(client.recv(1 << 16))
    assert (response.status, response.seen["body"]) == (200, "hello")


def test_a_refused_upload_gets_its_answer_although_it_never_stops_sending() -> None:
    """Without lingering the unread bytes reset the connection, and the client never learns why."""
    upload = b"x" * (10 << 20)
    for lines, length, status in (
        ((b"Authorization: wrong",), b"%d" % len(upload), 401),
        ((), b"%d" % (1 << 30), 413),
        ((b"Host: b",), b"%d" % len(upload), 400),
    ):
        with edge_server({b"/hot": StreamRoute()}) as server, raw_client(server.address) as client:
            client.sendall(post(b"/hot", *lines, length=length, body=b""))
            client.sendall(upload)
            responses = take_responses(read_to_end(client))
        assert [response.status for response in responses] == [status]


def test_a_client_that_does_not_read_pauses_the_producer_until_it_reads() -> None:
    route = StreamRoute()
    with edge_server({b"/hot": route}) as server, raw_client(server.address, 4096) as client:
        client.sendall(post(b"/hot", b"X-Parts: 100"))
        assert route.events.get(timeout=5) == "pause"
        written = route.written
        assert written < 500_000
        time.sleep(0.05)
        assert route.written == written
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(1 << 16)
        assert route.events.get(timeout=5) == "resume"
        response, _ = take_response(received)
    assert len(response.body) == 100 * 8192 + 3


def test_a_stalled_reader_is_dropped_and_its_producer_told() -> None:
    route = StreamRoute()
    limits = EdgeLimits(stall_s=0.1, sweep_s=0.02)
    with edge_server({b"/hot": route}, limits=limits) as server, raw_client(server.address, 4096) as client:
        client.sendall(post(b"/hot"))
        assert route.events.get(timeout=5) == "pause"
        started = time.monotonic()
        assert route.events.get(timeout=5) == "client_left"
        assert time.monotonic() - started < 1
        with pytest.raises(ConnectionResetError):
            read_to_end(client)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_producer_learns_at_once_that_its_client_left(how: str) -> None:
    route = StreamRoute(gap_s=0.01, part=b"data")
    with edge_server({b"/hot": route}) as server:
        with raw_client(server.address) as client:
            client.sendall(post(b"/hot"))
            client.recv(1 << 16)
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        started = time.monotonic()
        assert route.events.get(timeout=5) == "client_left"
        assert time.monotonic() - started < 0.8
        time.sleep(0.05)
        assert route.events.empty()


def test_a_silent_producer_learns_within_a_second_that_its_client_left() -> None:
    """Nothing is being written, so only the end of the client's side tells."""
    route = StreamRoute(gap_s=60)
    with edge_server({b"/hot": route}) as server:
        with raw_client(server.address) as client:
            client.sendall(post(b"/hot"))
            client.recv(1 << 16)
        started = time.monotonic()
        assert route.events.get(timeout=5) == "client_left"
        assert time.monotonic() - started < 0.9


@pytest.mark.parametrize("target", [b"/hot", b"/cold"])
def test_a_client_that_only_ends_its_side_is_answered(target: bytes) -> None:
    with edge_server() as server, raw_client(server.address) as client:
        client.sendall(post(target) + post(target))
        client.shutdown(socket.SHUT_WR)
        responses = take_responses(read_to_end(client))
    assert [response.status for response in responses] == [200, 200]


def test_drain_ends_streams_and_closes_idle_connections() -> None:
    route = StreamRoute(gap_s=0.01, part=b"data")
    with edge_server({b"/hot": route}) as server:
        with raw_client(server.address) as idle, raw_client(server.address) as busy:
            idle.sendall(post(b"/cold"))
            idle.recv(1 << 16)
            busy.sendall(post(b"/hot", b"X-Parts: 30"))
            received = busy.recv(1 << 16)
            server.ask_to_stop()
            assert read_to_end(idle) == b""
            response, rest = take_response(received + read_to_end(busy))
            assert response.body == b"data" * 30 + b"end"
            assert rest == b""
        server.wait_stopped(2)
    assert route.events.empty()


SHORT = EdgeLimits(head_s=0.1, body_s=0.1, idle_s=0.1, linger_s=0.1, sweep_s=0.02)


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"", []),
        (b"POST /hot HTTP/1.1\r\nHost", [408]),
        (post(b"/hot", body=b"hel"), [408]),
        (post(b"/cold", body=b"hel"), [408]),
        (post(b"/cold"), [200]),
        (post(b"/hot"), [200]),
        (b"\x16\x03\x01", [400]),
    ],
)
def test_time_limits(raw: bytes, statuses: list[int]) -> None:
    with edge_server(limits=SHORT) as server:
        started = time.monotonic()
        responses = take_responses(ask(server.address, raw))
        assert time.monotonic() - started < 1
    assert [response.status for response in responses] == statuses


def test_a_flood_of_half_open_senders_does_not_keep_others_waiting() -> None:
    with edge_server(limits=SHORT) as server:
        with contextlib.ExitStack() as stack:
            for raw in (b"POST /hot HTTP/1.1\r\nX: ", post(b"/cold", body=b"h"), b"") * 60:
                stack.enter_context(raw_client(server.address)).sendall(raw)
            started = time.monotonic()
            assert take_responses(ask(server.address, post(b"/hot", CLOSE)))[0].status == 200
            assert time.monotonic() - started < 0.5
        time.sleep(0.05)
        assert take_responses(ask(server.address, post(b"/cold", CLOSE)))[0].status == 200


def test_a_connection_over_the_limit_reads_why() -> None:
    limits = EdgeLimits(connections_max=2)
    with edge_server(limits=limits) as server, raw_client(server.address), raw_client(server.address):
        response, _ = take_response(ask(server.address, post(b"/hot")))
    assert response.status == 503
    assert response.seen["error"]["code"] == "1305"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl isn't installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_the_same_over_tls(certificate: tuple[Path, Path]) -> None:
    route = StreamRoute(gap_s=0.01, part=b"data")
    options: dict[str, Any] = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]}
    trust = ssl.create_default_context(cafile=certificate[0])
    limits = EdgeLimits(linger_s=0.1, sweep_s=0.02)
    with edge_server({b"/hot": route}, limits=limits, **options) as server:

        def tls_client() -> ssl.SSLSocket:
            plain = socket.create_connection(server.address, timeout=5)
            return trust.wrap_socket(plain, server_hostname="localhost")

        with tls_client() as client:
            client.sendall(post(b"/hot", b"X-Parts: 2") + SENTINEL)
            streamed, whole = take_responses(read_to_end(client))
            assert streamed.body == b"datadataend"
            assert whole.seen["target"] == "/sentinel"
        with tls_client() as client:
            client.sendall(post(b"/hot", host=b"a b"))
            with contextlib.suppress(ConnectionError):
                assert [each.status for each in take_responses(read_to_end(client))] == [400]
        with tls_client() as client:
            client.sendall(post(b"/hot"))
            client.recv(1 << 16)
        assert route.events.get(timeout=5) == "client_left"
