"""A scripted engine: an OpenAI-compatible server whose every byte, pause and fault is decided beforehand.

Rule: a script is a list of steps, played once, for one request. What came in, what went out and when the client
left is on record (`FakeEngine.requests`), so that the platform's story can be held against the engine's own.

    python -m openbigmodel.engines.fake --port 9000        # scripts chosen by the model's name: SCRIPTS
"""

import argparse
import asyncio
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake_script import (
    SCRIPTS,
    Close,
    Data,
    End,
    FakeRequest,
    Gate,
    Head,
    Raw,
    Reset,
    Script,
    Sleep,
    Stall,
    Step,
    json_answer,
    script_of,
)

# Makes the kernel send a reset instead of an orderly end.
_LINGER_0_S = struct.pack("ii", 1, 0)


async def _for_ever() -> None:
    await asyncio.Event().wait()


class _Client(asyncio.Protocol):
    """One connection: reads a request, plays its script, reads the next."""

    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine
        self._input = bytearray()
        self._wake = asyncio.Event()
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()
        self._framing: str | int = "close"
        self._closing = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        # asyncio does so only for sockets that name their protocol, and then each small step waits for the last one's
        # acknowledgement.
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writable.set()
        self._engine.clients[self] = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._input += data
        self._wake.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._wake.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _serve(self) -> None:
        try:
            while (request := await self._read()) is not None:
                # Probes come unasked for and at any time: they take no script from a request, and no place.
                (self._engine.probes if request.method == "GET" else self._engine.requests).append(request)
                playing = asyncio.ensure_future(self._play(request))
                gone = asyncio.ensure_future(self._gone.wait())
                await asyncio.wait((playing, gone), return_when=asyncio.FIRST_COMPLETED)
                request.ended_s = self._engine.now_s()
                if playing.done():
                    playing.result()
                else:
                    playing.cancel()
                    request.left_s = None if self._closing else request.ended_s
                gone.cancel()
        finally:
            self.transport.close()
            self._engine.clients.pop(self, None)

    async def _read(self) -> FakeRequest | None:
        while (request := self._whole_request()) is None and not self._gone.is_set():
            self._wake.clear()
            await self._wake.wait()
        return request

    def _whole_request(self) -> FakeRequest | None:
        head, end, body = bytes(self._input).partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        size = int(headers.get("content-length", "0"))
        if not end or len(body) < size:
            return None
        self._input[:] = body[size:]
        return FakeRequest(line, headers, body[:size], self._engine.now_s())

    async def _play(self, request: FakeRequest) -> None:
        for step in self._engine.script_for(request):
            if self.transport.is_closing():
                await _for_ever()  # the client is gone, as will be told in a moment
            await self._step(step, request)
            # Not at once on to the next: a script without pauses must leave the loop to others.
            await asyncio.sleep(0)
            await self._writable.wait()
            if self._gone.is_set():
                await _for_ever()  # to be cancelled

    async def _step(self, step: Step, request: FakeRequest) -> None:
        match step:
            case Head():
                self.transport.write(self._head(step))
            case Data():
                chunked = self._framing == "chunked"
                self.transport.write(b"%x\r\n%b\r\n" % (len(step.data), step.data) if chunked else step.data)
                request.tokens += step.tokens
            case Raw():
                self.transport.write(step.data)
            case Sleep():
                await asyncio.sleep(step.seconds)
            case Gate():
                await request.gate()
            case Stall():
                await _for_ever()
            case Reset():
                self._closing = True
                linger = self.transport.get_extra_info("socket").setsockopt
                linger(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0_S)
                self.transport.abort()
            case End() if self._framing != "close":
                self.transport.write(b"0\r\n\r\n" if self._framing == "chunked" else b"")
            case Close() | End():
                self._closing = True
                self.transport.close()

    def _head(self, head: Head) -> bytes:
        self._framing = head.framing
        lines = [f"HTTP/1.1 {head.status} Fake", *(f"{name}: {value}" for name, value in head.headers)]
        if isinstance(head.framing, int):
            lines.append(f"Content-Length: {head.framing}")
        else:
            lines.append("Transfer-Encoding: chunked" if head.framing == "chunked" else "Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class FakeEngine:
    """The server. Scripts given to `play` serve the next requests; without one, the model's name decides."""

    def __init__(
        self, *, now_s: Callable[[], float] = time.monotonic, send_buffer_bytes: int | None = None
    ) -> None:
        self.now_s = now_s
        self.requests: list[FakeRequest] = []
        self.clients: dict[_Client, asyncio.Task[None]] = {}
        self.accepted = 0
        """Connections, ever."""
        self.probes: list[FakeRequest] = []
        """Requests with GET."""
        self.pages: dict[str, tuple[int, Any]] = {}
        """What GET answers besides the list of models: status and JSON by path."""
        self._send_buffer_bytes = send_buffer_bytes
        self._scripts: deque[Script | list[Step]] = deque()
        self._server: asyncio.Server | None = None

    def play(self, *scripts: Script | list[Step]) -> None:
        """Serve the next requests with these, one each."""
        self._scripts.extend(scripts)

    def script_for(self, request: FakeRequest) -> Iterable[Step]:
        """What to do with a request."""
        if request.method == "GET":
            return (
                json_answer(*self.pages[request.target])
                if request.target in self.pages
                else script_of(request)
            )
        script = self._scripts.popleft() if self._scripts else script_of
        return script(request) if callable(script) else script

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes any that is free."""
        listener = socket.create_server((host, port))
        if self._send_buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
        self._server = await asyncio.get_running_loop().create_server(self._connect, sock=listener)

    def _connect(self) -> _Client:
        self.accepted += 1
        return _Client(self)

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        tasks = list(self.clients.values())
        for client, task in list(self.clients.items()):
            client.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        assert self._server is not None
        host, port, *_ = self._server.sockets[0].getsockname()
        return Endpoint(host, port)


async def _main(host: str, port: int) -> None:
    engine = FakeEngine()
    await engine.start(host, port)
    sys.stdout.write(f"{engine.endpoint.url}  models: {', '.join(SCRIPTS)}\n")
    sys.stdout.flush()
    await _for_ever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible engine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    try:
        asyncio.run(_main(options.host, options.port))
    except KeyboardInterrupt:
        sys.exit(0)
