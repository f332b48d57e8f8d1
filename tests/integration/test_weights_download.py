"""Downloads against a hub on this machine: what arrives is right or is not there, and nothing is fetched twice."""

import asyncio
import fcntl
import hashlib
from pathlib import Path

import pytest

from openbigmodel.engines import download
from openbigmodel.engines.weights import (
    Progress,
)
from tests.integration.hub_download import BOTH, HF, MODEL, MODELSCOPE, Download, run
from tests.integration.hub_server import HubServer


@BOTH
def test_arrives_and_is_not_fetched_again(tmp_path: Path, source: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        path = await get(source)
        assert path == tmp_path / source.replace(":", "/")
        assert path.read_bytes() == MODEL
        assert [file.name for file in path.parent.iterdir()] == ["glm.gguf"]
        assert get.told[0] == Progress("q4/glm.gguf", 1, 1, 0, len(MODEL))
        assert get.told[-1].done_bytes == len(MODEL)
        asked = len(hub.asked)
        assert await get(source) == path
        assert len(hub.asked) == asked

    run(tmp_path, test)


def test_what_the_hubs_are_asked(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.files["zai/glm/a b+c.gguf"] = MODEL
        await get("hf:zai/glm@v1.0/a b+c.gguf")
        await get("modelscope:zai/glm@v1.0/a b+c.gguf")
        assert [(one.method, one.target.partition("?sig")[0]) for one in hub.asked] == [
            ("HEAD", "/zai/glm/resolve/v1.0/a%20b%2Bc.gguf"),
            ("GET", "/zai/glm/resolve/v1.0/a%20b%2Bc.gguf"),
            ("GET", "/api/v1/models/zai/glm/repo/files?Revision=v1.0&Recursive=true"),
            ("GET", "/api/v1/models/zai/glm/repo?Revision=v1.0&FilePath=a+b%2Bc.gguf"),
        ]
        assert all("authorization" not in one.headers for one in hub.asked)
        assert (tmp_path / "hf/zai/glm@v1.0/a b+c.gguf").is_file()
        hub.asked.clear()
        await get(HF)
        await get(MODELSCOPE)
        assert "/resolve/main/" in hub.asked[0].target
        assert "Revision=master" in hub.asked[2].target

    run(tmp_path, test)


@BOTH
def test_a_broken_line_goes_on_where_it_broke(tmp_path: Path, source: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 100_000]
        assert (await get(source)).read_bytes() == MODEL
        ranges = [one.headers.get("range") for one in hub.downloads()]
        assert ranges == [None, "bytes=300000-", "bytes=400000-"]
        assert hub.downloads()[1].headers["if-range"] == '"v1"'

    run(tmp_path, test)


def test_a_later_start_goes_on(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 10, 10]
        await get.fails("Gave up after 3 attempts; start again to go on from here")
        assert get.part.read_bytes() == MODEL[:300_020]
        get.told.clear()
        assert (await get()).read_bytes() == MODEL
        assert get.told[0].done_bytes == 300_020

    run(tmp_path, test)


def test_ctrl_c_keeps_what_has_arrived(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.pause_s = 0.02
        task = asyncio.create_task(get())
        while len(hub.downloads()) < 1:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept = get.part.read_bytes()
        assert 0 < len(kept) < len(MODEL)
        assert MODEL.startswith(kept)
        hub.pause_s = 0
        assert (await get()).read_bytes() == MODEL
        assert hub.downloads()[-1].headers["range"] == f"bytes={len(kept)}-"

    run(tmp_path, test)


def test_cancelling_while_a_block_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_BLOCK_BYTES", 10_000)

    async def test(get: Download, hub: HubServer) -> None:
        hub.pause_s = 0.001
        for _ in range(8):
            task = asyncio.create_task(get())
            await asyncio.sleep(0.03)
            task.cancel()
            await asyncio.wait({task})
            if get.part.exists():
                assert MODEL.startswith(get.part.read_bytes())
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


def test_a_server_that_cannot_go_on_sends_all_of_it_again(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.ranges = False
        hub.cuts = [300_000]
        assert (await get()).read_bytes() == MODEL
        assert hub.downloads()[1].headers["range"] == "bytes=300000-"

    run(tmp_path, test)


def test_a_file_that_changed_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        changed = bytes(reversed(MODEL))
        hub.files["zai/glm/q4/glm.gguf"] = changed
        hub.etag = '"v2"'
        assert (await get()).read_bytes() == changed

    run(tmp_path, test)


def test_a_file_that_changes_during_the_download(tmp_path: Path) -> None:
    """The hub's answer is old, the storage has a new file of the same size: If-Range notices."""

    async def test(get: Download, hub: HubServer) -> None:
        hub.checksum = False
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        hub.alter = lambda content: bytes(reversed(content))
        hub.etag = '"v2"'
        assert (await get()).read_bytes() == bytes(reversed(MODEL))

    run(tmp_path, test)


def test_without_checksum_and_tag_two_halves_are_never_joined(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.checksum = False
        hub.etag = ""
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        assert (await get()).read_bytes() == MODEL
        assert "range" not in hub.downloads()[-1].headers

    run(tmp_path, test)


@pytest.mark.parametrize("note", [b"", b"not json", b'{"size": "x"}', b'{"size":9,"sha256":""}'])
def test_a_part_of_unknown_origin_is_begun_anew(tmp_path: Path, note: bytes) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        get.part.parent.mkdir(parents=True)
        get.part.write_bytes(b"something else")
        get.part.with_name("glm.gguf.part.json").write_bytes(note)
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


def test_a_part_that_is_too_long_is_begun_anew(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        get.part.write_bytes(MODEL + b"more")
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


def test_a_complete_part_only_needs_its_name(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        get.part.write_bytes(MODEL)
        asked = len(hub.downloads())
        assert (await get()).read_bytes() == MODEL
        assert len(hub.downloads()) == asked

    run(tmp_path, test)


def test_a_wrong_old_half_is_fetched_again(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        get.part.write_bytes(bytes(300_000))
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


@BOTH
def test_an_altered_file_is_refused(tmp_path: Path, source: str) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.alter = lambda content: content[:-1] + b"!"
        await get.fails(
            "arrived damaged: its checksum is .* instead of " + hashlib.sha256(MODEL).hexdigest(), source
        )
        assert not list(tmp_path.rglob("*.part"))

    run(tmp_path, test)


def test_sizes_that_do_not_agree(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.alter = lambda content: content[:-5]
        await get.fails("has a file of 699,996 bytes instead of the 700,001")
        hub.lengths = False
        hub.ranges = False
        await get.fails("ended early")
        hub.alter = lambda content: content + b"more"
        await get.fails("sends more than the 700,001 bytes")

    run(tmp_path, test)


@pytest.mark.parametrize("size", [0, -1, 1 << 60])
@BOTH
def test_sizes_that_cannot_be(tmp_path: Path, source: str, size: int) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.announced_size = size
        await get.fails("a size that cannot be", source)

    run(tmp_path, test)


def test_another_part_than_was_asked_for(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000]
        hub.range_shift = 5
        await get.fails("another part of the file")

    run(tmp_path, test)


def test_a_server_that_says_the_rest_does_not_exist(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000]
        hub.range_shift = 1 << 30
        # Begun anew, in full.
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


def test_too_little_disk_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        get.free = download.DISK_RESERVE_BYTES + len(MODEL) - 1
        await get.fails("needs 0.0 GB more in .* and 0.5 GB are free")
        assert hub.downloads() == []
        get.free += 1
        await get()

    run(tmp_path, test)


def test_a_part_that_is_there_needs_no_room(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        get.free = download.DISK_RESERVE_BYTES + len(MODEL) - 300_000
        await get()

    run(tmp_path, test)


def test_a_disk_that_fills_up_keeps_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # /dev/full is Linux's own full disk: every write to it fails with ENOSPC.
    async def test(get: Download, hub: HubServer) -> None:
        get.part.parent.mkdir(parents=True)
        hub.cuts = [300_000, 0, 0]
        await get.fails("Gave up")
        kept = get.part.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(download._Part, "append", lambda self, block: Path("/dev/full").write_bytes(block))
            await get.fails("is full. Free some space and start again")
        assert get.part.read_bytes() == kept
        assert (await get()).read_bytes() == MODEL

    run(tmp_path, test)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        (tmp_path / "hf").write_text("a file where a folder should be")
        await get.fails("cannot be written: Not a directory")

    run(tmp_path, test)


def test_a_split_model_is_fetched_whole(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        names = [f"q8/big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
        for number, name in enumerate(names):
            hub.files[f"zai/glm/{name}"] = MODEL[number * 100_000 :]
        path = await get(f"hf:zai/glm/{names[1]}")
        assert path == tmp_path / "hf/zai/glm" / names[0]
        assert sorted(file.name for file in path.parent.iterdir()) == [Path(name).name for name in names]
        assert {(told.part, told.parts) for told in get.told} == {(1, 3), (2, 3), (3, 3)}
        (tmp_path / "hf/zai/glm" / names[2]).unlink()
        hub.asked.clear()
        await get(f"hf:zai/glm/{names[0]}")
        assert all("00003-of" in one.target for one in hub.asked)

    run(tmp_path, test)


def test_two_downloads_of_one_file_fetch_it_once(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        hub.pause_s = 0.005
        first, second = await asyncio.gather(get(), get())
        assert first == second
        assert first.read_bytes() == MODEL
        assert len(hub.downloads()) == 1

    run(tmp_path, test)


def test_a_lock_left_by_a_dead_process_is_no_obstacle(tmp_path: Path) -> None:
    async def test(get: Download, hub: HubServer) -> None:
        lock = get.part.with_name("glm.gguf.lock")
        lock.parent.mkdir(parents=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            waiting = asyncio.create_task(get())
            await asyncio.sleep(0.1)
            assert not waiting.done()
        # Closing it is what the kernel does for a process that dies.
        assert (await waiting).read_bytes() == MODEL

    run(tmp_path, test)
