"""The table of endpoints, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openbigmodel.api.access_log import ERROR_CODE, AccessLog
from openbigmodel.api.anthropic import AnthropicApi
from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.errors import error_response, method_not_allowed, not_found
from openbigmodel.api.health import HealthApi
from openbigmodel.api.models import ModelsApi
from openbigmodel.api.monitor import MonitorApi
from openbigmodel.api.responses import RESPONSES, ResponsesApi
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.edge import HotRoute
from openbigmodel.errors import ApiError

MONITOR = "/api/monitor/usage"
_ALL_BUT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]


def hot_routes(chat: Iterable[ChatRoute]) -> dict[bytes, HotRoute]:
    """What the edge serves itself, POST only."""
    return {route.path.encode(): route for route in chat}


@dataclass(frozen=True, slots=True)
class Apis:
    """Who answers, by resource."""

    models: ModelsApi
    health: HealthApi
    monitor: MonitorApi
    responses: ResponsesApi
    anthropic: AnthropicApi


def routes_of(apis: Apis) -> list[BaseRoute]:
    """Every endpoint that is no hot route."""
    health, monitor, models, responses = apis.health, apis.monitor, apis.models, apis.responses
    routes: list[BaseRoute] = [
        Route("/health", health.health),
        Route("/metrics", health.metrics),
        Route(MONITOR + "/quota/limit", monitor.quota),
        Route(MONITOR + "/model-usage", monitor.model_usage),
        Route(MONITOR + "/tool-usage", monitor.tool_usage),
    ]
    for surface in SURFACES:
        routes += [
            Route(surface.prefix + surface.path, method_not_allowed, methods=_ALL_BUT_POST),
            Route(surface.prefix + "/models", models.list_models),
            Route(surface.prefix + "/models/{model_id}", models.show_model),
        ]
    for surface in RESPONSES:
        path = surface.prefix + surface.path
        routes += [
            Route(path, method_not_allowed, methods=_ALL_BUT_POST),
            Route(path + "/{response_id}", responses.show),
            Route(path + "/{response_id}", responses.delete, methods=["DELETE"]),
            Route(path + "/{response_id}/input_items", responses.list_input_items),
        ]
    return [*routes, *apis.anthropic.routes()]


def asgi_app(apis: Apis, callers: Callers) -> Starlette:
    """The app for these endpoints, and for all that are none."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        request.scope[ERROR_CODE] = error.code
        return error_response(error, callers.language_of_request(request))

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return not_found(request, error)

    async def crashed(request: Request, error: Exception) -> Response:
        return error_response(ApiError("500"), callers.language_of_request(request))

    app = Starlette(
        routes=routes_of(apis),
        middleware=[Middleware(AccessLog, callers=callers)],
        exception_handlers={ApiError: refused, HTTPException: unknown, Exception: crashed},
    )
    # A path with a slash too many is unknown; a redirect would be built from the Host header.
    app.router.redirect_slashes = False
    return app
