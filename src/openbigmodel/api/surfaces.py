"""The bases under which the API is served, and what a path is called in a 404 (api.md §1)."""

from openbigmodel.inference.chat_request import Surface

PAAS = Surface(prefix="/api/paas/v4")
CODING = Surface(prefix="/api/coding/paas/v4", coding=True)
OPENAI = Surface(prefix="/v1")

SURFACES = (PAAS, CODING, OPENAI)


def path_in_error(path: str) -> str:
    """The path as bigmodel.cn names it in a 404: without what its gateway cuts off."""
    for prefix in ("/api/coding/paas", "/api/paas"):
        if path.startswith(prefix + "/"):
            return path[len(prefix) :]
    return path
