import asyncio

from openbigmodel.edge.asgi import AsgiTransport, ParsedHead
from openbigmodel.edge.head import read_head
from tests.unit.edge.memory_connection import MemoryTransport


class Connection:
    def __init__(self) -> None:
        self.closing = False
        self.closes = 0

    def asgi_close(self) -> None:
        self.closes += 1
        self.closing = True


def test_writes_go_through_until_the_edge_is_closing() -> None:
    connection, socket = Connection(), MemoryTransport()
    transport: asyncio.Transport = AsgiTransport(connection, socket)
    transport.write(b"one")
    assert not transport.is_closing()
    transport.close()
    assert transport.is_closing()
    transport.write(b"two")
    assert socket.writes == [b"one"]
    assert connection.closes == 1
    assert not socket.closed, "when to close is the edge's decision"
    assert transport.get_extra_info("peername") == ("127.0.0.1", 5)
    assert transport.get_extra_info("absent", 1) == 1


def test_a_parsed_head_never_upgrades() -> None:
    for version in (b"0", b"1"):
        found = read_head(
            b"GET / HTTP/1.%b\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" % version
        )
        assert found is not None
        parsed = ParsedHead(found[0], keep_alive=True)
        assert parsed.get_http_version() == "1." + version.decode()
        assert parsed.get_method() == b"GET"
        assert not parsed.should_upgrade()
        assert parsed.should_keep_alive()
