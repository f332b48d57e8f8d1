"""HTTP/1.1 towards engines: a small keep-alive pool whose connections call back, without tasks or futures.

A relay moves thousands of chunks a second, and each layer of a general HTTP client costs more than the relay
itself. This client knows one method (POST), bodies of known length and one consumer per response; everything
that is not on the way of a chat request uses httpx.

One call ends in exactly one of `engine_ended` and `engine_failed`, unless it was cancelled first: then in none.
"""

import asyncio
import posixpath
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from typing import Protocol, cast

import httptools

from openbigmodel.engines.endpoint import Endpoint

CONNECT_TIMEOUT_S = 5.0
MAX_IDLE_CONNECTIONS = 512
# Servers and what stands between close idle connections after a minute or more.
MAX_IDLE_S = 50.0
# Below, two writes cost more than the copy.
_JOINED_BYTES_MAX = 256 * 1024
_MAX_HEAD_BYTES = 64 * 1024
# Without either, only the end of the connection ends the body.
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_NO_HEADERS: Mapping[bytes, bytes] = {}
# Linger for no time: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)
# Credentials change: a JWT lives for minutes.
_MAX_REQUEST_HEADS = 256
# Larger chunks are the parser's.
_KNOWN_CHUNK_BYTES = 4096
# By the size of a whole chunk of a body, how it begins.
_CHUNK_BEGINS = {len(b"%x\r\n\r\n" % size) + size: b"%x\r\n" % size for size in range(1, _KNOWN_CHUNK_BYTES)}


class EngineConsumer(Protocol):
    """Whoever reads an engine's response."""

    def engine_started(self, status: int) -> None:
        """The response head is there."""

    def engine_data(self, data: bytes) -> None:
        """Part of the body."""

    def engine_ended(self) -> None:
        """The body is complete."""

    def engine_failed(self, reason: str) -> None:
        """The connection could not be made, broke, or spoke no HTTP."""


class ChunkTaker(Protocol):
    """Whoever is asked before the consumer about reads that are one chunk of a body each, until anything else comes."""

    def take(self, chunk: bytes, begin: int) -> bool:
        """Whether it was taken; else the consumer has it, and this taker is forgotten.

        `chunk` is a whole one as it came, whose data begin at `begin`, if it ends in CRLF. One that does not must be
        left: nobody else has looked.
        """


class Watcher(Protocol):
    """Whoever wants to know how an endpoint is."""

    @property
    def doubtful(self) -> bool:
        """Whether it wants to know of good answers, too."""

    def answered(self, call: "EngineCall", status: int) -> None:
        """A response head is there, of another status than 200 unless `doubtful`."""

    def unreachable(self, reason: str) -> None:
        """No connection could be made."""


class EngineCall:
    """One request under way. Pausing is remembered until there is a connection to pause.

    `headers` are those of a response whose status is not 200, by their names in small letters. `key` is for the
    watcher: which of several credentials is shown, as itself or in a signature.
    """

    __slots__ = (
        "_pool",
        "bearer",
        "body",
        "connection",
        "consumer",
        "headers",
        "key",
        "over",
        "path",
        "paused",
        "taker",
    )

    def __init__(
        self,
        pool: "ConnectionPool",
        path: str,
        body: bytes,
        consumer: EngineConsumer,
        bearer: str | None = None,
    ) -> None:
        self._pool = pool
        self.path = path
        self.body = body
        self.consumer = consumer
        self.bearer = bearer
        self.key = ""
        self.headers = _NO_HEADERS
        self.taker: ChunkTaker | None = None
        self.connection: _Connection | None = None
        self.over = False
        self.paused = False

    def ask_first(self, taker: ChunkTaker) -> None:
        """Ask `taker` before the consumer, until the consumer is told of anything."""
        self.taker = taker

    def pause(self) -> None:
        """Stop reading from the engine, which then stops producing when its socket is full."""
        self.paused = True
        if self.connection is not None:
            self.connection.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self.paused = False
        if self.connection is not None:
            self.connection.transport.resume_reading()

    def cancel(self) -> None:
        """Drop the connection: the one sign to stop that every engine understands."""
        self.over = True
        if self.connection is not None:
            self.connection.call = None
            self.connection.drop()
            self.connection = None


class _Connection(asyncio.Protocol):
    """One connection; carries one call at a time."""

    __slots__ = (
        "_between_chunks",
        "_bodies",
        "_body_ends_with_connection",
        "_head_bytes",
        "_headers",
        "_parser",
        "_pool",
        "answered",
        "call",
        "idle_since_s",
        "on_body",
        "on_header",
        "reused",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: "ConnectionPool") -> None:
        self._pool = pool
        self._headers: dict[bytes, bytes] = {}
        self._bodies: list[bytes] = []
        # The parser calls these containers without a Python function between. A read brings many small chunks;
        # the consumer has them in one piece.
        self.on_header = self._headers.__setitem__
        self.on_body = self._bodies.append
        self._parser = httptools.HttpResponseParser(self)
        self._body_ends_with_connection = False
        # The parser has read a body up to the end of a chunk.
        self._between_chunks = False
        self.call: EngineCall | None = None
        self.answered = False
        self._head_bytes = 0
        self.reused = False
        self.idle_since_s = 0.0

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in all but inheritance.
        self.transport = cast("asyncio.Transport", transport)
        self._pool.open_connections += 1
        connected: socket.socket | None = transport.get_extra_info("socket")
        if connected is not None:
            # A network that forgets a connection says so to nobody; this finds out.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        call = self.call
        if call is None:
            # An engine that talks unasked is out of step; its next answer would be somebody else's.
            self.transport.abort()
            return
        if self._between_chunks:
            begin, taker = _CHUNK_BEGINS.get(len(data)), call.taker
            if begin is not None and data.startswith(begin):
                # Its size is right, so if it ends well the parser would be between chunks again: it can be spared.
                if taker is not None and taker.take(data, len(begin)):
                    return
                if data.endswith(b"\r\n"):
                    call.taker = None
                    call.consumer.engine_data(data[len(begin) : -2])
                    return
        call.taker = None
        self._parse(call, data)

    def _parse(self, call: EngineCall, data: bytes) -> None:
        self._between_chunks = False
        if not self.answered:
            # Of a response's head nobody needs more than a few lines, and the parser would keep any number.
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if not self.answered and self._head_bytes > _MAX_HEAD_BYTES:
                raise httptools.HttpParserError("a response head without end")
        except httptools.HttpParserCallbackError as error:
            # Not the engine's fault but ours, found while it was read.
            context = {"message": "an engine's answer could not be handled", "exception": error.__context__}
            asyncio.get_running_loop().call_exception_handler(context)
            self.call = None
            self.transport.abort()
            call.consumer.engine_failed("a fault in the platform")
            return
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not HTTP: {error}")
            self.transport.abort()
            return
        if bodies := self._bodies:
            self._between_chunks = len(bodies) == 1 and _is_chunk(data, bodies[0])
            self._deliver(bodies)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        call = self.call
        if call is None:
            return
        if self._body_ends_with_connection and exc is None:
            self._finish()
        elif self.reused and not self.answered and not self._head_bytes and not call.over:
            # The engine closed an idle connection as we picked it up, and has said nothing to this request.
            self.call = None
            call.connection = None
            self._pool.dispatch_on_new_connection(call)
        else:
            self._fail(f"connection lost{f': {exc}' if exc else ''}")

    def drop(self) -> None:
        """Close it so that the engine sees at once that nobody listens, and not only that we have no more to say.

        A plain close looks like the latter until the engine writes, which for a whole answer is when it is made. Over
        TLS there is no such doubt, and a close is sent again where it gets lost, unlike a reset.
        """
        connected: socket.socket | None = self.transport.get_extra_info("socket")
        if connected is not None and not self._pool.tls:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    # the parser's side

    def on_message_begin(self) -> None:
        if self.call is None:
            # More than was asked for: out of step, as above.
            self.transport.abort()

    def on_headers_complete(self) -> None:
        headers = self._headers
        # Nearly every engine writes names in small letters.
        framed = b"content-length" in headers or b"transfer-encoding" in headers
        self._body_ends_with_connection = not framed and _FRAMING.isdisjoint(map(bytes.lower, headers))
        status = self._parser.get_status_code()
        call = self.call
        if call is not None and status >= 200:  # below, it is not the answer yet
            self.answered = True
            if status != 200:
                call.headers = {name.lower(): value for name, value in headers.items()}
            watcher = self._pool.watcher
            if watcher is not None and (status != 200 or watcher.doubtful):
                watcher.answered(call, status)
            call.consumer.engine_started(status)

    def _deliver(self, bodies: list[bytes]) -> None:
        data = bodies.pop() if len(bodies) == 1 else b"".join(bodies)
        bodies.clear()
        if self.call is not None:
            self.call.consumer.engine_data(data)

    def on_message_complete(self) -> None:
        self._headers.clear()  # here, and not before: a chunked body may have some behind it
        if self._bodies:
            self._deliver(self._bodies)
        if not self._body_ends_with_connection:
            self._finish()

    # ending a call

    def _finish(self) -> None:
        call, self.call = self.call, None
        keep = self._parser.should_keep_alive() and not self._body_ends_with_connection
        if call is None:
            return
        call.over = True
        call.connection = None
        if call.paused:
            self.transport.resume_reading()
        if not keep or not self._pool.keep(self):
            self.transport.close()
        call.consumer.engine_ended()

    def _fail(self, reason: str) -> None:
        call, self.call = self.call, None
        if call is not None and not call.over:
            call.over = True
            call.connection = None
            call.consumer.engine_failed(reason)

    def send(self, call: EngineCall) -> None:
        """Write the whole request, in one piece unless it is so large that a copy of it matters."""
        self.call = call
        self.answered = False
        self._head_bytes = 0
        call.connection = self
        body = call.body
        head = self._pool.request_head(call.path, len(body), call.bearer)
        if len(body) > _JOINED_BYTES_MAX:
            self.transport.write(head)
            self.transport.write(body)
        else:
            self.transport.write(head + body)
        if call.paused:
            self.transport.pause_reading()


def _is_chunk(data: bytes, piece: bytes) -> bool:
    """Whether `data`, of which `piece` is a body's, is exactly one chunk, so that the parser is between chunks now.

    Had it been inside a chunk, the piece would be how the data begins: with a size and a line break.
    """
    return len(piece) > 1 and b"\r" not in piece and data == b"%x\r\n%b\r\n" % (len(piece), piece)


class ConnectionPool:
    """The connections to one endpoint. `keep_alive=False` for engines whose reuse is unsafe (llama-server)."""

    def __init__(
        self, endpoint: Endpoint, *, keep_alive: bool = True, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoint = endpoint
        self._now_s = now_s
        self._keep_alive = keep_alive
        self._idle: list[_Connection] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self.open_connections = 0
        self._heads: dict[str | tuple[str, str], bytes] = {}
        self.watcher: Watcher | None = None
        self._tls = ssl.create_default_context() if endpoint.tls else None
        self._closed = False

    def post(self, path: str, body: bytes, consumer: EngineConsumer, bearer: str | None = None) -> EngineCall:
        """Send `body` (JSON) to `path` below the endpoint's own (`/../x` is beside it); the answer goes to `consumer`.

        `bearer` is the credential to show, if it is not the endpoint's own.
        """
        call = EngineCall(self, path, body, consumer, bearer)
        idle, clock = self._idle, self._now_s
        while idle:
            connection = idle.pop()
            if clock() - connection.idle_since_s > MAX_IDLE_S:
                # The ones below have been idle for longer still.
                self._close_idle(connection)
            elif not connection.transport.is_closing():
                connection.reused = True
                connection.send(call)
                return call
        self.dispatch_on_new_connection(call)
        return call

    def dispatch_on_new_connection(self, call: EngineCall) -> None:
        """Connect, then send; the call may be cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(self._connect(call))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, call: EngineCall) -> None:
        endpoint = self._endpoint
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self), endpoint.host, endpoint.port, ssl=self._tls
                )
        except Exception as error:  # noqa: BLE001  the edge of a task: whatever it is, the consumer waits for a word
            reason = f"cannot connect to {endpoint.host}:{endpoint.port}: {str(error) or 'timeout'}"
            if self.watcher is not None:
                self.watcher.unreachable(reason)
            if not call.over:
                call.over = True
                call.consumer.engine_failed(reason)
            return
        if call.over or self._closed:
            connection.transport.abort()
            if not call.over:
                call.over = True
                call.consumer.engine_failed("the connections were closed")
            return
        connection.send(call)

    @property
    def tls(self) -> bool:
        """Whether what is sent is encrypted."""
        return self._tls is not None

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return bool(self._connecting) or self.open_connections > len(self._idle)

    def set_keep_alive(self, keep_alive: bool) -> None:
        """Whether connections may be reused, once it is known what answers."""
        if keep_alive != self._keep_alive:
            self._keep_alive = keep_alive
            self._heads.clear()
            self._close_idle()

    def keep(self, connection: _Connection) -> bool:
        """Take a connection back for the next call, if it may be reused."""
        if not self._keep_alive or self._closed or len(self._idle) >= MAX_IDLE_CONNECTIONS:
            return False
        clock = self._now_s
        connection.idle_since_s = clock()
        self._idle.append(connection)
        return True

    def _close_idle(self, *more: _Connection) -> None:
        for connection in (*more, *self._idle):
            connection.transport.close()
        self._idle.clear()

    def forget(self, connection: _Connection) -> None:
        """The connection is gone."""
        self.open_connections -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def request_head(self, path: str, length: int, bearer: str | None = None) -> bytes:
        """The request head; only the length differs from call to call, and seldom the credential."""
        key = path if bearer is None else (path, bearer)
        head = self._heads.get(key)
        if head is None:
            endpoint = self._endpoint
            host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
            target = endpoint.path + path
            lines = [
                f"POST {posixpath.normpath(target) if path.startswith('/../') else target} HTTP/1.1",
                f"Host: {host}:{endpoint.port}",
                "Content-Type: application/json",
                "Accept: application/json, text/event-stream",
            ]
            credential = endpoint.api_key if bearer is None else bearer
            if credential:
                lines.append(f"Authorization: Bearer {credential}")
            if not self._keep_alive:
                lines.append("Connection: close")
            if len(self._heads) >= _MAX_REQUEST_HEADS:
                self._heads.clear()
            head = self._heads[key] = "\r\n".join([*lines, "Content-Length: "]).encode()
        return b"%b%d\r\n\r\n" % (head, length)

    def close(self) -> None:
        """Close idle connections; calls under way go on."""
        self._closed = True
        self._close_idle()
