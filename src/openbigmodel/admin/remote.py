"""The command line's side of the admin socket: asks a running server, and waits for its answer."""

import socket
from collections.abc import Mapping
from pathlib import Path

from openbigmodel.admin.protocol import (
    ANSWER_BYTES_MAX,
    SOCKET_FILE,
    AdminError,
    Answer,
    read_answer,
    short_path,
    write_question,
)

ANSWER_S = 60.0
_READ_BYTES = 1 << 16


class NoServer(Exception):  # noqa: N818 - it names a state.
    """Nobody listens in this folder."""


def ask_server(
    folder: Path, command: str, arguments: Mapping[str, object], *, answer_s: float = ANSWER_S
) -> Answer:
    """Have the folder's server carry out a command. Raises NoServer if nobody has taken it, and AdminError.

    After AdminError "cut_off" or "no_answer" nobody here knows whether the command was carried out.
    """
    with _connect(folder / SOCKET_FILE, answer_s) as connection:
        try:
            connection.sendall(write_question(command, arguments))
        except OSError as error:
            # The line is not there as a whole, so nothing will come of it; but why may have been said.
            return read_answer(_line(connection, error))
        return read_answer(_line(connection, None))


def _connect(path: Path, answer_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Also for this: without it, it would wait for ever for a server that accepts nobody.
    connection.settimeout(answer_s)
    try:
        with short_path(path) as name:
            connection.connect(name)
    except PermissionError as error:
        connection.close()
        raise AdminError(
            "forbidden", f"The server in {path.parent} belongs to another user; be that user, or root."
        ) from error
    except OSError as error:
        # Not there, left over from a server that was killed, no socket at all, or too many before us: the lock tells.
        connection.close()
        raise NoServer from error
    return connection


def _line(connection: socket.socket, unsent: OSError | None) -> bytes:
    """The line that answers. `unsent`: why the question did not get through, None if it did."""
    line = bytearray()
    try:
        while not line.endswith(b"\n"):
            part = connection.recv(_READ_BYTES)
            if not part:
                break
            line += part
            if len(line) > ANSWER_BYTES_MAX:
                raise AdminError("bad_answer", "The server's answer has no end.")
    except TimeoutError as error:
        raise AdminError(
            "no_answer",
            "The server does not answer. It may still do what was asked: look before you ask again.",
        ) from error
    except ConnectionResetError as error:
        # So the kernel says that the other end was closed with our question, or a part of it, unread.
        raise NoServer from error
    if line.endswith(b"\n"):
        return bytes(line)
    if unsent is not None:
        raise NoServer from unsent
    raise AdminError(
        "cut_off",
        "The server ended before it answered. It may have done what was asked: look before you ask again.",
    )
