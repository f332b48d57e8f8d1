"""A program without an SDK: `requests` and json."""

import json
import time
from collections.abc import Iterator
from typing import Any

import requests  # type: ignore[import-untyped,unused-ignore]
import scenarios
from scenarios import GREETING, Reply, world


class PlainClient:
    def __init__(self, key: str, root: str) -> None:
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"
        self.url = root + "/api/paas/v4/chat/completions"

    def post(self, messages: list[Any], fields: dict[str, Any], *, stream: bool) -> requests.Response:
        body = {"model": "glm-4.6", "messages": messages, **fields}
        response = self.session.post(self.url, json=body, stream=stream, timeout=60)
        response.raise_for_status()
        return response

    def chat(self, messages: list[Any], **fields: Any) -> Reply:
        body = self.post(messages, fields, stream=False).json()
        return scenarios.whole(body, body["choices"][0]["message"])

    def stream(self, messages: list[Any], **fields: Any) -> Reply:
        response = self.post(messages, {"stream": True, **fields}, stream=True)
        return scenarios.assembled(events(response))


def events(response: requests.Response) -> Iterator[dict[str, Any]]:
    """As in a hundred blog posts: line by line, `data: ` cut off, until `[DONE]`."""
    response.encoding = "utf-8"
    for line in response.iter_lines(decode_unicode=True):
        if not line:
            continue
        assert line.startswith("data: "), line
        if line == "data: [DONE]":
            return
        yield json.loads(line[len("data: ") :])
    raise AssertionError("the stream ended without [DONE]")


def connect(key: str) -> PlainClient:
    return PlainClient(key, here.root)


def cancelled() -> dict[str, Any]:
    client = PlainClient(here.slow_key, here.slow_root)
    response = client.post([{"role": "user", "content": "count"}], {"stream": True}, stream=True)
    stream = events(response)
    read = [next(stream)["choices"][0]["delta"]["content"] for _ in range(3)]
    response.close()
    return {"read": read, "left_s": scenarios.now_s()}


def separators() -> object:
    client = PlainClient(here.slow_key, here.slow_root)
    return client.stream([{"role": "user", "content": "separators"}]).seen


def raw_jwt() -> object:
    client = connect(here.key)
    client.session.headers["Authorization"] = here.day_jwt
    return client.chat(GREETING).seen


def no_header() -> object:
    client = connect(here.key)
    del client.session.headers["Authorization"]
    return client.chat(GREETING).seen


here = world()
usual = connect(here.key)
scenarios.play(
    "requests",
    {
        **scenarios.everyday(usual),
        **scenarios.tool_streaming(usual),
        **scenarios.mistakes(connect, here.key, here.wrong_key),
        **scenarios.jwt_credentials(connect, here),
        "raw-jwt": raw_jwt,
        "no-header": no_header,
        "float-request-id": lambda: usual.chat(GREETING, request_id=round(1000 * time.time()) + 0.5).seen,
        "models": lambda: usual.session.get(here.root + "/api/paas/v4/models", timeout=60).json(),
        "cancelled": cancelled,
        "separators": separators,
    },
)
