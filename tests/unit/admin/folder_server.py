"""A server of a folder beside a test that runs no loop of its own: its lock, its socket, and the command `echo` or
those given.
"""

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from openbigmodel.admin.protocol import SOCKET_FILE
from openbigmodel.admin.service import AdminService, Arguments, Command
from openbigmodel.admin.socket import AdminSocket
from openbigmodel.db.data_folder import DataFolder


class Echo(Arguments):
    text: str = ""


async def echo(wanted: Echo) -> dict[str, object]:
    return {"text": wanted.text}


class FolderServer:
    """From `with` on it holds the lock; `listens` False leaves the socket out."""

    def __init__(self, folder: Path, *, listens: bool = True, commands: Iterable[Command] = ()) -> None:
        self._path = folder
        self._commands = tuple(commands) or (Command("echo", Echo, echo),)
        self._listens = listens
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._socket: AdminSocket | None = None
        self._folder: DataFolder | None = None

    def __enter__(self) -> Self:
        self._folder = DataFolder.open(self._path)
        self._thread.start()
        if self._listens:
            self.listen()
        return self

    def listen(self) -> None:
        service = AdminService(self._commands)
        self._socket = AdminSocket(self._path / SOCKET_FILE, service, lambda _: None)
        asyncio.run_coroutine_threadsafe(self._socket.open(), self._loop).result(5)

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop).result(5)
        if self._folder is not None:
            self._folder.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
