"""Hubs that are busy, away, or refuse: what passes is waited out, and the rest is explained."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.hub_download import BOTH, MODEL, MODELSCOPE, PATIENCE, Download, run
from tests.integration.hub_server import HubServer, hub_server


@BOTH
def test_passing_trouble_is_waited_out(tmp_path: Path, source: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.statuses = [503, 429]
        assert (await get(source)).read_bytes() == MODEL
        assert hub.statuses == []

    run(tmp_path, test)


@BOTH
def test_lasting_trouble_is_not(tmp_path: Path, source: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.statuses = [502] * 50
        await get.fails("127.0.0.1 answered 502 .*Gave up after 3 attempts", source)

    run(tmp_path, test)


def test_trouble_while_looking_the_file_up(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.only_for = "HEAD"
        hub.statuses = [503]
        hub.refusal = {"Retry-After": "0"}
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


def test_nobody_there(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.url = "http://127.0.0.1:1"
        await get.fails("127.0.0.1 cannot be reached .*mirror")

    run(tmp_path, test)


def test_a_silent_server(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        get.patience = replace(PATIENCE, silence_timeout_s=0.05)
        hub.pause_s = 0.5
        await get.fails("broke .ReadTimeout.")

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (
            401,
            "RepoNotFound",
            "refused .401.: there is no such repository, or it may be private and need an hf_token",
        ),
        (403, "GatedRepo", "gated: accept its terms at http://.*/zai/glm and set hf_token"),
        (404, "EntryNotFound", "has no file q4/glm.gguf in revision main"),
        (404, "RevisionNotFound", "has no revision main"),
        (404, "", "There is no http://.*/zai/glm with a file q4/glm.gguf"),
        (451, "", "answered 451"),
    ],
)
def test_refusals_of_hugging_face(tmp_path: Path, status: int, code: str, words: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.only_for = "HEAD"
        hub.statuses = [status]
        hub.refusal = {"X-Error-Code": code} if code else {}
        await get.fails(words)

    run(tmp_path, test)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusals_of_modelscope(tmp_path: Path, status: int) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.statuses = [status]
        await get.fails(f"refused .{status}.: there is no such repository", MODELSCOPE)

    run(tmp_path, test)


def test_a_missing_file_of_modelscope_names_those_there_are(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        await get.fails(
            "has no file none.gguf in revision master. It has: q4/glm.gguf.", "modelscope:zai/glm/none.gguf"
        )

    run(tmp_path, test)


@pytest.mark.parametrize("listing", [b"<html>", b"[]", b'{"Data": null}', b'{"Data": {"Files": 3}}'])
def test_a_listing_that_is_none(tmp_path: Path, listing: bytes) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.listing = listing
        await get.fails("cannot be read", MODELSCOPE)

    run(tmp_path, test)


def test_an_endless_listing(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.listing = bytes(33 << 20)
        await get.fails("endless", MODELSCOPE)

    run(tmp_path, test)


@BOTH
def test_the_credential_goes_to_the_hub_and_not_to_its_storage(tmp_path: Path, source: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        async with hub_server() as storage:
            storage.files = hub.files
            hub.storage = storage.url
            hub.credential = get.credential = "hf_secret"
            hub.cuts = storage.cuts = [300_000]
            assert (await get(source)).read_bytes() == MODEL
            assert {one.headers["authorization"] for one in hub.asked} == {"Bearer hf_secret"}
            assert [one.headers.get("range") for one in storage.asked] == [None, "bytes=300000-"]
            for one in storage.asked:
                assert not {"authorization", "cookie"} & set(one.headers)

    run(tmp_path, test)


def test_a_refused_credential(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.credential = "right"
        get.credential = "wrong"
        await get.fails("hf_token may not read it")

    run(tmp_path, test)


def test_redirects_in_a_circle(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.storage = f"{hub.url}/zai/glm/resolve/main"
        hub.files["zai/glm/zai/glm/q4/glm.gguf"] = MODEL
        for depth in range(12):
            hub.files["zai/glm/" * (depth + 2) + "q4/glm.gguf"] = MODEL
        await get.fails("redirects in a circle")

    run(tmp_path, test)


@pytest.mark.parametrize("target", ["file:///etc", "ftp://127.0.0.1", "http://[broken"])
def test_redirects_to_elsewhere(tmp_path: Path, target: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.storage = target
        await get.fails("not allowed|is no address")

    run(tmp_path, test)
