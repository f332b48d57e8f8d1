"""One client connection: reads heads and bodies, serves hot routes itself and lets uvicorn serve the rest.

The rule: one message at a time. The bytes of a request reach nobody before the answer to the one before it has
ended, so there is exactly one answer for each request, in order, and uvicorn never sees a pipeline. uvicorn's
own parser is not used at all: its callbacks are called with what `head.py` and `body.py` read.

    HEAD ──► BODY ──► ANSWER ──► HEAD           an answer that ends before its body leaves the rest to BODY
      └────────┴─────────┴─────► LINGER ──► CLOSED          refused, or the answer said `connection: close`
"""

import asyncio
import functools
import math
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openbigmodel.edge.asgi import AsgiTransport, ParsedHead
from openbigmodel.edge.body import ChunkedBody, CountedBody, body_too_large
from openbigmodel.edge.head import RepeatedHead, RequestHead, accept_language, read_head, repeated
from openbigmodel.edge.server import BACKLOG, Edge
from openbigmodel.edge.sink import CONTINUE, Answer, Exchange, HotRoute, refusal_bytes
from openbigmodel.edge.unfinished import Unfinished
from openbigmodel.errors import ApiError, language_of

_HEAD, _BODY, _ANSWER, _LINGER, _CLOSED = range(5)

_HIGH_WATER_BYTES: Final = 64 * 1024  # unsent, before a producer is paused
_READ_AHEAD_BYTES: Final = 64 * 1024  # of later requests, kept while one is answered
_LINGER_BYTES_MAX: Final = 256 * 1024 * 1024

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 s


def uvicorn_config(edge: Edge, app: Any, **options: Any) -> uvicorn.Config:
    """The uvicorn settings that go with the edge; `options` are further ones (TLS, graceful shutdown time)."""
    settings: dict[str, Any] = {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "off",
        "server_header": False,
        "proxy_headers": False,
        "access_log": False,
        "log_config": None,
        "backlog": BACKLOG,
    }
    return uvicorn.Config(app, http=functools.partial(EdgeProtocol, edge=edge), **(settings | options))  # type: ignore[arg-type]  # uvicorn only calls it


class EdgeProtocol(HttpToolsProtocol):
    """The server's side of one connection, for uvicorn's Server."""

    # With uvicorn's own there are more attributes than Python shares the layout of; a slot is found without it.
    __slots__ = tuple(
        """
        _accepted _advancing _answer _asgi _body _body_progress _buffer _client_ended _draining
        _earlier _edge _exchange _head _limits _linger_until _lingered_bytes _phase _route
        _searched _socket _unfinished _unsent _write_paused deadline send
        """.split()
    )

    send: Callable[[bytes], None]  # to the socket; see sink.Connection

    def __init__(self, *args: Any, edge: Edge, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = None  # type: ignore[assignment]  # a ParsedHead takes its place
        self.deadline = math.inf  # on the edge's clock
        self._edge = edge
        self._limits = edge.limits
        self._phase = _HEAD
        self._buffer = b""
        self._searched = 0  # bytes of the buffer known not to end a head
        self._advancing = False
        # the request under way
        self._head: RequestHead | None = None
        self._earlier: RepeatedHead | None = None
        self._body: CountedBody | ChunkedBody | None = None
        self._body_progress = 0
        self._asgi = False  # uvicorn serves it
        self._answer: Answer | None = None  # a hot route serves it
        self._route: HotRoute | None = None
        self._accepted: object = None
        self._unfinished: Unfinished | None = None  # what there is of a hot route's body
        self._exchange: Exchange | None = None
        # the connection's end
        self._write_paused = False
        self._unsent = 0  # bytes, when last looked at
        self._draining = False
        self._client_ended = False
        self._linger_until = math.inf
        self._lingered_bytes = 0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._socket = transport
        self.send = transport.write
        self.transport = AsgiTransport(self, transport)
        self._edge.add(self, self.loop)
        surplus = self._edge.connection_count - self._limits.connections_max
        if surplus > self._limits.connections_max // 10 + 1:
            self.drop()  # too many even to be told so
        elif surplus > 0:
            self._refuse(ApiError("1305", status=503))
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _CLOSED
        self._buffer = b""
        self._edge.remove(self)
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase >= _LINGER:
            self._discard(len(data))
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._advancing:
            self._advance()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn's never stays open
        """The client has ended its side.

        Almost always it has gone; rarely it is a program that says "that was all" and still reads (`nc -N`). TCP
        can't tell these apart, and an engine must not work long for nobody: so what is under way gets
        `half_close_s` to finish, and then the client counts as gone. TLS has no half-open connections.
        """
        unread = self._phase == _HEAD and bool(self._buffer) and not self._searched
        if (self._phase == _ANSWER or unread) and self.scheme == "http":
            self._client_ended = True
            self.loop.call_later(self._limits.half_close_s, self._drop_half_closed)
            return True
        self._leave()
        if self._phase < _LINGER:
            self._close()
        return None

    def pause_writing(self) -> None:
        self._write_paused = True
        self._unsent = self._socket.get_write_buffer_size()
        self._set_deadline()
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._set_deadline()
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.resume()
        elif self._phase == _HEAD and self._buffer and not self._advancing:
            self._advance()

    # --- for uvicorn

    @property
    def closing(self) -> bool:
        return self._phase >= _LINGER

    def shutdown(self) -> None:
        """Drain: an idle connection closes, one at work finishes its request first."""
        self._draining = True
        if self._phase == _HEAD and not self._buffer:
            self._close()
        elif self._asgi:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Go on after uvicorn's answer."""
        self.server_state.total_requests += 1
        if self._phase < _LINGER:
            self.flow.resume_reading()
            if self._phase == _ANSWER:
                self._next()
            # Else the rest of the body is read and thrown away, so that the connection can go on.

    def asgi_close(self) -> None:
        if self._phase < _LINGER:
            self._close(unread=self._phase == _BODY or bool(self._buffer))

    # --- for the sweep

    def expire(self) -> None:
        """The time for what the connection is doing is over."""
        unsent = self._socket.get_write_buffer_size()
        if unsent and unsent < self._unsent:
            # Slow, but not stalled: a large answer takes its time on a thin line.
            self._unsent = unsent
            self._set_deadline()
        elif self._write_paused or self._phase >= _LINGER:
            # With nothing unsent the client may still be about to read its answer: no reset then.
            self.drop(reset=unsent > 0)
        elif self._phase == _HEAD and not self._buffer:
            self._close()
        elif self._phase == _BODY and self.flow.read_paused:
            self._set_deadline()  # it is the application that doesn't read
        else:
            self._refuse(_too_slow())

    # --- for the answer (sink.Connection)

    def date_line(self) -> bytes:
        return self._edge.date_line

    def may_stay(self) -> bool:
        return self._phase == _ANSWER and not self._draining

    def answer_ended(self, keep_alive: bool) -> None:
        self.server_state.total_requests += 1
        self._answer = self._exchange = None
        if keep_alive:
            self._next()
        else:
            self._close(unread=self._phase != _ANSWER or bool(self._buffer))

    def abort(self) -> None:
        self._exchange = None  # it is the one who wants this
        self.drop()

    # --- reading

    def _advance(self) -> None:
        """Read on as far as the buffer and the answer under way allow."""
        self._advancing = True
        try:
            while self._buffer:
                if self._phase == _BODY:
                    if not self._read_body():
                        break
                # A client that doesn't take its answers gets no further ones.
                elif self._phase != _HEAD or self._write_paused or not self._read_head():
                    break
        except ApiError as error:
            self._refuse(error)
        finally:
            self._advancing = False
        if self._phase >= _LINGER or (self._phase == _BODY and self._asgi):
            return  # for a body, uvicorn says when to read
        if len(self._buffer) > _READ_AHEAD_BYTES:
            self.flow.pause_reading()
        elif self.flow.read_paused:
            self.flow.resume_reading()

    def _read_head(self) -> bool:
        """Read a head, and the whole request if it is all here; False when that needs more bytes."""
        buffer, earlier = self._buffer, self._earlier
        found = earlier.read(buffer) if earlier is not None else None
        if found is None:
            found = read_head(buffer, self._searched)
            if found is not None:
                self._earlier = repeated(found[0], buffer[: found[1]])
        if found is None:
            if not self._searched:
                self.deadline = self._edge.now + self._limits.head_s
            self._searched = len(self._buffer)
            if self._client_ended:
                self._close()
            return False
        head, end = found
        self._head = head
        self._searched = 0
        self._phase = _BODY
        route = self._edge.hot_routes.get(head.path) if head.method == b"POST" else None
        limit = self._limits.asgi_body_bytes_max if route is None else route.body_limit
        size = head.content_length or 0
        if size > limit:
            raise body_too_large(limit)
        if route is not None and not head.chunked and len(buffer) >= end + size:
            # The common case: all of it is here.
            self._buffer = buffer[end + size :]
            body = buffer[end : end + size]
            self._phase = _ANSWER
            if self._accept_hot(route, head):
                self._run_hot(route, head, body)
            return True
        self._buffer = buffer[end:]
        self._body = ChunkedBody(limit) if head.chunked else CountedBody(size)
        self._body_progress = 0
        if route is None:
            self._begin_asgi(head)
        elif self._accept_hot(route, head):
            self._route = route
            self._unfinished = Unfinished(self._edge.unfinished.share(route.owner(self._accepted)))
            if head.expect_continue:
                self.send(CONTINUE)
        self._set_deadline()
        if self._body.complete:
            self._message_read()
        return True

    def _read_body(self) -> bool:
        body = self._body
        assert body is not None
        payload, self._buffer = body.feed(self._buffer)
        if self._asgi and payload:
            self.on_body(payload)
        if body.complete:
            self._message_read(payload)
            return True
        if self._unfinished is not None:
            self._unfinished.keep(payload)
        self._body_progress += len(payload)
        if self._body_progress >= self._limits.body_s * self._limits.body_bytes_per_s:
            self._body_progress = 0
            self._set_deadline()
        return False

    def _message_read(self, last: bytes = b"") -> None:
        self._body = None
        self._phase = _ANSWER
        if self._asgi:
            self._set_deadline()
            self.on_message_complete()
            if self.cycle.response_complete:
                self._next()
        else:
            assert self._route is not None
            assert self._head is not None
            assert self._unfinished is not None
            body, self._unfinished = self._unfinished.whole(last), None
            self._run_hot(self._route, self._head, body)

    def _next(self) -> None:
        """The request is done with: turn to the next one."""
        self._phase = _HEAD
        self._head = None
        self._asgi = False
        if self._draining or (self._client_ended and not self._buffer):
            self._close(unread=bool(self._buffer))
            return
        if self._buffer or self._write_paused:
            self._set_deadline()
        else:
            self.deadline = self._edge.now + self._limits.idle_s
        if self._buffer and not self._advancing:
            # Not now: this runs inside the call that ended the answer before.
            self.loop.call_soon(self._advance)

    # --- serving

    def _accept_hot(self, route: HotRoute, head: RequestHead) -> bool:
        """Have the route judge the head; False when it has answered already."""
        answer = self._answer = Answer(self, head)
        try:
            self._accepted = route.accept(head, answer)
            assert answer.ended == (self._accepted is None), "accept either answers or accepts"
        except Exception as error:  # noqa: BLE001  # whatever breaks, the client gets one answer
            self._fail(error)
            return False
        return self._accepted is not None

    def _run_hot(self, route: HotRoute, head: RequestHead, body: bytes) -> None:
        answer = self._answer
        assert answer is not None
        accepted, self._accepted, self._route = self._accepted, None, None
        if self._write_paused:
            self._set_deadline()
        else:
            self.deadline = math.inf  # the engine's time is the route's business
        try:
            exchange = route.run(accepted, head, body, answer)
            assert exchange is not None or answer.ended, "run either answers or goes on"
        except Exception as error:  # noqa: BLE001  # as in _accept_hot
            self._fail(error)
            return
        if exchange is not None and not answer.ended:
            self._exchange = exchange
            if self._write_paused:
                exchange.pause()

    def _begin_asgi(self, head: RequestHead) -> None:
        # After an early answer to `Expect` nobody knows whether the body still comes: only closing is clear.
        keep_alive = head.keep_alive and not self._draining and not head.expect_continue
        self._asgi = True
        self.parser = ParsedHead(head, keep_alive)  # type: ignore[assignment]  # as much as uvicorn asks of one
        self.on_message_begin()
        self.on_url(head.target)
        self.headers.extend(head.headers)
        self.expect_100_continue = head.expect_continue
        self.on_headers_complete()

    def _fail(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "a hot route failed", "exception": error})
        self._refuse(ApiError("500"))

    # --- ending

    def _refuse(self, error: ApiError) -> None:
        """Say what is wrong, if nothing has been said yet, and close."""
        if self._phase >= _LINGER:
            return
        raw = self._head.get(b"accept-language") if self._head else accept_language(self._buffer)
        started = self._answer.started if self._answer else self._asgi and self.cycle.response_started
        self._leave()
        if not started:
            edge = self._edge
            self.send(refusal_bytes(error, language_of(raw, edge.default_language), edge.date_line))
            edge.note(self._head.path.decode("ascii") if self._head else "", error.status, error.code)
        self._close(unread=True)

    def _close(self, unread: bool = False) -> None:
        """Close once all is sent; with `unread` bytes, so that the client gets the last answer first.

        A socket that is closed with bytes unread resets the connection, and a reset overtakes the answer. So only
        our side is shut, and what still comes is thrown away until the client has read and closes.
        """
        self._phase = _LINGER
        self._buffer = b""
        self._linger_until = self._edge.now + self._limits.linger_total_s
        self._unsent = self._socket.get_write_buffer_size()
        self._set_deadline()
        if not unread or self._client_ended:
            self._socket.close()
            return
        if self._socket.can_write_eof():
            self._socket.write_eof()
        self.flow.resume_reading()

    def _discard(self, size: int) -> None:
        self._lingered_bytes += size
        if self._phase == _LINGER and self._lingered_bytes <= _LINGER_BYTES_MAX:
            self._set_deadline()
        else:
            self.drop()

    def drop(self, *, reset: bool = True) -> None:
        """Close at once, losing what is unsent; whoever is at work for this client is told.

        A reset frees the kernel's send buffer, which a stalled reader would otherwise keep for minutes, and tells
        an HTTP/1.0 client, for whom the end of the connection is the end of the body, that this wasn't all.
        """
        if self._phase == _CLOSED:
            return
        self._phase = _CLOSED
        self.deadline = math.inf
        self._buffer = b""
        self._leave()
        if reset and (raw := self._socket.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._socket.abort()

    def _drop_half_closed(self) -> None:
        if self._phase < _LINGER:
            self.drop()

    def _leave(self) -> None:
        """Tell whoever works on the answer that nobody will read it."""
        if self._unfinished is not None:
            self._unfinished.leave()
            self._unfinished = None
        answer, self._answer = self._answer, None
        exchange, self._exchange = self._exchange, None
        if answer is not None:
            answer.detach()
        if exchange is not None:
            exchange.client_left()
        if self._asgi and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _set_deadline(self) -> None:
        """Give the present phase its full time."""
        limits, now = self._limits, self._edge.now
        if self._phase == _CLOSED:
            self.deadline = math.inf
        elif self._write_paused:
            self.deadline = now + limits.stall_s
        elif self._phase == _HEAD:
            self.deadline = now + (limits.head_s if self._buffer else limits.idle_s)
        elif self._phase == _BODY:
            self.deadline = now + limits.body_s
        elif self._phase == _ANSWER:
            self.deadline = math.inf
        else:
            self.deadline = min(now + limits.linger_s, self._linger_until)


def _too_slow() -> ApiError:
    return ApiError(
        "1210",
        status=408,
        detail_zh="请求未在限定时间内发送完毕。",
        detail_en="The request was not sent in time.",
    )
