"""The whole platform in the test's own loop: real HTTP, real files, a scripted engine, and customers who pay.

What a process of its own hides can be looked at here: places, holds and reservations, while they are taken.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import apsw
import uvicorn
import uvloop

from openbigmodel.admin.protocol import Answer
from openbigmodel.app import Platform, build
from openbigmodel.billing.audit import verify
from openbigmodel.credentials import ApiKey
from openbigmodel.db.data_folder import DATABASE_FILE, DataFolder
from openbigmodel.edge import listening_socket, uvicorn_config
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import FakeRequest, Step
from openbigmodel.engines.weights import Progress
from openbigmodel.settings import load_settings

CHAT = "/api/paas/v4/chat/completions"
SOON_S = 10.0

Script = Callable[[FakeRequest], Iterable[Step]]


class ScriptedEngine(FakeEngine):
    """Does for each request what `script` says, whenever it comes."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    def script_for(self, request: FakeRequest) -> Iterable[Step]:
        return self._script(request)


class _Silent:
    """Nobody reads the terminal."""

    def announce(self, url: str, first_key: ApiKey | None) -> None:
        """Nothing is said."""

    def download(self, engine: str, progress: Progress) -> str | None:
        """Nor this."""
        return None


class Customer:
    """An account and its key."""

    def __init__(self, account_id: str, key: str) -> None:
        self.account_id = account_id
        self.key = key

    def request(self, body: bytes, path: str = CHAT) -> bytes:
        """The bytes of a chat request on a connection that is kept."""
        return (
            f"POST {path} HTTP/1.1\r\nHost: platform\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.key}\r\nAccept-Language: en\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


class PaidPlatform:
    """`parts` is what `app.build` built; `engine` is every engine of the settings."""

    def __init__(self, folder: Path, parts: Platform, engine: FakeEngine, port: int) -> None:
        self.folder = folder
        self.parts = parts
        self.engine = engine
        self.port = port

    async def perform(self, command: str, **arguments: object) -> Answer:
        """An admin command."""
        return await self.parts.admin.perform(command, arguments)

    async def customer(self, yuan: str = "", *, kind: str = "standard", **more: object) -> Customer:
        """A new account with so much money."""
        account = await self.perform("accounts.create", name="customer", **more)
        key = await self.perform("keys.create", account=account["id"], kind=kind)
        if yuan:
            await self.perform("credit.add", account=account["id"], yuan=yuan)
        return Customer(account["id"], key["key"])

    def rows(self, sql: str, *params: str) -> list[tuple[Any, ...]]:
        """What is in the database."""
        connection = apsw.Connection(str(self.folder / DATABASE_FILE), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return list(connection.execute(sql, params))
        finally:
            connection.close()

    def leftovers(self) -> list[str]:
        """What is taken though no request is under way."""
        admissions, ledger = self.parts.pipeline.admissions, self.parts.cashier.ledger
        limits = admissions.limits
        found = []
        if limits.total or self.parts.pipeline.exchanges:
            found.append(f"{limits.total} places in flight")
        found += [
            f"{standing.in_flight} places of {key}"
            for key, standing in limits._standings.items()
            if standing.in_flight
        ]
        if admissions.running:
            found.append(f"request ids {sorted(admissions.running)[:3]}")
        if ledger._holds:
            found.append(f"{len(ledger._holds)} holds")
        return found + self.parts.cashier.audit()

    def verify(self) -> list[str]:
        """What `bigmodel verify` finds wrong."""
        return list(verify(self.folder / DATABASE_FILE).problems)


@contextlib.asynccontextmanager
async def paid_platform(folder: Path, script: Script, models: str) -> AsyncIterator[PaidPlatform]:
    """`models` is the text of the `[[models]]` of the settings; they may name the engines openai, vllm and
    llama-server, which differ in their profiles."""
    async with ScriptedEngine(script) as engine:
        engines = "".join(
            f'[[engines]]\nname = "{name}"\nkind = "openai"\nprofile = "{name}"\nbase_url = "{engine.endpoint.url}"\n'
            for name in ("openai", "vllm", "llama-server")
        )
        config = folder / "bigmodel.toml"
        config.write_text(engines + models, encoding="utf-8")
        settings = load_settings(config, flags={"data": str(folder / "data")}, environ={})
        with (
            contextlib.closing(listening_socket("127.0.0.1", 0)) as listener,
            DataFolder.open(settings.data) as data,
        ):
            parts = await build(settings, data, _Silent())
            server = uvicorn.Server(uvicorn_config(parts.edge, parts.asgi, timeout_graceful_shutdown=1))
            serving = asyncio.create_task(server.serve([listener]))
            try:
                await until(lambda: server.started)
                yield PaidPlatform(data.path, parts, engine, listener.getsockname()[1])
            finally:
                server.should_exit = True
                await serving
                await parts.registry.stop()
                await parts.last_used.close()
                parts.database.close()
                await asyncio.sleep(0)
                parts.request_log.flush()
                parts.log_stream.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop that the server uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test)


async def until(condition: Callable[[], bool], seconds: float = SOON_S) -> None:
    """Wait for something; an assertion when it does not come to pass."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        await asyncio.sleep(0.002)


class Reply:
    """A whole response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def code(self) -> str:
        """The error's code."""
        return str(json.loads(self.body)["error"]["code"])

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["error"]["message"])


class Connection(asyncio.Protocol):
    """A client that keeps its connection: a request, its response, the next request."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._input = b""
        self._waiting: asyncio.Future[Reply] | None = None

    @classmethod
    async def to(cls, platform: PaidPlatform) -> "Connection":
        """A connection to the platform."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", platform.port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes) -> Awaitable[Reply]:
        """Send a request; the response has a length."""
        assert self._waiting is None, "one at a time"
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._input += data
        head, end, body = self._input.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        if len(body) < int(headers["content-length"]):
            return
        assert len(body) == int(headers["content-length"])
        self._input = b""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Reply(int(lines[0].split(" ")[1]), headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("closed"))
