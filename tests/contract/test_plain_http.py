"""Clients without an SDK: LangChain's own HTTP, requests, fetch, and curl, also pasted from the banner."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.contract.client_runs import FETCH, LANGCHAIN, REQUESTS, WRONG_KEY, ClientKind, ClientRun
from tests.contract.live_server import LiveServer

pytestmark = pytest.mark.timeout(600)
GREETING = {"model": "glm-4.6", "messages": [{"role": "user", "content": "你好"}]}


@pytest.mark.parametrize("scenario", ["async", "async-stream"])
def test_langchain_asks_asynchronously_too(run_of: Callable[[ClientKind], ClientRun], scenario: str) -> None:
    seen = run_of(LANGCHAIN).value(scenario)
    assert seen["content"].strip()
    assert seen["finish_reason"] == "stop"


@pytest.mark.parametrize("kind", [REQUESTS, FETCH], ids=lambda kind: kind.name)
def test_models_are_listed(run_of: Callable[[ClientKind], ClientRun], kind: ClientKind) -> None:
    listing = run_of(kind).value("models")
    assert listing["object"] == "list"
    assert "glm-4.6" in {model["id"] for model in listing["data"]}


def test_a_bare_jwt_is_taken(run_of: Callable[[ClientKind], ClientRun]) -> None:
    assert run_of(REQUESTS).value("raw-jwt")["content"]


def test_a_body_of_unknown_length_is_taken(run_of: Callable[[ClientKind], ClientRun]) -> None:
    assert run_of(FETCH).value("streamed-body")["content"]


@pytest.fixture
def curl() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs curl, or a line of shell that does."""
    if shutil.which("curl") is None:
        assert os.environ.get("CI") != "true", "curl is not installed"
        pytest.skip("curl is not installed")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            arguments, check=False, capture_output=True, text=True, encoding="utf-8", timeout=60
        )

    return run


Curl = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_curl_of_the_banner_works_when_pasted(curl: Curl, server: LiveServer) -> None:
    lines = server.banner.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("curl "))
    last = lines.index("", first) if "" in lines[first:] else len(lines)
    done = curl("sh", "-c", "\n".join(lines[first:last]))
    assert done.returncode == 0, done.stderr
    events = [line.removeprefix("data: ") for line in done.stdout.splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks).strip()
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def ask(server: LiveServer, key: str, body: object, *options: str) -> list[str]:
    return [
        "curl",
        "--silent",
        "--show-error",
        *options,
        f"{server.root}/api/paas/v4/chat/completions",
        "-H",
        f"Authorization: Bearer {key}",
        "-H",
        "Content-Type: application/json",
        "-d",
        json.dumps(body, ensure_ascii=False),
    ]


def test_curl_gets_one_body(curl: Curl, server: LiveServer) -> None:
    done = curl(*ask(server, server.key, GREETING, "--fail-with-body"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["choices"][0]["message"]["content"].strip()


def test_curl_gets_a_stream(curl: Curl, server: LiveServer) -> None:
    done = curl(*ask(server, server.key, GREETING | {"stream": True}, "--no-buffer"))
    assert done.stdout.startswith("data: {")
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_curl_sends_a_chunked_body(curl: Curl, server: LiveServer) -> None:
    done = curl(*ask(server, server.key, GREETING, "-H", "Transfer-Encoding: chunked"))
    assert json.loads(done.stdout)["object"] == "chat.completion"


def test_curl_is_told_of_a_wrong_key(curl: Curl, server: LiveServer) -> None:
    done = curl(*ask(server, WRONG_KEY, GREETING, "--fail"))
    assert done.returncode == 22
    assert "401" in done.stderr


def test_curl_speaks_http_1_0(curl: Curl, server: LiveServer) -> None:
    done = curl(*ask(server, server.key, GREETING | {"stream": True}, "--http1.0"))
    assert done.returncode == 0
    assert done.stdout.endswith("data: [DONE]\n\n")
