"""Which engine answers for which model id."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from openbigmodel.catalog import Model
from openbigmodel.engines.connection import ChunkTaker, EngineConsumer
from openbigmodel.engines.profiles import Profile


class Call(Protocol):
    """A request to an engine under way. `headers` are those of a response whose status is not 200."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By their names in small letters."""

    def ask_first(self, taker: ChunkTaker) -> None:
        """Ask `taker` before the consumer, until the consumer is told of anything."""

    def pause(self) -> None:
        """Produce no more for now."""

    def resume(self) -> None:
        """Go on."""

    def cancel(self) -> None:
        """Stop; the consumer hears nothing more."""


class Engine(Protocol):
    """Something that runs models and is spoken to over HTTP. `keys` are credentials of which a request names one."""

    name: str
    kind: str
    profile: Profile
    keys: tuple[str, ...]

    @property
    def state(self) -> str:
        """downloading, starting, ready, restarting, broken or stopped."""

    async def start(self) -> None:
        """Be ready to answer."""

    async def stop(self) -> None:
        """Release everything."""

    def post(self, path: str, body: bytes, consumer: EngineConsumer, key: str | None = None) -> Call:
        """Send a request; the answer goes to the consumer, never before this returns. `key`: one of `keys`.

        Raises EngineUnavailable when waiting would be of no use.
        """


Balance = Literal["failover", "least-load", "prefix", "weighted"]


class Target(msgspec.Struct, frozen=True, gc=False):
    """An engine that answers for a model, which it knows as `name`; of more requests the more its `weight`."""

    engine: Engine
    name: str
    weight: int = 1


class Route(msgspec.Struct, frozen=True, gc=False):
    """A model id, what is known of the model, and who answers for it: `targets` in the order of the configuration.

    `balance` says which of them is asked first: `failover` the first that works.
    """

    model: Model
    targets: tuple[Target, ...]
    balance: Balance = "failover"

    @property
    def relays(self) -> bool:
        """Whether only platforms answer that speak GLM themselves."""
        for target in self.targets:  # noqa: SIM110  half the price of `all`, for each request
            if not target.engine.profile.speaks_glm:
                return False
        return True

    @property
    def takes(self) -> frozenset[str]:
        """Parts of a message besides text that at least one of the engines takes, as far as is known now."""
        return frozenset[str]().union(*(target.engine.profile.media for target in self.targets))


class Registry:
    """All engines and the routes to them; ids are found whatever their letter case (api.md §3.1)."""

    def __init__(
        self,
        engines: Iterable[Engine],
        routes: Mapping[str, Route],
        max_in_flight: Mapping[str, int] | None = None,
    ) -> None:
        self.engines = tuple(engines)
        # Requests that an engine works on at once, by its name, where somebody has said.
        self.max_in_flight = max_in_flight or {}
        self._routes = {model_id.lower(): route for model_id, route in routes.items()}
        # Callers write an id the same way each time; lower() on the way of every request is not free.
        self._exact = dict(routes)

    def route(self, model_id: str) -> Route | None:
        """The route of a model id, None when nobody serves it."""
        return self._exact.get(model_id) or self._routes.get(model_id.lower())

    def routes(self) -> Iterable[Route]:
        """Every route once."""
        return self._routes.values()

    def models(self) -> list[Model]:
        """Every model that is served, in the order of the configuration."""
        return [route.model for route in self._routes.values()]

    def states(self) -> dict[tuple[str, ...], float]:
        """(engine, state) → 1 for the state that each engine is in, for metrics."""
        return {(engine.name, engine.state): 1.0 for engine in self.engines}

    async def stop(self) -> None:
        """Stop every engine, at once; one that fails to keeps no other from it."""
        await asyncio.gather(*(engine.stop() for engine in self.engines), return_exceptions=True)
