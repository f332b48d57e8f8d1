import pytest

from openbigmodel.engines.registry import Registry
from tests.unit.api.api_bench import OPERATOR, ApiBench, run


class Engine:
    """An engine as far as health is concerned."""

    def __init__(self, name: str, state: str) -> None:
        self.name = name
        self.state = state


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], 200),
        (["ready"], 200),
        (["restarting"], 200),
        (["broken", "ready"], 200),
        (["broken"], 503),
        (["starting"], 503),
        (["downloading", "broken"], 503),
        (["stopped"], 503),
    ],
)
def test_health(states: list[str], status: int) -> None:
    async def test(api: ApiBench) -> None:
        engines = [Engine(f"engine-{number}", state) for number, state in enumerate(states)]
        api.health._registry = Registry(engines, {})  # type: ignore[arg-type]
        async with api.client(key=None) as client:
            response = await client.get("/health")

        assert response.status_code == status
        assert response.json() == {
            "status": "ok" if status == 200 else "unavailable",
            "engines": {engine.name: engine.state for engine in engines},
        }

    run(test)


def test_health_while_stopping() -> None:
    async def test(api: ApiBench) -> None:
        api.health.ready = False
        async with api.client() as client:
            assert (await client.get("/health")).status_code == 503

    run(test)


def test_health_while_nothing_can_be_accounted_for() -> None:
    async def test(api: ApiBench) -> None:
        api.failure = "disk full"
        async with api.client() as client:
            response = await client.get("/health")
        assert response.status_code == 503
        assert response.json()["database"] == "failed"

    run(test)


def test_metrics_for_a_scraper_on_this_machine() -> None:
    async def test(api: ApiBench) -> None:
        for peer in ("127.0.0.1", "::1"):
            async with api.client(peer=peer, key=None) as client:
                response = await client.get("/metrics")
            assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert "bigmodel_requests_total" in response.text

    run(test)


@pytest.mark.parametrize(
    ("peer", "forwarded", "key", "status"),
    [
        ("10.0.0.1", {}, None, 401),
        ("10.0.0.1", {}, "user", 403),
        ("10.0.0.1", {}, "operator", 200),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.1"}, None, 401),
        ("127.0.0.1", {"forwarded": "for=10.0.0.1"}, "user", 403),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.1"}, "operator", 200),
    ],
)
def test_metrics_for_others(peer: str, forwarded: dict[str, str], key: str | None, status: int) -> None:
    async def test(api: ApiBench) -> None:
        keys = {"operator": {"key": str(OPERATOR)}, "user": {}, None: {"key": None}}[key]
        async with api.client(peer=peer, **keys) as client:  # type: ignore[arg-type]
            response = await client.get("/metrics", headers=forwarded)
        assert response.status_code == status

    run(test)
