"""What `bigmodel conformance` brings together: the checks, a client, and the scripted engine of `--backend`."""

import ipaddress
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from openbigmodel.conformance.backend import Asked, Says, Script
from openbigmodel.conformance.engine_shapes import UPSTREAMS, Upstream, everyday, unknown_part
from openbigmodel.conformance.subject import LEAVE_S, TIMEOUT_S, Subject, base_of
from openbigmodel.conformance.suite import Outcome, Report, chosen, run
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    Close,
    Data,
    End,
    FakeRequest,
    Gate,
    Head,
    Reset,
    Sleep,
    Stall,
    Step,
    json_answer,
)

_MODEL = "conformance"
# Enough for whatever waits for the caller to leave; a server that never leaves must not keep the suite.
_DRIPS = 600
_DRIP_S = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured. `backend`: the port of the suite's own engine; `upstream`: what that speaks."""

    url: str
    key: str
    model: str
    media_model: str = ""
    backend: int | None = None
    upstream: str | None = None
    leave_s: float = LEAVE_S


class _AskedEngine:
    """A request on the scripted engine's record."""

    def __init__(self, request: FakeRequest) -> None:
        self._request = request

    @property
    def json(self) -> dict[str, Any]:
        return self._request.json

    @property
    def gone(self) -> bool:
        return self._request.left_s is not None

    def go_on(self) -> None:
        self._request.open_gate()


class ScriptedBackend(FakeEngine):
    """The scripted engine: what is marked is answered as was said, all else as a good model would."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream
        self._said: dict[str, Script] = {}

    def say(self, mark: str, script: Script) -> None:
        """Answer every request with this mark so."""
        self._said[mark] = script

    def asked(self, mark: str) -> list[Asked]:
        """The requests with this mark."""
        return [_AskedEngine(request) for request in self.requests if mark.encode() in request.body]

    def script_for(self, request: FakeRequest) -> Iterable[Step]:
        """What to say."""
        if request.method == "GET":
            models = [{"id": _MODEL, "object": "model"}]
            found = request.target.endswith(("/models", "/health"))
            return json_answer(200, {"object": "list", "data": models}) if found else json_answer(404, {})
        asked = request.json
        unknown = unknown_part(asked)
        if unknown:
            return steps_of(self._upstream.refusal(400, "1214", f"{unknown} type error")(asked))
        script = next((script for mark, script in self._said.items() if mark.encode() in request.body), None)
        return steps_of(script(asked) if script else self._upstream.says(everyday(asked))(asked))


def steps_of(says: Says) -> Iterator[Step]:
    """An answer as steps of the scripted engine."""
    headers = (("Content-Type", says.content_type), *says.headers)
    complete = says.ending == "end" and says.content_type == "application/json"
    if says.ending != "wait" or says.pieces:
        yield Head(says.status, headers, sum(map(len, says.pieces)) if complete else "chunked")
    for place, piece in enumerate(says.pieces):
        if place and says.pause_s:
            yield Sleep(says.pause_s)
        if place and says.gated:
            yield Gate()
        yield Data(piece)
    match says.ending:
        case "end":
            yield End()
        case "wait":
            yield Stall()
        case "drip":
            for _ in range(_DRIPS):
                yield Sleep(_DRIP_S)
                yield Data(says.pieces[-1])
            yield Close()
        case "close" | "reset":
            # What was said shall arrive before the end does.
            yield Sleep(says.pause_s)
            yield Close() if says.ending == "close" else Reset()


async def measure(
    measured: Measured, only: Sequence[str] = (), heard: Callable[[Outcome], None] | None = None
) -> Report:
    """Run the suite. Raises Unmeasurable, OSError if the port of the engine is taken."""
    upstream = UPSTREAMS[measured.upstream] if measured.upstream else None
    checks = chosen(only, upstream=upstream.kind if upstream else None)
    url = base_of(measured.url)
    async with AsyncExitStack() as stack:
        backend = None
        if upstream is not None:
            backend = ScriptedBackend(upstream)
            await backend.start(port=measured.backend or 0)
            stack.push_async_callback(backend.stop)
        # A proxy of the user's knows the way to the world, but not back to this machine.
        client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=not _is_local(url))
        await stack.enter_async_context(client)
        subject = Subject(
            url,
            measured.key,
            client,
            model=measured.model,
            media_model=measured.media_model,
            new_mark=_marks(),
            now_ms=lambda: int(time.time() * 1000),
            upstream=upstream,
            backend=backend,
            leave_s=measured.leave_s,
        )
        return await run(subject, checks, heard or (lambda _: None))


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _marks() -> Callable[[], str]:
    """Marks that no other run has used, so that no cache and no stored request_id knows them."""
    run_id, numbers = os.urandom(6).hex(), itertools.count(1)
    return lambda: f"{run_id}x{next(numbers)}x"
