"""With the real worker, and what needs no network."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from openbigmodel.catalog import Model, load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.media import preparation as module
from openbigmodel.media.fetcher import Expect, Fetcher
from openbigmodel.media.preparation import Media, Preparation
from openbigmodel.media.task import Outcome, Task
from openbigmodel.schemas.chat import ContentPart, Message
from openbigmodel.settings import MediaSettings
from tests.hostile_web import png
from tests.unit.media.test_recordings import mp4

CATALOG = load_catalog()


def model(name: str = "glm-4.6v") -> Model:
    found = CATALOG.find(name)
    assert found is not None
    return found


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def file(data: bytes, **fields: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": b64(data), **fields}}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


Result = list[Message] | ApiError


async def prepared(
    media: Media, raw: list[dict[str, Any]], name: str = "glm-4.6v"
) -> tuple[Result, Preparation]:
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    messages = msgspec.convert(raw, list[Message])
    before = msgspec.json.encode(messages)
    preparation = media.prepare(messages, model(name), done.set_result, "owner")
    assert not done.done()
    result = await done
    assert msgspec.json.encode(messages) == before
    return result, preparation


def with_media(use: Callable[[Media], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        media = Media(MediaSettings(**settings), Fetcher())
        try:
            await use(media)
        finally:
            await media.close()

    asyncio.run(run())


def test_every_kind_reaches_the_engine_as_bytes_or_text() -> None:
    picture, film = b64(png(56, 28)), b64(mp4())
    raw = [
        {"role": "system", "content": "s"},
        user(
            {"type": "text", "text": "?"},
            image(picture),
            image(f"data:image/jpeg;base64,{picture}"),
            {"type": "video_url", "video_url": film},
            file("甲,乙".encode("gb18030"), filename="表 <1>.csv"),
            file(b"text"),
        ),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": [{"type": "text", "text": "t"}, image(picture)], "tool_call_id": "c"},
    ]

    async def use(media: Media) -> None:
        result, preparation = await prepared(media, raw)
        assert isinstance(result, list)
        built = msgspec.to_builtins(result)
        url = {"url": f"data:image/png;base64,{picture}"}
        assert built[1]["content"] == [
            {"type": "text", "text": "?"},
            {"type": "image_url", "image_url": url},
            {"type": "image_url", "image_url": url},
            {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{film}"}},
            {"type": "text", "text": '<file name="表 1.csv">\n甲,乙\n</file>'},
            {"type": "text", "text": '<file name="file">\ntext\n</file>'},
        ]
        assert built[3]["content"][1] == {"type": "image_url", "image_url": url}
        assert result[0].content == "s"
        assert result[2].tool_calls is not None
        assert preparation.prompt_tokens > 65_536
        assert preparation.detail == ""

    with_media(use)


def test_a_sound_keeps_its_format() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": b64(b"RIFF\0\0\0\0WAVE"), "format": "mp3"}}

    async def use(media: Media) -> None:
        result, _ = await prepared(media, [user(sound)], "glm-4-voice")
        assert isinstance(result, list)
        [part] = msgspec.to_builtins(result)[0]["content"]
        assert part["input_audio"] == {"data": b64(b"RIFF\0\0\0\0WAVE"), "format": "wav"}

    with_media(use)


def test_messages_of_text_alone_start_no_worker() -> None:
    async def use(media: Media) -> None:
        result, _ = await prepared(media, [user({"type": "text", "text": "a"})])
        assert isinstance(result, list)
        assert media._fetcher.pid is None

    with_media(use)


def test_urls_can_be_switched_off() -> None:
    async def use(media: Media) -> None:
        error, _ = await prepared(media, [user(image("https://a.example/"))])
        assert isinstance(error, ApiError)
        assert "请改用base64" in error.message("zh")
        assert media._fetcher.pid is None

    with_media(use, allow_urls=False)


def test_a_refused_part_ends_the_others_and_is_named() -> None:
    async def use(media: Media) -> None:
        error, preparation = await prepared(
            media, [user(image(b64(png())), image(b64(png()[:-1])), file(b"text"))]
        )
        assert isinstance(error, ApiError)
        assert error.code == "1210"
        assert "messages[0].content[1].image_url" in error.message("en")
        assert preparation.detail == "messages[0].content[1].image_url: damaged cut off"
        assert asyncio.all_tasks() == {asyncio.current_task()} | {
            task for task in asyncio.all_tasks() if "stderr" in repr(task)
        }

    with_media(use)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (image("http://u:p@a.example/"), "公开访问"),
        (image("图片"), "base64"),
        (image("A" * (8 << 20)), "5 MB"),
        (image("https://a.example/\ud800"), "公开访问"),
    ],
)
def test_some_mistakes_need_no_worker(part: dict[str, Any], words: str) -> None:
    async def use(media: Media) -> None:
        messages = [Message("user", [msgspec.convert(part, ContentPart)])]
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        media.prepare(messages, model(), done.set_result, "owner")
        error = await done
        assert isinstance(error, ApiError)
        assert words in error.message("zh")
        assert media._fetcher.pid is None

    with_media(use, max_mb=20)


def test_all_media_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_BYTES_MAX", 250)

    async def use(media: Media) -> None:
        assert isinstance((await prepared(media, [user(file(b"a" * 200))]))[0], list)
        error, _ = await prepared(media, [user(file(b"a" * 200), file(b"b" * 200))])
        assert isinstance(error, ApiError)
        assert error.code == "1210"

    with_media(use)


class OnePage(Fetcher):
    """A web in which every URL is the same text of a hundred bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    async def run(
        self,
        task: Task,
        payload: str,
        host: str = "",
        expect: Expect = lambda size: None,
        owner: str = "",
    ) -> tuple[Outcome, bytes]:
        self.fetched.append(payload)
        expect(100)
        return Outcome(media_type="text/plain"), b"a" * 100


def test_what_is_fetched_once_counts_as_often_as_it_stands_in_the_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REQUEST_BYTES_MAX", 350)
    page = {"type": "file", "file": {"file_url": "https://a.example/text", "filename": "a"}}
    other = {"type": "file", "file": {"file_url": "https://a.example/other", "filename": "b"}}

    async def run() -> None:
        fetcher = OnePage()
        media = Media(MediaSettings(), fetcher)
        result, preparation = await prepared(media, [user(page, page), user(page)])
        assert isinstance(result, list)
        assert fetcher.fetched == ["https://a.example/text"]
        assert preparation.prompt_tokens == 3 * 164

        fetcher.fetched.clear()
        error, preparation = await prepared(media, [user(page, page), user(other, page)])
        assert isinstance(error, ApiError)
        assert (error.code, error.field) == ("1210", "messages[1].content[1].file.file_url")
        assert len(fetcher.fetched) == 2

    asyncio.run(run())


class SilentFetcher(Fetcher):
    """Its servers never answer."""

    async def run(
        self,
        task: Task,
        payload: str,
        host: str = "",
        expect: Expect = lambda size: None,
        owner: str = "",
    ) -> tuple[Outcome, bytes]:
        if task.form == "url":
            await asyncio.Event().wait()
        return Outcome(media_type="text/plain", size=4), owner.encode()


def test_requests_that_are_prepared_are_bounded_for_each_account() -> None:
    async def run() -> None:
        media = Media(MediaSettings(), SilentFetcher())
        messages = msgspec.convert(
            [user({"type": "file", "file": {"file_url": "http://a.example/"}})], list[Message]
        )
        told: list[Result] = []
        alone = module.PREPARING_MAX // 3
        held = [media.prepare(messages, model(), told.append, "a") for _ in range(alone + 1)]
        await asyncio.sleep(0.01)
        [error] = told
        assert isinstance(error, ApiError)
        assert (error.code, error.retry_after_s) == ("1305", 2)
        assert "account" in held[-1].detail

        # Another account does not notice.
        result, _ = await prepared(media, [user(file(b"text"))])
        assert isinstance(result, list)
        content = result[0].content
        assert isinstance(content, list)
        # The worker is told whose it is.
        assert content[0].text == '<file name="file">\nowner\n</file>'

        tasks = [preparation.task for preparation in held if preparation.task is not None]
        for preparation in held:
            preparation.cancel()
        await asyncio.wait(tasks)
        assert not media._places.taken and not media._preparing

    asyncio.run(run())


def test_without_a_worker_the_platform_is_overloaded() -> None:
    async def run() -> None:
        media = Media(MediaSettings(), Fetcher(command=("/nowhere/python",)))
        error, preparation = await prepared(media, [user(file(b"text"))])
        assert isinstance(error, ApiError)
        assert (error.code, error.status) == ("1305", 429)
        assert "cannot be started" in preparation.detail
        await media.close()

    asyncio.run(run())


class BrokenFetcher(Fetcher):
    async def run(
        self,
        task: Task,
        payload: str,
        host: str = "",
        expect: Expect = lambda size: None,
        owner: str = "",
    ) -> tuple[Outcome, bytes]:
        raise RuntimeError("a mistake of ours")


def test_a_mistake_of_ours_is_an_answer_as_well() -> None:
    async def run() -> None:
        error, preparation = await prepared(Media(MediaSettings(), BrokenFetcher()), [user(file(b"text"))])
        assert isinstance(error, ApiError)
        assert error.status == 500
        assert "a mistake of ours" in preparation.detail

    asyncio.run(run())


def test_who_cancels_is_not_told() -> None:
    async def use(media: Media) -> None:
        told: list[Result] = []
        messages = msgspec.convert([user(file(b"text"))], list[Message])
        for pause_s in (0.0, 0.001, 0.05):
            preparation = media.prepare(messages, model(), told.append, "owner")
            task = preparation.task
            assert task is not None
            await asyncio.sleep(pause_s)
            preparation.cancel()
            await asyncio.wait({task})
            assert preparation.task is None and not media.room.taken
            if told:
                assert pause_s
                told.clear()
            preparation.cancel()
        assert not media._preparing

    with_media(use)


def test_the_tokens_of_media_are_bounded_from_above() -> None:
    async def use(media: Media) -> None:
        for data, tokens in ((png(28, 28), 4096), (png(2800, 2800), 101 * 101)):
            _, preparation = await prepared(media, [user(image(b64(data)))])
            assert preparation.prompt_tokens == tokens
        _, preparation = await prepared(media, [user(file(b"a" * 1000))])
        assert preparation.prompt_tokens == 1064

    with_media(use)
