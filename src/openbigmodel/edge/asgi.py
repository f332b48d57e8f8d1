"""The two objects through which uvicorn's request cycle sees an edge connection."""

import asyncio
from typing import Any, Protocol

from openbigmodel.edge.head import RequestHead


class ParsedHead:
    """Answers what uvicorn asks its parser about the message at hand."""

    __slots__ = ("_head", "_keep_alive")

    def __init__(self, head: RequestHead, keep_alive: bool) -> None:
        self._head = head
        self._keep_alive = keep_alive

    def get_http_version(self) -> str:
        return "1.1" if self._head.http_minor else "1.0"

    def get_method(self) -> bytes:
        return self._head.method

    def should_upgrade(self) -> bool:
        # Another protocol would begin where a second reader may see a second request.
        return False

    def should_keep_alive(self) -> bool:
        return self._keep_alive


class AsgiConnection(Protocol):
    """What the transport needs of the edge connection."""

    @property
    def closing(self) -> bool:
        """Whether nothing more may be written."""

    def asgi_close(self) -> None:
        """Close on behalf of uvicorn, once all is sent."""


class AsgiTransport(asyncio.Transport):
    """The transport that uvicorn writes to; the edge decides how it closes."""

    __slots__ = ("_connection", "_socket")

    def __init__(self, connection: AsgiConnection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._socket = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._connection.closing:
            self._socket.write(data)

    def close(self) -> None:
        self._connection.asgi_close()

    def is_closing(self) -> bool:
        return self._connection.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.get_extra_info(name, default)
