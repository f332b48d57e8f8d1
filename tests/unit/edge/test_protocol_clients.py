"""What the edge does about clients: slow, gone, wrong, too many, too late; and about its own end."""

import asyncio

import pytest

from openbigmodel.edge import EdgeLimits, Exchange, RequestHead, Sink
from tests.unit.edge.memory_connection import (
    Client,
    ScriptedRoute,
    cold,
    hot,
    on_loop,
    turn,
)


class LargeRoute(ScriptedRoute):
    body_limit = 10 << 20


@on_loop
async def test_a_slow_reader_pauses_its_producer() -> None:
    client = Client()
    assert client.transport.limits == (65536, None)
    client.feed(hot())
    client.protocol.pause_writing()
    client.protocol.resume_writing()
    assert client.route.producers[0].calls == ["pause", "resume"]


@on_loop
async def test_a_client_that_takes_no_answers_gets_no_further_ones() -> None:
    client = Client()
    client.feed(hot(b"1"))
    client.protocol.pause_writing()
    client.route.sinks[0].respond(200, b"", b"")
    client.feed(hot(b"2"))
    await turn()
    assert client.route.bodies == [b"1"]
    client.protocol.resume_writing()
    assert client.route.bodies == [b"1", b"2"]


@on_loop
async def test_a_producer_that_starts_on_a_full_buffer_is_paused_at_once() -> None:
    class Route(ScriptedRoute):
        def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
            client.protocol.pause_writing()  # as a TLS transport does inside of write
            return super().run(accepted, head, body, sink)

    route = Route()
    client = Client(route=route)
    client.feed(hot())
    assert route.producers[0].calls == ["pause"]


@on_loop
async def test_a_stalled_reader_is_dropped() -> None:
    client = Client()
    client.feed(hot())
    client.route.sinks[0].start(b"")
    client.transport.unsent = 70_000
    client.protocol.pause_writing()
    client.pass_time(29)
    assert client.state() == "open"
    client.pass_time(2)
    assert client.state() == "aborted"
    assert client.route.producers[0].calls == ["pause", "client_left"]
    client.lose()
    assert client.route.producers[0].calls == ["pause", "client_left"]
    client.route.sinks[0].write(b"ignored")
    client.route.sinks[0].end()


@on_loop
async def test_a_slow_reader_that_takes_something_is_kept() -> None:
    client = Client()
    client.feed(hot())
    client.transport.unsent = 70_000
    client.protocol.pause_writing()
    for unsent in (60_000, 50_000, 40_000):
        client.transport.unsent = unsent
        client.pass_time(31)
        assert client.state() == "open"
    client.pass_time(31)
    assert client.state() == "aborted"


@on_loop
async def test_the_producer_learns_once_that_the_client_left() -> None:
    client = Client()
    client.feed(hot())
    sink = client.route.sinks[0]
    client.lose()
    assert client.route.producers[0].calls == ["client_left"]
    sink.respond(200, b"", b"")
    sink.start(b"")
    sink.write(b"")
    sink.end()
    sink.abort()
    assert client.sent == b""
    assert client.edge.connection_count == 0


@on_loop
async def test_nobody_is_told_after_the_answer_has_ended() -> None:
    client = Client()
    client.feed(hot())
    client.route.sinks[0].respond(200, b"", b"")
    client.lose()
    assert client.route.producers[0].calls == []


@on_loop
async def test_a_route_can_abort() -> None:
    client = Client()
    client.feed(hot())
    client.route.sinks[0].start(b"")
    client.route.sinks[0].abort()
    assert client.state() == "aborted"
    client.lose()
    assert client.route.producers[0].calls == []


@on_loop
async def test_a_client_that_ends_its_side_gets_a_moment_for_its_answer() -> None:
    client = Client(EdgeLimits(half_close_s=0.02))
    client.feed(hot())
    assert client.protocol.eof_received() is True
    client.route.sinks[0].respond(200, b"", b"in time")
    assert client.sent.endswith(b"in time")
    assert client.state() == "closed"
    await asyncio.sleep(0.03)
    assert client.state() == "closed"
    assert client.route.producers[0].calls == []


@on_loop
async def test_a_client_that_ended_its_side_counts_as_gone_after_that_moment() -> None:
    client = Client(EdgeLimits(half_close_s=0.01))
    client.feed(hot(b"1") + hot(b"2"))
    assert client.protocol.eof_received() is True
    await asyncio.sleep(0.03)
    assert client.state() == "aborted"
    assert client.route.producers[0].calls == ["client_left"]
    assert client.route.bodies == [b"1"]


@on_loop
async def test_requests_sent_before_the_end_are_answered() -> None:
    client = Client(EdgeLimits(half_close_s=0.05))
    client.feed(hot(b"1") + hot(b"2") + b"POST /ho")
    assert client.protocol.eof_received() is True
    client.route.sinks[0].respond(200, b"", b"")
    await turn()
    client.route.sinks[1].respond(200, b"", b"")
    await turn()
    assert client.statuses == [200, 200]
    assert client.state() == "closed"


@pytest.mark.parametrize("raw", [b"", b"POST /hot HT", hot(b"hal", length=5), cold(b"hal", length=5)])
@on_loop
async def test_the_end_amid_a_request_closes(raw: bytes) -> None:
    client = Client()
    client.feed(raw) if raw else None
    await turn()
    assert not client.protocol.eof_received()
    assert client.state() == "closed"
    client.lose()
    client.app.done.set()
    await turn()
    assert client.sent == b""


@on_loop
async def test_a_refusal_is_one_answer_in_the_callers_language() -> None:
    for language, word in ((b"en", b"Host header"), (b"zh-CN", "有效的 Host".encode())):
        client = Client()
        client.feed(b"GET / HTTP/1.1\r\nAccept-Language: %b\r\n\r\n" % language)
        assert client.statuses == [400]
        assert word in client.sent
        assert b'{"error":{"code":"1210","message":' in client.sent
        assert b"connection: close\r\n" in client.sent
        assert client.state() == "half-closed"
        client.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.statuses == [400]


@on_loop
async def test_a_connection_over_the_limit_is_told_so_and_far_over_it_is_dropped() -> None:
    first = Client(EdgeLimits(connections_max=20))
    clients = [Client(edge=first.edge) for _ in range(19)]
    assert not any(client.sent for client in clients)
    told = [Client(edge=first.edge) for _ in range(3)]
    for client in told:
        assert client.statuses == [503]
        assert b'"code":"1305"' in client.sent
        assert b"retry-after: 1\r\n" in client.sent
        assert client.state() == "half-closed"
    dropped = Client(edge=first.edge)
    assert dropped.state() == "aborted"
    assert dropped.sent == b""
    for client in (*told, dropped):
        client.lose()
    welcome = clients.pop()
    welcome.lose()
    assert Client(edge=first.edge).sent == b""


@on_loop
async def test_an_idle_connection_closes_without_a_word() -> None:
    client = Client()
    client.pass_time(64)
    client.feed(hot())
    client.route.sinks[0].respond(200, b"", b"")
    client.pass_time(64)
    assert client.state() == "open"
    client.pass_time(2)
    assert client.state() == "closed"
    assert client.statuses == [200]


@on_loop
async def test_a_head_must_be_complete_in_time_however_it_trickles() -> None:
    client = Client()
    client.pass_time(60)
    for byte in b"POST /hot":
        client.feed(bytes([byte]))
        client.pass_time(1)
    assert client.sent == b""
    client.feed(b" ")
    client.pass_time(2)
    assert client.statuses == [408]
    assert client.state() == "half-closed"


@on_loop
async def test_a_body_must_make_progress() -> None:
    client = Client(route=(route := LargeRoute()))
    client.feed(hot(b"x", length=300_000))
    client.pass_time(25)
    client.feed(b"x" * 30 * 4096)
    client.pass_time(25)
    assert client.sent == b""
    for _ in range(6):
        client.feed(b"x" * 4000)  # a trickle isn't progress
        client.pass_time(1)
    assert client.statuses == [408]
    assert route.bodies == []


@on_loop
@pytest.mark.parametrize(("bytes_per_s", "statuses"), [(5000, []), (4000, [408])])
async def test_a_large_body_may_be_slow_if_it_is_steady(bytes_per_s: int, statuses: list[int]) -> None:
    client = Client(route=(route := LargeRoute()))
    size = 9_000_000
    client.feed(hot(b"", length=size))
    for sent in range(0, size, bytes_per_s):
        client.feed(b"x" * min(bytes_per_s, size - sent))
        client.pass_time(1)
        if client.statuses:
            break
    assert client.statuses == statuses
    assert [len(body) for body in route.bodies] == ([] if statuses else [size])


@on_loop
async def test_an_answer_has_all_the_time_it_needs() -> None:
    client = Client()
    client.feed(hot())
    client.pass_time(100_000)
    client.route.sinks[0].respond(200, b"", b"")
    assert client.statuses == [200]


@on_loop
async def test_lingering_ends_when_the_client_is_quiet_or_goes_on_too_long() -> None:
    quiet = Client()
    quiet.feed(b"\n")
    quiet.pass_time(1)
    assert quiet.state() == "half-closed"
    quiet.pass_time(2)
    assert quiet.state() == "aborted"
    busy = Client()
    busy.feed(b"\n")
    for _ in range(29):
        busy.pass_time(1)
        busy.feed(b"x" * 1000)
        assert busy.state() == "half-closed"
    busy.pass_time(2)
    assert busy.state() == "aborted"
    assert busy.statuses == [400]
    flood = Client()
    flood.feed(b"\n")
    for _ in range(257):
        flood.feed(b"x" * (1 << 20))
    assert flood.state() == "aborted"


@on_loop
async def test_a_closing_connection_that_takes_nothing_is_aborted() -> None:
    client = Client()
    client.feed(hot(b"hello", b"Connection: close"))
    client.transport.unsent = 5000
    client.route.sinks[0].respond(200, b"", b"x" * 5000)
    assert client.state() == "closed"
    client.transport.unsent = 4000
    client.pass_time(3)
    assert client.state() == "closed"
    client.pass_time(31)
    assert client.state() == "aborted"


@on_loop
async def test_drain_closes_idle_connections_and_lets_work_end() -> None:
    idle = Client()
    idle.protocol.shutdown()
    assert idle.state() == "closed"

    asked = Client()
    asked.feed(hot())
    asked.protocol.shutdown()
    assert asked.state() == "open"
    asked.route.sinks[0].respond(200, b"", b"")
    assert b"connection: close\r\n" in asked.sent
    assert asked.state() == "closed"

    streaming = Client()
    streaming.feed(hot())
    streaming.route.sinks[0].start(b"")
    streaming.protocol.shutdown()
    streaming.route.sinks[0].end(b"last")
    assert streaming.sent.endswith(b"last\r\n0\r\n\r\n")
    assert streaming.state() == "closed"

    uploading = Client()
    uploading.feed(hot(b"hel", length=5))
    uploading.protocol.shutdown()
    uploading.feed(b"lo" + hot(b"next"))
    uploading.route.sinks[0].respond(200, b"", b"")
    await turn()
    assert uploading.route.bodies == [b"hello"]
    assert uploading.state() == "half-closed"

    begun = Client()
    begun.feed(cold()[:10])
    begun.protocol.shutdown()
    begun.feed(cold()[10:])
    await turn()
    await begun.app.answer()
    assert b"connection: close\r\n" in begun.sent
    assert begun.state() == "closed"


@on_loop
async def test_drain_lets_uvicorn_finish_too() -> None:
    client = Client()
    client.feed(cold())
    await turn()
    client.protocol.shutdown()
    await client.app.answer()
    assert b"connection: close\r\n" in client.sent
    assert client.state() == "closed"
