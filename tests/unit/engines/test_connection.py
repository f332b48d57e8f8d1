"""The pool's promise: one ending for each call, and never a byte of one answer in another."""

import asyncio
import socket

import pytest

from openbigmodel.engines import connection as connection_module
from openbigmodel.engines.connection import ConnectionPool
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Close, Data, End, Gate, Head, Raw, Reset, Stall, Step
from tests.unit.engines.engine_listener import Listener, run, until

JSON = (("Content-Type", "application/json"),)


def answer(text: bytes) -> list[Step]:
    return [Head(200, JSON, len(text)), Data(text), End()]


async def ask(pool: ConnectionPool, body: bytes = b"{}") -> Listener:
    listener = Listener()
    pool.post("/chat/completions", body, listener)
    return listener


def test_a_request_as_the_engine_sees_it() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"hello"))
            host, port = engine.endpoint.host, engine.endpoint.port
            pool = ConnectionPool(Endpoint(host, port, api_key="secret", path="/base/v1"))
            listener = await ask(pool, b'{"a":1}')

            assert await listener.body() == b"hello"
            request = engine.requests[0]
            assert (request.method, request.target, request.body) == (
                "POST",
                "/base/v1/chat/completions",
                b'{"a":1}',
            )
            assert request.headers == {
                "host": f"{host}:{port}",
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "authorization": "Bearer secret",
                "content-length": "7",
            }
            pool.close()

    run(test())


def test_a_head_without_a_key_and_with_an_ipv6_address() -> None:
    head = ConnectionPool(Endpoint("::1", 80), keep_alive=False).request_head("/x", 0)

    assert b"Host: [::1]:80\r\n" in head
    assert b"Connection: close\r\n" in head
    assert b"Authorization" not in head


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("/v1", "/chat/completions", "/v1/chat/completions"),
        ("/v1", "/../tokenize", "/tokenize"),
        ("/team/v1", "/../tokenize", "/team/tokenize"),
        ("", "/../tokenize", "/tokenize"),
        ("//odd//v1", "/chat/completions", "//odd//v1/chat/completions"),
    ],
)
def test_a_path_may_be_beside_the_endpoints_own(base: str, path: str, target: str) -> None:
    head = ConnectionPool(Endpoint("h", 80, path=base)).request_head(path, 0)

    assert head.startswith(f"POST {target} HTTP/1.1\r\n".encode())


def test_a_connection_is_used_again() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"one"), [Head(), Data(b"tw"), Data(b"o"), End()], answer(b"three"))
            pool = ConnectionPool(engine.endpoint)
            for text in (b"one", b"two", b"three"):
                assert await (await ask(pool)).body() == text
            assert engine.accepted == 1
            pool.close()
            await until(lambda: not engine.clients)

    run(test())


def test_calls_side_by_side_have_a_connection_each() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(*[lambda request: [Gate(), *answer(request.body)]] * 5)
            pool = ConnectionPool(engine.endpoint)
            listeners = [await ask(pool, str(number).encode()) for number in range(5)]
            await until(lambda: len(engine.requests) == 5)
            for request in engine.requests:
                request.open_gate()

            assert [await listener.body() for listener in listeners] == [b"0", b"1", b"2", b"3", b"4"]
            assert engine.accepted == 5
            pool.close()

    run(test())


def test_without_keep_alive_each_call_has_its_own() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"one"), answer(b"two"))
            pool = ConnectionPool(engine.endpoint, keep_alive=False)
            assert await (await ask(pool)).body() == b"one"
            assert await (await ask(pool)).body() == b"two"
            assert engine.accepted == 2
            assert engine.requests[0].headers["connection"] == "close"
            await until(lambda: not engine.clients)

    run(test())


@pytest.mark.parametrize("header", [(("Connection", "close"),), ()])
def test_an_engine_that_closes_after_each_answer(header: tuple[tuple[str, str], ...]) -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play([Head(200, header, 3), Data(b"one"), End(), Close()], answer(b"two"))
            pool = ConnectionPool(engine.endpoint)
            assert await (await ask(pool)).body() == b"one"
            await until(lambda: not engine.clients)
            assert await (await ask(pool)).body() == b"two"
            pool.close()

    run(test())


def test_an_engine_that_closes_just_as_it_is_asked_again_is_asked_on_a_new_connection() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"one"), [Close()], answer(b"two"))
            pool = ConnectionPool(engine.endpoint)
            assert await (await ask(pool)).body() == b"one"
            assert await (await ask(pool)).body() == b"two"
            assert (engine.accepted, len(engine.requests)) == (2, 3)
            pool.close()

    run(test())


def test_a_used_connection_that_breaks_after_the_first_byte_is_a_failure() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"one"), [Raw(b"HTTP/1.1 2"), Close()])
            pool = ConnectionPool(engine.endpoint)
            assert await (await ask(pool)).body() == b"one"
            assert await (await ask(pool)).failure() == "connection lost"
            assert len(engine.requests) == 2

    run(test())


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([Close()], "connection lost"),
        ([Reset()], "connection lost: "),
        ([Head(), Data(b"x"), Close()], "connection lost"),
        ([Head(framing=5), Data(b"x"), Gate(), Reset()], "connection lost: "),
        ([Raw(b"hello\r\n\r\n"), Stall()], "not HTTP: "),
        ([Head(), Gate(), Raw(b"not a chunk"), Stall()], "not HTTP: "),
        (
            [Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), Stall()],
            "not HTTP: ",
        ),
    ],
)
def test_an_answer_that_breaks(steps: list[Step], reason: str) -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(steps, answer(b"next"))
            pool = ConnectionPool(engine.endpoint)
            listener = await ask(pool)
            await until(lambda: bool(engine.requests))
            engine.requests[0].open_gate()
            assert (await listener.failure()).startswith(reason)
            await until(lambda: engine.requests[0].over)
            # What broke is not used again.
            assert await (await ask(pool)).body() == b"next"
            assert [what for what, _ in listener.heard].count("failed") == 1
            pool.close()

    run(test())


def test_a_body_that_ends_with_the_connection() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(
                [Head(framing="close"), Data(b"abc"), End()],
                [Head(framing="close"), Data(b"abc"), Gate(), Reset()],
            )
            pool = ConnectionPool(engine.endpoint)
            assert await (await ask(pool)).body() == b"abc"
            cut = await ask(pool)
            await until(lambda: len(cut.heard) == 2)
            engine.requests[1].open_gate()
            assert (await cut.failure()).startswith("connection lost")

    run(test())


@pytest.mark.parametrize("apart", [False, True])
def test_what_an_engine_says_unasked_is_in_nobodys_answer(apart: bool) -> None:
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
    for cut in (0, 10, 30, len(smuggled)):
        steps: list[Step] = [Raw(good), Gate(), Raw(smuggled)] if apart else [Raw(good + smuggled[:cut])]

        async def test(steps: list[Step] = steps) -> None:
            async with FakeEngine() as engine:
                engine.play([*steps, Stall()] if apart else steps, answer(b"mine"), answer(b"mine"))
                pool = ConnectionPool(engine.endpoint)
                assert await (await ask(pool)).body() == b"good"
                if apart:
                    engine.requests[0].open_gate()
                    await until(lambda: engine.requests[0].over)
                assert await (await ask(pool)).body() == b"mine"
                pool.close()

        run(test())


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def test() -> None:
        reason = await (await ask(ConnectionPool(Endpoint("127.0.0.1", port)))).failure()
        assert reason.startswith(f"cannot connect to 127.0.0.1:{port}: ")

    run(test())


def test_nobody_answers_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 0.05)

    async def test() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            crowd = [socket.socket() for _ in range(3)]
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            reason = await (await ask(ConnectionPool(Endpoint("127.0.0.1", port)))).failure()
            for one in crowd:
                one.close()
            assert reason == f"cannot connect to 127.0.0.1:{port}: timeout"

    run(test())


def test_tls_towards_a_server_without_it() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            host, port = engine.endpoint.host, engine.endpoint.port
            pool = ConnectionPool(Endpoint(host, port, tls=True))
            listener = await ask(pool)
            # Not HTTP's end of line, so the fake engine waits for more: it is we who must give up.
            await until(lambda: bool(engine.clients))
            for client in engine.clients:
                client.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert (await listener.failure()).startswith(f"cannot connect to {host}:{port}: ")

    run(test())


def test_a_call_cancelled_before_it_is_connected_is_never_sent() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            pool = ConnectionPool(engine.endpoint)
            listener = Listener()
            pool.post("/x", b"{}", listener).cancel()
            await until(lambda: engine.accepted == 1 and not engine.clients)
            assert (engine.requests, listener.heard) == ([], [])

    run(test())


class _Hangs(asyncio.Protocol):
    """A server that says nothing, and writes down what it hears of the end of a connection."""

    def __init__(self, heard: list[object]) -> None:
        self.heard = heard

    def data_received(self, data: bytes) -> None:
        self.heard.append("request")

    def eof_received(self) -> bool:
        self.heard.append("half closed")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append(type(exc))


def test_a_cancelled_call_does_not_look_like_one_whose_asker_has_no_more_to_say() -> None:
    async def test() -> None:
        heard: list[object] = []
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Hangs(heard), "127.0.0.1", 0)
        pool = ConnectionPool(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]))
        call = pool.post("/x", b"{}", Listener())
        await until(lambda: heard == ["request"])
        assert pool.busy
        call.cancel()
        await until(lambda: heard == ["request", ConnectionResetError])
        await until(lambda: not pool.busy)
        server.close()

    run(test())


def test_a_cancelled_call_stops_the_engine_and_says_no_more() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play([Head(), Data(b"x"), Stall()])
            pool = ConnectionPool(engine.endpoint)
            listener = Listener()
            call = pool.post("/x", b"{}", listener)
            await until(lambda: len(listener.heard) == 2)
            call.cancel()
            call.cancel()
            await until(lambda: engine.requests[0].left_s is not None)
            assert listener.heard == [("started", 200), ("data", b"x")]

    run(test())


def test_a_paused_call_hears_nothing_until_it_is_resumed() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play([Head(), Data(b"x"), Gate(), Data(b"y"), End()], answer(b"next"))
            pool = ConnectionPool(engine.endpoint)
            listener = Listener()
            call = pool.post("/x", b"{}", listener)
            call.pause()
            await until(lambda: bool(engine.requests))
            await asyncio.sleep(0.05)  # for what would come in spite of it
            assert listener.heard == []
            call.resume()
            await until(lambda: len(listener.heard) == 2)
            call.pause()
            engine.requests[0].open_gate()
            await asyncio.sleep(0.05)  # as above
            assert not listener.over.is_set()
            call.resume()
            assert await listener.body() == b"xy"
            # After its end a call has no say over the connection.
            call.pause()
            assert await (await ask(pool)).body() == b"next"
            call.resume()
            call.cancel()
            pool.close()

    run(test())


def test_a_call_paused_by_its_last_bytes_hands_on_a_connection_that_reads() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(answer(b"one"), answer(b"two"))
            pool = ConnectionPool(engine.endpoint)

            class Full(Listener):
                def engine_data(self, data: bytes) -> None:
                    super().engine_data(data)
                    call.pause()

            listener = Full()
            call = pool.post("/x", b"{}", listener)
            assert await listener.body() == b"one"
            assert await (await ask(pool)).body() == b"two"
            assert engine.accepted == 1
            pool.close()

    run(test())


def test_more_idle_connections_than_are_kept_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_IDLE_CONNECTIONS", 1)

    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play(*[[Gate(), *answer(b"x")]] * 3)
            pool = ConnectionPool(engine.endpoint)
            listeners = [await ask(pool) for _ in range(3)]
            await until(lambda: len(engine.requests) == 3)
            for request in engine.requests:
                request.open_gate()
            for listener in listeners:
                await listener.body()
            await until(lambda: len(engine.clients) == 1)
            pool.close()
            await until(lambda: not engine.clients)

    run(test())


def test_a_closed_pool_lets_calls_under_way_finish() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play([Head(), Gate(), Data(b"late"), End()])
            pool = ConnectionPool(engine.endpoint)
            listener = await ask(pool)
            await until(lambda: bool(engine.requests))
            pool.close()
            engine.requests[0].open_gate()
            assert await listener.body() == b"late"
            await until(lambda: not engine.clients)

    run(test())


def test_a_call_that_was_connecting_when_the_pool_closed_is_told() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            pool = ConnectionPool(engine.endpoint)
            listener = await ask(pool)
            pool.close()
            await listener.failure()
            await until(lambda: not engine.clients)
            assert engine.requests == []

    run(test())


def test_an_interim_response_is_no_answer() -> None:
    async def test() -> None:
        async with FakeEngine() as engine:
            engine.play([Raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), *answer(b"hello")])
            pool = ConnectionPool(engine.endpoint)
            listener = await ask(pool)
            assert await listener.body() == b"hello"
            assert listener.heard[0] == ("started", 200)
            pool.close()

    run(test())
