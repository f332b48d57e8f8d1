"""HTTP by hand: what a request's bytes are and what came back, nothing interpreted on the way."""

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.contract.live_server import LiveServer

TIMEOUT_S = 60
PAAS = "/api/paas/v4"
CODING = "/api/coding/paas/v4"
V1 = "/v1"
BASES = (PAAS, CODING, V1)
JSON_TYPE = "application/json; charset=UTF-8"
GREETING: list[dict[str, Any]] = [{"role": "user", "content": "你好"}]
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """A response; header names are lower-case."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may be given once."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def bearer(server: LiveServer) -> Headers:
    return [("Authorization", f"Bearer {server.key}")]


def ask(
    server: LiveServer,
    method: str,
    path: str,
    *,
    headers: Headers | None = None,
    body: bytes | Iterable[bytes] | None = None,
) -> Answer:
    """One request on a connection of its own; `headers` default to the server's key. An iterable goes in chunks."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)
    try:
        connection.putrequest(method, path)
        for name, value in bearer(server) if headers is None else headers:
            connection.putheader(name, value)
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=chunked)
        response = connection.getresponse()
        received = response.read()
        return Answer(
            response.status, [(name.lower(), value) for name, value in response.getheaders()], received
        )
    finally:
        connection.close()


def post(
    server: LiveServer,
    body: object,
    *,
    base: str = PAAS,
    headers: Headers | None = None,
) -> Answer:
    """A chat request; anything but bytes is encoded as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server, "POST", base + "/chat/completions", headers=headers, body=data)


def chat(server: LiveServer, *, base: str = PAAS, **fields: Any) -> Answer:
    """A chat request that must be answered with 200."""
    answer = post(server, {"model": "glm-4.6", "messages": GREETING, **fields}, base=base)
    assert answer.status == 200, answer.body
    return answer


def message(answer: Answer) -> dict[str, Any]:
    """The message of a whole answer."""
    found: dict[str, Any] = answer.json["choices"][0]["message"]
    return found


def events(body: bytes) -> list[bytes]:
    """The lines of a stream, each of which must be one event; the last is `[DONE]`, which is left out."""
    assert body.endswith(b"\n\n")
    lines = body.removesuffix(b"\n\n").split(b"\n\n")
    # A comment is allowed anywhere.
    lines = [line for line in lines if not line.startswith(b":")]
    assert lines.pop() == b"data: [DONE]"
    for line in lines:
        assert line.startswith(b"data: {") and line.endswith(b"}"), line
        assert b"\n" not in line and b"\r" not in line
    return lines


def exchange(server: LiveServer, data: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def error_of(answer: Answer) -> tuple[str, str]:
    """Code and message of an error, whose shape is checked byte for byte."""
    assert (answer.header("content-type") or "").casefold() == JSON_TYPE.casefold()
    body = answer.json
    assert list(body) == ["error"] and list(body["error"]) == ["code", "message"]
    code, text = body["error"]["code"], body["error"]["message"]
    assert isinstance(code, str) and isinstance(text, str) and text
    assert json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() == answer.body
    return code, text
