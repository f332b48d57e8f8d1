import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openbigmodel.admin.protocol import SOCKET_FILE, AdminError
from openbigmodel.admin.remote import NoServer, ask_server
from tests.unit.admin.folder_server import FolderServer


@contextlib.contextmanager
def odd_server(folder: Path, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    """A server that does with its one connection what the test says."""

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            behave(connection)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET_FILE))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join(5)


def refusal(folder: Path, behave: Callable[[socket.socket], None], answer_s: float = 5) -> AdminError:
    with odd_server(folder, behave), pytest.raises(AdminError) as caught:
        ask_server(folder, "echo", {}, answer_s=answer_s)
    return caught.value


def test_a_server_answers(tmp_path: Path) -> None:
    with FolderServer(tmp_path):
        assert ask_server(tmp_path, "echo", {"text": "你好"}) == {"text": "你好"}


def test_a_long_answer_comes_whole(tmp_path: Path) -> None:
    with FolderServer(tmp_path):
        assert ask_server(tmp_path, "echo", {"text": "x" * 900_000}) == {"text": "x" * 900_000}


def test_a_refusal_is_raised(tmp_path: Path) -> None:
    with FolderServer(tmp_path), pytest.raises(AdminError, match="does not know"):
        ask_server(tmp_path, "nonsense", {})


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(NoServer):
        ask_server(tmp_path, "echo", {})


def test_a_server_was_killed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_FILE))
    with pytest.raises(NoServer):
        ask_server(tmp_path, "echo", {})


def test_something_else_has_the_name(tmp_path: Path) -> None:
    (tmp_path / SOCKET_FILE).write_text("a file")
    with pytest.raises(NoServer):
        ask_server(tmp_path, "echo", {})


def test_a_server_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(AdminError, match="another user") as caught:
        ask_server(tmp_path, "echo", {})
    assert caught.value.code == "forbidden"


def test_a_server_that_ends_before_it_has_read_has_done_nothing(tmp_path: Path) -> None:
    def end(connection: socket.socket) -> None:
        connection.recv(1)

    with odd_server(tmp_path, end), pytest.raises(NoServer):
        ask_server(tmp_path, "echo", {})


def test_a_server_that_takes_no_more_has_done_nothing(tmp_path: Path) -> None:
    def end(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RD)
        connection.settimeout(1)

    with odd_server(tmp_path, end), pytest.raises(NoServer):
        ask_server(tmp_path, "echo", {"text": "x" * (1 << 20)})


def test_a_server_that_ends_after_it_has_read_may_have_done_it(tmp_path: Path) -> None:
    def end(connection: socket.socket) -> None:
        connection.recv(1000)

    assert refusal(tmp_path, end).code == "cut_off"


def test_half_an_answer_is_none(tmp_path: Path) -> None:
    def half(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b'{"ok": {"id"')

    assert refusal(tmp_path, half).code == "cut_off"


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    def wait(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.settimeout(5)
        connection.recv(1)

    error = refusal(tmp_path, wait, answer_s=0.02)

    assert error.code == "no_answer"
    assert "look before you ask again" in error.message


def test_an_answer_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbigmodel.admin.remote.ANSWER_BYTES_MAX", 100_000)

    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x" * 10_000)

    assert refusal(tmp_path, talk).code == "bad_answer"


def test_why_is_heard_even_if_the_question_did_not_get_through(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b'{"error": {"code": "forbidden", "message": "Not you."}}\n')
        connection.shutdown(socket.SHUT_RD)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            connection.recv(1)

    with odd_server(tmp_path, refuse), pytest.raises(AdminError, match="Not you") as caught:
        ask_server(tmp_path, "echo", {"text": "x" * (1 << 20)})
    assert caught.value.code == "forbidden"
