"""A small GLM server in front of the conformance suite's engine: without a mistake it passes every check.

    suite ──HTTP──→ Gateway ──HTTP──→ the suite's own engine (`ScriptedBackend`, GLM's words)

Each mistake is one hook put wrong. It knows only as much of the API as the suite asks about.
"""

import asyncio
import contextlib
import http
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx

from openbigmodel.cli.conformance_backend import Measured, measure
from openbigmodel.conformance.checks import Check
from openbigmodel.conformance.suite import Report
from openbigmodel.credentials import (
    ApiKey,
    CredentialError,
    parse_api_key,
    read_jwt,
    same_secret,
    verify_jwt,
)
from openbigmodel.errors import ApiError, language_of, render_error
from openbigmodel.ids import IdSource
from openbigmodel.sse import EventParser, escape_separators

KEY = ApiKey("b1690de1000000000000000000000000", "planted")
MODELS = ("glm-5.2", "glm-4.6v")
DONE = b"data: [DONE]\n\n"
_BASE = "/api/paas/v4"
_RANGES = {"temperature": (0, 1), "top_p": (0.01, 1), "max_tokens": (1, 131072)}
_TYPES: dict[str, tuple[type, ...]] = {
    "messages": (list,),
    "stream": (bool,),
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
    "tools": (list,),
    "thinking": (dict,),
    "response_format": (dict,),
}

Members = dict[str, Any]


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Mistake:
    """What a gateway does; the defaults are right. Functions get JSON and give what takes its place."""

    forward: Callable[[Members], Members] = _same
    judge: Callable[[Members], None] | None = None
    chunk: Callable[[Members], Members | list[Members] | None] = _same
    line: Callable[[bytes], bytes] = lambda data: b"data: %b\n\n" % data
    ending: bytes = DONE
    body: Callable[[Members], Members] = _same
    error: Callable[[Members], Members] = _same
    status: Callable[[int], int] = _same
    headers: Callable[[dict[str, str]], dict[str, str]] = _same
    escapes: bool = True
    death: str = "network_error"
    cancels: bool = True
    buffers: bool = False
    passes_first: int = 0
    breaker_at: int = 0
    retries: int = 0
    lets_in: Callable[[str], bool] = lambda _: False
    turns_away: Callable[[str], bool] = lambda _: False
    body_first: bool = False
    language: str = ""
    not_found: Callable[[str], bytes] | None = None
    wedged_after: int = 0
    slow_s: float = 0.0


class Gateway:
    """The server; `async with` starts and stops it."""

    def __init__(self, engine_port: int, mistake: Mistake) -> None:
        self._engine = f"http://127.0.0.1:{engine_port}/v1/chat/completions"
        self._mistake = mistake
        self._ids = IdSource()
        self._refused = self._left = 0
        self._client = httpx.AsyncClient(timeout=20, trust_env=False)
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._client.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._until_answered(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _until_answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering = asyncio.ensure_future(self._answer(*await _read(reader), writer))
        left = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait((answering, left), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self._left += 1
                if not self._mistake.cancels:
                    await asyncio.wait((answering,))
        finally:
            answering.cancel()
            left.cancel()
            await asyncio.gather(answering, left, return_exceptions=True)

    async def _answer(
        self, path: str, headers: list[tuple[str, str]], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        language = next((value for name, value in headers if name == "accept-language"), "")
        try:
            if path != _BASE + "/chat/completions":
                await self._not_found(path, writer)
                return
            if self._mistake.body_first:
                self._judged(body)
            self._authenticate([value for name, value in headers if name == "authorization"])
            request = self._judged(body)
            await self._relay(request, writer)
        except ApiError as error:
            said = json.loads(
                render_error(error, language_of((self._mistake.language or language).encode() or None))
            )
            await self._send(writer, self._mistake.status(error.status), self._mistake.error(said))

    async def _not_found(self, path: str, writer: asyncio.StreamWriter) -> None:
        if self._mistake.not_found is not None:
            await self._send(writer, 404, self._mistake.not_found(path))
            return
        short = path.removeprefix("/api/paas")
        await self._send(writer, 404, {"status": 404, "error": "Not Found", "path": short})

    def _authenticate(self, given: list[str]) -> None:
        if any(self._mistake.lets_in(value) for value in given):
            return
        if not given:
            raise ApiError("1001")
        if self._mistake.turns_away(given[0]):
            raise ApiError("1000")
        credential = given[0].removeprefix("Bearer ")
        key = parse_api_key(credential)
        if len(given) > 1:
            raise ApiError("1002")
        if key is not None:
            if key.id != KEY.id or not same_secret(key.secret, KEY.secret):
                raise ApiError("1000")
            return
        try:
            jwt = read_jwt(credential)
            verify_jwt(jwt, KEY.secret if jwt.key_id == KEY.id else None, int(time.time() * 1000))
        except CredentialError as error:
            raise ApiError(error.code) from error

    def _judged(self, body: bytes) -> Members:
        try:
            request = json.loads(body)
        except ValueError:
            raise ApiError("1210") from None
        if not isinstance(request, dict):
            raise ApiError("1214", field="body")
        if self._mistake.judge is not None:
            self._mistake.judge(request)
        else:
            judge(request)
        return request

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: Members | bytes, **more: str
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = {
            "content-type": "application/json; charset=UTF-8",
            "x-log-id": self._ids.request_id(),
            **more,
        }
        headers = self._mistake.headers({**headers, "content-length": str(len(data))})
        writer.write(_head(status, headers) + data)
        await writer.drain()

    async def _relay(self, request: Members, writer: asyncio.StreamWriter) -> None:
        mistake = self._mistake
        if 0 < mistake.breaker_at <= self._refused or 0 < mistake.wedged_after <= self._left:
            raise ApiError("1234", error_id="breaker")
        await asyncio.sleep(mistake.slow_s)
        sent = mistake.forward(dict(request))
        began = writer
        status, said, told = 500, b"", None
        try:
            for _ in range(mistake.retries + 1):
                async with self._client.stream("POST", self._engine, json=sent) as upstream:
                    if upstream.status_code == 200 and request.get("stream"):
                        await self._stream(request, upstream, writer)
                        return
                    status, said = upstream.status_code, await upstream.aread()
                    told = upstream.headers.get("retry-after")
                if status == 200:
                    break
            await self._whole(request, status, said, told, began)
        except httpx.TransportError as error:
            raise ApiError("1234", error_id="transport") from error

    async def _whole(
        self, request: Members, status: int, said: bytes, told: str | None, writer: asyncio.StreamWriter
    ) -> None:
        headers = {"retry-after": told} if told else {}
        if status == 200:
            await self._send(
                writer, 200, self._mistake.body(self._own(json.loads(said), request, self._new_id()))
            )
            return
        self._refused += status == 429
        try:
            error = json.loads(said)
        except ValueError:
            raise ApiError("1234", error_id="engine") from None
        if status == 401:
            raise ApiError("1234", error_id="credential")
        if error.get("error", {}).get("code") in {"1113", "1308"}:
            headers["x-should-retry"] = "false"
        await self._send(writer, self._mistake.status(status), self._mistake.error(error), **headers)

    def _new_id(self) -> str:
        return self._ids.request_id()

    @staticmethod
    def _own(said: Members, request: Members, log_id: str) -> Members:
        """The upstream's words under our ids."""
        named = str(request.get("request_id") or log_id)
        ours = {"id": log_id, "request_id": named, "model": request["model"]}
        return {name: ours.get(name, value) for name, value in said.items()}

    async def _stream(self, request: Members, upstream: httpx.Response, writer: asyncio.StreamWriter) -> None:
        """Event by event; what a dead upstream still owes is said for it."""
        log_id, begun, last = self._new_id(), False, {}
        async for chunk in self._chunks(upstream):
            ours = self._own(chunk, request, log_id)
            if not begun:
                headers = {"content-type": "text/event-stream;charset=UTF-8", "x-log-id": log_id}
                writer.write(_head(200, self._mistake.headers(headers)))
                begun = True
            await asyncio.sleep(self._mistake.slow_s)
            for said in _listed(self._mistake.chunk(ours)):
                data = json.dumps(said, ensure_ascii=False).encode()
                writer.write(self._mistake.line(escape_separators(data) if self._mistake.escapes else data))
            # Who does not care whether anybody reads goes on to the end.
            try:
                await writer.drain()
            except ConnectionError:
                if self._mistake.cancels:
                    raise
            last = ours
        if not begun:
            raise ApiError("1234", error_id="nothing")
        if not any(choice.get("finish_reason") for choice in last["choices"]):
            self._death(last, writer)
        writer.write(self._mistake.ending)
        await writer.drain()

    def _death(self, last: Members, writer: asyncio.StreamWriter) -> None:
        choice = {"index": 0, "finish_reason": "network_error", "delta": {"role": "assistant", "content": ""}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        final = {**last, "choices": [choice], "usage": usage}
        match self._mistake.death:
            case "network_error":
                writer.write(b"data: " + json.dumps(final).encode() + b"\n\n")
            case "no usage":
                del final["usage"]
                writer.write(b"data: " + json.dumps(final).encode() + b"\n\n")
            case "error event":
                writer.write(b'data: {"error":{"code":"1234","message":"gone"}}\n\n')
            case "break":
                writer.transport.abort()

    async def _chunks(self, upstream: httpx.Response) -> AsyncIterator[Members]:
        """The chunks, until the end however it comes."""
        parser, kept, passed = EventParser(), [], 0
        with contextlib.suppress(httpx.TransportError):
            async for data in upstream.aiter_raw():
                for event in parser.feed(data):
                    chunk = {} if event == DONE[6:-2] else json.loads(event)
                    if "choices" in chunk:
                        kept.append(chunk)
                while kept and (not self._mistake.buffers or passed < self._mistake.passes_first):
                    passed += 1
                    yield kept.pop(0)
        for chunk in kept:
            yield chunk


def judge(request: Members) -> None:
    """What GLM's own gateway judges, as far as the suite asks. Raises ApiError."""
    for name in ("model", "messages"):
        if request.get(name) is None:
            raise ApiError("1213", field=name)
    if str(request["model"]).lower() not in MODELS:
        raise ApiError("1211")
    for name, types in _TYPES.items():
        value = request.get(name)
        if value is not None and (
            not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
        ):
            raise ApiError("1214", field=name)
    for name, (least, most) in _RANGES.items():
        if request.get(name) is not None and not least <= request[name] <= most:
            raise ApiError("1214", field=name)
    for name, kinds in (
        ("thinking", ("enabled", "disabled")),
        ("response_format", ("text", "json_object", "json_schema")),
    ):
        if request.get(name) is not None and request[name].get("type") not in kinds:
            raise ApiError("1214", field=name)
    if any("type" not in tool for tool in request.get("tools") or ()):
        raise ApiError("1213", field="tools[0].type")
    _judge_messages(request["messages"])


def _judge_messages(messages: list[Members]) -> None:
    roles = [message.get("role") for message in messages]
    if not {"user", "tool"} & set(roles) or set(roles) - {"system", "user", "assistant", "tool"}:
        raise ApiError("1214", field="messages")
    for place, message in enumerate(messages):
        if message.get("content") is None and message["role"] == "user":
            raise ApiError("1213", field=f"messages[{place}].content")
        if isinstance(message.get("content"), list):
            kinds = {"text", "image_url", "video_url", "file", "file_url"}
            if {part.get("type") for part in message["content"]} - kinds:
                raise ApiError("1214", field=f"messages[{place}].content[0].type")


def _listed(said: Members | list[Members] | None) -> list[Members]:
    if said is None:
        return []
    return said if isinstance(said, list) else [said]


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = [
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines if line)
    ]
    size = int(dict(headers).get("content-length", "0"))
    return first.split(" ")[1], headers, await reader.readexactly(size)


def measured(mistake: Mistake, *only: str, upstream: str = "glm") -> Report:
    """Run the suite against a gateway with this mistake, with the suite's engine behind it."""

    async def main() -> Report:
        engine_port = free_port()
        async with Gateway(engine_port, mistake) as gateway:
            url = f"http://127.0.0.1:{gateway.port}"
            return await measure(Measured(url, str(KEY), *MODELS, engine_port, upstream), only)

    return asyncio.run(main())


def free_port() -> int:
    """A port that nobody listens on, and that the kernel gives to no connection meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def failures(report: Report) -> dict[str, str]:
    """The checks that failed, and what they saw."""
    return {outcome.check.id: outcome.seen for outcome in report.outcomes if outcome.verdict == "failed"}


def caught(mistake: Mistake, check_id: str) -> None:
    """This check, of all of its group, must fail on the mistake, and says something about it."""
    found = failures(measured(mistake, check_id))
    assert found.get(check_id), f"{check_id} did not notice"


def every_check_has_a_mistake(
    checks: tuple[Check, ...], planted: list[tuple[str, Any]], but: set[str]
) -> None:
    """No check of a file is without one, except where the gateway cannot make that mistake."""
    ids = {check.id for check in checks if "glm" in check.upstreams}
    assert {check_id for check_id, _ in planted} == ids - but


def renamed(name: str, other: str) -> Callable[[Members], Members]:
    """A function that renames a member."""
    return lambda members: {other if key == name else key: value for key, value in members.items()}


def dropped(*names: str) -> Callable[[Members], Members]:
    """A function that drops members."""
    return lambda members: {key: value for key, value in members.items() if key not in names}
