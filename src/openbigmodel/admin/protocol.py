"""What goes over the admin socket: one line of JSON that asks, one that answers, and the connection is over.

    → {"command": "keys.disable", "arguments": {"key": "8f0c…"}}
    ← {"ok": {"id": "8f0c…", "state": "disabled"}}
    ← {"error": {"code": "not_found", "message": "There is no key 8f0c…."}}

The answer is the very object that `--json` prints, so a running server and a stopped folder cannot differ.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

SOCKET_FILE = "admin.sock"
# Of a question; restrictions of a key with thousands of models fit.
QUESTION_BYTES_MAX = 1 << 20
# Of an answer; beyond that something is wrong.
ANSWER_BYTES_MAX = 1 << 28
_ROWS_PER_PIECE = 1000
# The kernel keeps 108 bytes for a socket's path, and the last is a zero.
_PATH_BYTES_MAX = 107

# Codes after which nobody here knows whether a command was carried out.
IN_DOUBT = frozenset(("cut_off", "no_answer", "bad_answer", "in_doubt"))

Answer = dict[str, Any]


class AdminError(Exception):
    """What was asked for cannot be done; the text is for the person who asked. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Question(msgspec.Struct, frozen=True):
    """A command by its name, such as `keys.create`, and its arguments."""

    command: str
    arguments: dict[str, Any] = {}


class _Fault(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: Answer | None = None
    error: _Fault | None = None


_DECODE_QUESTION = msgspec.json.Decoder(Question, float_hook=float).decode
_DECODE_REPLY = msgspec.json.Decoder(_Reply, float_hook=float).decode


def write_question(command: str, arguments: Mapping[str, object]) -> bytes:
    """The line that asks."""
    return msgspec.json.encode(Question(command, dict(arguments))) + b"\n"


def read_question(line: bytes) -> Question:
    """Raises AdminError for what is no question."""
    try:
        return _DECODE_QUESTION(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AdminError("bad_question", f"This is no question to a server: {error}.") from error


def write_answer(answer: Answer) -> Iterator[bytes]:
    """The line that answers, in pieces, each of which is made in a few milliseconds."""
    yield b'{"ok":{'
    for number, (name, value) in enumerate(answer.items()):
        yield b"%b%b:" % (b"," if number else b"", msgspec.json.encode(name))
        if isinstance(value, list):
            yield b"["
            for start in range(0, len(value), _ROWS_PER_PIECE):
                rows = msgspec.json.encode(value[start : start + _ROWS_PER_PIECE])[1:-1]
                yield b"%b%b" % (b"," if start else b"", rows)
            yield b"]"
        else:
            yield msgspec.json.encode(value)
    yield b"}}\n"


def write_error(error: AdminError) -> bytes:
    """The line that refuses."""
    return msgspec.json.encode(_Reply(error=_Fault(error.code, error.message))) + b"\n"


def read_answer(line: bytes) -> Answer:
    """The answer; raises the AdminError that stands in its place, and one for what is neither."""
    try:
        reply = _DECODE_REPLY(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AdminError("bad_answer", f"The server's answer cannot be read: {error}.") from error
    if reply.error is not None:
        raise AdminError(reply.error.code, reply.error.message)
    if reply.ok is None:
        raise AdminError("bad_answer", "The server's answer is empty.")
    return reply.ok


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """The path of a socket in a form that the kernel takes, for as long as the context lasts. Raises OSError."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
