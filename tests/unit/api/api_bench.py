"""The whole API on a pipeline bench: real routes, real authenticator, keys in memory, a fake engine's socket."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import httpx
import uvloop

from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.health import HealthApi
from openbigmodel.api.models import ModelsApi
from openbigmodel.api.routes import asgi_app
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.auth.api_keys import Authenticator, KnownKey, Principal
from openbigmodel.credentials import new_api_key
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Step
from openbigmodel.ids import IdSource
from tests.unit.inference.pipeline_bench import Bench

OPERATOR = new_api_key(os.urandom)
USER = new_api_key(os.urandom)
CREATED_S = 1_795_000_000
URL = "http://platform"


class Keys:
    """One key for the operator and one for somebody else."""

    def find_key(self, key_id: str) -> KnownKey | None:
        for key, operator in ((OPERATOR, True), (USER, False)):
            if key.id == key_id:
                return KnownKey(Principal("account", key.id, operator=operator), key.secret, active=True)
        return None

    def on_change(self, listener: Callable[[str], None]) -> None:
        """They never change."""


class ApiBench:
    """Built on a running loop."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        # Stands in for the database towards the health page.
        self.failure: str | None = None
        registry = bench.pipeline.registry
        self.callers = Callers(
            Authenticator(Keys()), bench.request_log, bench.metrics, IdSource(), now_s=lambda: CREATED_S
        )
        self.chat = {surface: ChatRoute(surface, bench.pipeline, self.callers) for surface in SURFACES}
        self.health = HealthApi(registry, self.callers, bench.metrics, self)
        self.app = asgi_app(ModelsApi(registry, self.callers, CREATED_S), self.health, self.callers)

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
            await bench.remote.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
