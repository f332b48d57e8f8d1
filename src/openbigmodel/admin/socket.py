"""The server's side of the admin socket: `<data>/admin.sock`, for its own user and root alone.

Rule: it exists only while the lock on the folder is held, so whatever lies there at the start is left over from a
server that was killed, and goes. A command that has begun is carried out even if nobody waits for its answer.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from openbigmodel.admin.protocol import (
    QUESTION_BYTES_MAX,
    AdminError,
    read_question,
    short_path,
    write_answer,
    write_error,
)
from openbigmodel.admin.service import AdminService

# That wait for a question, and as many that wait for an answer.
CONNECTIONS_MAX = 64
# For a question to arrive, an answer to be read, and a command to end when the server does.
QUESTION_S = 10
ANSWER_S = 30
CLOSE_S = 5

# Process, user, group.
_PEER = struct.Struct("3i")


class AdminSocket:
    """A server's socket at `path`. `note` gets a line for the log about each command that changes something."""

    def __init__(self, path: Path, service: AdminService, note: Callable[[str], None]) -> None:
        self.path = path
        self._service = service
        self._note = note
        self._server: asyncio.Server | None = None
        self._listening: set[asyncio.Task[None]] = set()
        self._performing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; the folder's lock must be held. Where the file system knows no sockets, only say so."""
        try:
            listener = _listener(self.path)
        except OSError as error:
            self._note(
                f"admin commands can only be given while the server is stopped: {self.path}: {error.strerror}"
            )
            return
        self._server = await asyncio.start_unix_server(
            self._converse, sock=listener, limit=QUESTION_BYTES_MAX
        )

    async def close(self) -> None:
        """Take no more commands, let those under way end (at most CLOSE_S), and remove the socket."""
        if self._server is None:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._server.close()
        self._server = None
        # A turn for those who have only just come.
        await asyncio.sleep(0)
        await _cancel(self._listening)
        if self._performing:
            await asyncio.wait(self._performing, timeout=CLOSE_S)
            await _cancel(self._performing)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            try:
                with _member(self._listening, task):
                    line = await self._question(reader, writer)
                if line is not None:
                    with _member(self._performing, task):
                        for piece in await self._answer(line):
                            writer.write(piece)
                            # Also a turn for requests.
                            await asyncio.wait_for(writer.drain(), ANSWER_S)
                            await asyncio.sleep(0)
            finally:
                writer.close()

    async def _question(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """The line that asks; None if there is none that will be listened to."""
        if len(self._listening) > CONNECTIONS_MAX:
            writer.write(write_error(AdminError("busy", "The server has too many commands to listen to.")))
            return None
        try:
            line = await asyncio.wait_for(reader.readline(), QUESTION_S)
        except ValueError:
            writer.write(write_error(AdminError("bad_question", "The question is too long.")))
            return None
        if not line.endswith(b"\n"):
            return None
        user = _peer_user(writer)
        if user not in (0, os.getuid()):
            writer.write(write_error(AdminError("forbidden", f"User {user} may not command this server.")))
            return None
        if len(self._performing) >= CONNECTIONS_MAX:
            writer.write(write_error(AdminError("busy", "The server has too many commands to carry out.")))
            return None
        return line

    async def _answer(self, line: bytes) -> Iterable[bytes]:
        name = "?"
        try:
            question = read_question(line)
            name = question.command
            answer = write_answer(await self._service.perform(name, question.arguments))
        except AdminError as error:
            self._log(name, f"refused, {error.code}")
            return [write_error(error)]
        except Exception as error:  # noqa: BLE001 - the edge of a task: a bug in a command must not leave its asker waiting
            self._log(name, f"failed, {type(error).__name__}: {error}")
            return [
                write_error(
                    AdminError(
                        "internal", f"The server failed at this, please report it: {type(error).__name__}."
                    )
                )
            ]
        self._log(name, "done")
        return answer

    def _log(self, name: str, outcome: str) -> None:
        command = self._service.commands.get(name)
        if command is None or not command.reads or outcome.startswith("failed"):
            self._note(f"admin {name if command else 'command'}: {outcome}")


def _listener(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as name:
            listener.bind(name)
            # Nobody can connect before it listens.
            Path(name).chmod(0o600)
        listener.listen(CONNECTIONS_MAX)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def _cancel(tasks: "set[asyncio.Task[None]]") -> None:
    for task in tuple(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _member(tasks: "set[asyncio.Task[None]]", task: "asyncio.Task[None]") -> Iterator[None]:
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


def _peer_user(writer: asyncio.StreamWriter) -> int:
    """Who is at the other end, as the kernel knows."""
    credentials = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
    )
    user: int = _PEER.unpack(credentials)[1]
    return user
