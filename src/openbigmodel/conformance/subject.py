"""The server under test, asked over HTTP and nothing else, and what it answered, down to the bytes.

Rule: nothing here judges. A stream that breaks off is an answer too: `Answer.broken` says how.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from openbigmodel.conformance.backend import Asked, Backend, Script
from openbigmodel.conformance.engine_shapes import Upstream, everyday
from openbigmodel.credentials import ApiKey, parse_api_key
from openbigmodel.sse import EventParser

PATH = "/api/paas/v4"
TIMEOUT_S = 120.0
# How long an engine may go on for a caller who has left; each gateway in a row has as much.
LEAVE_S = 1.0
_CHAT = "/chat/completions"
_DONE = b"[DONE]"
# What a server that limits its callers is given to get over it; a suite is no load test.
_BUSY_CODES = frozenset(("1302", "1303", "1305"))
_BUSY_TRIES = 3
_BUSY_PAUSE_S = 2.0
_BUSY_PAUSE_MAX_S = 20.0
_WELL_TIMEOUT_S = 30.0

Headers = tuple[tuple[str, str], ...]
ABSENT = object()
TEXT = "用一句话打个招呼。"
CALL = "北京今天天气怎么样？"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "查询一个城市现在的天气",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "城市名"}},
            "required": ["city"],
        },
    },
}

NOW: dict[str, Any] = {
    "type": "function",
    "function": {"name": "now", "description": "现在几点", "parameters": {}},
}


class Answer(msgspec.Struct, frozen=True):
    """A response. Names of headers are in small letters; `broken` is empty if the body is whole."""

    status: int
    headers: Headers
    body: bytes
    broken: str = ""

    def header(self, name: str) -> str:
        """The first header of this name, or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def json(self) -> Any:
        """The body decoded; None if it is no JSON."""
        return _decoded(self.body)

    @property
    def events(self) -> list[bytes]:
        """The data of a stream's events."""
        try:
            return EventParser().feed(self.body)
        except ValueError:
            return []

    @property
    def done(self) -> bool:
        """Whether the stream ends with `[DONE]`."""
        return self.events[-1:] == [_DONE]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The events that are JSON objects."""
        decoded = (_decoded(event) for event in self.events if event != _DONE)
        return [value for value in decoded if isinstance(value, dict)]

    @property
    def _objects(self) -> list[dict[str, Any]]:
        """The chunks of a stream, or the one body."""
        body = self.json
        return self.chunks or ([body] if isinstance(body, dict) else [])

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """The delta of each chunk."""
        return [delta for choice in self.choices if isinstance(delta := choice.get("delta"), dict)]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """All choices, of a stream or of a body."""
        of_all = [chunk.get("choices") for chunk in self._objects]
        return [
            choice
            for listed in of_all
            if isinstance(listed, list)
            for choice in listed
            if isinstance(choice, dict)
        ]

    @property
    def finish_reasons(self) -> list[Any]:
        """Every finish reason that is not null."""
        return [reason for choice in self.choices if (reason := choice.get("finish_reason")) is not None]

    @property
    def message(self) -> dict[str, Any]:
        """The message of a whole answer; empty if there is none."""
        found = self.choices[0].get("message") if self.choices else None
        return found if isinstance(found, dict) else {}

    @property
    def usage(self) -> dict[str, Any]:
        """The usage of a whole answer, or the last one of a stream; empty if there is none."""
        found = [chunk.get("usage") for chunk in self._objects]
        return next((usage for usage in reversed(found) if isinstance(usage, dict)), {})

    @property
    def error(self) -> dict[str, Any]:
        """The `error` of GLM's envelope; empty if there is none."""
        body = self.json
        found = body.get("error") if isinstance(body, dict) else None
        return found if isinstance(found, dict) else {}

    def text(self, name: str) -> str:
        """All texts of this name in the deltas of a stream, or the one in a message."""
        found = [delta.get(name) for delta in self.deltas] or [self.message.get(name)]
        return "".join(text for text in found if isinstance(text, str))


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


class Subject:
    """The server. `sleep` and `new_mark` are passed in; `backend` is the engine behind it, if it is ours."""

    def __init__(
        self,
        url: str,
        key: str,
        client: httpx.AsyncClient,
        *,
        model: str,
        media_model: str = "",
        new_mark: Callable[[], str],
        now_ms: Callable[[], int],
        upstream: Upstream | None = None,
        backend: Backend | None = None,
        leave_s: float = LEAVE_S,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.url = base_of(url)
        self.key = key
        self.model = model
        self.media_model = media_model or model
        self.upstream = upstream
        self.now_ms = now_ms
        self.new_mark = new_mark
        self.sleep = sleep
        self.leave_s = leave_s
        self._client = client
        self._backend = backend
        self._samples: dict[str, Answer] = {}

    @property
    def api_key(self) -> ApiKey | None:
        """The key in two parts; None if it is not of GLM's form, so that no JWT can be made of it."""
        return parse_api_key(self.key)

    @property
    def backend(self) -> Backend:
        """The engine behind the server."""
        assert self._backend is not None, "only checks that need no engine run without one"
        return self._backend

    @property
    def quiet(self) -> dict[str, Any]:
        """What keeps an answer short: no thinking, where it can be switched off (api.md §3.5)."""
        return {} if self.always_thinks else {"thinking": {"type": "disabled"}}

    @property
    def always_thinks(self) -> bool:
        """Whether thinking cannot be switched off on this base."""
        return self.model.lower().startswith("glm-5.3") and "/coding/" not in self.url

    def request(self, text: str = TEXT, **fields: Any) -> dict[str, Any]:
        """A chat request. None is sent as null, as the official SDKs do; ABSENT leaves a field out."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 512,
            **({} if "thinking" in fields else self.quiet),
            **fields,
        }
        return {name: value for name, value in body.items() if value is not ABSENT}

    async def chat(self, text: str = TEXT, **fields: Any) -> Answer:
        """Ask; whoever is told to wait a moment does."""
        body = encode(self.request(text, **fields))
        answer = await self.post(body)
        for number in range(_BUSY_TRIES):
            if answer.error.get("code") not in _BUSY_CODES:
                break
            told = answer.header("retry-after")
            pause_s = float(told) if told.isdigit() else _BUSY_PAUSE_S * (number + 1)
            await self.sleep(min(pause_s, _BUSY_PAUSE_MAX_S))
            answer = await self.post(body)
        return answer

    async def sample(self, name: str, text: str = TEXT, **fields: Any) -> Answer:
        """The same as `chat`, but asked once for all checks that look at it."""
        if name not in self._samples:
            self._samples[name] = await self.chat(text, **fields)
        return self._samples[name]

    async def post(
        self, body: bytes, *, path: str = _CHAT, headers: Headers | None = None, language: str = ""
    ) -> Answer:
        """Send a body as it is. `headers` stand in for the credential."""
        async with self.started(body, path=path, headers=headers, language=language) as response:
            received = bytearray()
            broken = ""
            try:
                async for data in response.aiter_raw():
                    received += data
            except httpx.TransportError as error:
                broken = str(error) or type(error).__name__
            names = tuple((name.lower(), value) for name, value in response.headers.items())
            return Answer(response.status_code, names, bytes(received), broken)

    @asynccontextmanager
    async def started(
        self, body: bytes, *, path: str = _CHAT, headers: Headers | None = None, language: str = ""
    ) -> AsyncIterator[httpx.Response]:
        """A response whose body is yet to be read; leaving the block leaves the server."""
        sent = [("content-type", "application/json"), *(self.credential if headers is None else headers)]
        if language:
            sent.append(("accept-language", language))
        # Compressed answers would hide what is on the wire.
        sent.append(("accept-encoding", "identity"))
        async with self._client.stream("POST", self.url + path, content=body, headers=sent) as response:
            yield response

    @property
    def credential(self) -> Headers:
        """The key as the official SDKs show it."""
        return (("authorization", f"Bearer {self.key}"),)

    def scripted(self, script: Script) -> str:
        """Have the engine answer so; the question that makes it do so."""
        mark = self.new_mark()
        self.backend.say(mark, script)
        return f"{TEXT} {mark}"

    def scripted_everyday(self) -> str:
        """A plain question of which the engine keeps a record."""
        upstream = self.upstream
        assert upstream is not None
        return self.scripted(lambda asked: upstream.says(everyday(asked))(asked))

    async def through(self, script: Script, **fields: Any) -> tuple[Answer, list[Asked]]:
        """Ask with the engine's answer arranged: what came back, and what the engine was asked."""
        text = self.scripted(script)
        answer = await self.post(encode(self.request(text, **fields)))
        return answer, self.asked(text)

    def asked(self, text: str) -> list[Asked]:
        """What the engine was asked with this question."""
        return self.backend.asked(text.rpartition(" ")[2])

    async def well(self, times: int = 1) -> None:
        """Wait until the server answers, so that one fault says nothing about the next. Raises Unmeasurable."""
        deadline_ms = self.now_ms() + _WELL_TIMEOUT_S * 1000
        answered = 0
        while answered < times:
            answer = await self.post(encode(self.request()))
            if answer.status == 200:
                answered += 1
            elif self.now_ms() > deadline_ms:
                raise Unmeasurable(
                    f"the server answers {answer.status} to a plain question: {answer.body[:300]!r}"
                )
            else:
                await self.sleep(0.25)


class Unmeasurable(Exception):  # noqa: N818  it says what happened
    """Nothing can be said about this server: it cannot be reached, refuses the key, or does not know the model."""


def base_of(url: str) -> str:
    """The base below which `/chat/completions` is; GLM's own where only a host is named. Raises Unmeasurable."""
    if "://" not in url:
        url = "http://" + url
    url = url.rstrip("/").removesuffix(_CHAT)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Unmeasurable(f"{url} is no address of a server.")
    return url if parts.path else url + PATH


def encode(value: object) -> bytes:
    """JSON as Python's clients send it."""
    return json.dumps(value, ensure_ascii=False).encode()
