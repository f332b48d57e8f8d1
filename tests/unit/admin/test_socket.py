import asyncio
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openbigmodel.admin import socket as admin_socket
from openbigmodel.admin.protocol import QUESTION_BYTES_MAX, SOCKET_FILE, AdminError
from openbigmodel.admin.remote import ask_server
from openbigmodel.admin.service import AdminService, Arguments, Command
from openbigmodel.admin.socket import CONNECTIONS_MAX, AdminSocket


class Words(Arguments):
    text: str = ""


class Commands:
    """What the tests ask for; `gate` holds up `wait`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.finished: list[str] = []

    async def echo(self, wanted: Words) -> dict[str, object]:
        return {"text": wanted.text}

    async def wait(self, wanted: Words) -> dict[str, object]:
        self.begun.set()
        await self.gate.wait()
        self.finished.append(wanted.text)
        return {"text": wanted.text}

    async def refuse(self, _: Words) -> dict[str, object]:
        raise AdminError("odd", "It is odd.")

    async def fail(self, _: Words) -> dict[str, object]:
        raise ZeroDivisionError("oops")


class Scene:
    """An open socket in a folder, with what it noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands = Commands()
        self.notes: list[str] = []
        self.service = AdminService(
            [
                Command("echo", Words, self.commands.echo, reads=True),
                Command("wait", Words, self.commands.wait),
                Command("refuse", Words, self.commands.refuse),
                Command("fail", Words, self.commands.fail, reads=True),
            ]
        )
        self.opened: AdminSocket | None = None
        self.writers: list[asyncio.StreamWriter] = []

    async def open(self) -> AdminSocket:
        self.opened = AdminSocket(self.folder / SOCKET_FILE, self.service, self.notes.append)
        await self.opened.open()
        return self.opened

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self.folder / SOCKET_FILE))
        self.writers.append(writer)
        return reader, writer

    async def say(self, line: bytes) -> bytes:
        reader, writer = await self.connect()
        writer.write(line)
        return await reader.read()

    async def ask(self, command: str, text: str = "") -> dict[str, object]:
        answer = json.loads(await self.say(question(command, text)))
        assert isinstance(answer, dict)
        return answer


def question(command: str, text: str = "") -> bytes:
    return json.dumps({"command": command, "arguments": {"text": text}}).encode() + b"\n"


def run(folder: Path, scenario: Callable[[Scene], Awaitable[None]]) -> Scene:
    async def main() -> Scene:
        scene = Scene(folder)
        opened = await scene.open()
        try:
            await scenario(scene)
        finally:
            await opened.close()
            for writer in scene.writers:
                writer.close()
            await asyncio.sleep(0.01)
        return scene

    return asyncio.run(main())


def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        assert await scene.ask("echo", "你好") == {"ok": {"text": "你好"}}

    scene = run(tmp_path, scenario)

    assert not (tmp_path / SOCKET_FILE).exists()
    # What only looks is not worth a line.
    assert scene.notes == []


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        assert stat.S_IMODE((tmp_path / SOCKET_FILE).stat().st_mode) == 0o600

    run(tmp_path, scenario)


def test_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        monkeypatch.setattr(admin_socket, "_peer_user", lambda _: os.getuid() + 1)
        answer = await scene.ask("echo")
        assert answer["error"] == {
            "code": "forbidden",
            "message": f"User {os.getuid() + 1} may not command this server.",
        }

    run(tmp_path, scenario)


def test_the_kernel_tells_who_asks(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        _, writer = await scene.connect()
        assert admin_socket._peer_user(writer) == os.getuid()
        await scene.ask("echo")

    run(tmp_path, scenario)


def test_what_is_left_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_FILE))

    async def scenario(scene: Scene) -> None:
        assert "ok" in await scene.ask("echo")

    run(tmp_path, scenario)


def test_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("f" * 120)
    folder.mkdir()

    async def scenario(scene: Scene) -> None:
        assert (folder / SOCKET_FILE).is_socket()

    run(folder, scenario)

    assert not (folder / SOCKET_FILE).exists()


def test_a_folder_where_no_socket_can_be(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(tmp_path / "nowhere")
        opened = await scene.open()
        (note,) = scene.notes
        assert note.startswith("admin commands can only be given while the server is stopped: ")
        assert note.endswith("No such file or directory")
        await opened.close()

    asyncio.run(main())


def test_changes_and_their_refusals_are_noted(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        scene.commands.gate.set()
        await scene.ask("wait", "a secret")
        assert await scene.ask("refuse") == {"error": {"code": "odd", "message": "It is odd."}}
        await scene.ask("nonsense")
        assert scene.notes == [
            "admin wait: done",
            "admin refuse: refused, odd",
            "admin command: refused, unknown_command",
        ]

    run(tmp_path, scenario)


def test_a_bug_is_told_and_noted(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        answer = await scene.ask("fail")
        assert answer == {
            "error": {
                "code": "internal",
                "message": "The server failed at this, please report it: ZeroDivisionError.",
            }
        }
        assert scene.notes == ["admin fail: failed, ZeroDivisionError: oops"]
        assert "ok" in await scene.ask("echo")

    run(tmp_path, scenario)


@pytest.mark.parametrize("line", [b"\n", b"GET / HTTP/1.1\r\n", b"{}\n", b"\xff\xfe\n"])
def test_nonsense_is_answered(line: bytes, tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        assert b'"bad_question"' in await scene.say(line)

    run(tmp_path, scenario)


def test_a_question_too_long_is_refused(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        reader, writer = await scene.connect()
        writer.write(b"x" * (QUESTION_BYTES_MAX + 1))
        assert b'"bad_question"' in await reader.readline()

    run(tmp_path, scenario)


def test_half_a_question_is_no_question(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        reader, writer = await scene.connect()
        writer.write(question("wait", "half").rstrip())
        writer.write_eof()
        assert await reader.read() == b""
        assert scene.commands.finished == []

    run(tmp_path, scenario)


def test_who_asks_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        monkeypatch.setattr(admin_socket, "QUESTION_S", 0.01)
        reader, _ = await scene.connect()
        assert await reader.read() == b""

    run(tmp_path, scenario)


def test_many_who_ask_nothing_do_not_keep_others_out_for_ever(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        idle = [await scene.connect() for _ in range(CONNECTIONS_MAX)]
        await asyncio.sleep(0.02)
        with pytest.raises(AdminError, match="too many commands to listen to") as caught:
            await asyncio.to_thread(ask_server, tmp_path, "echo", {"text": ""})
        assert caught.value.code == "busy"
        for _, writer in idle:
            writer.close()
        await asyncio.sleep(0.02)
        assert "ok" in await scene.ask("echo")

    run(tmp_path, scenario)


def test_there_is_a_bound_to_commands_under_way(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        asking = [asyncio.create_task(scene.ask("wait")) for _ in range(CONNECTIONS_MAX)]
        await asyncio.sleep(0.05)
        answer = await scene.ask("echo")
        assert answer["error"] == {
            "code": "busy",
            "message": "The server has too many commands to carry out.",
        }
        scene.commands.gate.set()
        assert all("ok" in answer for answer in await asyncio.gather(*asking))
        assert "ok" in await scene.ask("echo")

    run(tmp_path, scenario)


def test_a_command_is_carried_out_though_nobody_waits(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        _, writer = await scene.connect()
        writer.write(question("wait", "left"))
        await scene.commands.begun.wait()
        writer.close()
        await asyncio.sleep(0.01)
        scene.commands.gate.set()
        await asyncio.sleep(0.01)
        assert scene.commands.finished == ["left"]

    run(tmp_path, scenario)


def test_at_the_end_a_command_under_way_is_answered(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        asking = asyncio.create_task(scene.ask("wait", "last"))
        await scene.commands.begun.wait()
        assert scene.opened is not None
        closing = asyncio.create_task(scene.opened.close())
        await asyncio.sleep(0.01)
        assert not (tmp_path / SOCKET_FILE).exists()
        assert not closing.done()
        scene.commands.gate.set()
        assert await asking == {"ok": {"text": "last"}}
        await closing

    run(tmp_path, scenario)


def test_at_the_end_a_command_that_takes_too_long_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(scene: Scene) -> None:
        monkeypatch.setattr(admin_socket, "CLOSE_S", 0.01)
        reader, writer = await scene.connect()
        writer.write(question("wait"))
        await scene.commands.begun.wait()
        assert scene.opened is not None
        await scene.opened.close()
        assert await reader.read() == b""

    run(tmp_path, scenario)


def test_at_the_end_who_has_not_asked_is_sent_away(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        reader, _ = await scene.connect()
        await scene.ask("echo")
        assert scene.opened is not None
        await scene.opened.close()
        assert await reader.read() == b""

    run(tmp_path, scenario)
