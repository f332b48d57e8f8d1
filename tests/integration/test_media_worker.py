"""The fetch worker among servers that misbehave, files that are bombs, and a platform that dies or loses interest."""

import asyncio
import base64
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from openbigmodel.catalog import load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.media import Fetcher, Media
from openbigmodel.media.fetcher import FetcherUnavailable
from openbigmodel.media.task import FetchPolicy, Outcome, Task
from openbigmodel.schemas.chat import MediaUrl, Message
from openbigmodel.settings import MediaSettings
from tests.hostile_web import Listener, Page, World, answer, drip, endless, png, world
from tests.office_files import docx, zip_of
from tests.ssrf_catalogue import PUBLIC_NAME

MODEL = load_catalog().find("glm-4.6v")
SITE = f"http://{PUBLIC_NAME}"
MIB = 1 << 20

_Result = TypeVar("_Result")


@pytest.fixture
def web() -> Iterator[World]:
    with world() as opened:
        yield opened


def with_fetcher(
    command: tuple[str, ...], use: Callable[[Fetcher], Awaitable[_Result]], **options: Any
) -> _Result:
    async def run() -> _Result:
        fetcher = Fetcher(command=command, **options)
        try:
            return await use(fetcher)
        finally:
            await fetcher.close()

    return asyncio.run(run())


async def fetch(
    fetcher: Fetcher, url: str, *, timeout_s: float = 5.0, bytes_max: int = MIB, host: str = ""
) -> Outcome:
    policy = FetchPolicy(timeout_s=timeout_s)
    task = Task(kind="image", form="url", size=len(url), bytes_max=bytes_max, policy=policy)
    return (await fetcher.run(task, url, host))[0]


async def read(fetcher: Fetcher, data: bytes, **limits: Any) -> Outcome:
    payload = base64.b64encode(data).decode()
    task = Task(kind="file", form="base64", size=len(payload), bytes_max=64 * MIB, **limits)
    return (await fetcher.run(task, payload))[0]


async def prepared(media: Media, *content: dict[str, object]) -> list[Message] | ApiError:
    done: asyncio.Future[list[Message] | ApiError] = asyncio.get_running_loop().create_future()
    messages = msgspec.convert([{"role": "user", "content": content}], list[Message])
    assert MODEL is not None
    media.prepare(messages, MODEL, done.set_result, "owner")
    return await done


def image(source: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": source}}


def file(data: bytes, name: str = "a") -> dict[str, object]:
    return {"type": "file", "file": {"file_data": base64.b64encode(data).decode(), "filename": name}}


def head(text: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + text.encode() + b"\r\n"


HOSTILE: dict[str, tuple[Page, str]] = {
    "body a byte at a time": (drip(answer(png()), 0.02), "unreachable"),
    "head a byte at a time": (drip(head("x: " + "y" * 1000 + "\r\n"), 0.02), "unreachable"),
    "endless body": (endless(head("")), "too_large"),
    "endless chunks": (
        endless(head("transfer-encoding: chunked\r\n"), b"ffff\r\n" + b"x" * 65535 + b"\r\n"),
        "too_large",
    ),
    "endless head": (endless(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 100), "unreachable"),
    "endless line": (endless(b"HTTP/1.1 200 OK\r\nx: "), "unreachable"),
    "endless continues": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "unreachable"),
    "more announced than allowed": (head("content-length: 99999999999\r\n") + b"x", "too_large"),
    "more announced than sent": (head("content-length: 5000\r\n") + png(), "unreachable"),
    "a length that is none": (head("content-length: -1\r\n"), "damaged"),
    "a chunk cut short": (head("transfer-encoding: chunked\r\n") + b"ff\r\nabc", "unreachable"),
    "packed": (answer(b"\x1f\x8b" + b"0" * 99, "content-encoding: gzip\r\n"), "unreachable"),
    "no HTTP": (b"220 smtp ready\r\n", "unreachable"),
    "nothing": (b"", "unreachable"),
    "a redirect to nowhere": (answer(b"", status="302 Found"), "unreachable"),
    "not found": (answer(b"", status="404 Not Found"), "status"),
    "part of it": (answer(png(), status="206 Partial Content"), "status"),
    "a page instead of an image": (answer(b"<html>sign in</html>", "content-type: image/png\r\n"), "format"),
    "an image of another type": (answer(png(), "content-type: text/html\r\n"), ""),
    "empty": (answer(b""), "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_server_is_refused_in_time(web: World, case: str) -> None:
    web.web.pages["/x"], refusal = HOSTILE[case]

    async def use(fetcher: Fetcher) -> tuple[Outcome, float]:
        await fetch(fetcher, f"{SITE}/image.png")
        begun_s = time.monotonic()
        return await fetch(fetcher, f"{SITE}/x", timeout_s=1.0), time.monotonic() - begun_s

    outcome, took_s = with_fetcher(web.command(), use)
    assert outcome.refusal == refusal
    assert took_s < 2.5


def test_the_status_of_a_public_server_is_told(web: World) -> None:
    web.web.pages["/x"] = answer(b"", status="403 Forbidden")

    async def use(fetcher: Fetcher) -> object:
        return await prepared(Media(MediaSettings(), fetcher), image(f"{SITE}/x"))

    error = with_fetcher(web.command(), use)
    assert isinstance(error, ApiError)
    assert "403" in error.message("zh")


def test_a_request_carries_nothing_that_identifies(web: World) -> None:
    cookie = "set-cookie: a=b; path=/\r\nlocation: /image.png\r\n"
    web.web.pages["/x"] = answer(b"", cookie, "302 Found")
    assert not with_fetcher(web.command(), lambda fetcher: fetch(fetcher, f"{SITE}/x")).refusal
    for sent in web.web.heads:
        names = [line.partition(":")[0].lower() for line in sent.split("\r\n")[1:] if line]
        assert names == ["host", "user-agent", "accept", "accept-encoding", "connection"]
        assert f"Host: {PUBLIC_NAME}\r\n" in sent
        assert "Accept-Encoding: identity" in sent


def test_proxies_and_secrets_of_the_environment_stay_outside(
    web: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "BIGMODEL_SECRET", "PYTHONPATH"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{web.trap.port}")

    async def use(fetcher: Fetcher) -> tuple[Outcome, bytes]:
        outcome = await fetch(fetcher, f"{SITE}/image.png")
        return outcome, Path(f"/proc/{fetcher.pid}/environ").read_bytes()

    outcome, environment = with_fetcher(web.command(), use)
    assert not outcome.refusal
    assert environment.strip(b"\0").split(b"\0") == [b"LANG=C.UTF-8"]
    assert not web.trapped


def test_https_is_verified_for_the_name_in_the_url(web: World, tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x".split()
    command += ["-addext", f"subjectAltName=DNS:{PUBLIC_NAME}", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    names: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    web.web.close()
    web.web = Listener({"/image.png": answer(png())}, tls=tls)

    async def use(fetcher: Fetcher) -> list[str]:
        urls = [f"https://{PUBLIC_NAME}/image.png", "https://dual.example/image.png"]
        return [(await fetch(fetcher, url)).refusal for url in urls]

    assert with_fetcher(web.command(trusted=tmp_path / "cert.pem"), use) == ["", "unreachable"]
    assert with_fetcher(web.command(), use) == ["unreachable", "unreachable"]
    assert names == [PUBLIC_NAME, "dual.example"] * 2


def test_a_resolver_that_hangs_is_ended_by_the_clock(web: World) -> None:
    begun_s = time.monotonic()
    outcome = with_fetcher(
        web.command(), lambda fetcher: fetch(fetcher, "http://stuck.example/", timeout_s=0.5)
    )
    assert outcome == Outcome(refusal="unreachable", detail=f"its process ended with status {signal.SIGALRM}")
    assert time.monotonic() - begun_s < 3


def test_who_leaves_ends_the_download(web: World) -> None:
    web.web.pages["/x"] = endless(head(""), b"x")

    async def use(fetcher: Fetcher) -> list[object]:
        media = Media(MediaSettings(), fetcher)
        told: list[object] = []
        messages = msgspec.convert([{"role": "user", "content": [image(f"{SITE}/x")]}], list[Message])
        assert MODEL is not None
        preparation = media.prepare(messages, MODEL, told.append, "owner")
        while not web.web.heads:
            await asyncio.sleep(0.005)
        preparation.cancel()
        assert await asyncio.to_thread(web.web.left.wait, 2.0)
        assert not (await fetch(fetcher, f"{SITE}/image.png")).refusal
        return told

    assert with_fetcher(web.command(), use) == []


def test_what_is_the_same_is_fetched_once(web: World) -> None:
    async def use(fetcher: Fetcher) -> object:
        return await prepared(Media(MediaSettings(), fetcher), *[image(f"{SITE}/image.png")] * 5)

    messages = with_fetcher(web.command(), use)
    assert isinstance(messages, list)
    content = messages[0].content
    assert isinstance(content, list)
    expected = MediaUrl("data:image/png;base64," + base64.b64encode(png()).decode())
    assert [part.image_url for part in content] == [expected] * 5
    assert web.web.connections == 1


def test_one_slow_host_leaves_room_for_others(web: World) -> None:
    web.web.pages["/slow"] = drip(answer(png()), 0.05)

    async def use(fetcher: Fetcher) -> float:
        slow = [
            asyncio.create_task(fetch(fetcher, f"{SITE}/slow", host="slow", timeout_s=2.0)) for _ in range(8)
        ]
        await asyncio.sleep(0.2)
        begun_s = time.monotonic()
        assert not (await fetch(fetcher, f"{SITE}/image.png", host="other")).refusal
        took_s = time.monotonic() - begun_s
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)
        return took_s

    assert with_fetcher(web.command(), use, concurrency=4) < 1.5


BOMBS: dict[str, tuple[Callable[[], bytes], dict[str, int], str]] = {
    "zip that unpacks to gigabytes": (lambda: docx(b" " * 140_000_000), {}, "damaged"),
    "entities that multiply": (
        lambda: zip_of(
            {"word/document.xml": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'}
        ),
        {},
        "damaged",
    ),
    "entity that is a file": (
        lambda: zip_of(
            {"word/document.xml": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x><t>&a;</t></x>'}
        ),
        {},
        "damaged",
    ),
    "XML nested without end": (lambda: docx(b"<p>" * 100_000), {}, "damaged"),
    "more CPU than allowed": (lambda: docx(b"<a/>" * 10_000_000), {"cpu_s": 1}, "damaged"),
    "more memory than allowed": (lambda: b"text " * 4_000_000, {"memory_bytes": 100 * MIB}, "damaged"),
    "more text than anybody reads": (lambda: b"text " * 2_000_000, {}, "too_much_text"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_only_its_own_process(web: World, bomb: str) -> None:
    make, limits, refusal = BOMBS[bomb]
    data = make()

    async def use(fetcher: Fetcher) -> tuple[Outcome, Outcome, bool]:
        await read(fetcher, b"text")
        pid = fetcher.pid
        outcome = await read(fetcher, data, **limits)
        return outcome, await read(fetcher, b"text"), fetcher.pid == pid

    outcome, after, same_worker = with_fetcher(web.command(), use)
    assert outcome.refusal == refusal
    assert not after.refusal
    assert same_worker


def test_bad_media_names_its_place(web: World) -> None:
    whole = png(64, 64)
    cases: list[tuple[dict[str, object], str]] = [
        (image(base64.b64encode(whole[:-20]).decode()), "不完整"),
        (
            image("data:image/png;base64," + base64.b64encode(png(claim=(50_000, 50_000))).decode()),
            "6000×6000",
        ),
        (image(base64.b64encode(b"GIF89a" + b"\2\0" * 8 + b"\x3b").decode()), "png"),
        (image(base64.b64encode(b"<svg onload=alert(1)>").decode()), "png"),
        (image("data:image/png;base64,####"), "base64"),
        (image("data:image/png,abc"), "base64"),
        (image("图片"), "base64"),
        (image(base64.b64encode(whole + b"\0" * 5 * MIB).decode()), "5 MB"),
        ({"type": "video_url", "video_url": {"url": base64.b64encode(whole).decode()}}, "mp4"),
        (file(zip_of({"a": b"b"})), "pdf"),
        (file(b"%PDF-1.7\n" + b"\xff" * 100), "损坏"),
        (file(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old.doc"), "pdf"),
        (file(whole, "a.txt"), "pdf"),
    ]

    async def use(fetcher: Fetcher) -> list[object]:
        media = Media(MediaSettings(), fetcher)
        text: dict[str, object] = {"type": "text", "text": "?"}
        return [await prepared(media, text, text, part) for part, _ in cases]

    for (part, words), error in zip(cases, with_fetcher(web.command(), use), strict=True):
        assert isinstance(error, ApiError), part
        assert error.code == "1210"
        message = error.message("zh")
        assert "messages[0].content[2]" in message
        assert words in message, message


def test_a_worker_that_dies_is_replaced_and_asked_again(web: World) -> None:
    web.web.pages["/slow"] = drip(answer(png()), 0.002)
    notes: list[str] = []

    async def use(fetcher: Fetcher) -> tuple[Outcome, int | None, int | None]:
        await fetch(fetcher, f"{SITE}/image.png")
        first = fetcher.pid
        assert first is not None
        asked = asyncio.create_task(fetch(fetcher, f"{SITE}/slow"))
        while len(web.web.heads) < 2:
            await asyncio.sleep(0.005)
        os.kill(first, signal.SIGKILL)
        return await asked, first, fetcher.pid

    outcome, first, second = with_fetcher(web.command(), use, note=notes.append)
    assert not outcome.refusal
    assert first != second
    assert len(notes) == 1
    assert web.web.connections == 3


def test_a_worker_that_cannot_start_is_unavailable() -> None:
    async def use(fetcher: Fetcher) -> list[str]:
        found = []
        for _ in range(4):
            with pytest.raises(FetcherUnavailable) as raised:
                await fetch(fetcher, "http://a.example/")
            found.append(str(raised.value))
        return found

    notes: list[str] = []
    dying = (sys.executable, "-c", "raise SystemExit('it is broken')")
    assert with_fetcher(dying, use, note=notes.append)[-1] == "the fetch worker dies again and again"
    assert "it is broken" in notes[0]
    assert "cannot be started" in with_fetcher(("/nowhere/python",), use)[0]


PARENT = """
import asyncio, sys
from openbigmodel.media import Fetcher
from openbigmodel.media.task import Task

async def main():
    fetcher = Fetcher()
    await fetcher.run(Task(kind="file", form="base64", size=4, bytes_max=9), "YWJj")
    print(fetcher.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_worker_ends_with_the_platform() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    deadline_s = time.monotonic() + 5
    while _lives(worker):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return re.search(r"State:\s+Z", Path(f"/proc/{pid}/status").read_text()) is None
    except FileNotFoundError:
        return False
