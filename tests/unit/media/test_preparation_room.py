"""The room that prepared media take: whose it is, when it is free again, and that nothing outlives the request."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from openbigmodel.catalog import load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.media.fetcher import Expect, Fetcher
from openbigmodel.media.preparation import Media, Preparation, _Request
from openbigmodel.media.task import Outcome, Task
from openbigmodel.schemas.chat import Message
from openbigmodel.settings import MediaSettings
from tests.newcomers import newcomers

MIB = 1 << 20
MODEL = load_catalog().find("glm-4.6v")


class Web(Fetcher):
    """Each URL is a text of so many MiB; `read` has those that were not only looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []
        self.open = asyncio.Event()
        self.open.set()

    async def run(
        self,
        task: Task,
        payload: str,
        host: str = "",
        expect: Expect = lambda size: None,
        owner: str = "",
    ) -> tuple[Outcome, bytes]:
        if task.form == "base64":
            return Outcome(media_type="image/png", kept=True), b""
        size = int(payload.rpartition("/")[2])
        expect(size * MIB)
        await self.open.wait()
        self.read.append(size)
        return Outcome(media_type="text/plain"), b"a" * (size * MIB)


def page(mib: int, name: str = "") -> dict[str, Any]:
    return {"type": "file", "file": {"file_url": f"https://a.example/{name}/{mib}"}}


def started(media: Media, owner: str, *parts: Any) -> tuple[Preparation, asyncio.Future[Any]]:
    assert MODEL is not None
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    messages = msgspec.convert([{"role": "user", "content": parts}], list[Message])
    return media.prepare(messages, MODEL, done.set_result, owner), done


async def prepared(media: Media, owner: str, *parts: Any) -> tuple[Preparation, Any]:
    preparation, done = started(media, owner, *parts)
    return preparation, await done


def with_web(use: Callable[[Media, Web], Awaitable[None]]) -> None:
    async def run() -> None:
        web = Web()
        await use(Media(MediaSettings(held_mb=120), web), web)

    asyncio.run(run())


def test_what_was_fetched_takes_room_in_the_messages_and_in_what_the_engine_is_sent() -> None:
    async def use(media: Media, web: Web) -> None:
        preparation, result = await prepared(media, "a", page(3), page(3), page(2))
        assert isinstance(result, list)
        assert web.read == [3, 2]
        # The same page stands once in memory and twice in the request.
        assert media.room.taken == (3 + 2 + 3 + 3 + 2) * MIB
        preparation.leave()
        preparation.leave()
        assert media.room.taken == 0

    with_web(use)


def test_one_account_gets_a_third_and_others_find_room() -> None:
    async def use(media: Media, web: Web) -> None:
        first, _ = await prepared(media, "a", page(15))
        refused, error = await prepared(media, "a", page(6))
        assert isinstance(error, ApiError)
        assert (error.code, error.status, error.retry_after_s) == ("1305", 429, 2)
        assert "held_mb" in refused.detail
        assert media.room.taken == 30 * MIB
        other, result = await prepared(media, "b", page(15))
        assert isinstance(result, list)

        first.leave()
        other.leave()
        again, result = await prepared(media, "a", page(15))
        assert isinstance(result, list)
        again.leave()
        assert media.room.taken == 0

    with_web(use)


def test_nothing_is_read_for_which_there_is_no_room() -> None:
    async def use(media: Media, web: Web) -> None:
        await prepared(media, "a", page(18))
        web.read.clear()
        _, error = await prepared(media, "a", page(5))
        assert isinstance(error, ApiError)
        assert web.read == []

    with_web(use)


def test_what_would_never_find_room_is_too_large() -> None:
    async def use(media: Media, web: Web) -> None:
        _, error = await prepared(media, "a", page(15), page(6, "other"))
        assert isinstance(error, ApiError)
        assert error.code == "1210"
        assert media.room.taken == 0

    with_web(use)


def test_several_large_pictures_at_once_are_usual() -> None:
    async def run() -> None:
        media = Media(MediaSettings(), Web())
        for _ in range(6):
            # 20 MiB are 27 as base64.
            assert isinstance((await prepared(media, "a", page(27)))[1], list)
        assert isinstance((await prepared(media, "b", page(27)))[1], list)

    asyncio.run(run())


def test_the_callers_own_bytes_take_no_room() -> None:
    async def use(media: Media, web: Web) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4 * MIB}}
        for _ in range(30):
            assert isinstance((await prepared(media, "a", picture))[1], list)
        assert media.room.taken == 0

    with_web(use)


@pytest.mark.parametrize("how", ["is refused", "leaves", "comes to nothing"])
def test_what_was_made_is_gone_without_the_garbage_collector(how: str) -> None:
    async def use(media: Media, web: Web) -> None:
        if how == "is refused":
            preparation, done = started(media, "a", page(1), page(2), page(30))
        elif how == "comes to nothing":
            preparation, done = started(
                media, "a", page(1), {"type": "image_url", "image_url": {"url": "http://["}}
            )
        else:
            web.open.clear()
            preparation, done = started(media, "a", page(1), page(2))
            await asyncio.sleep(0.01)
            preparation.cancel()
        await asyncio.sleep(0.01)
        assert done.done() == (how != "leaves")
        assert media.room.taken == 0
        left = weakref.ref(preparation)
        del preparation, done
        await asyncio.sleep(0)
        assert left() is None
        assert not preparing()

    with newcomers(_Request) as preparing:
        with_web(use)
