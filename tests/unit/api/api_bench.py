"""The whole API on a pipeline bench: real routes, real authenticator, keys in memory, a fake engine's socket."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import cast

import httpx
import uvloop
from starlette.applications import Starlette

from openbigmodel.api.anthropic import AnthropicApi
from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.client_address import TrustedProxies
from openbigmodel.api.health import HealthApi
from openbigmodel.api.models import ModelsApi
from openbigmodel.api.monitor import MonitorApi
from openbigmodel.api.responses import ResponsesApi
from openbigmodel.api.routes import Apis, asgi_app
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.auth.accounts import FlaggedKey
from openbigmodel.auth.api_keys import Authenticator, KnownKey, Principal
from openbigmodel.auth.leaked import LeakWatch
from openbigmodel.auth.restrictions import parse_networks, read_restrictions
from openbigmodel.billing.statement import Statements
from openbigmodel.credentials import new_api_key
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Step
from openbigmodel.ids import IdSource
from openbigmodel.inference.responses.store import ResponseStore
from openbigmodel.room import Room
from tests.unit.inference.pipeline_bench import Bench

OPERATOR = new_api_key(os.urandom)
USER = new_api_key(os.urandom)
CODING_USER = new_api_key(os.urandom)
RESTRICTED_USER = new_api_key(os.urandom)
CREATED_S = 1_795_000_000
URL = "http://platform"


PRINCIPALS = {
    OPERATOR: Principal("account", OPERATOR.id, operator=True),
    USER: Principal("account", USER.id),
    CODING_USER: Principal("account", CODING_USER.id, "coding"),
    RESTRICTED_USER: Principal(
        "account",
        RESTRICTED_USER.id,
        restrictions=read_restrictions(["glm-4.6"], ["chat", "models"], ["127.0.0.0/8", "203.0.113.7"]),
    ),
}


class Keys:
    """A key for the operator, and one of each kind for others."""

    def __init__(self) -> None:
        self.disabled: set[str] = set()
        self._listeners: list[Callable[[str], None]] = []

    def tell(self, key_id: str) -> None:
        """Announce a change of a key."""
        for listener in self._listeners:
            listener(key_id)

    def find_key(self, key_id: str) -> KnownKey | None:
        for key, principal in PRINCIPALS.items():
            if key.id == key_id:
                return KnownKey(principal, key.secret, active=key_id not in self.disabled)
        return None

    async def flag_leaked(self, key_id: str, *, overlap_s: int) -> FlaggedKey | None:
        """It is never noted, so that each time is the first."""
        return FlaggedKey(key_id, "account", None)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """See KeySource."""
        self._listeners.append(listener)

    def on_account_change(self, listener: Callable[[str], None]) -> None:
        """Their accounts never change."""


class ApiBench:
    """Built on a running loop."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        # Stands in for the database towards the health page.
        self.failure: str | None = None
        registry = bench.pipeline.registry
        self.keys = Keys()
        self.leaks = LeakWatch(self.keys, bench.request_log.event)
        self.callers = Callers(
            Authenticator(self.keys),
            bench.request_log,
            bench.metrics,
            IdSource(),
            proxies=TrustedProxies(parse_networks(["127.0.0.1"])),
            leaks=self.leaks,
            now_s=lambda: CREATED_S,
        )
        self.chat = {surface: ChatRoute(surface, bench.pipeline, self.callers) for surface in SURFACES}
        self.health = HealthApi(registry, self.callers, bench.metrics, self)
        monitor = MonitorApi(self, self.callers, self.statements, 5, now_ms=lambda: CREATED_S * 1000)
        self.app = self.app_with(monitor)

    def app_with(self, monitor: MonitorApi) -> Starlette:
        """All routes; those of plans and usage on something that is not here."""
        registry = self.bench.pipeline.registry
        # Nothing is stored here: who asks for a response is a test of its own.
        store = cast("ResponseStore", None)
        apis = Apis(
            models=ModelsApi(registry, self.callers, CREATED_S),
            health=self.health,
            monitor=monitor,
            responses=ResponsesApi(store, self.callers),
            anthropic=AnthropicApi(
                registry,
                self.callers,
                self.bench.limits,
                self.bench.pipeline.reading,
                Room(1 << 29),
                CREATED_S,
            ),
        )
        return asgi_app(apis, self.callers)

    def quota(self, account_id: str, now_ms: int) -> None:
        """Stands in for the plans: nobody has one."""

    def statements(self) -> Statements:
        """There is no database here."""
        raise AssertionError("not asked for")

    def client(self, *, peer: str = "127.0.0.1", key: str | None = str(USER)) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 12345))
        headers = {"accept-language": "en", **({"authorization": f"Bearer {key}"} if key else {})}
        return httpx.AsyncClient(transport=transport, base_url=URL, headers=headers)


def run(test: Callable[[ApiBench], Awaitable[None]], *scripts: list[Step]) -> None:
    async def main() -> None:
        async with FakeEngine() as engine:
            engine.play(*scripts)
            bench = Bench(engine)
            await test(ApiBench(bench))
            await bench.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
