"""The proxy configurations of docs/deploy, run as they are but for addresses and paths, before the real server."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.api.chat import BODY_LIMIT
from tests.integration.held_engine import HeldEngine, held_engine
from tests.integration.running_platform import ROOT, RunningPlatform, running_platform

DEPLOY = ROOT / "docs" / "deploy"
CHAT = "/api/paas/v4/chat/completions"
START_TIMEOUT_S = 15.0
# curl: the connection broke while it was sending, or receiving.
CURL_BROKEN = (55, 56)

NGINX_MAIN = """
daemon off;
{user}
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/bigmodel.conf;
}}
"""
CADDY_MAIN = """
{{
	admin off
	local_certs
	skip_install_trust
	http_port {http_port}
	storage file_system {folder}/storage
}}
import {folder}/bigmodel.caddy
"""


@dataclass(frozen=True)
class Proxied:
    """The platform with a proxy before it, and a held engine behind it."""

    https_port: int
    http_port: int
    engine: HeldEngine
    platform: RunningPlatform
    name: str

    def connect(self) -> http.client.HTTPSConnection:
        # The certificates are the test's own, and whom they name is not the question here.
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("localhost", self.https_port, timeout=20, context=context)

    def post(
        self, connection: http.client.HTTPConnection, body: dict[str, Any], **headers: str
    ) -> http.client.HTTPResponse:
        given = {
            "Authorization": f"Bearer {self.platform.key}",
            "Content-Type": "application/json",
            **headers,
        }
        connection.request("POST", CHAT, json.dumps(body), given)
        return connection.getresponse()


def chat(content: str = "hello", *, stream: bool = False) -> dict[str, Any]:
    return {"model": "held", "stream": stream, "messages": [{"role": "user", "content": content}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """The proxy's program. On a desk its tests are skipped without it; in CI that would go unnoticed."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path


def substituted(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"the configuration no longer has {old!r}"
        text = text.replace(old, new)
    return text


def nginx_command(
    folder: Path, platform_port: int, ports: tuple[int, int], changes: dict[str, str]
) -> list[str]:
    https_port, http_port = ports
    certificate(folder)
    text = substituted(
        (DEPLOY / "nginx.conf").read_text(encoding="utf-8"),
        {
            "127.0.0.1:8000": f"127.0.0.1:{platform_port}",
            "listen 443 ": f"listen 127.0.0.1:{https_port} ",
            "listen 80;": f"listen 127.0.0.1:{http_port};",
            "/etc/ssl/bigmodel": str(folder),
            **changes,
        },
    )
    (folder / "bigmodel.conf").write_text(text, encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder, user=user), encoding="utf-8")
    command = [program("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    return [*command, "-e", str(folder / "error.log")]


def caddy_command(
    folder: Path, platform_port: int, ports: tuple[int, int], changes: dict[str, str]
) -> list[str]:
    https_port, http_port = ports
    text = substituted(
        (DEPLOY / "Caddyfile").read_text(encoding="utf-8"),
        {
            "bigmodel.example.com {": f"https://localhost:{https_port} {{",
            "127.0.0.1:8000": f"127.0.0.1:{platform_port}",
            **changes,
        },
    )
    (folder / "bigmodel.caddy").write_text(text, encoding="utf-8")
    (folder / "Caddyfile").write_text(CADDY_MAIN.format(folder=folder, http_port=http_port), encoding="utf-8")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


COMMANDS = {"nginx": nginx_command, "caddy": caddy_command}


def certificate(folder: Path) -> None:
    """A self-signed one."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run(command + files, check=True, capture_output=True)


@contextmanager
def proxied(name: str, folder: Path, changes: dict[str, str] | None = None) -> Iterator[Proxied]:
    program(name)
    with ExitStack() as stack:
        engine = stack.enter_context(held_engine())
        platform = stack.enter_context(running_platform(folder, config=settings(engine)))
        ports = free_port(), free_port()
        command = COMMANDS[name](folder, platform.port, ports, changes or {})
        output = stack.enter_context((folder / "proxy.log").open("w"))
        home = os.environ | {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        process = stack.enter_context(subprocess.Popen(command, stdout=output, stderr=output, env=home))
        try:
            wait_for_port(ports[0], folder / "proxy.log")
            yield Proxied(*ports, engine, platform, name)
        finally:
            process.terminate()
            process.wait(10)


def settings(engine: HeldEngine) -> str:
    return f"""
[[engines]]
name = "held"
kind = "openai"
base_url = "{engine.base_url}"

[[models]]
id = "held"
engine = "held"
"""


def wait_for_port(port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


def test_the_first_token_arrives_before_the_engine_has_more(behind: Proxied) -> None:
    behind.engine.hold()
    with closing(behind.connect()) as connection:
        response = behind.post(connection, chat(stream=True))
        first = response.readline()
        behind.engine.go_on.set()
        rest = response.read().decode()

    assert '"content":"one"' in first.decode()
    assert response.getheader("content-type") == "text/event-stream;charset=UTF-8"
    assert '"content":" two"' in rest
    assert '"finish_reason":"stop"' in rest
    assert rest.endswith("data: [DONE]\n\n")


def test_a_client_that_leaves_stops_the_engine(behind: Proxied) -> None:
    behind.engine.hold()
    with closing(behind.connect()) as connection, behind.post(connection, chat(stream=True)) as response:
        response.readline()

    assert behind.engine.left.wait(3)


def test_a_client_that_leaves_before_the_first_token_stops_the_engine(behind: Proxied) -> None:
    behind.engine.hold(after_tokens=0)
    with closing(behind.connect()) as connection:
        connection.request(
            "POST", CHAT, json.dumps(chat(stream=True)), {"Authorization": behind.platform.key}
        )
        assert behind.engine.asked.wait(10)

    assert behind.engine.left.wait(3)


def test_errors_come_through_untouched(behind: Proxied) -> None:
    direct = http.client.HTTPConnection("127.0.0.1", behind.platform.port, timeout=20)
    key = {"Authorization": behind.platform.key}
    with closing(direct), closing(behind.connect()) as through:
        for method, path, body, headers in (
            ("POST", CHAT, "{}", {}),
            ("POST", CHAT, "{}", {"Authorization": "Bearer a.b", "Accept-Language": "en"}),
            ("POST", CHAT, "not json", key),
            ("POST", CHAT, json.dumps(chat() | {"model": "nobody"}), key),
            ("GET", CHAT, None, key),
            ("GET", "/api/paas/v4/nowhere", None, key),
            ("GET", "/v1/models/nobody", None, key),
        ):
            answers = []
            for connection in (direct, through):
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                kept = [response.getheader(name) for name in ("content-type", "x-should-retry", "allow")]
                answers.append((response.status, kept, response.read()))
            assert answers[0] == answers[1]
            assert answers[0][0] >= 400


def test_a_body_up_to_the_platforms_limit_passes(behind: Proxied) -> None:
    empty = len(json.dumps(chat("")))
    with closing(behind.connect()) as connection:
        response = behind.post(connection, chat("x" * (BODY_LIMIT - empty)))
        response.read()

    assert response.status == 200


@pytest.mark.parametrize("surplus", [1, 4 * 1024 * 1024])
def test_a_larger_body_is_refused_in_the_platforms_words(
    behind: Proxied, tmp_path: Path, surplus: int
) -> None:
    # With curl: like most clients it reads while it sends, and so sees an answer that comes before its body is gone.
    (tmp_path / "body").write_bytes(b" " * (BODY_LIMIT + surplus))
    command = [
        program("curl"),
        "--silent",
        "--insecure",
        "--http1.1",
        "--data-binary",
        f"@{tmp_path / 'body'}",
    ]
    command += ["--header", f"Authorization: {behind.platform.key}"]
    command += [
        "--write-out",
        "\n%{http_code} %{content_type}",
        f"https://localhost:{behind.https_port}{CHAT}",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if behind.name == "caddy" and done.returncode in CURL_BROKEN:
        # Caddy stops reading half a second after the answer; a client that still sends may lose it.
        return

    body, _, rest = done.stdout.rpartition("\n")
    assert rest.startswith("413 application/json")
    assert json.loads(body)["error"]["code"] == "1210"


def test_one_connection_serves_many_requests(behind: Proxied) -> None:
    with closing(behind.connect()) as connection:
        connection.connect()
        own = connection.sock
        for _ in range(5):
            response = behind.post(connection, chat())
            assert response.status == 200
            assert json.loads(response.read())["choices"][0]["message"]["content"] == "one two"
        assert connection.sock is own


def test_metrics_want_the_operators_key_from_outside(behind: Proxied) -> None:
    statuses = []
    with closing(behind.connect()) as connection:
        for headers in ({}, {"Authorization": f"Bearer {behind.platform.key}"}):
            connection.request("GET", "/metrics", None, headers)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)

    assert statuses == [401, 200]


def test_plain_http_is_sent_to_https(behind: Proxied) -> None:
    if behind.name == "caddy":
        pytest.skip("Caddy does this by itself, and not for a certificate of its own making")
    with closing(http.client.HTTPConnection("127.0.0.1", behind.http_port, timeout=20)) as connection:
        connection.request("GET", "/health", None, {"Host": "bigmodel.example.com"})
        response = connection.getresponse()

    assert response.status == 308
    assert response.getheader("location") == "https://bigmodel.example.com/health"


def test_a_proxy_that_buffers_is_found_out(tmp_path: Path) -> None:
    """The harness's own test: without the line that matters, the first token does not come."""
    with proxied("nginx", tmp_path, {"proxy_buffering off;": "proxy_buffering on;"}) as running:
        running.engine.hold()
        with closing(running.connect()) as connection:
            connection.timeout = 1
            with pytest.raises(TimeoutError):
                running.post(connection, chat(stream=True)).readline()
        running.engine.go_on.set()


def test_a_proxy_that_hides_who_left_is_found_out(tmp_path: Path) -> None:
    """The same for the other promise: with Caddy's low-latency mode the engine would work on for nobody."""
    with proxied("caddy", tmp_path, {"transport http {": "flush_interval -1\ntransport http {"}) as running:
        running.engine.hold()
        with (
            closing(running.connect()) as connection,
            running.post(connection, chat(stream=True)) as response,
        ):
            response.readline()
        assert not running.engine.left.wait(1)
        running.engine.go_on.set()
