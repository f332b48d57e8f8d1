"""`GET …/models` and `GET …/models/{id}` (api.md §4.1)."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openbigmodel.api.callers import Callers
from openbigmodel.api.errors import JSON
from openbigmodel.api.surfaces import CODING
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.catalog import Model
from openbigmodel.engines.registry import Registry
from openbigmodel.errors import ApiError


class ModelsApi:
    """What can be asked for here."""

    def __init__(self, registry: Registry, callers: Callers, created_s: int) -> None:
        self._registry = registry
        self._callers = callers
        # Unix seconds for models that the catalogue has no date for: when this server started.
        self._created_s = created_s

    async def list_models(self, request: Request) -> Response:
        """The models that are listed, in OpenAI's shape; bigmodel.cn serves more than it lists.

        A key that is restricted to some models sees those.
        """
        principal = self._callers.authenticate_request(request, _endpoint(request))
        models = [
            model for model in self._registry.models() if model.listed and principal.allows_model(model.id)
        ]
        return _json({"object": "list", "data": [self._entry(model) for model in models]})

    async def show_model(self, request: Request) -> Response:
        """One model; 404 with 1211 when nobody serves it, 403 with 1220 when this key may not use it."""
        principal = self._callers.authenticate_request(request, _endpoint(request))
        route = self._registry.route(request.path_params["model_id"])
        if route is None:
            raise ApiError("1211", status=404)
        principal.check_model(route.model.id)
        return _json(self._entry(route.model))

    def _entry(self, model: Model) -> dict[str, Any]:
        return {
            "id": model.id,
            "object": "model",
            "created": model.created or self._created_s,
            "owned_by": model.owned_by,
        }


def _endpoint(request: Request) -> ApiEndpoint:
    return ApiEndpoint("models", coding_keys=request.url.path.startswith(CODING.prefix))


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)
