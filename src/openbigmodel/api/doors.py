"""Builds every door of the API: the hot routes, one for each surface and dialect, and the ASGI app for the rest."""

from dataclasses import dataclass

from starlette.applications import Starlette

from openbigmodel.api.anthropic import AnthropicApi, MessagesRoute
from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.health import HealthApi
from openbigmodel.api.models import ModelsApi
from openbigmodel.api.monitor import MonitorApi
from openbigmodel.api.responses import RESPONSES, ResponsesApi
from openbigmodel.api.routes import Apis, asgi_app, hot_routes
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.edge import HotRoute
from openbigmodel.engines.registry import Registry
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.inference.responses.dialect import ResponsesDialect
from openbigmodel.inference.responses.store import ResponseStore
from openbigmodel.room import Room


@dataclass(frozen=True, slots=True)
class Doors:
    """What the edge serves itself, and the app for everything else."""

    hot: dict[bytes, HotRoute]
    asgi: Starlette


def open_doors(
    registry: Registry,
    pipeline: Pipeline,
    callers: Callers,
    responses: ResponseStore,
    health: HealthApi,
    monitor: MonitorApi,
    unfinished: Room,
    started_s: int,
) -> Doors:
    """All doors.

    `unfinished` is for bodies that are not yet whole; `started_s`: when the server started, in Unix seconds.
    """
    dialect = ResponsesDialect(responses)
    chat = [
        *(ChatRoute(surface, pipeline, callers) for surface in SURFACES),
        *(ChatRoute(surface, pipeline, callers, dialect) for surface in RESPONSES),
        MessagesRoute(registry, pipeline, callers),
    ]
    apis = Apis(
        models=ModelsApi(registry, callers, started_s),
        health=health,
        monitor=monitor,
        responses=ResponsesApi(responses, callers),
        anthropic=AnthropicApi(
            registry, callers, pipeline.admissions.limits, pipeline.reading, unfinished, started_s
        ),
    )
    return Doors(hot_routes(chat), asgi_app(apis, callers))
