"""Which route serves the model that a caller names, what it is called in the reply, and whether the key may use it."""

from openbigmodel.catalog import Model
from openbigmodel.engines.registry import Registry, Route
from openbigmodel.errors import ApiError
from openbigmodel.inference.caller import Caller


def find_route(registry: Registry, caller: Caller, model_id: str) -> Route:
    """The route. Raises ApiError 1211 for an unknown model, 1220 or 1113 for one that the key is not for."""
    route = registry.route(model_id)
    if route is None:
        raise ApiError("1211")
    listed = route.model.listed
    if caller.surface.coding and route.model.coding is not None:
        # The Coding Plan base answers older ids with their successors, where it has them (api.md §3.7).
        route = registry.route(route.model.coding) or route
    principal = caller.principal
    if principal.restricted:
        # By what answers, and is paid for.
        principal.check_model(route.model.id, listed=listed)
    return route


def name_in_reply(model: Model, asked_for: str, caller: Caller) -> str:
    """The id as the caller wrote it; on the Coding Plan base, that of the model which has taken its place."""
    remapped = caller.surface.coding and model.id.lower() != asked_for.lower()
    return model.id if remapped else asked_for
