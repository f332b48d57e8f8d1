"""What all connections share: the hot routes, the limits, one clock tick a second, and the listening socket.

Time limits are kept by one sweep over all connections instead of a timer for each: setting a deadline is then
one attribute, and "30 s" means 30 s to within the sweep's interval.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Final, Protocol

import msgspec

from openbigmodel.edge.sink import HotRoute
from openbigmodel.errors import Language
from openbigmodel.room import Room

UNFINISHED_BYTES_MAX: Final = 512 * 1024 * 1024  # of bodies, unless the operator says otherwise
BACKLOG: Final = 4096  # connections; the kernel caps it at net.core.somaxconn
# With the default of up to 4 MiB, 1,000 stalled readers held 2.1 GiB of kernel memory (reliability.md §2.2).
_SEND_BUFFER_BYTES: Final = 64 * 1024


class EdgeLimits(msgspec.Struct, frozen=True):
    """How much time and room a connection gets. Times in seconds, to within `sweep_s`."""

    head_s: float = 10.0  # from a head's first byte to its last
    body_s: float = 30.0  # in which a body must bring `body_bytes_per_s`, or its end
    body_bytes_per_s: int = 4096
    idle_s: float = 65.0  # without a request
    stall_s: float = 30.0  # with a full send buffer of which the client takes nothing
    linger_s: float = 2.0  # for the client to take a last answer, after its last byte
    linger_total_s: float = 30.0  # the same, however long the client keeps sending
    half_close_s: float = 0.5  # for an answer under way when the client has ended its side
    connections_max: int = 10_000
    asgi_body_bytes_max: int = 128 * 1024 * 1024
    sweep_s: float = 1.0


class Swept(Protocol):
    """A connection as the sweep sees it."""

    deadline: float  # on the edge's clock

    def expire(self) -> None:
        """The deadline has passed: end, or set another one."""


def _note_nothing(path: str, status: int, code: str) -> None:
    """Nobody keeps a log."""


class Edge:
    """State common to all connections of one server; belongs to one event loop.

    `note(path, status, code)` hears of every request that the edge itself refuses; `default_language` is for
    callers without `Accept-Language`. `unfinished` is for bodies that are not yet whole. `clock` gives monotonic
    seconds for the limits, `wall_s` Unix seconds for the `date` header.
    """

    def __init__(
        self,
        hot_routes: Mapping[bytes, HotRoute],
        limits: EdgeLimits | None = None,
        *,
        unfinished: Room | None = None,
        default_language: Language = "zh",
        note: Callable[[str, int, str], object] = _note_nothing,
        clock: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.hot_routes = hot_routes
        self.limits = limits or EdgeLimits()
        self.default_language = default_language
        self.note = note
        self._clock = clock
        self._wall_s = wall_s
        self.unfinished = unfinished or Room(UNFINISHED_BYTES_MAX)
        self._connections: set[Swept] = set()
        self._ticking = False
        self.now = clock()  # as of the last sweep: precise enough for every limit, and free
        self.date_line = b""
        self._read_clocks()

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    def add(self, connection: Swept, loop: asyncio.AbstractEventLoop) -> None:
        """Watch over a new connection."""
        if not self._ticking:
            self._ticking = True
            self._read_clocks()
            loop.call_later(self.limits.sweep_s, self._tick, loop)
        self._connections.add(connection)

    def remove(self, connection: Swept) -> None:
        self._connections.discard(connection)

    def sweep(self) -> None:
        """End what has run out of time."""
        self._read_clocks()
        now = self.now
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.expire()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep()
        if self._connections:
            loop.call_later(self.limits.sweep_s, self._tick, loop)
        else:
            # Without connections nothing ticks, so that a stopped server leaves its loop empty.
            self._ticking = False

    def _read_clocks(self) -> None:
        self.now = self._clock()
        self.date_line = b"date: %b\r\n" % formatdate(self._wall_s(), usegmt=True).encode()


class PortBusy(Exception):  # noqa: N818  # the name already says it
    """The address can't be listened on: taken by another program, or not permitted to this user."""

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        self.host = host
        self.port = port
        self.taken = cause.errno == errno.EADDRINUSE  # else not permitted
        why = "is already in use" if self.taken else "is not permitted to this user"
        super().__init__(f"port {port} on {host} {why} ({os.strerror(cause.errno or 0)})")


def listening_socket(host: str, port: int) -> socket.socket:
    """A TCP socket that listens on `host` (name or address) and `port` (0 lets the system choose).

    Raises PortBusy when the port is taken or not permitted, OSError when the host isn't ours or is unknown.
    Connections are accepted from now on and wait in the backlog until a server takes them.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit these. Keep-alive finds clients that vanished without a word.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortBusy(host, port, error) from error
        raise
    listener.setblocking(False)
    return listener
