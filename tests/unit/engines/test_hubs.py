"""What the hubs answer and what is made of it; the protocols over a line are in tests/integration."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from openbigmodel.engines.download import RemoteFile
from openbigmodel.engines.hub_http import TransientError, WeightsError
from openbigmodel.engines.hubs import Hub, HuggingFace, ModelScope

SHA = "ab" * 32
HUGGING_FACE = "https://huggingface.co"
MODELSCOPE = "https://modelscope.example"


def find(hub: Hub, handler: Callable[[httpx.Request], httpx.Response]) -> RemoteFile:
    async def main() -> RemoteFile:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            return await hub.find(client, "zai/glm", "main", "a.gguf")

    return asyncio.run(main())


def hugging_face(**headers: str) -> RemoteFile:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return find(
        HuggingFace(HUGGING_FACE),
        lambda asked: httpx.Response(302 if "location" in sent else 200, headers=sent),
    )


def modelscope(*files: dict[str, Any]) -> RemoteFile:
    return find(ModelScope(MODELSCOPE), lambda asked: httpx.Response(200, json={"Data": {"Files": files}}))


def test_a_large_file_of_hugging_face() -> None:
    found = hugging_face(
        x_linked_size="700", x_linked_etag=f'"{SHA}"', etag='"other"', location="https://cdn/x"
    )
    assert found == RemoteFile("https://huggingface.co/zai/glm/resolve/main/a.gguf", 700, SHA)


def test_a_small_file_of_hugging_face_has_a_git_hash() -> None:
    found = hugging_face(content_length="700", etag='W/"0123456789012345678901234567890123456789"')
    assert (found.size, found.sha256) == (700, "")


@pytest.mark.parametrize("size", ["", "0", "-5", "many", str(1 << 60)])
def test_sizes_that_cannot_be(size: str) -> None:
    with pytest.raises(WeightsError, match="a size that cannot be"):
        hugging_face(x_linked_size=size, location="https://cdn/x")


def test_a_renamed_repository_is_followed() -> None:
    def handle(asked: httpx.Request) -> httpx.Response:
        if asked.url.path.startswith("/zai/glm/"):
            return httpx.Response(307, headers={"location": "/zai-org/GLM/resolve/main/a.gguf"})
        return httpx.Response(302, headers={"x-linked-size": "7", "location": "https://cdn/x"})

    assert find(HuggingFace(HUGGING_FACE), handle).size == 7


def test_a_mirror() -> None:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"x-linked-size": "7", "location": "https://cdn/x"})

    found = find(HuggingFace("https://mirror.example/hf/", credential="t"), handle)
    assert found.url == "https://mirror.example/hf/zai/glm/resolve/main/a.gguf"
    assert found.headers == {"authorization": "Bearer t"}
    assert asked[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "endpoint", ["", "hub.example", "file:///etc", "ftp://hub.example", "https://", "https://a:b"]
)
@pytest.mark.parametrize("hub", [HuggingFace, ModelScope])
def test_endpoints_that_are_none(hub: type[HuggingFace] | type[ModelScope], endpoint: str) -> None:
    with pytest.raises(WeightsError, match="not an address of a model hub"):
        find(hub(endpoint), lambda asked: httpx.Response(200))


def test_a_file_of_modelscope() -> None:
    found = modelscope(
        {"Path": "a.gguf", "Type": "tree", "Size": 1},
        {"Path": "a.gguf", "Type": "blob", "Size": 700, "Sha256": SHA.upper()},
    )
    url = "https://modelscope.example/api/v1/models/zai/glm/repo?Revision=main&FilePath=a.gguf"
    assert found == RemoteFile(url, 700, SHA)


@pytest.mark.parametrize("checksum", [None, "", "short", 5])
def test_a_checksum_that_is_none(checksum: object) -> None:
    assert modelscope({"Path": "a.gguf", "Size": 700, "Sha256": checksum}).sha256 == ""


def test_modelscope_knows_the_credential_in_two_ways() -> None:
    def handle(asked: httpx.Request) -> httpx.Response:
        assert asked.headers["authorization"] == "Bearer t"
        assert asked.headers["cookie"] == "m_session_id=t"
        return httpx.Response(200, json={"Data": {"Files": [{"Path": "a.gguf", "Size": 7}]}})

    assert find(ModelScope(MODELSCOPE, credential="t"), handle).headers["cookie"] == "m_session_id=t"


def test_a_missing_file_of_a_repository_without_any() -> None:
    with pytest.raises(WeightsError, match=r"has no file a\.gguf in revision main\.$"):
        modelscope()


def test_a_busy_hub_may_be_asked_again() -> None:
    for hub in (HuggingFace(HUGGING_FACE), ModelScope(MODELSCOPE)):
        with pytest.raises(TransientError):
            find(hub, lambda asked: httpx.Response(503))


def test_a_listing_whose_encoding_is_broken() -> None:
    def handle(asked: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip"))

    with pytest.raises(WeightsError, match="broke"):
        find(ModelScope(MODELSCOPE), handle)
