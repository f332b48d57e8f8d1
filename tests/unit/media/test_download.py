import http.client
import socket
import ssl
from collections.abc import Iterator

import pytest

from openbigmodel.media import download as module
from openbigmodel.media.download import Download, SystemNet, download, is_listed, vetted
from openbigmodel.media.task import FetchPolicy, Outcome, Refused
from openbigmodel.media.urls import read_url
from tests.hostile_web import Listener, answer
from tests.ssrf_catalogue import PUBLIC_V4, PUBLIC_V6

TLS = ssl.create_default_context()


class ScriptedNet(SystemNet):
    """Resolves by a table, and connects all that is public to one port here."""

    def __init__(self, names: dict[str, list[str]], port: int = 0) -> None:
        self.names = names
        self.port = port
        self.resolved: list[str] = []
        self.connected: list[str] = []
        self.own = ""

    def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        if host not in self.names:
            raise socket.gaierror(-2, "unknown")
        return self.names[host]

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.connected.append(address)
        if address == "93.184.215.98":
            raise ConnectionRefusedError
        return super().connect("127.0.0.1", self.port or port, timeout_s)

    def is_own(self, address: str) -> bool:
        return address == self.own


@pytest.fixture
def web() -> Iterator[Listener]:
    listener = Listener({"/a.txt": answer(b"text")})
    yield listener
    listener.close()


def judged(net: ScriptedNet, url: str, policy: FetchPolicy | None = None) -> list[str]:
    return vetted(read_url(url), policy or FetchPolicy(), net)


def refused(net: ScriptedNet, url: str, policy: FetchPolicy | None = None, bytes_max: int = 100) -> Outcome:
    with pytest.raises(Refused) as raised:
        download(url, policy or FetchPolicy(), bytes_max, net, TLS)
    return raised.value.outcome


def test_every_answer_is_judged_and_only_those_are_used() -> None:
    net = ScriptedNet(
        {"a.example": [PUBLIC_V4, PUBLIC_V6], "b.example": [PUBLIC_V4, "10.0.0.1"], "c.example": []}
    )
    assert judged(net, "http://a.example/") == [PUBLIC_V4, PUBLIC_V6]
    assert refused(net, "http://b.example/").detail == "10.0.0.1 is not public"
    assert refused(net, "http://c.example/").detail == "c.example has 0 addresses"
    net.names["a.example"] = [PUBLIC_V4] * 65
    assert refused(net, "http://a.example/").detail == "a.example has 65 addresses"
    net.names["a.example"] = ["nonsense"]
    assert refused(net, "http://a.example/").detail == "a.example resolves to no address"
    assert "cannot be resolved" in refused(net, "http://unknown.example/").detail
    assert net.connected == []


def test_an_address_needs_no_resolver() -> None:
    net = ScriptedNet({})
    assert judged(net, f"http://{PUBLIC_V4}/") == [PUBLIC_V4]
    assert judged(net, f"http://[{PUBLIC_V6}]/") == [PUBLIC_V6]
    assert net.resolved == []


def test_ports_and_hosts_are_the_operators() -> None:
    net = ScriptedNet({"a.example": [PUBLIC_V4], "x.b.example": [PUBLIC_V4], "b.example": [PUBLIC_V4]})
    policy = FetchPolicy(ports=(443,), allowed_hosts=("a.example", "*.b.example"))
    assert refused(net, "http://a.example/", policy).detail == "port 80 is not in media.ports"
    assert refused(net, "https://b.example/", policy).detail == "b.example is not in media.allowed_hosts"
    assert judged(net, "https://a.example/", policy) == [PUBLIC_V4]
    assert judged(net, "https://x.b.example/", policy) == [PUBLIC_V4]
    assert net.resolved == ["a.example", "x.b.example"]


@pytest.mark.parametrize(
    ("host", "listed", "expected"),
    [
        ("a.example", ("A.example",), True),
        ("a.example", ("*.example",), True),
        ("a.b.example", ("*.example",), True),
        ("example", ("*.example",), False),
        ("xexample", ("*.example",), False),
        ("a.example", (), False),
        ("1.2.3.4", ("1.2.3.4",), True),
    ],
)
def test_a_list_of_hosts(host: str, listed: tuple[str, ...], expected: bool) -> None:
    assert is_listed(host, listed) is expected


def test_a_private_network_that_was_opened_is_reached_by_listed_and_plain_names(web: Listener) -> None:
    net = ScriptedNet({"minio": ["10.1.2.3"], "store.example": ["10.1.2.3"]}, web.port)
    net.own = "10.1.2.3"
    policy = FetchPolicy(allow_private=("10.1.0.0/16",))
    assert download("http://store.example/a.txt", policy, 100, net, TLS) == Download(b"text", "a.txt")
    assert refused(net, "http://minio/", policy).detail == "minio is a local name"
    listed = FetchPolicy(allow_private=("10.1.0.0/16",), allowed_hosts=("minio",))
    assert download("http://minio/a.txt?b/c", listed, 100, net, TLS).name == "a.txt"
    assert (
        refused(net, "http://minio/", FetchPolicy(allowed_hosts=("minio",))).detail
        == "10.1.2.3 is not public"
    )


def test_this_machines_own_address_is_refused() -> None:
    net = ScriptedNet({})
    net.own = PUBLIC_V4
    assert refused(net, f"http://{PUBLIC_V4}/").detail == f"{PUBLIC_V4} is this machine's own"


def test_the_next_address_is_tried_and_not_more_than_three(web: Listener) -> None:
    dead = "93.184.215.98"
    net = ScriptedNet({"a.example": [dead, PUBLIC_V4], "b.example": [dead] * 9}, web.port)
    assert download("http://a.example/a.txt", FetchPolicy(), 100, net, TLS).data == b"text"
    assert net.connected == [dead, PUBLIC_V4]
    assert "cannot be connected to" in refused(net, "http://b.example/").detail
    assert len(net.connected) == 5


def test_a_redirect_is_read_like_a_url_of_a_callers(web: Listener) -> None:
    net = ScriptedNet({"a.example": [PUBLIC_V4], "b.example": ["10.0.0.1"]}, web.port)
    for path, location in {
        "/1": "a.txt",
        "/2": "//a.example/a.txt",
        "/3": "/\xe5\x9b\xbe",
        "/4": "http://b.example/",
        "/5": "file:///etc/passwd",
        "/6": "http://a.example\\@b.example/",
    }.items():
        web.pages[path] = b"HTTP/1.1 302 Found\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n"
    web.pages["/%E5%9B%BE"] = answer(b"picture")
    for path, data in (("1", b"text"), ("2", b"text"), ("3", b"picture")):
        assert download(f"http://a.example/{path}", FetchPolicy(), 100, net, TLS).data == data
    assert refused(net, "http://a.example/4").detail == "10.0.0.1 is not public"
    assert refused(net, "http://a.example/5").detail == "URL with not an http or https URL"
    assert "backslash" in refused(net, "http://a.example/6").detail


def test_redirects_are_counted(web: Listener) -> None:
    net = ScriptedNet({"a.example": [PUBLIC_V4]}, web.port)
    web.pages["/loop"] = b"HTTP/1.1 301 Moved\r\nLocation: /loop\r\n\r\n"
    assert refused(net, "http://a.example/loop", FetchPolicy(redirects_max=2)).detail == "too many redirects"
    assert web.connections == 3


def test_size_and_status(web: Listener) -> None:
    net = ScriptedNet({"a.example": [PUBLIC_V4]}, web.port)
    web.pages["/chunked"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4\r\ntext\r\n" * 3 + b"0\r\n\r\n"
    )
    web.pages["/until-the-end"] = b"HTTP/1.1 200 OK\r\n\r\ntext"
    assert download("http://a.example/chunked", FetchPolicy(), 12, net, TLS).data == b"text" * 3
    assert download("http://a.example/until-the-end", FetchPolicy(), 4, net, TLS).data == b"text"
    assert refused(net, "http://a.example/chunked", bytes_max=11).refusal == "too_large"
    assert refused(net, "http://a.example/a.txt", bytes_max=3).refusal == "too_large"
    assert refused(net, "http://a.example/missing") == Outcome(
        refusal="status", status=404, detail="status 404"
    )


def test_the_client_never_connects_by_itself(web: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when its socket is gone."""

    def connect(self: http.client.HTTPConnection) -> None:
        raise AssertionError("connected by itself")

    monkeypatch.setattr(http.client.HTTPConnection, "connect", connect)
    net = ScriptedNet({"a.example": [PUBLIC_V4]}, web.port)
    assert download("http://a.example/a.txt", FetchPolicy(), 100, net, TLS).data == b"text"


def test_the_real_network_knows_its_own_addresses_and_resolves() -> None:
    net = SystemNet()
    assert net.is_own("127.0.0.1")
    assert not net.is_own("192.0.2.1")
    assert "127.0.0.1" in net.resolve("127.0.0.1", 80)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with net.connect("127.0.0.1", port, 1.0) as connection:
            assert connection.gettimeout() == 1.0
    with pytest.raises(ConnectionRefusedError):
        net.connect("127.0.0.1", port, 1.0)


def test_limits_are_as_documented() -> None:
    assert FetchPolicy() == FetchPolicy(ports=(80, 443), timeout_s=10.0, redirects_max=3)
    assert module.ANSWERS_MAX == 64
