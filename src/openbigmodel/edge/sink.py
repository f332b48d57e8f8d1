"""What a hot route sees of HTTP: a head, a body, and a sink to answer on.

A hot route is served protocol to protocol: no ASGI, no task, no queue between it and the socket. `Answer` is the
edge's sink for one request; a finished answer can't touch the connection again, so a late call of one request
never ends up in the reply to the next.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from openbigmodel.edge.head import RequestHead
from openbigmodel.errors import ApiError, Language, error_headers, render_error

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES: Final = {
    **{status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus},
    # Of Anthropic's making.
    529: b"HTTP/1.1 529 Overloaded\r\n",
}
_BODILESS: Final = frozenset((204, 304))


class Exchange(Protocol):
    """One request under way behind a hot route; the edge tells it about its client."""

    def pause(self) -> None:
        """The client reads too slowly: stop producing. May come from inside a call of the sink."""

    def resume(self) -> None:
        """The client has caught up: go on."""

    def client_left(self) -> None:
        """The connection is gone. Called at most once, and not after the answer has ended."""


class Sink(Protocol):
    """Where a hot route writes its one answer. Once the client is gone every call is ignored."""

    @property
    def peer(self) -> str:
        """The address at the other end of the connection, which may be a proxy's; empty once that is gone."""

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer. `headers` are ready lines without content-length, date and connection."""

    def start(self, headers: bytes) -> None:
        """Begin an answer of unknown length with status 200; `headers` as above."""

    def write(self, data: bytes) -> None:
        """Send one part of a started answer."""

    def end(self, data: bytes = b"") -> None:
        """Send the last part and end the answer."""

    def abort(self) -> None:
        """Drop the connection, so that the client can't take what it got for the whole."""


class HotRoute(Protocol):
    """One path that is served without ASGI."""

    body_limit: int  # bytes

    def accept(self, head: RequestHead, sink: Sink) -> object | None:
        """Judge the head before the body is read; None when it has answered on `sink` itself.

        It must take nothing that has to be given back: the body may never come, and then `run` doesn't either.
        """

    def owner(self, accepted: object) -> str:
        """Whose request it is: what is kept of bodies that come bit by bit is counted for each owner."""

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        """Serve the request; None when it has been answered already."""


class Connection(Protocol):
    """What an answer needs of its connection."""

    client: tuple[str, int] | None  # address and port of the other end

    @property
    def send(self) -> Callable[[bytes], None]:
        """Hands bytes to the transport."""

    def answer_ended(self, keep_alive: bool) -> None:
        """The answer is complete."""

    def abort(self) -> None:
        """Close at once, losing what is unsent."""

    def date_line(self) -> bytes:
        """The `date` header line."""

    def may_stay(self) -> bool:
        """False when the connection has to close after this answer."""


class Answer:
    """The sink of one request.

    `started`: a byte of the answer was sent, so no other can be given; `ended`: the last one was.
    """

    __slots__ = ("_chunked", "_connection", "_http_minor", "_keep_alive", "ended", "started")

    def __init__(self, connection: Connection, head: RequestHead) -> None:
        self._connection: Connection | None = connection
        self._http_minor = head.http_minor
        self._keep_alive = head.keep_alive
        self._chunked = head.http_minor == 1
        self.started = False
        self.ended = False

    @property
    def peer(self) -> str:
        connection = self._connection
        return "" if connection is None or connection.client is None else connection.client[0]

    def detach(self) -> None:
        """The connection is gone: from now on every call is ignored."""
        self._connection = None

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        assert not self.started, "answered twice"
        assert status not in _BODILESS, "a status without a body can't be framed here"
        # A status that nobody knows must fail before the sink counts as answered.
        status_line = _STATUS_LINES[status]
        self.started = self.ended = True
        keep_alive = self._keep_alive = self._keep_alive and connection.may_stay()
        persistence = b"" if keep_alive and self._http_minor else self._persistence()
        send = connection.send
        send(
            b"%b%bcontent-length: %d\r\n%b%b\r\n%b"
            % (status_line, connection.date_line(), len(body), persistence, headers, body)
        )
        connection.answer_ended(keep_alive)

    def start(self, headers: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        assert not self.started, "answered twice"
        self.started = True
        self._keep_alive = self._keep_alive and self._chunked and connection.may_stay()
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        connection.send(
            b"%b%b%b%b%b\r\n"
            % (_STATUS_LINES[200], connection.date_line(), framing, self._persistence(), headers)
        )

    def write(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        assert self.started, "write before start"
        assert not self.ended, "write after end"
        if data:  # an empty chunk would end the answer
            send = connection.send
            send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, data: bytes = b"") -> None:
        connection = self._connection
        if connection is None:
            return
        assert self.started, "end without start"
        assert not self.ended, "ended twice"
        self.ended = True
        if not self._chunked:
            connection.send(data)
        elif data:
            connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            connection.send(b"0\r\n\r\n")
        connection.answer_ended(self._keep_alive)

    def abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not self.ended:
            self.started = self.ended = True
            connection.abort()

    def _persistence(self) -> bytes:
        if not self._keep_alive:
            return b"connection: close\r\n"
        return b"" if self._http_minor else b"connection: keep-alive\r\n"


def refusal_bytes(error: ApiError, language: Language, date_line: bytes) -> bytes:
    """A whole response that says `error` and that the connection closes."""
    body = render_error(error, language)
    lines = b"".join(b"%b: %b\r\n" % pair for pair in error_headers(error))
    return (
        b"%b%bcontent-type: application/json; charset=UTF-8\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n%b"
        % (_STATUS_LINES[error.status], date_line, len(body), lines, body)
    )
