import socket
from pathlib import Path

import pytest

from openbigmodel.admin.protocol import (
    AdminError,
    Question,
    read_answer,
    read_question,
    short_path,
    write_answer,
    write_error,
    write_question,
)


def test_a_question_arrives_as_it_was_asked() -> None:
    line = write_question("keys.create", {"account": "账户", "models": ["a", "b"]})

    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert read_question(line) == Question("keys.create", {"account": "账户", "models": ["a", "b"]})


def test_an_answer_arrives_as_it_was_given() -> None:
    line = b"".join(write_answer({"id": "1", "list": [1, None]}))

    assert line.count(b"\n") == 1
    assert read_answer(line) == {"id": "1", "list": [1, None]}


def test_an_empty_answer_is_an_answer() -> None:
    assert read_answer(b"".join(write_answer({}))) == {}


def test_a_long_answer_comes_in_pieces() -> None:
    answer = {"a": list(range(2500)), "b": {"c": [1]}, "d": [], "e": None}
    pieces = list(write_answer(answer))

    assert max(map(len, pieces)) < 6000
    assert read_answer(b"".join(pieces)) == answer


def test_a_refusal_is_raised_where_the_answer_is_read() -> None:
    with pytest.raises(AdminError, match=r"There is no key\.") as caught:
        read_answer(write_error(AdminError("not_found", "There is no key.")))

    assert caught.value.code == "not_found"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]\n",
        b'{"arguments": {}}\n',
        b'{"command": 1}\n',
        b'{"command": "a\xff"}\n',
        b'{"command": "a", "arguments": {"b": %b}}\n' % (b"[" * 5000 + b"]" * 5000),
    ],
)
def test_what_is_no_question_is_refused(line: bytes) -> None:
    with pytest.raises(AdminError) as caught:
        read_question(line)

    assert caught.value.code == "bad_question"


@pytest.mark.parametrize("line", [b"", b"{", b"[]\n", b"{}\n", b'{"ok": 1}\n', b"\xff\n"])
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(AdminError) as caught:
        read_answer(line)

    assert caught.value.code == "bad_answer"


def test_a_short_path_is_left_alone(tmp_path: Path) -> None:
    with short_path(Path("/run/a.sock")) as name:
        assert name == "/run/a.sock"


def test_a_path_too_long_for_a_socket_gets_a_short_name(tmp_path: Path) -> None:
    folder = tmp_path / ("长" * 60)
    folder.mkdir()
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with short_path(folder / "admin.sock") as name:
            listener.bind(name)
            listener.listen()
        with short_path(folder / "admin.sock") as name:
            client.connect(name)

    assert (folder / "admin.sock").is_socket()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
