"""An edge connection whose socket is memory and whose clock is a number."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from uvicorn.server import ServerState

from openbigmodel.edge import (
    Edge,
    EdgeLimits,
    EdgeProtocol,
    Exchange,
    HotRoute,
    RequestHead,
    Sink,
    uvicorn_config,
)
from openbigmodel.room import Room

Message = MutableMapping[str, Any]
HOST = b"Host: a\r\n"
DATE = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; `unsent` plays the bytes that the client hasn't taken."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)})
        self.writes: list[bytes] = []
        self.unsent = 0
        self.reading = True
        self.half_closed = False
        self.closed = False
        self.aborted = False

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written to a closed transport"
        assert not self.half_closed, "written behind the end"
        self.writes.append(bytes(data))

    def write_eof(self) -> None:
        self.half_closed = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)


class Producer:
    """An exchange that notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def client_left(self) -> None:
        self.calls.append("client_left")


@dataclass(frozen=True)
class Accepted:
    owner: bytes


class ScriptedRoute:
    """Hands each request to the test: `sinks`, `bodies` and `producers` have one entry per request run."""

    body_limit = 100_000

    def __init__(self) -> None:
        self.heads: list[RequestHead] = []
        self.bodies: list[bytes] = []
        self.sinks: list[Sink] = []
        self.producers: list[Producer] = []

    def accept(self, head: RequestHead, sink: Sink) -> object | None:
        self.heads.append(head)
        if head.get(b"authorization") == b"wrong":
            sink.respond(401, b"x-a: b\r\n", b"no")
            return None
        return Accepted(head.get(b"x-owner") or b"somebody")

    def owner(self, accepted: object) -> str:
        assert isinstance(accepted, Accepted)
        return accepted.owner.decode()

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        assert isinstance(accepted, Accepted)
        self.bodies.append(body)
        self.sinks.append(sink)
        self.producers.append(Producer())
        return self.producers[-1]


class ScriptedApp:
    """An ASGI app that reads only when the test lets it, and answers what the test says."""

    def __init__(self) -> None:
        self.scopes: list[Mapping[str, Any]] = []
        self.messages: list[Message] = []
        self.receive: Callable[[], Awaitable[Message]]
        self.send: Callable[[Message], Awaitable[None]]
        self.done = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.scopes.append(scope)
        self.receive, self.send = receive, send
        await self.done.wait()
        self.done.clear()
        if self.failure is not None:
            raise self.failure

    async def answer(self, body: bytes = b"ok", declared: int | None = None) -> None:
        size = len(body) if declared is None else declared
        headers = [(b"content-length", str(size).encode())]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": size != len(body)})
        self.done.set()
        await turn()


class Client:
    """One connection to an edge of its own, or to a given one."""

    def __init__(
        self,
        limits: EdgeLimits | None = None,
        *,
        edge: Edge | None = None,
        room: Room | None = None,
        route: HotRoute | None = None,
        app: ScriptedApp | None = None,
    ) -> None:
        self.now = 1000.0
        self.route = ScriptedRoute()
        self.app = app or ScriptedApp()
        self.edge = edge or Edge(
            {b"/hot": route or self.route},
            limits,
            unfinished=room,
            clock=lambda: self.now,
            wall_s=lambda: 0.0,
        )
        config = uvicorn_config(self.edge, self.app)
        config.load()
        self.transport = MemoryTransport()
        self.protocol = EdgeProtocol(config, ServerState(), {}, asyncio.get_running_loop(), edge=self.edge)
        self.protocol.connection_made(self.transport)

    @property
    def sent(self) -> bytes:
        return self.transport.sent

    def state(self) -> str:
        """open, half-closed (our side only), closed or aborted."""
        transport = self.transport
        if transport.aborted:
            return "aborted"
        return "closed" if transport.closed else "half-closed" if transport.half_closed else "open"

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.sent.split(b"HTTP/1.1 ")[1:]]

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.edge.sweep()

    def lose(self) -> None:
        self.protocol.connection_lost(None)


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the test on an event loop."""

    @functools.wraps(test)
    def run(*args: Any, **options: Any) -> None:
        asyncio.run(test(*args, **options))

    return run


async def turn() -> None:
    """Let everything that is due on the loop happen."""
    for _ in range(5):
        await asyncio.sleep(0)


def hot(body: bytes = b"hello", *lines: bytes, version: bytes = b"1.1", length: int | None = None) -> bytes:
    extra = b"".join(line + b"\r\n" for line in lines)
    size = len(body) if length is None else length
    return b"POST /hot HTTP/%b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (version, HOST, extra, size, body)


def cold(body: bytes = b"hello", *lines: bytes, length: int | None = None) -> bytes:
    return hot(body, *lines, length=length).replace(b"/hot", b"/cold", 1)


def chunked(target: bytes, *parts: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (target, HOST, b"".join(parts))
