"""Hot routes: one answer each, in order, whatever the route does."""

import pytest

from openbigmodel.edge import Edge, Exchange, RequestHead, Sink
from openbigmodel.room import Room
from tests.unit.edge.memory_connection import (
    DATE,
    Client,
    ScriptedRoute,
    chunked,
    cold,
    hot,
    on_loop,
    turn,
)

OK = b"HTTP/1.1 200 OK\r\n" + DATE


@on_loop
async def test_a_hot_request_is_answered_in_one_write_and_the_connection_stays() -> None:
    client = Client()
    client.feed(hot())
    assert client.route.bodies == [b"hello"]
    client.route.sinks[0].respond(200, b"x-a: b\r\n", b"answer")
    assert client.transport.writes == [OK + b"content-length: 6\r\nx-a: b\r\n\r\nanswer"]
    assert client.state() == "open"
    client.feed(hot(b"again"))
    assert client.route.bodies == [b"hello", b"again"]


@on_loop
async def test_a_stream_is_framed_in_one_write_for_each_part() -> None:
    client = Client()
    client.feed(hot())
    sink = client.route.sinks[0]
    sink.start(b"x-a: b\r\n")
    sink.write(b"one")
    sink.write(b"")
    sink.end(b"and two")
    assert client.transport.writes == [
        OK + b"transfer-encoding: chunked\r\nx-a: b\r\n\r\n",
        b"3\r\none\r\n",
        b"7\r\nand two\r\n0\r\n\r\n",
    ]
    assert client.state() == "open"


@on_loop
async def test_http_1_0_streams_until_the_connection_closes() -> None:
    client = Client()
    client.feed(hot(b"hello", b"Connection: keep-alive", version=b"1.0"))
    sink = client.route.sinks[0]
    sink.start(b"")
    sink.write(b"one")
    assert client.state() == "open"
    sink.end(b"two")
    assert client.sent == OK + b"connection: close\r\n\r\nonetwo"
    assert client.state() == "closed"


@on_loop
async def test_http_1_0_stays_only_when_asked_to() -> None:
    client = Client()
    client.feed(hot(b"hello", b"Connection: keep-alive", version=b"1.0"))
    client.route.sinks[0].respond(200, b"", b"a")
    assert b"connection: keep-alive\r\n" in client.sent
    client.feed(hot(version=b"1.0"))
    client.route.sinks[1].respond(200, b"", b"b")
    assert b"connection: close\r\n" in client.sent
    assert client.state() == "closed"


@on_loop
async def test_the_body_may_come_in_pieces_or_chunks() -> None:
    client = Client()
    client.feed(*[bytes([byte]) for byte in hot(b"0123456789")])
    client.route.sinks[0].respond(200, b"", b"")
    client.feed(chunked(b"/hot", b"3\r\nabc\r\n", b"2\r\n"), b"de\r\n0\r\n", b"\r\n")
    assert client.route.bodies == [b"0123456789", b"abcde"]


@on_loop
async def test_only_post_is_hot() -> None:
    client = Client()
    client.feed(hot().replace(b"POST", b"PUT"))
    await turn()
    assert client.route.heads == []
    assert client.app.scopes[0]["method"] == "PUT"
    await client.app.answer()
    assert client.statuses == [200]


@on_loop
async def test_a_bad_credential_is_answered_before_the_body() -> None:
    client = Client()
    client.feed(hot(b"part", b"Authorization: wrong", b"Expect: 100-continue", length=90_000))
    assert client.sent == (
        b"HTTP/1.1 401 Unauthorized\r\n"
        + DATE
        + b"content-length: 2\r\nconnection: close\r\nx-a: b\r\n\r\nno"
    )
    assert client.state() == "half-closed"
    client.feed(b"x" * 1000, hot())
    assert len(client.route.heads) == 1
    assert client.route.bodies == []


@on_loop
async def test_a_bad_credential_with_its_body_leaves_the_connection_usable() -> None:
    client = Client()
    client.feed(hot(b"hello", b"Authorization: wrong") + hot(b"next"))
    assert client.statuses == [401]
    assert client.route.bodies == [b"next"]


@on_loop
async def test_a_body_over_the_limit_is_refused_before_anything_else() -> None:
    client = Client()
    client.feed(hot(b"", length=100_001))
    assert client.statuses == [413]
    assert client.route.heads == []
    other = Client()
    other.feed(chunked(b"/hot", b"186a1\r\n"))
    assert other.statuses == [413]
    assert other.route.bodies == []


@on_loop
async def test_100_continue_is_sent_once_the_head_is_accepted() -> None:
    client = Client()
    client.feed(hot(b"", b"Expect: 100-continue", length=5))
    assert client.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.feed(b"hello")
    assert client.route.bodies == [b"hello"]
    client.route.sinks[0].respond(200, b"", b"")
    client.feed(hot(b"hello", b"Expect: 100-continue"))
    assert client.statuses == [100, 200]


@on_loop
async def test_pipelined_requests_wait_for_the_answer_before_them() -> None:
    client = Client()
    client.feed(hot(b"1") + hot(b"2"), cold(b"3") + hot(b"4"))
    assert client.route.bodies == [b"1"]
    client.route.sinks[0].start(b"")
    client.route.sinks[0].end()
    assert client.route.bodies == [b"1"], "not inside the call that ended the answer"
    await turn()
    assert client.route.bodies == [b"1", b"2"]
    assert client.app.scopes == []
    client.route.sinks[1].respond(200, b"", b"")
    await turn()
    assert len(client.app.scopes) == 1
    assert client.route.bodies == [b"1", b"2"]
    await client.app.answer()
    await turn()
    assert client.route.bodies == [b"1", b"2", b"4"]


@on_loop
async def test_read_ahead_is_bounded() -> None:
    client = Client()
    client.feed(hot(b"1"))
    client.feed(hot(b"x" * 70_000))
    assert not client.transport.is_reading()
    client.route.sinks[0].respond(200, b"", b"")
    await turn()
    assert len(client.route.bodies[1]) == 70_000
    client.route.sinks[1].respond(200, b"", b"")
    client.feed(hot(b"3"))
    assert client.transport.is_reading()


@on_loop
async def test_reading_goes_on_for_a_body_that_began_in_the_read_ahead() -> None:
    client = Client()
    client.feed(hot(b"1"))
    client.feed(hot(b"x" * 70_000, length=90_000))
    assert not client.transport.is_reading()
    client.route.sinks[0].respond(200, b"", b"")
    await turn()
    assert client.transport.is_reading()
    client.feed(b"x" * 20_000)
    assert len(client.route.bodies[1]) == 90_000


class BrokenRoute(ScriptedRoute):
    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = broken

    def accept(self, head: RequestHead, sink: Sink) -> object | None:
        if self.broken == "accept raises":
            raise RuntimeError("planted")
        if self.broken == "accept answers twice":
            sink.respond(200, b"", b"")
            sink.respond(200, b"", b"")
        if self.broken == "accept answers and accepts":
            sink.start(b"")
        return None if self.broken == "accept says nothing" else "accepted"

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        if self.broken == "run raises":
            raise RuntimeError("planted")
        if self.broken == "run raises amid its answer":
            sink.start(b"")
            raise RuntimeError("planted")
        if self.broken == "run writes without start":
            sink.write(b"x")
        return None


@pytest.mark.parametrize(
    ("broken", "statuses"),
    [
        ("accept raises", [500]),
        ("accept says nothing", [500]),
        ("accept answers twice", [200]),
        ("accept answers and accepts", [200]),
        ("run raises", [500]),
        ("run raises amid its answer", [200]),
        ("run writes without start", [500]),
        ("run says nothing", [500]),
    ],
)
@on_loop
async def test_whatever_a_route_breaks_there_is_at_most_one_answer(broken: str, statuses: list[int]) -> None:
    client = Client(route=BrokenRoute(broken))
    client.feed(hot(b"hello", b"Connection: close"))
    assert client.statuses == statuses
    assert not client.sent.endswith(b"0\r\n\r\n"), "a broken stream must not look whole"
    assert client.state() != "open"


@on_loop
async def test_a_late_call_never_reaches_the_next_answer() -> None:
    client = Client()
    client.feed(hot(b"1"))
    client.route.sinks[0].start(b"")
    client.route.sinks[0].end()
    client.feed(hot(b"2"))
    before = client.sent
    with pytest.raises(AssertionError):
        client.route.sinks[0].write(b"late")
    with pytest.raises(AssertionError):
        client.route.sinks[0].end()
    client.route.sinks[0].abort()
    assert client.sent == before
    assert client.state() == "open"


def edge_with_room(bytes_max: int) -> tuple[Edge, Room]:
    room = Room(bytes_max)
    return Edge({b"/hot": ScriptedRoute()}, unfinished=room), room


@on_loop
async def test_bodies_that_are_not_yet_whole_have_a_bound_in_all() -> None:
    edge, room = edge_with_room(1500)
    first, second, third = Client(edge=edge), Client(edge=edge), Client(edge=edge)
    first.feed(hot(b"x" * 136, length=1000))
    second.feed(hot(b"x" * 236, length=300))
    assert room.taken == 500
    third.feed(hot(b"x", length=200))
    assert third.statuses == [503]
    assert room.taken == 500

    first.protocol.connection_lost(None)
    second.feed(b"x" * 64)

    assert room.taken == 0


@on_loop
async def test_who_fills_the_room_with_unfinished_bodies_is_refused_and_nobody_else() -> None:
    edge, room = edge_with_room(100_000)
    greedy = [Client(edge=edge) for _ in range(20)]
    for client in greedy:
        client.feed(hot(b"x" * 9000, b"X-Owner: greedy", length=10_000))
    assert {503} == {status for client in greedy for status in client.statuses}
    assert 25_000 < room.taken <= 100_000 // 3

    others = [Client(edge=edge) for _ in range(100)]
    for number, client in enumerate(others):
        client.feed(hot(b"", b"X-Owner: %d" % number, length=300), b"x" * 150)
    for client in others:
        client.feed(b"x" * 150)
    assert [client.statuses for client in others] == [[]] * 100
    large = Client(edge=edge)
    large.feed(hot(b"x" * 20_000, b"X-Owner: large", length=40_000), b"x" * 20_000)
    assert [len(body) for body in edge_bodies(edge)] == [300] * 100 + [40_000]

    for client in greedy:
        client.lose()
    assert room.taken == 0


@on_loop
async def test_a_body_that_comes_in_one_piece_after_its_head_needs_no_room() -> None:
    edge, room = edge_with_room(10)
    client = Client(edge=edge)
    client.feed(hot(b"", length=50_000), b"x" * 50_000)
    assert edge_bodies(edge) == [b"x" * 50_000]
    assert room.taken == 0


@on_loop
@pytest.mark.parametrize("end", ["malformed", "late", "gone"])
async def test_a_body_that_goes_wrong_gives_its_room_back(end: str) -> None:
    room = Room(1000)
    client = Client(room=room)
    client.feed(chunked(b"/hot", b"3\r\nabc\r\n"))
    assert room.taken
    if end == "malformed":
        client.feed(b"3;x=y\r\n")
    elif end == "late":
        client.pass_time(31)
    else:
        client.protocol.eof_received()
    assert room.taken == 0


def edge_bodies(edge: Edge) -> list[bytes]:
    route = edge.hot_routes[b"/hot"]
    assert isinstance(route, ScriptedRoute)
    return route.bodies
