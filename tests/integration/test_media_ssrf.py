"""Nothing that a caller writes leads to an address that is not public: counted by listeners, not by what we say.

The same harness must find mistakes that others made, planted into the worker one at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
import pytest

from openbigmodel.catalog import load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.media import Fetcher, Media
from openbigmodel.media.task import FetchPolicy, Outcome, Task
from openbigmodel.schemas.chat import Message
from openbigmodel.settings import MediaSettings
from tests.conftest import SCALE
from tests.hostile_web import World, answer, png, world
from tests.media_worker import flipped
from tests.ssrf_catalogue import PUBLIC_NAME, PUBLIC_NAMES, PUBLIC_V4, PUBLIC_V6, catalogue

MODEL = load_catalog().find("glm-4.6v")
FLIPS = round(2000 * SCALE)
# A worker with a planted mistake is given some of the catalogue at a time until it is found out.
_AT_ONCE = 16

_Result = TypeVar("_Result")


@pytest.fixture
def web() -> Iterator[World]:
    with world() as opened:
        yield opened


def with_fetcher(command: tuple[str, ...], use: Callable[[Fetcher], Awaitable[_Result]]) -> _Result:
    async def run() -> _Result:
        fetcher = Fetcher(command=command)
        try:
            return await use(fetcher)
        finally:
            await fetcher.close()

    return asyncio.run(run())


def fetch(
    fetcher: Fetcher, url: str, ports: tuple[int, ...], timeout_s: float = 5.0
) -> Coroutine[Any, Any, Outcome]:
    """Straight to the worker, past everything that the platform judges before."""
    size = len(url.encode("utf-8", "surrogatepass"))
    policy = FetchPolicy(ports=ports, timeout_s=timeout_s)
    task = Task(kind="image", form="url", size=size, bytes_max=1 << 20, policy=policy)

    async def run() -> Outcome:
        return (await fetcher.run(task, url))[0]

    return run()


async def outcomes(fetcher: Fetcher, urls: list[str], ports: tuple[int, ...]) -> list[Outcome]:
    found: list[Outcome] = []
    for start in range(0, len(urls), 256):
        found += await asyncio.gather(*(fetch(fetcher, url, ports) for url in urls[start : start + 256]))
    return found


def urls_of(web: World) -> list[str]:
    return [case.url.replace("{port}", str(web.trap.port)) for case in catalogue()]


def test_the_catalogue_is_as_large_as_promised() -> None:
    assert len(catalogue()) >= 400


def test_what_is_public_is_fetched(web: World) -> None:
    urls = [f"http://{name}/image.png" for name in PUBLIC_NAMES]
    urls += [
        f"http://{PUBLIC_V4}/image.png",
        f"http://[{PUBLIC_V6}]/image.png",
        "http://中国.example/image.png",
    ]
    urls += [f"http://{PUBLIC_NAME}:443/image.png?a=b#c", f"HTTP://{PUBLIC_NAME.upper()}/image.png"]
    found = with_fetcher(web.command(), lambda fetcher: outcomes(fetcher, urls, web.ports))
    assert [(outcome.media_type, outcome.detail) for outcome in found] == [("image/png", "")] * len(urls)
    assert not web.trapped


def test_nothing_in_the_catalogue_is_fetched(web: World) -> None:
    urls = urls_of(web)
    found = with_fetcher(web.command(), lambda fetcher: outcomes(fetcher, urls, web.ports))
    assert [
        (url, outcome) for url, outcome in zip(urls, found, strict=True) if outcome.refusal != "unreachable"
    ] == []
    assert web.trapped == 0
    assert web.web.connections == 0


def test_nothing_in_the_catalogue_is_fetched_for_a_request(web: World) -> None:
    """The way of a caller, through each kind of part."""
    forms: list[Callable[[str], dict[str, object]]] = [
        lambda url: {"type": "image_url", "image_url": {"url": url}},
        lambda url: {"type": "image_url", "image_url": url},
        lambda url: {"type": "video_url", "video_url": {"url": url}},
        lambda url: {"type": "file", "file": {"file_url": url, "filename": "a.txt"}},
        lambda url: {"type": "file_url", "file_url": {"url": url}},
    ]
    urls = [url for url in urls_of(web) if "\ud800" not in url]

    async def ask(media: Media, number: int, url: str) -> object:
        done: asyncio.Future[list[Message] | ApiError] = asyncio.get_running_loop().create_future()
        content = [{"type": "text", "text": "?"}, forms[number % len(forms)](url)]
        messages = msgspec.convert([{"role": "user", "content": content}], list[Message])
        assert MODEL is not None
        media.prepare(messages, MODEL, done.set_result, "owner")
        return await done

    async def use(fetcher: Fetcher) -> list[object]:
        media = Media(MediaSettings(ports=web.ports), fetcher)
        found: list[object] = []
        for start in range(0, len(urls), 128):
            batch = enumerate(urls[start : start + 128], start)
            found += await asyncio.gather(*(ask(media, number, url) for number, url in batch))
        return found

    for url, result in zip(urls, with_fetcher(web.command(), use), strict=True):
        assert isinstance(result, ApiError), url
        assert (result.code, result.status) == ("1210", 400), url
        assert "messages[0].content[1]" in result.message("en"), url
    assert web.trapped == 0
    assert web.web.connections == 0


def test_no_redirect_leads_there_either(web: World) -> None:
    urls = [url for url in urls_of(web) if not any(character in url for character in "\r\n\x00\ud800")]
    urls = [url for url in urls if url.startswith(("http", "file", "ftp", "gopher", "//"))]
    for number, url in enumerate(urls):
        status = ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")[number % 5]
        location = b"location: " + url.encode() + b"\r\n"
        web.web.pages[f"/to/{number}"] = (
            f"HTTP/1.1 {status}\r\n".encode() + location + b"content-length: 0\r\n\r\n"
        )
    asked = [f"http://{PUBLIC_NAME}/to/{number}" for number in range(len(urls))]
    found = with_fetcher(web.command(), lambda fetcher: outcomes(fetcher, asked, web.ports))
    assert len(urls) > 400
    assert [(url, outcome) for url, outcome in zip(urls, found, strict=True) if not outcome.refusal] == []
    assert web.trapped == 0


def test_a_redirect_to_what_is_public_is_followed_three_times(web: World) -> None:
    for number in range(8):
        target = f"http://dual.example/hop/{number + 1}" if number % 2 else f"/hop/{number + 1}"
        web.web.pages[f"/hop/{number}"] = answer(b"", f"location: {target}\r\n", "302 Found")
    web.web.pages["/hop/8"] = answer(png())
    web.web.pages["/loop"] = answer(b"", "location: /loop\r\n", "302 Found")
    asked = [f"http://{PUBLIC_NAME}/{path}" for path in ("hop/5", "hop/4", "loop")]
    found = with_fetcher(web.command(), lambda fetcher: outcomes(fetcher, asked, web.ports))
    assert [outcome.refusal for outcome in found] == ["", "unreachable", "unreachable"]
    assert len([head for head in web.web.heads if " /loop " in head]) == 4


@pytest.mark.timeout(60 + 60 * SCALE)
def test_a_name_that_answers_otherwise_the_second_time_gains_nothing(web: World) -> None:
    """DNS rebinding: one answer is asked for, and that one is judged and used."""
    names = {
        "rebind-1.example": [[PUBLIC_V4], ["127.0.0.1"]],
        "rebind-2.example": [[PUBLIC_V4], ["169.254.169.254"], ["::1"]],
        "rebind-3.example": [["127.0.0.1"], [PUBLIC_V4]],
    }
    fixed = [f"http://{name}/image.png" for name in names]
    flips = [f"flip-{number}.example" for number in range(FLIPS)]

    async def use(fetcher: Fetcher) -> list[Outcome]:
        return await outcomes(fetcher, fixed + [f"http://{name}/image.png" for name in flips], web.ports)

    found = with_fetcher(web.command(names=names), use)
    assert [outcome.refusal for outcome in found[:3]] == ["", "", "unreachable"]
    for name, outcome in zip(flips, found[3:], strict=True):
        public = all(address.startswith("93.184.215.") for address in flipped(name, 0))
        assert (not outcome.refusal) == public, name
    assert web.trapped == 0


def test_addresses_of_this_machine_are_refused_although_they_are_public(web: World) -> None:
    [own] = with_fetcher(
        web.command(), lambda fetcher: outcomes(fetcher, ["http://93.184.215.99/"], web.ports)
    )
    assert own.refusal == "unreachable"
    assert "this machine's own" in own.detail


@pytest.mark.parametrize(
    "fault",
    [
        "first answer only",
        "resolves again",
        "redirects unjudged",
        "only private",
        "two parsers",
        "names unjudged",
    ],
)
def test_a_planted_mistake_is_found(web: World, fault: str) -> None:
    """Each of them makes at least one of the URLs above arrive in a trap."""
    urls = urls_of(web) + [f"http://flip-{number}.example/" for number in range(64)]
    bad = ("http://127.0.0.1:{port}/", "http://169.254.169.254/", "http://only-3.example/")
    for number, url in enumerate(bad):
        location = url.replace("{port}", str(web.trap.port))
        web.web.pages[f"/to/{number}"] = answer(b"", f"location: {location}\r\n", "302 Found")
        urls.append(f"http://{PUBLIC_NAME}/to/{number}")

    async def use(fetcher: Fetcher) -> None:
        # The newest families last in the catalogue, but first here: they are found out soonest.
        for start in range(len(urls), 0, -_AT_ONCE):
            await outcomes(fetcher, urls[max(0, start - _AT_ONCE) : start], web.ports)
            if web.trapped:
                return

    with_fetcher(web.command(fault), use)
    assert web.trapped > 0
