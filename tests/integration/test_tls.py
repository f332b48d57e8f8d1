"""TLS without a proxy: `--tls-cert` and `--tls-key`, with a certificate that openssl has just made."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running_platform import RunningPlatform, running_platform

QUESTION = {"model": "glm-4.6", "messages": [{"role": "user", "content": "你好"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def platform(folder: Path) -> Iterator[RunningPlatform]:
    options = ("--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))
    with running_platform(folder, *options) as running:
        yield running


def ask(platform: RunningPlatform, folder: Path, path: str, body: dict[str, Any] | None = None) -> Any:
    """The open response to a request whose server's certificate was verified."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(platform.url + path, data, {"Authorization": f"Bearer {platform.key}"})
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    return urllib.request.urlopen(request, timeout=20, context=context)


def test_the_banner_names_https(platform: RunningPlatform) -> None:
    assert platform.url.startswith("https://127.0.0.1:")


def test_health_over_https(platform: RunningPlatform, folder: Path) -> None:
    with ask(platform, folder, "/health") as response:
        assert response.status == 200


def test_a_whole_answer_over_https(platform: RunningPlatform, folder: Path) -> None:
    with ask(platform, folder, "/api/paas/v4/chat/completions", QUESTION) as response:
        reply = json.load(response)

    assert reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_a_stream_over_https(platform: RunningPlatform, folder: Path) -> None:
    with ask(platform, folder, "/api/paas/v4/chat/completions", QUESTION | {"stream": True}) as response:
        events = [line.decode() for line in response if line.strip()]

    assert len(events) > 3
    assert '"finish_reason":"stop"' in events[-2]
    assert events[-1] == "data: [DONE]\n"


def test_a_client_that_does_not_trust_the_certificate_gets_nothing(platform: RunningPlatform) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(platform.url + "/health", timeout=20)
