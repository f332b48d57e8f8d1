"""A small web of the tests' own: servers that misbehave on request, and traps that count who arrives.

Real listeners on loopback. The web stands for every public address; the traps stand for every other one.
"""

import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.ssrf_catalogue import PUBLIC_NAMES, PUBLIC_V4, PUBLIC_V6, forbidden_names

MEDIA_WORKER = Path(__file__).with_name("media_worker.py")


def png(width: int = 2, height: int = 2, *, claim: tuple[int, int] | None = None) -> bytes:
    """A PNG; `claim` is what its header says instead."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *(claim or (width, height)), 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x7f" * 3 * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def answer(body: bytes, head: str = "", status: str = "200 OK") -> bytes:
    """A whole HTTP response."""
    return f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


Page = bytes | Callable[[socket.socket], None]


class Listener:
    """Serves pages by path on loopback, and remembers every connection and request head."""

    def __init__(
        self,
        pages: Mapping[str, Page],
        *,
        host: str = "127.0.0.1",
        page: Page | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self.pages = dict(pages)
        self.page = page
        self.tls = tls
        self.connections = 0
        self.heads: list[str] = []
        self.left = threading.Event()
        """Set when a client has gone away from a page that was not over."""
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(30)
        connection = plain
        if self.tls is not None:
            connection = self.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with connection, contextlib.suppress(OSError):
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            head = b""
            while b"\r\n\r\n" not in head:
                received = connection.recv(65536)
                if not received:
                    return
                head += received
            self.heads.append(head.decode("latin-1"))
            path = head.split(b" ")[1].decode("latin-1")
            page = self.pages.get(path.partition("?")[0], self.page)
            if page is None:
                connection.sendall(answer(b"", status="404 Not Found"))
            elif callable(page):
                try:
                    page(connection)
                except OSError:
                    self.left.set()
            else:
                connection.sendall(page)


def drip(data: bytes, pause_s: float) -> Callable[[socket.socket], None]:
    """A page that comes a byte at a time."""

    def page(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes((byte,)))
            time.sleep(pause_s)

    return page


def endless(head: bytes, block: bytes = b"x" * 65536) -> Callable[[socket.socket], None]:
    """A page without an end."""

    def page(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return page


class World:
    """The web, the traps, and the command of a worker that lives among them."""

    def __init__(self) -> None:
        self.web = Listener({"/image.png": answer(png())})
        self.trap = Listener({}, page=answer(png()))
        self.trap6 = _ipv6_trap()

    @property
    def trapped(self) -> int:
        """Connections that should not have been."""
        return self.trap.connections + (self.trap6.connections if self.trap6 else 0)

    @property
    def ports(self) -> tuple[int, ...]:
        """What the policy lets through, so that a port never saves what the address should have."""
        return (80, 443, self.trap.port)

    def command(
        self,
        fault: str = "",
        names: Mapping[str, Sequence[object]] | None = None,
        trusted: Path | None = None,
    ) -> tuple[str, ...]:
        config = {
            "names": {**PUBLIC_NAMES, **forbidden_names(), **(names or {})},
            "public": [PUBLIC_V4, PUBLIC_V6, *(f"93.184.215.{number}" for number in range(14, 22))],
            "web": self.web.port,
            "trap": self.trap.port,
            "trap6": self.trap6.port if self.trap6 else 0,
            "fault": fault,
            "trusted": str(trusted or ""),
        }
        return (sys.executable, str(MEDIA_WORKER), json.dumps(config))

    def close(self) -> None:
        for listener in (self.web, self.trap, self.trap6):
            if listener is not None:
                listener.close()


def _ipv6_trap() -> Listener | None:
    try:
        return Listener({}, host="::1", page=answer(png()))
    except OSError:
        return None


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Open for the length of a test."""
    opened = World()
    try:
        yield opened
    finally:
        opened.close()
