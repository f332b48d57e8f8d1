"""The table of endpoints, and nothing else."""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openbigmodel.api.access_log import ERROR_CODE, AccessLog
from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.errors import error_response, method_not_allowed, not_found
from openbigmodel.api.health import HealthApi
from openbigmodel.api.models import ModelsApi
from openbigmodel.api.monitor import MonitorApi
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.edge import HotRoute
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import Surface

CHAT_COMPLETIONS = "/chat/completions"
MONITOR = "/api/monitor/usage"
_ALL_BUT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]


def hot_routes(chat: Mapping[Surface, ChatRoute]) -> dict[bytes, HotRoute]:
    """What the edge serves itself, POST only."""
    return {(surface.prefix + CHAT_COMPLETIONS).encode(): route for surface, route in chat.items()}


def asgi_app(models: ModelsApi, health: HealthApi, monitor: MonitorApi, callers: Callers) -> Starlette:
    """Everything else."""
    routes: list[BaseRoute] = [
        Route("/health", health.health),
        Route("/metrics", health.metrics),
        Route(MONITOR + "/quota/limit", monitor.quota),
        Route(MONITOR + "/model-usage", monitor.model_usage),
        Route(MONITOR + "/tool-usage", monitor.tool_usage),
    ]
    for surface in SURFACES:
        routes += [
            Route(surface.prefix + CHAT_COMPLETIONS, method_not_allowed, methods=_ALL_BUT_POST),
            Route(surface.prefix + "/models", models.list_models),
            Route(surface.prefix + "/models/{model_id}", models.show_model),
        ]

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
        routes=routes,
        middleware=[Middleware(AccessLog, callers=callers)],
        exception_handlers={ApiError: refused, HTTPException: unknown, Exception: crashed},
    )
    # A path with a slash too many is unknown; a redirect would be built from the Host header.
    app.router.redirect_slashes = False
    return app
