"""A real server on a loopback port, a hot route and an ASGI app that echo, and a client that takes answers apart."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from openbigmodel.edge import (
    Edge,
    EdgeLimits,
    Exchange,
    HotRoute,
    RequestHead,
    Sink,
    listening_socket,
    uvicorn_config,
)

Address = tuple[str, int]
Message = MutableMapping[str, Any]


class EchoRoute:
    """Answers with what it saw; `Bearer wrong` is refused before the body."""

    body_limit = 1 << 20

    def accept(self, head: RequestHead, sink: Sink) -> object | None:
        if head.get(b"authorization") == b"Bearer wrong":
            sink.respond(401, b"content-type: application/json\r\n", b"{}")
            return None
        return head

    def owner(self, accepted: object) -> str:
        return "owner"

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        assert accepted is head
        seen = echo("hot", head.method.decode(), head.target.decode(), body)
        if head.get(b"x-stream"):
            sink.start(b"content-type: text/plain\r\n")
            for at in range(0, len(seen), 10):
                sink.write(seen[at : at + 10])
            sink.end()
        else:
            sink.respond(200, b"content-type: application/json\r\n", seen)
        return None


def echo(by: str, method: str, target: str, body: bytes) -> bytes:
    return json.dumps({"by": by, "method": method, "target": target, "body": body.decode("latin-1")}).encode()


async def echo_app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    target = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
    await send_whole(send, echo("asgi", scope["method"], target, body))


async def send_whole(send: Callable[[Message], Awaitable[None]], body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class RunningServer:
    """uvicorn in a thread of its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._listener = listening_socket("127.0.0.1", 0)
        self.address: Address = self._listener.getsockname()
        self._server = uvicorn.Server(config)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        async def serve() -> None:
            self._ready.set()
            await self._server.serve([self._listener])

        factory = self._server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve())

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(5)

    def ask_to_stop(self) -> None:
        self._server.should_exit = True

    def wait_stopped(self, timeout_s: float = 10) -> None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def running(config: uvicorn.Config) -> Iterator[RunningServer]:
    server = RunningServer(config)
    server.start()
    try:
        yield server
    finally:
        server.ask_to_stop()
        server.wait_stopped()


@contextlib.contextmanager
def edge_server(
    routes: Mapping[bytes, HotRoute] | None = None,
    app: Any = echo_app,
    limits: EdgeLimits | None = None,
    **options: Any,
) -> Iterator[RunningServer]:
    edge = Edge({b"/hot": EchoRoute()} if routes is None else routes, limits)
    with running(uvicorn_config(edge, app, **options)) as server:
        yield server


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def seen(self) -> Any:
        """What the echo says it saw."""
        return json.loads(self.body)


def take_response(raw: bytes) -> tuple[Response, bytes]:
    """The first response in `raw`, and the rest. Raises ValueError when it isn't whole and well-formed."""
    head, separator, rest = raw.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError(f"no whole head: {raw[:80]!r}")
    line, *fields = head.decode("latin-1").split("\r\n")
    version, status_text, _ = line.split(" ", 2)
    if version != "HTTP/1.1":
        raise ValueError(line)
    pairs = [field.split(": ", 1) for field in fields]
    headers = {name.lower(): value for name, value in pairs}
    if len(headers) != len(pairs):
        raise ValueError(f"repeated field: {head!r}")
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(rest[: rest.index(b"\r\n")], 16):
            start = rest.index(b"\r\n") + 2
            body += rest[start : start + size]
            if rest[start + size : start + size + 2] != b"\r\n":
                raise ValueError("a chunk without its end")
            rest = rest[start + size + 2 :]
        if not rest.startswith(b"0\r\n\r\n"):
            raise ValueError("no last chunk")
        rest = rest[5:]
    elif "content-length" in headers:
        size = int(headers["content-length"])
        body, rest = rest[:size], rest[size:]
        if len(body) != size:
            raise ValueError("body cut short")
    elif int(status_text) >= 200:
        body, rest = rest, b""
    return Response(int(status_text), headers, body), rest


def take_responses(raw: bytes) -> list[Response]:
    responses = []
    while raw:
        response, raw = take_response(raw)
        responses.append(response)
    return responses


@contextlib.asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(
    address: Address, pieces: Sequence[bytes], *, gap_s: float = 0.001, timeout_s: float = 5
) -> bytes:
    """Send the pieces one by one and return all that comes back until the server closes (or `timeout_s`)."""
    received = bytearray()
    async with connected(address) as (reader, writer):

        async def send() -> None:
            for number, piece in enumerate(pieces):
                if number:
                    await asyncio.sleep(gap_s)
                writer.write(piece)
                await writer.drain()

        sending = asyncio.create_task(send())
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                while data := await reader.read(1 << 16):
                    received += data
        sending.cancel()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await sending
    return bytes(received)
