"""The front door: builds every object once, hands each what it needs, serves until told to stop.

listening socket → data folder (locked) → database → engines → pipeline → edge and ASGI app → uvicorn
"""

import asyncio
import contextlib
import gc
import resource
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
import uvloop

from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.health import HealthApi
from openbigmodel.api.models import ModelsApi
from openbigmodel.api.routes import asgi_app, hot_routes
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.auth.api_keys import Authenticator
from openbigmodel.auth.master_key import MasterKeyError
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.store import UsageStore
from openbigmodel.catalog import load_catalog
from openbigmodel.credentials import ApiKey
from openbigmodel.db.connection import Database, DatabaseError
from openbigmodel.db.data_folder import DataFolder, DataFolderError
from openbigmodel.db.migrations import DatabaseTooNew
from openbigmodel.edge import Edge, PortBusy, listening_socket, uvicorn_config
from openbigmodel.engines.factory import EngineConfigError, build_registry
from openbigmodel.engines.registry import Registry
from openbigmodel.engines.weights import Progress
from openbigmodel.ids import IdSource
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.limits import InFlight
from openbigmodel.settings import ServerSettings, Settings
from openbigmodel.telemetry import BackgroundStream, Metrics, RequestLog


class TlsUnusable(Exception):  # noqa: N818  it names the state
    """The certificate or its key cannot be used."""


# What can keep the platform from starting and is told in one sentence.
_START_ERRORS = (
    DataFolderError,
    DatabaseError,
    DatabaseTooNew,
    EngineConfigError,
    MasterKeyError,
    OSError,
    PortBusy,
    TlsUnusable,
)
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
# The last is a closed terminal.
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# After requests were cut, for their last bytes to reach the clients.
_LAST_BYTES_S = 1


@dataclass(frozen=True, slots=True)
class Platform:
    """The long-lived objects."""

    database: Database
    registry: Registry
    pipeline: Pipeline
    health: HealthApi
    edge: Edge
    asgi: Any
    request_log: RequestLog
    log_stream: BackgroundStream
    first_key: ApiKey | None


class Terminal(Protocol):
    """Whoever started the server, as far as they want to know."""

    def announce(self, url: str, first_key: ApiKey | None) -> None:
        """The server's URL, and on the first start the one key that there is."""

    def download(self, engine: str, progress: Progress) -> str | None:
        """A part of a model's file has arrived. Returns a line for the log where it draws nothing itself."""


def serve(settings: Settings, terminal: Terminal) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    _allow_many_files()
    try:
        return uvloop.run(_serve(settings, terminal))
    except _START_ERRORS as error:
        print(f"bigmodel: {error}", file=sys.stderr)
        return 1


def _check_tls(settings: ServerSettings) -> None:
    """Before anything is created: a first key that is shown and then lost to a wrong path cannot be had again."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    for path in (settings.tls_cert, settings.tls_key):
        try:
            path.read_bytes()
        except OSError as error:
            raise TlsUnusable(f"{path} cannot be read: {error.strerror}") from error
    try:
        # Nobody may be there to type a pass phrase, now or at the next start.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_cert, settings.tls_key, password=_no_pass_phrase
        )
    except (ssl.SSLError, ValueError) as error:
        raise TlsUnusable(
            f"{settings.tls_cert} and {settings.tls_key} are no certificate and its key without a pass phrase: {error}"
        ) from error


def _no_pass_phrase() -> str:
    raise ValueError("the key is encrypted")


def _allow_many_files() -> None:
    """Each request takes two sockets, and many systems allow 1,024 open files unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _calm_garbage_collection() -> None:
    """Look for reference cycles seldom, and not among what was built at the start, which stays for good.

    Requests leave no cycles; with Python's own settings the search was 4 % of a request's price.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


async def _serve(settings: Settings, terminal: Terminal) -> int:
    server_settings = settings.server
    _check_tls(server_settings)
    try:
        listener = listening_socket(server_settings.host, server_settings.port)
    except OSError as error:
        raise OSError(f"cannot listen on {server_settings.host}: {error.strerror}") from error
    with contextlib.closing(listener), DataFolder.open(settings.data) as folder:
        platform = await build(settings, folder, terminal)
        _calm_garbage_collection()
        try:
            terminal.announce(_base_url(settings, listener.getsockname()[1]), platform.first_key)
            config = uvicorn_config(
                platform.edge,
                platform.asgi,
                timeout_graceful_shutdown=server_settings.drain_s + _LAST_BYTES_S,
                ssl_certfile=server_settings.tls_cert,
                ssl_keyfile=server_settings.tls_key,
            )
            starting = asyncio.create_task(_start_engines(platform))
            await _Server(config, platform, server_settings.drain_s).serve([listener])
            starting.cancel()
        finally:
            await platform.registry.stop()
            platform.database.close()
            # The callbacks of the last commit, and what they write to the log.
            await asyncio.sleep(0)
            platform.request_log.flush()
            platform.log_stream.close()
    return 0


def _base_url(settings: Settings, port: int) -> str:
    """The server's URL as a client on this machine would write it."""
    any_address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  shown, not bound
    host = settings.server.host
    host = any_address.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.server.tls_cert else 'http'}://{host}:{port}"


async def build(settings: Settings, folder: DataFolder, terminal: Terminal) -> Platform:
    """Build the platform on an open data folder. Nothing is started yet but the database's writer."""
    database = Database.open(folder.path / "bigmodel.db")
    accounts = AuthStore(database, folder.path)
    log_format = settings.server.log_format
    log_stream = BackgroundStream(sys.stderr)
    request_log = RequestLog(log_stream, as_json=None if log_format == "auto" else log_format == "json")
    metrics = Metrics()
    ids = IdSource()
    reporter = _Reporter(request_log, terminal)
    registry = build_registry(settings, folder.path / "models", reporter, load_catalog())
    metrics.add_gauge(
        "bigmodel_engine_state", "1 for the state an engine is in.", ["engine", "state"], registry.states
    )
    in_flight = InFlight(settings.server.max_in_flight)
    metrics.add_gauge(
        "bigmodel_requests_in_flight", "Requests under way.", [], lambda: {(): float(in_flight.total)}
    )
    callers = Callers(
        Authenticator(accounts), request_log, metrics, ids, default_language=settings.server.language
    )
    pipeline = Pipeline(
        registry=registry,
        in_flight=in_flight,
        settlement=UsageStore(database),
        request_log=request_log,
        metrics=metrics,
        ids=ids,
    )
    chat = {surface: ChatRoute(surface, pipeline, callers) for surface in SURFACES}
    health = HealthApi(registry, callers, metrics, database)
    return Platform(
        database=database,
        registry=registry,
        pipeline=pipeline,
        health=health,
        edge=Edge(hot_routes(chat), default_language=settings.server.language, note=callers.note),
        asgi=asgi_app(ModelsApi(registry, callers, int(time.time())), health, callers),
        request_log=request_log,
        log_stream=log_stream,
        # Last: nothing may fail between making the one key that is shown once and showing it.
        first_key=await accounts.ensure_operator(),
    )


class _Reporter:
    """Passes on what engines do: their states to the log, downloads to the terminal."""

    def __init__(self, request_log: RequestLog, terminal: Terminal) -> None:
        self._request_log = request_log
        self._terminal = terminal

    def engine_state(self, engine: str, state: str, reason: str) -> None:
        self._request_log.event(f"engine {engine}: {state}{f', {reason}' if reason else ''}")

    def download(self, engine: str, progress: Progress) -> None:
        line = self._terminal.download(engine, progress)
        if line is not None:
            self._request_log.event(line)


async def _start_engines(platform: Platform) -> None:
    """Load all models at once; one that fails leaves the others and the server as they are."""

    async def start(index: int) -> None:
        engine = platform.registry.engines[index]
        try:
            await engine.start()
        except Exception as error:  # noqa: BLE001  the edge of a task: whatever it is, the operator must read it
            platform.request_log.event(f"engine {engine.name} did not start: {error}")

    await asyncio.gather(*(start(index) for index in range(len(platform.registry.engines))))


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by our rules: drain, then cut what is left, and exit with status 0.

    uvicorn's own would raise the signal again after it has stopped, before engines and database are closed.
    """

    def __init__(self, config: uvicorn.Config, platform: Platform, drain_s: float) -> None:
        super().__init__(config)
        self._platform = platform
        self._drain_s = drain_s

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that stop while serving."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        if self.should_exit:
            # Asked twice: do not wait for anybody.
            self._platform.pipeline.cut_all()
            self.force_exit = True
            return
        self._platform.health.ready = False
        self._platform.request_log.event("stopping: requests under way may finish; a second signal ends them")
        self.should_exit = True
        loop.call_later(self._drain_s, self._platform.pipeline.cut_all)
