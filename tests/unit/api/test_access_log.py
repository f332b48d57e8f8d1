"""Every request leaves a line, but for those that machines make every few seconds."""

import pytest

from tests.unit.api.api_bench import USER, ApiBench, run


@pytest.mark.parametrize(
    ("path", "status"), [("/api/paas/v4/models", 401), ("/nothing", 404), ("/v1/chat/completions", 405)]
)
def test_a_request_leaves_a_line_and_has_its_id(path: str, status: int) -> None:
    async def test(api: ApiBench) -> None:
        async with api.client(key=None) as client:
            response = await client.get(path)
        (line,) = api.bench.records
        assert (line["path"], line["status"]) == (path, status)
        assert response.headers["x-log-id"] == line["id"]

    run(test)


def test_good_answers_to_monitors_are_not_noted() -> None:
    async def test(api: ApiBench) -> None:
        async with api.client() as client:
            assert (await client.get("/health")).status_code == 200
        assert api.bench.records == []

    run(test)


def test_a_crash_leaves_a_line_too() -> None:
    async def test(api: ApiBench) -> None:
        api.health._registry = None  # type: ignore[assignment]
        async with api.client() as client:
            assert (await client.get("/health")).status_code == 500
        assert [(line["path"], line["status"]) for line in api.bench.records] == [("/health", 500)]

    run(test)


@pytest.mark.parametrize("url", ["/v1/models?key={}", "/v1/models/{}", "/{}", "/v1/chat/completions?k={}"])
def test_a_key_in_a_url_is_seen_and_its_secret_is_not_noted(url: str) -> None:
    async def test(api: ApiBench) -> None:
        async with api.client(key=None) as client:
            await client.get(url.format(USER))
        assert api.leaks.seen == {"body": 0, "url": 1}
        assert api.bench.records
        assert USER.secret not in api.bench.log.getvalue()

    run(test)
