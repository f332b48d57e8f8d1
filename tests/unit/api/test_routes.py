"""What the table has, and what it says to the rest."""

import pytest

from openbigmodel.api.routes import hot_routes
from tests.unit.api.api_bench import ApiBench, run


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "/", 404, "/"),
        ("GET", "/api/paas/v4/nothing", 404, "/v4/nothing"),
        ("GET", "/api/paas/v4/chat/completions", 405, "/v4/chat/completions"),
        ("POST", "/api/coding/paas/v4/models", 405, "/v4/models"),
        ("DELETE", "/health", 405, "/health"),
    ],
)
def test_unknown_paths_and_methods(method: str, path: str, status: int, named: str) -> None:
    async def test(api: ApiBench) -> None:
        async with api.client() as client:
            response = await client.request(method, path)
        assert response.status_code == status
        assert response.json()["path"] == named
        assert response.headers["content-type"] == "application/json; charset=UTF-8"

    run(test)


def test_a_crash_is_no_more_than_a_500() -> None:
    async def test(api: ApiBench) -> None:
        api.health._registry = None  # type: ignore[assignment]
        async with api.client() as client:
            response = await client.get("/health")
        assert response.status_code == 500
        assert response.json() == {"error": {"code": "500", "message": "Internal error"}}

    run(test)


def test_what_the_edge_serves_itself() -> None:
    async def test(api: ApiBench) -> None:
        routes = hot_routes(api.chat.values())
        assert set(routes) == {
            b"/api/paas/v4/chat/completions",
            b"/api/coding/paas/v4/chat/completions",
            b"/v1/chat/completions",
        }
        assert len(set(map(id, routes.values()))) == 3

    run(test)
