"""`GET /health` for load balancers and `GET /metrics` for Prometheus."""

from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openbigmodel.api.callers import Callers
from openbigmodel.api.errors import JSON
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.engines.registry import Registry
from openbigmodel.errors import ApiError
from openbigmodel.telemetry import Metrics

# A restart takes a moment, and requests wait for it.
_ANSWERING = frozenset(("ready", "restarting"))
_METRICS = ApiEndpoint("metrics", coding_keys=True)
_LOOPBACK = frozenset(("127.0.0.1", "::1"))


class Storage(Protocol):
    """Where usage is written."""

    @property
    def failure(self) -> str | None:
        """Why the last write failed, None when it did not."""


class HealthApi:
    """Says whether the platform can answer. `ready` turns False when it is told to stop."""

    def __init__(self, registry: Registry, callers: Callers, metrics: Metrics, storage: Storage) -> None:
        self._storage = storage
        self._registry = registry
        self._callers = callers
        self._metrics = metrics
        self.ready = True

    async def health(self, request: Request) -> Response:
        """200 while requests can be answered and accounted for.

        One engine that can answer is enough: one that is broken or still loading takes nobody else down.
        """
        states = {engine.name: engine.state for engine in self._registry.engines}
        usable = (
            self.ready
            and self._storage.failure is None
            and (not states or not _ANSWERING.isdisjoint(states.values()))
        )
        body: dict[str, Any] = {"status": "ok" if usable else "unavailable", "engines": states}
        if self._storage.failure is not None:
            body["database"] = "failed"
        return Response(msgspec.json.encode(body), 200 if usable else 503, media_type=JSON)

    async def metrics(self, request: Request) -> Response:
        """For a scraper on this machine, or with the operator's key; others are refused.

        A proxy on this machine looks like a local scraper, so whoever was forwarded needs the key.
        """
        peer = request.client.host if request.client else ""
        if peer not in _LOOPBACK or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
            principal = self._callers.authenticate_request(request, _METRICS)
            if not principal.operator:
                raise ApiError("1220", api_name="/metrics")
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
