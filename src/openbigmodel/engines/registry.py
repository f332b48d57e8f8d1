"""Which engine answers for which model id."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from openbigmodel.catalog import Model
from openbigmodel.engines.connection import EngineConsumer
from openbigmodel.engines.translate import Profile


class Call(Protocol):
    """A request to an engine under way."""

    def pause(self) -> None:
        """Produce no more for now."""

    def resume(self) -> None:
        """Go on."""

    def cancel(self) -> None:
        """Stop; the consumer hears nothing more."""


class Engine(Protocol):
    """Something that runs models and is spoken to over HTTP."""

    name: str
    kind: str
    profile: Profile

    @property
    def state(self) -> str:
        """downloading, starting, ready, restarting, broken or stopped."""

    async def start(self) -> None:
        """Be ready to answer."""

    async def stop(self) -> None:
        """Release everything."""

    def post(self, path: str, body: bytes, consumer: EngineConsumer) -> Call:
        """Send a request; the answer goes to the consumer, never before this returns.

        Raises EngineUnavailable when waiting would be of no use.
        """


class Route(msgspec.Struct, frozen=True, gc=False):
    """A model id, what is known of the model, and who answers for it under which name."""

    model: Model
    engine: Engine
    target: str


class Registry:
    """All engines and the routes to them; ids are found whatever their letter case (api.md §3.1)."""

    def __init__(self, engines: Iterable[Engine], routes: Mapping[str, Route]) -> None:
        self.engines = tuple(engines)
        self._routes = {model_id.lower(): route for model_id, route in routes.items()}
        # Callers write an id the same way each time; lower() on the way of every request is not free.
        self._exact = dict(routes)

    def route(self, model_id: str) -> Route | None:
        """The route of a model id, None when nobody serves it."""
        return self._exact.get(model_id) or self._routes.get(model_id.lower())

    def models(self) -> list[Model]:
        """Every model that is served, in the order of the configuration."""
        return [route.model for route in self._routes.values()]

    def states(self) -> dict[tuple[str, ...], float]:
        """(engine, state) → 1 for the state that each engine is in, for metrics."""
        return {(engine.name, engine.state): 1.0 for engine in self.engines}

    async def stop(self) -> None:
        """Stop every engine, at once; one that fails to keeps no other from it."""
        await asyncio.gather(*(engine.stop() for engine in self.engines), return_exceptions=True)
