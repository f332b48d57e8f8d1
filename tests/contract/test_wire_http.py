"""HTTP itself: connections, methods, bodies in chunks, and the small resources beside chat."""

import json
import socket

import pytest

from tests.contract.live_server import LiveServer
from tests.contract.wire import BASES, GREETING, JSON_TYPE, PAAS, TIMEOUT_S, ask, error_of, exchange

pytestmark = pytest.mark.timeout(180)
CHAT = json.dumps({"model": "glm-4.6", "messages": GREETING, "thinking": {"type": "disabled"}}).encode()


@pytest.mark.parametrize("base", BASES)
def test_models_are_listed(server: LiveServer, base: str) -> None:
    answer = ask(server, "GET", base + "/models")
    assert answer.status == 200
    assert answer.header("content-type") == JSON_TYPE
    assert list(answer.json) == ["object", "data"] and answer.json["object"] == "list"
    ids = [model["id"] for model in answer.json["data"]]
    assert len(set(ids)) == len(ids) and {"glm-4.6", "glm-4.7", "glm-4.5-air"} <= set(ids)
    for model in answer.json["data"]:
        assert list(model) == ["id", "object", "created", "owned_by"]


@pytest.mark.parametrize("base", BASES)
def test_one_model_is_shown(server: LiveServer, base: str) -> None:
    answer = ask(server, "GET", base + "/models/glm-4.6")
    assert answer.status == 200
    assert (answer.json["id"], answer.json["object"]) == ("glm-4.6", "model")
    assert ask(server, "GET", base + "/models/GLM-4.6").json["id"] == "glm-4.6"
    for unknown in ("glm-none", "%E6%A8%A1%E5%9E%8B", "%ed%a0%80", "a" * 2000):
        missing = ask(server, "GET", f"{base}/models/{unknown}")
        assert (missing.status, error_of(missing)[0]) == (404, "1211")


@pytest.mark.parametrize("path", ["/models", "/models/glm-4.6"])
def test_models_need_a_key(server: LiveServer, path: str) -> None:
    answer = ask(server, "GET", PAAS + path, headers=[])
    assert (answer.status, error_of(answer)[0]) == (401, "1001")


@pytest.mark.parametrize(
    ("path", "status"), [("/models?seen=1", 200), ("/models/glm-none", 404), ("/no/such/path", 404)]
)
def test_every_request_leaves_a_line_in_the_log(server: LiveServer, path: str, status: int) -> None:
    before = len(server.log)
    answer = ask(server, "GET", PAAS + path)
    line = server.logged_after(before, lambda line: line.get("id") == answer.header("x-log-id"))
    assert (line["path"], line["status"]) == ((PAAS + path).partition("?")[0], answer.status)
    assert answer.status == status


def test_health_is_at_the_root_and_needs_no_key(server: LiveServer) -> None:
    answer = ask(server, "GET", "/health", headers=[])
    assert answer.status == 200
    assert answer.json["status"] == "ok"


@pytest.mark.parametrize("path", ["/health", PAAS + "/models", PAAS + "/models/glm-4.6"])
def test_head_is_get_without_its_body(server: LiveServer, path: str) -> None:
    get, head = ask(server, "GET", path), ask(server, "HEAD", path)
    assert head.status == get.status == 200
    assert head.body == b""
    assert head.header("content-length") == get.header("content-length")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PAAS + "/chat/completions", "POST"),
        ("HEAD", PAAS + "/chat/completions", "POST"),
        ("PUT", PAAS + "/chat/completions", "POST"),
        ("DELETE", "/v1/chat/completions", "POST"),
        ("POST", PAAS + "/models", "GET"),
        ("DELETE", PAAS + "/models/glm-4.6", "GET"),
        ("POST", "/health", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_one(
    server: LiveServer, method: str, path: str, allowed: str
) -> None:
    answer = ask(server, method, path, body=b"{}" if method in {"POST", "PUT"} else None)
    assert answer.status == 405
    assert allowed in (answer.header("allow") or "")
    if method != "HEAD":
        assert answer.json == {
            "status": 405,
            "error": "Method Not Allowed",
            "path": path.removeprefix("/api/paas"),
        }


@pytest.mark.parametrize("path", [PAAS + "/chat/completions", PAAS + "/models", "/nothing"])
def test_options_is_answered(server: LiveServer, path: str) -> None:
    assert ask(server, "OPTIONS", path, headers=[]).status in {200, 204, 404, 405}


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCHY", "get"])
def test_a_strange_method_is_refused(server: LiveServer, method: str) -> None:
    received = exchange(
        server, f"{method} {PAAS}/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert received.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_body_may_come_in_chunks(server: LiveServer, base: str, size: int) -> None:
    # The edge refuses a body of very many tiny chunks; this one is short.
    parts = [CHAT[at : at + size] for at in range(0, len(CHAT), size)]
    answer = ask(server, "POST", base + "/chat/completions", body=parts)
    assert answer.status == 200
    assert answer.json["object"] == "chat.completion"


def test_the_content_type_of_a_request_is_no_matter(server: LiveServer) -> None:
    for value in (
        "application/json",
        "application/json; charset=UTF-8",
        "text/plain",
        "application/x-www-form-urlencoded",
    ):
        headers = [("Authorization", f"Bearer {server.key}"), ("Content-Type", value)]
        assert ask(server, "POST", PAAS + "/chat/completions", headers=headers, body=CHAT).status == 200


def test_a_query_is_no_matter(server: LiveServer) -> None:
    assert ask(server, "POST", PAAS + "/chat/completions?beta=true", body=CHAT).status == 200


def request(server: LiveServer, body: bytes, *, close: bool = False) -> bytes:
    connection = "close" if close else "keep-alive"
    head = (
        f"POST {PAAS}/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_a_connection_serves_request_after_request(server: LiveServer) -> None:
    streamed = CHAT[:-1] + b',"stream":true}'
    received = exchange(
        server, request(server, CHAT) + request(server, streamed) + request(server, b"{", close=True)
    )
    assert received.count(b"HTTP/1.1 ") == 3
    first, second, third = received.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 ") and b'"object":"chat.completion"' in first
    assert second.startswith(b"200 ") and second.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert third.startswith(b"400 ")


def pieces_of_a_stream(server: LiveServer) -> list[bytes]:
    with socket.create_connection((server.host, server.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(request(server, CHAT[:-1] + b',"stream":true}', close=True))
        pieces = []
        while part := connection.recv(65536):
            pieces.append(part)
    return pieces


def test_chunks_arrive_as_they_are_made(server: LiveServer) -> None:
    # Not in one go at the end. A busy machine may sleep through one answer, but not through all.
    streams = (pieces_of_a_stream(server) for _ in range(10))
    assert any(len(pieces) > 3 and b"[DONE]" not in pieces[0] for pieces in streams)


def test_expect_continue_is_granted(server: LiveServer) -> None:
    head, body = request(server, CHAT, close=True).split(b"\r\n\r\n", 1)
    with socket.create_connection((server.host, server.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
