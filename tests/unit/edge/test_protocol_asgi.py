"""What uvicorn's side of a connection sees, and what no cut of the bytes may change."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.edge import EdgeLimits, Exchange, RequestHead, Sink
from tests.unit.edge.memory_connection import (
    HOST,
    Client,
    Producer,
    ScriptedRoute,
    chunked,
    cold,
    hot,
    on_loop,
    turn,
)


@on_loop
async def test_uvicorn_sees_one_message_as_we_read_it() -> None:
    client = Client()
    client.feed(cold(b"hello", b"X-A: b").replace(b"/cold", b"/c%6Fld?q=1"))
    await turn()
    scope = client.app.scopes[0]
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/cold", b"q=1")
    assert scope["raw_path"] == b"/c%6Fld"
    assert scope["headers"] == [(b"host", b"a"), (b"x-a", b"b"), (b"content-length", b"5")]
    assert await client.app.receive() == {"type": "http.request", "body": b"hello", "more_body": False}
    await client.app.answer()
    assert client.statuses == [200]
    assert client.state() == "open"


@on_loop
async def test_an_early_answer_is_not_followed_by_reading_the_body_as_a_request() -> None:
    client = Client()
    client.feed(cold(b"POST /hot HTTP/1.1", length=40))
    await turn()
    await client.app.answer()
    assert client.statuses == [200]
    client.feed(b"x" * 22 + hot(b"next"))
    await turn()
    assert client.route.bodies == [b"next"]


@on_loop
async def test_an_expectation_answered_early_closes() -> None:
    client = Client()
    client.feed(cold(b"", b"Expect: 100-continue", length=5))
    await turn()
    await client.app.answer()
    assert client.statuses == [200]
    assert b"connection: close\r\n" in client.sent
    assert client.state() == "half-closed"
    client.feed(b"hello", hot())
    assert client.route.heads == []


@on_loop
async def test_an_expectation_is_met_when_the_app_reads() -> None:
    client = Client()
    client.feed(cold(b"", b"Expect: 100-continue", length=5))
    await turn()
    assert client.sent == b""
    reading = asyncio.ensure_future(client.app.receive())
    await turn()
    assert client.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.feed(b"hello")
    assert (await reading)["body"] == b"hello"
    await client.app.answer()


@pytest.mark.parametrize("end", ["malformed", "too slow"])
@on_loop
async def test_a_body_that_goes_wrong_is_refused_and_the_app_hears_that_the_client_left(end: str) -> None:
    client = Client()
    client.feed(chunked(b"/cold", b"3\r\nabc\r\n"))
    await turn()
    assert (await client.app.receive())["body"] == b"abc"
    reading = asyncio.ensure_future(client.app.receive())
    await turn()
    if end == "malformed":
        client.feed(b"3;x=y\r\n")
    else:
        client.pass_time(31)
    assert client.statuses == [400 if end == "malformed" else 408]
    assert (await reading)["type"] == "http.disconnect"
    await client.app.answer()
    assert len(client.statuses) == 1


@on_loop
async def test_a_body_that_goes_wrong_after_the_answer_began_only_closes() -> None:
    client = Client()
    client.feed(chunked(b"/cold", b"3\r\nabc\r\n"))
    await turn()
    await client.app.send({"type": "http.response.start", "status": 200, "headers": []})
    client.feed(b"nonsense")
    assert client.statuses == [200]
    assert client.state() == "half-closed"
    client.app.done.set()
    await turn()
    assert not client.sent.endswith(b"0\r\n\r\n")


@on_loop
async def test_an_app_that_doesnt_read_is_not_the_clients_fault() -> None:
    client = Client()
    client.feed(cold(b"x" * 100_000, length=200_000))
    await turn()
    assert not client.transport.is_reading()
    client.pass_time(31)
    client.pass_time(31)
    assert client.sent == b""
    await client.app.receive()
    await turn()
    reading = asyncio.ensure_future(client.app.receive())
    await turn()
    assert client.transport.is_reading()
    client.feed(b"x" * 100_000)
    assert len((await reading)["body"]) == 100_000
    await client.app.answer()
    assert client.statuses == [200]


@on_loop
async def test_a_declared_body_over_the_limit_never_reaches_the_app() -> None:
    client = Client(EdgeLimits(asgi_body_bytes_max=10))
    client.feed(cold(b"", length=11))
    await turn()
    assert client.statuses == [413]
    assert client.app.scopes == []


@on_loop
async def test_an_app_that_fails_amid_its_answer_leaves_it_visibly_cut_short() -> None:
    client = Client()
    client.feed(cold())
    await turn()
    await client.app.send({"type": "http.response.start", "status": 200, "headers": []})
    await client.app.send({"type": "http.response.body", "body": b"half", "more_body": True})
    client.app.failure = RuntimeError("planted")
    client.app.done.set()
    await turn()
    assert client.sent.endswith(b"4\r\nhalf\r\n")
    assert client.state() == "closed"


_STREAMS = [
    hot(b"1") + cold(b"2") + hot(b"3"),
    chunked(b"/hot", b"3\r\nabc\r\n0\r\n\r\n") + chunked(b"/cold", b"1\r\nx\r\n0\r\n\r\n") + hot(b"end"),
    b"\r\n" + cold(b"x" * 50) + b"\r\n" + hot(b"y", b"Connection: close") + hot(b"never"),
    hot(b"1") + b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n" + hot(b"never"),
    chunked(b"/hot", b"3\r\nabc\r\n0;x\r\n\r\n") + hot(b"never"),
]


class PromptRoute(ScriptedRoute):
    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        sink.respond(200, b"", body)
        return Producer()


async def prompt_app(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    headers = [(b"content-length", str(len(body)).encode()), (b"x-asgi", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def replies(raw: bytes, cuts: list[int]) -> bytes:
    client = Client(route=PromptRoute(), app=prompt_app)  # type: ignore[arg-type]  # any ASGI app will do
    edges = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    for start, end in pairwise(edges):
        client.feed(raw[start:end])
        await turn()
    for _ in range(10):
        await turn()
    sent = client.sent
    client.lose()
    await turn()
    return sent


@given(
    st.sampled_from(_STREAMS),
    st.lists(st.integers(1, 400), max_size=10),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([*b"\r\n\t :;,0aG\x00\xff/"])), max_size=2),
)
def test_answers_do_not_depend_on_how_the_bytes_were_cut(
    raw: bytes, cuts: list[int], edits: list[tuple[int, int]]
) -> None:
    requests = 3
    edited = bytearray(raw)
    for at, byte in edits:
        edited[at % len(raw)] = byte

    async def both() -> tuple[bytes, bytes]:
        return await replies(bytes(edited), []), await replies(bytes(edited), cuts)

    whole, in_pieces = asyncio.run(both())
    assert whole == in_pieces
    assert b"HTTP/1.1 5" not in whole
    assert whole.count(b"HTTP/1.1 ") <= requests + 2
