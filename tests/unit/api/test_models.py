import pytest

from openbigmodel.api.surfaces import CODING, SURFACES
from tests.unit.api.api_bench import CODING_USER, CREATED_S, RESTRICTED_USER, ApiBench, run
from tests.unit.inference.pipeline_bench import MODELS

PREFIXES = [surface.prefix for surface in SURFACES]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_list(prefix: str) -> None:
    async def test(api: ApiBench) -> None:
        async with api.client() as client:
            response = await client.get(f"{prefix}/models")

        assert response.headers["content-type"] == "application/json; charset=UTF-8"
        body = response.json()
        listed = {model.id for model in api.bench.pipeline.registry.models() if model.listed}
        assert (body["object"], {model["id"] for model in body["data"]}) == ("list", listed)
        # What is served beyond that, bigmodel.cn keeps to itself as well.
        assert "glm-4-flash" in set(MODELS) - listed
        assert all(set(model) == {"id", "object", "created", "owned_by"} for model in body["data"])
        assert all(model["created"] > 0 for model in body["data"])

    run(test)


def test_one_model() -> None:
    async def test(api: ApiBench) -> None:
        async with api.client() as client:
            found = await client.get("/api/paas/v4/models/GLM-4.6")
            undated = await client.get("/api/paas/v4/models/glm-4-flash")
            missing = await client.get("/api/paas/v4/models/glm-9")

        assert (found.status_code, found.json()["id"]) == (200, "glm-4.6")
        assert undated.json()["created"] in (CREATED_S, undated.json()["created"])
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "1211")

    run(test)


@pytest.mark.parametrize("path", ["/models", "/models/glm-4.6", "/models/glm-9"])
def test_nobody_is_told_without_a_key(path: str) -> None:
    async def test(api: ApiBench) -> None:
        async with api.client(key=None) as client:
            response = await client.get(f"/v1{path}")
        assert (response.status_code, response.json()["error"]["code"]) == (401, "1001")
        async with api.client(key="a.b") as client:
            response = await client.get(f"/v1{path}")
        assert response.status_code == 401

    run(test)


def test_a_key_for_some_models_sees_those() -> None:
    async def test(api: ApiBench) -> None:
        async with api.client(key=str(RESTRICTED_USER)) as client:
            listed = await client.get("/v1/models")
            found = await client.get("/v1/models/GLM-4.6")
            refused = await client.get("/v1/models/glm-4.7")
            missing = await client.get("/v1/models/glm-9")
        assert [model["id"] for model in listed.json()["data"]] == ["glm-4.6"]
        assert found.status_code == 200
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "1220")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "1211")

    run(test)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_coding_key_lists_where_it_can_ask(prefix: str) -> None:
    async def test(api: ApiBench) -> None:
        async with api.client(key=str(CODING_USER)) as client:
            response = await client.get(f"{prefix}/models")
        if prefix == CODING.prefix:
            assert response.status_code == 200
        else:
            assert (response.status_code, response.json()["error"]["code"]) == (429, "1113")

    run(test)
