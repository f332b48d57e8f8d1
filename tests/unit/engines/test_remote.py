import pytest

from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Reply
from openbigmodel.engines.remote import RemoteEngine, endpoint_of
from openbigmodel.engines.translate import OPENAI
from tests.unit.engines.engine_listener import Listener, run, until


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://gpu:8000/v1", Endpoint("gpu", 8000)),
        ("http://gpu:8000/v1/", Endpoint("gpu", 8000)),
        ("http://gpu", Endpoint("gpu", 80, path="")),
        (
            "https://open.bigmodel.cn/api/paas/v4",
            Endpoint("open.bigmodel.cn", 443, tls=True, path="/api/paas/v4"),
        ),
        ("http://[::1]:9/v1", Endpoint("::1", 9)),
    ],
)
def test_base_urls(url: str, endpoint: Endpoint) -> None:
    assert endpoint_of(url, "") == endpoint


def test_the_key_goes_along() -> None:
    assert endpoint_of("http://gpu/v1", "secret").api_key == "secret"


@pytest.mark.parametrize(
    "url",
    ["", "gpu:8000", "ftp://gpu/v1", "http://", "http://:80/v1", "http://gpu:port/v1", "http://[::1/v1"],
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  urlsplit's own words, too
        endpoint_of(url, "")


def test_it_is_simply_there() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(Reply().body())
            engine = RemoteEngine("gpu", fake.endpoint, OPENAI)
            await engine.start()
            assert (engine.name, engine.kind, engine.state) == ("gpu", "openai", "ready")
            listener = Listener()
            engine.post("/chat/completions", b"{}", listener)
            assert b"Hello, world" in await listener.body()
            await engine.stop()
            await until(lambda: not fake.clients)

    run(test())
