"""Starting, refusing to start, and starting again after every kind of end."""

import contextlib
import fcntl
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from openbigmodel.db.migrations import MIGRATIONS, migrate
from tests.integration.server_process import ServerProcess, alive, server, wait_until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("running")) as process:
        yield process


def refused(folder: Path, *options: str, config: str = "", port: int = 0, status: int = 1) -> str:
    """The one sentence of a server that does not start."""
    process = ServerProcess(folder, *options, config=config, port=port)
    try:
        assert process.wait_exit(20) == status, process.log
    finally:
        process.stop()
    assert process.out == []
    (sentence,) = process.log
    assert sentence.startswith("bigmodel: ")
    return sentence


def test_the_banner(running: ServerProcess) -> None:
    # stdout is a pipe here, and the server still runs: the line was flushed.
    assert len(running.keys) == 1
    key_id, _, secret = running.key.partition(".")
    assert key_id and secret
    text = "\n".join(running.out)
    assert f"http://127.0.0.1:{running.port}/api/paas/v4" in text
    assert "glm-demo" in text and "试用" in text
    # The log has no secret.
    assert secret not in "\n".join(running.log)


def test_the_curl_of_the_banner_works_when_pasted(running: ServerProcess) -> None:
    text = "\n".join(running.out)
    command = text[text.index("curl") :].strip()
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=True)

    assert '"choices"' in answer.stdout


def test_health_and_models(running: ServerProcess) -> None:
    assert running.get("/health").json == {"status": "ok", "engines": {"glm-demo": "ready"}}
    assert running.get("/v1/models").status == 401
    models = {model["id"] for model in running.get("/v1/models", running.key).json["data"]}
    assert {"glm-4.6", "glm-4.7"} <= models


def test_a_second_server_on_the_same_folder_is_refused(running: ServerProcess) -> None:
    sentence = refused(running.folder)

    assert str(running.folder / "data") in sentence
    assert running.get("/health").status == 200


def test_a_busy_port_is_refused(running: ServerProcess, tmp_path: Path) -> None:
    sentence = refused(tmp_path, port=running.port)

    assert f"port {running.port} on 127.0.0.1 is already in use" in sentence
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")

    assert str(tmp_path / "data") in refused(tmp_path)


def test_a_folder_where_nothing_can_be_made_is_refused(tmp_path: Path) -> None:
    # Not even root may make a folder there.
    assert "/proc/none" in refused(tmp_path, "--data", "/proc/none")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("this is no TOML", ["bigmodel.toml"]),
        ("\x00\x01\x02", ["bigmodel.toml"]),
        ("[server]\ndrain_s = 'many'\n", ["drain_s"]),
        ("[serverr]\nport = 1\n", ["serverr"]),
        ("[[engines]]\nname = 'a'\nkind = 'magic'\n", ["kind", "llamacpp"]),
        (
            "[[engines]]\nname = 'a'\nkind = 'openai'\nbase_url = 'http://h/v1'\n[[models]]\nid = 'm'\nengine = 'b'\n",
            ["b"],
        ),
    ],
)
def test_a_wrong_settings_file_is_told_in_a_sentence(tmp_path: Path, config: str, words: list[str]) -> None:
    process = ServerProcess(tmp_path, config=config)
    try:
        assert process.wait_exit(20) in (1, 2)
    finally:
        process.stop()

    assert process.out == []
    assert len(process.log) == 1, process.log
    assert all(word in process.log[0] for word in words), process.log
    assert not (tmp_path / "data").exists()


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bigmodel.db").write_bytes(b"no database at all" * 100)

    assert "bigmodel.db" in refused(tmp_path)


def test_a_database_of_a_newer_release_is_refused_and_not_touched(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.pragma("journal_mode", "wal")
    migrate(connection)
    newer = len(MIGRATIONS) + 1
    connection.pragma("user_version", newer)
    connection.close()
    before = {file: file.read_bytes() for file in data.iterdir()}

    sentence = refused(tmp_path)

    assert (
        "newer release" in sentence
        and f"schema {newer}" in sentence
        and str(data / "bigmodel.db") in sentence
    )
    after = {file: file.read_bytes() for file in data.iterdir() if file.name != "lock"}
    assert after == before


def test_the_next_start_prints_no_key_and_knows_the_old_one(tmp_path: Path) -> None:
    with server(tmp_path) as first:
        key = first.key
    with server(tmp_path) as second:
        assert second.ask(key, max_tokens=4).reply().status == 200
        assert second.keys == []


def test_killed_in_mid_stream_it_leaves_no_worker_and_starts_again(tmp_path: Path) -> None:
    with server(tmp_path) as first:
        key = first.key
        (worker,) = first.workers
        chat = first.ask(key, stream=True, max_tokens=256).read(1)
        first.process.kill()
        first.process.wait(5)
        wait_until(lambda: not alive(worker), 3)
        chat.leave()
    with server(tmp_path) as second:
        assert second.ask(key, max_tokens=4).reply().status == 200
        assert second.keys == []


def test_killed_while_it_starts_it_leaves_no_worker(tmp_path: Path) -> None:
    process = ServerProcess(tmp_path)
    try:
        process.started(ready=False)
        wait_until(lambda: len(process.workers) == 1)
        (worker,) = process.workers
        process.process.kill()
        wait_until(lambda: not alive(worker), 3)
    finally:
        process.stop()


def test_a_port_is_free_for_the_next_server_at_once(tmp_path: Path) -> None:
    with server(tmp_path) as first:
        port = first.port
        # A client that stays leaves the connection in TIME_WAIT on the server's side.
        client = socket.create_connection(("127.0.0.1", port))
    client.close()
    with server(tmp_path, port=port) as second:
        assert second.port == port


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_it_serves_without_standard_streams(tmp_path: Path, closed: str) -> None:
    serves_under(f'exec "$@" {closed}', tmp_path, subprocess.DEVNULL)


def test_it_serves_when_nobody_reads_its_banner(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        serves_under('exec "$@"', tmp_path, write_end)
    finally:
        os.close(write_end)


def serves_under(shell_command: str, folder: Path, stdout: int) -> None:
    """Start the server by way of a shell, on a port that nobody has to be told, and see it answer."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["bash", "-c", shell_command, "bash", *serve_command(folder, port)],
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None or answers(port), 20)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(15)


def serve_command(folder: Path, port: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "openbigmodel",
        "serve",
        "--port",
        str(port),
        "--data",
        str(folder / "data"),
    ]


def answers(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with contextlib.closing(client), contextlib.suppress(OSError):
        client.request("GET", "/health")
        return client.getresponse().status == 200
    return False


def test_a_terminal_without_chinese_is_no_reason_to_fail(tmp_path: Path) -> None:
    process = ServerProcess(tmp_path, PYTHONIOENCODING="ascii")
    try:
        process.started()
        assert process.keys
    finally:
        assert process.stop() == 0


def test_a_log_that_nobody_reads_stops_nobody(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(
        serve_command(tmp_path, 0), stdout=subprocess.PIPE, stderr=write_end, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split("/api/")[0].rpartition(":")[2])
            for _ in range(300):  # each refusal is a line of some 100 bytes
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as client:
                    client.request("POST", "/v1/chat/completions", b"{}")
                    assert client.getresponse().status == 401
        finally:
            os.close(read_end)
            os.close(write_end)
            process.kill()


def test_who_reads_the_banner_may_ask_at_once(tmp_path: Path) -> None:
    """Four starts: a request that met an engine which had not begun to start was refused, in about half of them."""
    body = json.dumps({"model": "glm-4.6", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
    statuses = []
    for number in range(4):
        command = serve_command(tmp_path / str(number), 0)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline().split("/api/")[0].rpartition(":")[2])
                key = next(line.split()[-1] for line in process.stdout if line.startswith("API key: "))
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
                    client.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})
                    statuses.append(client.getresponse().status)
            finally:
                process.terminate()

    assert statuses == [200] * 4
