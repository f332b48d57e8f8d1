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
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import uvicorn
import uvloop

from openbigmodel.admin.commands import Parts, admin_service
from openbigmodel.admin.protocol import SOCKET_FILE
from openbigmodel.admin.service import AdminService
from openbigmodel.admin.socket import AdminSocket
from openbigmodel.api.callers import Callers
from openbigmodel.api.client_address import TrustedProxies
from openbigmodel.api.doors import open_doors
from openbigmodel.api.health import HealthApi
from openbigmodel.api.monitor import MonitorApi
from openbigmodel.auth.api_keys import Authenticator, unix_ms
from openbigmodel.auth.last_used import LastUsed
from openbigmodel.auth.leaked import LeakWatch
from openbigmodel.auth.master_key import MasterKeyError
from openbigmodel.auth.restrictions import parse_networks
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.daily_count import DailyCount
from openbigmodel.billing.ledger_watch import LedgerWatch
from openbigmodel.billing.plans import Plans
from openbigmodel.billing.price_book import PriceBook
from openbigmodel.billing.rollup import RollUp
from openbigmodel.billing.statement import Statements
from openbigmodel.billing.tiers import Tiers
from openbigmodel.billing.upkeep import Upkeep
from openbigmodel.catalog import Catalog, load_catalog
from openbigmodel.credentials import ApiKey
from openbigmodel.db.connection import Database, DatabaseError
from openbigmodel.db.data_folder import DATABASE_FILE, DataFolder, DataFolderBusy, DataFolderError
from openbigmodel.db.migrations import DatabaseTooNew
from openbigmodel.edge import Edge, PortBusy, listening_socket, uvicorn_config
from openbigmodel.engines.factory import EngineConfigError, build_registry
from openbigmodel.engines.registry import Registry
from openbigmodel.engines.router import Router
from openbigmodel.engines.weights import Progress
from openbigmodel.ids import IdSource
from openbigmodel.inference.admission import Admissions
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.inference.responses.store import ResponseStore
from openbigmodel.limits import Limits
from openbigmodel.media.fetcher import Fetcher
from openbigmodel.media.preparation import Media
from openbigmodel.moderation.moderator import build_moderator
from openbigmodel.moderation.words import WordListError
from openbigmodel.room import Room
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
    WordListError,
)
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
# The fewest that Python lets one choose: at its 4,300, 10 MB of integers take a fifth of a second to read.
_INTEGER_DIGITS_MAX = 640
# The last is a closed terminal.
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# For an admin command that has the folder to end; it takes a fraction of that.
_COMMAND_S = 1.0
_COMMAND_PAUSE_S = 0.02
# Of the loop: one for the task that starts all engines, one for the task of each, one to spare.
_TURNS_TO_BEGIN = 3
# After requests were cut, for their last bytes to reach the clients.
_LAST_BYTES_S = 1


# Work that goes on as long as the server does.
Chore = Callable[[], Coroutine[Any, Any, None]]


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
    last_used: LastUsed
    cashier: Cashier
    chores: tuple[Chore, ...]
    admin: AdminService
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
    sys.set_int_max_str_digits(_INTEGER_DIGITS_MAX)
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
    with contextlib.closing(listener), await _data_folder(settings.data) as folder:
        platform = await build(settings, folder, terminal)
        _calm_garbage_collection()
        admin = AdminSocket(folder.path / SOCKET_FILE, platform.admin, platform.request_log.event)
        try:
            await admin.open()
            starting = asyncio.create_task(_start_engines(platform))
            # Whoever reads the banner may ask at once; an engine that has not begun to start would refuse (1305).
            for _ in range(_TURNS_TO_BEGIN):
                await asyncio.sleep(0)
            terminal.announce(_base_url(settings, listener.getsockname()[1]), platform.first_key)
            config = uvicorn_config(
                platform.edge,
                platform.asgi,
                timeout_graceful_shutdown=server_settings.drain_s + _LAST_BYTES_S,
                ssl_certfile=server_settings.tls_cert,
                ssl_keyfile=server_settings.tls_key,
            )
            chores = [asyncio.create_task(chore()) for chore in platform.chores]
            platform.last_used.start()
            await _Server(config, platform, server_settings.drain_s).serve([listener])
            starting.cancel()
            for chore in chores:
                chore.cancel()
        finally:
            await admin.close()
            await platform.registry.stop()
            if platform.pipeline.moderator is not None:
                await platform.pipeline.moderator.close()
            if platform.pipeline.media is not None:
                await platform.pipeline.media.close()
            await platform.last_used.close()
            platform.database.close()
            # The callbacks of the last commit, and what they write to the log.
            await asyncio.sleep(0)
            platform.request_log.flush()
            platform.log_stream.close()
    return 0


async def _data_folder(path: Path) -> DataFolder:
    """The folder, as soon as an admin command that is at work on it has ended; it has a second for that."""
    deadline_s = time.monotonic() + _COMMAND_S
    while True:
        try:
            return DataFolder.open(path)
        except DataFolderBusy:
            if time.monotonic() >= deadline_s:
                raise
        await asyncio.sleep(_COMMAND_PAUSE_S)


def _base_url(settings: Settings, port: int) -> str:
    """The server's URL as a client on this machine would write it."""
    any_address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  shown, not bound
    host = settings.server.host
    host = any_address.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.server.tls_cert else 'http'}://{host}:{port}"


async def build(settings: Settings, folder: DataFolder, terminal: Terminal) -> Platform:
    """Build the platform on an open data folder. Nothing is started yet but the database's writer."""
    database = Database.open(folder.path / DATABASE_FILE)
    accounts = AuthStore(database, folder.path)
    log_format = settings.server.log_format
    log_stream = BackgroundStream(sys.stderr)
    request_log = RequestLog(log_stream, as_json=None if log_format == "auto" else log_format == "json")
    metrics = Metrics()
    ids = IdSource()
    reporter = _Reporter(request_log, terminal)
    catalog = load_catalog(settings.server.catalog)
    registry = build_registry(settings, folder.path / "models", reporter, catalog)
    authenticator = Authenticator(accounts)
    leaks = LeakWatch(accounts, request_log.event)
    callers = _callers(settings.server, authenticator, request_log, metrics, ids, leaks)
    plans = Plans(database, catalog, now_ms=unix_ms)
    last_used = LastUsed(authenticator, accounts, request_log.event)
    prices = await _prices(settings, database, catalog)
    cashier = Cashier(database, prices, plans, now_ms=unix_ms, new_id=ids.request_id)
    limits = Limits(settings.server.max_in_flight, earlier=DailyCount(database.read))
    pipeline = _pipeline(settings, registry, Admissions(limits, cashier), request_log, metrics, ids)
    upkeep = Upkeep(cashier, database, request_log.event, watch=LedgerWatch(folder.path / DATABASE_FILE))
    reporter.router = pipeline.router
    responses = ResponseStore(database, request_log.event, now_ms=unix_ms)
    tiers = Tiers(database, accounts, now_ms=unix_ms)
    _show(metrics, pipeline, limits, leaks, upkeep)
    health = HealthApi(registry, callers, metrics, upkeep)
    statements = partial(Statements.open, folder.path)
    monitor = MonitorApi(plans, callers, statements, catalog.plan.window_hours, now_ms=unix_ms)
    unfinished = Room(settings.server.unfinished_mb << 20)
    doors = open_doors(registry, pipeline, callers, responses, health, monitor, unfinished, int(time.time()))
    parts = Parts(
        database,
        accounts,
        cashier,
        prices,
        plans,
        last_used.flush,
        routed=lambda: [model.id for model in registry.models()],
        catalogued=[model.id for model in catalog],
        trial_credit=settings.server.trial_credit,
    )
    return Platform(
        database=database,
        registry=registry,
        pipeline=pipeline,
        health=health,
        edge=Edge(
            doors.hot, unfinished=unfinished, default_language=settings.server.language, note=callers.note
        ),
        asgi=doors.asgi,
        request_log=request_log,
        log_stream=log_stream,
        last_used=last_used,
        cashier=cashier,
        chores=(
            upkeep.run,
            RollUp(database, request_log.event).run,
            partial(tiers.run, request_log.event),
            responses.run,
        ),
        admin=admin_service(parts, unix_ms),
        # Last: nothing may fail between making the one key that is shown once and showing it.
        first_key=await accounts.ensure_operator(),
    )


def _callers(
    server: ServerSettings,
    authenticator: Authenticator,
    request_log: RequestLog,
    metrics: Metrics,
    ids: IdSource,
    leaks: LeakWatch,
) -> Callers:
    proxies = TrustedProxies(parse_networks(server.trusted_proxies))
    return Callers(
        authenticator,
        request_log,
        metrics,
        ids,
        default_language=server.language,
        proxies=proxies,
        leaks=leaks,
    )


def _pipeline(
    settings: Settings,
    registry: Registry,
    admissions: Admissions,
    request_log: RequestLog,
    metrics: Metrics,
    ids: IdSource,
) -> Pipeline:
    fetcher = Fetcher(concurrency=settings.media.concurrency, note=request_log.event)
    return Pipeline(
        registry=registry,
        admissions=admissions,
        request_log=request_log,
        metrics=metrics,
        ids=ids,
        moderator=build_moderator(settings.moderation, request_log.event),
        media=Media(settings.media, fetcher),
    )


def _show(metrics: Metrics, pipeline: Pipeline, limits: Limits, leaks: LeakWatch, upkeep: Upkeep) -> None:
    """Report to whoever scrapes what the parts know of themselves."""
    registry, router = pipeline.registry, pipeline.router
    metrics.add_gauge(
        "bigmodel_engine_state", "1 for the state an engine is in.", ["engine", "state"], registry.states
    )
    metrics.add_gauge(
        "bigmodel_circuit_breaker",
        "1 for the state of an engine's circuit breaker.",
        ["engine", "state"],
        router.breaker_states,
    )
    metrics.add_gauge(
        "bigmodel_requests_waiting",
        "Requests that wait for an engine with a free place.",
        [],
        lambda: {(): float(router.waiting)},
    )
    metrics.add_gauge(
        "bigmodel_requests_in_flight", "Requests under way.", [], lambda: {(): float(limits.total)}
    )
    metrics.add_counter("bigmodel_leaked_keys", "API keys seen in a body or a URL.", ["where"], leaks.counts)
    metrics.add_gauge("bigmodel_ledger_doubts", "What the ledger's audit found.", ["kind"], upkeep.gauges)
    if pipeline.moderator is not None:
        counts = pipeline.moderator.counts
        metrics.add_counter("bigmodel_moderation", "What moderation has found.", ["stage", "outcome"], counts)


async def _prices(settings: Settings, database: Database, catalog: Catalog) -> PriceBook:
    """The price book, with every price in force stored. The demo model's answers cost nothing under any name."""
    configured = {model.id: model.price for model in settings.models if model.price is not None}
    prices = PriceBook(database, None if settings.try_out else catalog, configured, now_ms=unix_ms)
    await prices.save()
    return prices


class _Reporter:
    """Passes on what engines do: their states to the log, downloads to the terminal."""

    def __init__(self, request_log: RequestLog, terminal: Terminal) -> None:
        self._request_log = request_log
        self._terminal = terminal
        self.router: Router | None = None

    def engine_state(self, engine: str, state: str, reason: str) -> None:
        self._request_log.event(f"engine {engine}: {state}{f', {reason}' if reason else ''}")
        if self.router is not None and state == "ready":
            self.router.look_again(engine)
        elif self.router is not None and state == "unreachable":
            self.router.lost(engine)

    def engine_remark(self, engine: str, text: str) -> None:
        self._request_log.event(f"engine {engine}: {text}")

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
