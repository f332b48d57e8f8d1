"""Images and files in a chat, through the real server: what the engine gets, and what is refused before it is asked.

caller → server ──→ kind openai     bytes and text, never a URL
                └─→ kind glm        the caller's own words
"""

import base64
import http.server
import json
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from openbigmodel.engines.fake_script import Reply
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import ServerProcess, server, wait_until

REPLY = Reply(content=("a ", "picture"))
WHOLE = REPLY.body()


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\x7f" * 3 * width for _ in range(height)))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PNG = _png(8, 8)
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


class Site:
    """A web site on loopback that shows one picture, and remembers who came."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        visits = self.visits

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                visits.append(self.path)
                self.send_response(200)
                self.send_header("content-length", str(len(PNG)))
                self.end_headers()
                self.wfile.write(PNG)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[ThreadedFakeEngine]:
    with fake_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, engine: ThreadedFakeEngine, site: Site
) -> Iterator[ServerProcess]:
    config = f"""
[media]
allow_private = ["127.0.0.2"]
ports = [{site.port}]
[[engines]]
name = "eyes"
kind = "openai"
profile = "vllm"
base_url = "{engine.engine.endpoint.url}"
[[engines]]
name = "cloud"
kind = "glm"
base_url = "{engine.engine.endpoint.url}"
[[models]]
id = "glm-4.5v"
engine = "eyes"
[[models]]
id = "glm-4.6v"
engine = "cloud"
[[models]]
id = "glm-4.6"
engine = "eyes"
[[models]]
id = "house-eyes"
engine = "eyes"
inputs = ["text", "image"]
"""
    with server(tmp_path_factory.mktemp("media"), config=config) as process:
        yield process.started()


def ask(platform: ServerProcess, *parts: dict[str, Any], model: str = "glm-4.5v") -> Any:
    content = [{"type": "text", "text": "What is it?"}, *parts]
    return platform.ask(platform.key, model=model, messages=[{"role": "user", "content": content}]).reply()


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def sent(engine: ThreadedFakeEngine) -> list[dict[str, Any]]:
    """The parts that the engine got last."""
    content = engine.requests[-1].json["messages"][-1]["content"]
    assert isinstance(content, list | str)
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


@pytest.mark.parametrize("form", ["data URL", "bare base64", "text instead of an object"])
@pytest.mark.parametrize("model", ["glm-4.5v", "house-eyes"])
def test_an_image_reaches_the_engine_as_bytes(
    platform: ServerProcess, engine: ThreadedFakeEngine, form: str, model: str
) -> None:
    engine.play(WHOLE)
    part = image(DATA_URL if form == "data URL" else DATA_URL.partition(",")[2])
    if form.startswith("text"):
        part["image_url"] = DATA_URL
    assert ask(platform, part, model=model).status == 200
    assert sent(engine) == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
    ]


def test_a_file_reaches_the_engine_as_text(platform: ServerProcess, engine: ThreadedFakeEngine) -> None:
    engine.play(WHOLE)
    text = base64.b64encode("姓名,岁数\n小明,7\n".encode()).decode()
    part = {"type": "file", "file": {"file_data": f"data:text/csv;base64,{text}", "filename": "学生.csv"}}
    assert ask(platform, part, model="glm-4.5v").status == 200
    told = json.dumps(sent(engine), ensure_ascii=False)
    assert "学生.csv" in told
    assert "小明,7" in told
    assert "base64" not in told


def test_an_allowed_url_is_fetched_by_the_platform(
    platform: ServerProcess, engine: ThreadedFakeEngine, site: Site
) -> None:
    if not _has_address("127.0.0.2"):
        pytest.skip("only 127.0.0.1 is this machine here")
    server_on_2 = http.server.ThreadingHTTPServer(("127.0.0.2", site.port), site._server.RequestHandlerClass)
    threading.Thread(target=server_on_2.serve_forever, daemon=True).start()
    try:
        engine.play(WHOLE)
        before = len(site.visits)
        assert ask(platform, image(f"http://127.0.0.2:{site.port}/cat.png")).status == 200
        assert site.visits[before:] == ["/cat.png"]
        assert sent(engine)[1] == {"type": "image_url", "image_url": {"url": DATA_URL}}
    finally:
        server_on_2.shutdown()
        server_on_2.server_close()


def _has_address(address: str) -> bool:
    try:
        socket.create_server((address, 0)).close()
    except OSError:
        return False
    return True


def test_a_forbidden_url_is_1210_and_nobody_is_asked(
    platform: ServerProcess, engine: ThreadedFakeEngine, site: Site
) -> None:
    visits, asked = len(site.visits), len(engine.requests)
    for host in ("127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"):
        reply = ask(platform, image(f"http://{host}:{site.port}/secret.png"))
        assert (reply.status, reply.json["error"]["code"]) == (400, "1210"), host
        assert "messages[0].content[1]" in reply.json["error"]["message"]
    assert len(site.visits) == visits
    assert len(engine.requests) == asked


@pytest.mark.parametrize(
    ("part", "model"),
    [
        (image("data:image/png;base64,aGVsbG8="), "glm-4.5v"),  # no image
        (image(DATA_URL), "glm-4.6"),  # a model without eyes
        ({"type": "file", "file": {"file_id": "file-1"}}, "glm-4.5v"),
    ],
)
def test_bad_media_are_told_before_anybody_is_asked(
    platform: ServerProcess, engine: ThreadedFakeEngine, part: dict[str, Any], model: str
) -> None:
    asked = len(engine.requests)
    reply = ask(platform, part, model=model)
    assert (reply.status, reply.json["error"]["code"]) == (400, "1210")
    assert len(engine.requests) == asked


@pytest.fixture(scope="module")
def try_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo model, which answers for models that can see."""
    with server(tmp_path_factory.mktemp("try-out")) as process:
        yield process.started()


@pytest.mark.parametrize("url", [DATA_URL, "http://127.0.0.1:9/nowhere.png"])
def test_the_demo_model_says_that_it_cannot_see(try_out: ServerProcess, url: str) -> None:
    reply = ask(try_out, image(url), model="glm-4.6v")

    assert (reply.status, reply.json["error"]["code"]) == (400, "1210")
    assert reply.json["error"]["message"] == (
        "messages[0].content[1].type 参数非法：该模型背后的引擎不支持图片。"
        "请去掉这一部分，或请运营者为该模型配置支持图片的引擎。"
    )


def test_another_glm_platform_gets_the_callers_own_words(
    platform: ServerProcess, engine: ThreadedFakeEngine, site: Site
) -> None:
    visits = len(site.visits)
    parts = [
        image(f"http://127.0.0.1:{site.port}/inner.png"),
        {"type": "file", "file": {"file_id": "file-1", "unheard_of": 2**60 + 1}},
        {"type": "hologram", "hologram": {"url": "x"}},
    ]
    engine.play(WHOLE)
    assert ask(platform, *parts, model="glm-4.6v").status == 200
    assert sent(engine)[1:] == parts
    assert len(site.visits) == visits


def test_the_log_shows_no_picture(platform: ServerProcess, engine: ThreadedFakeEngine) -> None:
    engine.play(WHOLE)
    assert ask(platform, image(DATA_URL)).status == 200
    assert ask(platform, image(DATA_URL), model="glm-4.6").status == 400
    wait_until(lambda: any(record.get("code") == "1210" for record in platform.records))
    assert not any(DATA_URL[30:60] in json.dumps(record) for record in platform.records)
