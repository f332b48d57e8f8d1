"""Chunks of an engine's answer: in whatever reads they come, the consumer has the body, and a taker whole chunks."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openbigmodel.engines.connection import ConnectionPool, EngineCall, _Connection
from openbigmodel.engines.endpoint import Endpoint
from tests.unit.engines.engine_listener import Listener, run

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class NoSocket:
    """A transport to nowhere."""

    aborted = False

    def write(self, data: bytes) -> None:
        """Throw away."""

    def get_extra_info(self, name: str) -> None:
        return

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        self.aborted = True


class Taker:
    """Takes all, or as many as it is told; what ends wrongly it leaves."""

    def __init__(self, count: int) -> None:
        self.taken: list[bytes] = []
        self.left: list[bytes] = []
        self._count = count

    def take(self, data: bytes, begin: int) -> bool:
        if len(self.taken) == self._count or not data.endswith(b"\r\n"):
            self.left.append(data)
            return False
        self.taken.append(data[begin:-2])
        return True


class Asked(Listener):
    """A consumer that has a taker asked first, again after each piece that it is told."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.call: EngineCall | None = None
        self.order: list[bytes] = []
        self.takers: list[Taker] = []

    def engine_data(self, data: bytes) -> None:
        super().engine_data(data)
        self.order.append(data)
        if self.count and self.call is not None:
            taker = Taker(self.count)
            taker.taken = _Noted(self.order)
            self.takers.append(taker)
            self.call.ask_first(taker)


class _Noted(list[bytes]):
    """What is taken, also in the order of all."""

    def __init__(self, order: list[bytes]) -> None:
        super().__init__()
        self._order = order

    def append(self, data: bytes) -> None:
        super().append(data)
        self._order.append(data)


def heard(reads: list[bytes], count: int = 0) -> Asked:
    consumer = Asked(count)

    async def test() -> None:
        connection: Any = _Connection(ConnectionPool(Endpoint("127.0.0.1", 1)))
        connection.connection_made(NoSocket())
        call = EngineCall(connection._pool, "/", b"{}", consumer)
        consumer.call = call
        connection.send(call)
        for data in reads:
            if data and connection.call is not None:
                connection.data_received(data)

    run(test())
    return consumer


def parts_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


BODIES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40),
        # What looks like the frame of a chunk.
        st.sampled_from(
            [b"1", b"4\r\n4", b"5\r\n5\r\n", b"3\r\n1\r\n", b"a\r\n", b"\r\n", b"0\r\n\r\n", b"x" * 300]
        ),
    ),
    max_size=8,
)


@given(BODIES, st.lists(st.integers(0, 500), max_size=12), st.integers(0, 3))
# The second read looks like a chunk, and is the end of one and the beginning of the next; so does the third.
@example([b"4\r\n44\r\n4", b"1\r\nx"], [len(HEAD) + 7, len(HEAD) + 16, len(HEAD) + 22], 3)
def test_cut_anywhere_the_body_is_the_body(pieces: list[bytes], cuts: list[int], count: int) -> None:
    stream = HEAD + b"".join(map(chunk, pieces)) + END
    found = heard(parts_of(stream, cuts), count)
    assert b"".join(found.order) == b"".join(pieces)
    assert found.heard[-1] == ("ended", None)


@given(BODIES)
def test_a_read_for_each_chunk(pieces: list[bytes]) -> None:
    found = heard([HEAD, *map(chunk, pieces), END], 100)
    assert found.order == pieces
    assert found.heard[-1] == ("ended", None)


def test_a_taker_has_every_chunk_that_comes_alone() -> None:
    found = heard([HEAD, *[chunk(b"%09d" % number) for number in range(10)], END], 100)
    # The first one shows that chunks come alone, so that the second one need not be parsed.
    assert [len(taker.taken) for taker in found.takers] == [9]
    assert found.heard == [("started", 200), ("data", b"000000000"), ("ended", None)]


def test_the_first_that_is_left_ends_it() -> None:
    found = heard([HEAD, *[chunk(b"%09d" % number) for number in range(10)], END], 3)
    assert [len(taker.taken) for taker in found.takers] == [3, 3, 1]
    assert [len(taker.left) for taker in found.takers] == [1, 1, 0]


@pytest.mark.parametrize(
    "odd",
    [
        b"0" + chunk(b"abc"),
        b"2;x=y\r\nab\r\n",
        chunk(b"ab") + chunk(b"cd"),
        chunk(b"ab")[:-1],
        chunk(b"abcdefghijkl").replace(b"c\r\n", b"C\r\n", 1),
        chunk(b"x" * 4096),
    ],
)
def test_what_is_not_exactly_one_chunk_is_the_parsers(odd: bytes) -> None:
    found = heard([HEAD, chunk(b"one"), chunk(b"two"), odd], 100)
    assert found.takers[0].taken == [b"two"]
    assert found.takers[0].left == []
    assert b"".join(found.order[2:]) in {b"abc", b"ab", b"abcd", b"abcdefghijkl", b"x" * 4096}


@pytest.mark.parametrize("end", [b"xx", b"\n\n", b"\r\r"])
@pytest.mark.parametrize("count", [0, 100])
def test_a_chunk_with_a_wrong_end_is_no_http(end: bytes, count: int) -> None:
    found = heard([HEAD, chunk(b"one"), chunk(b"two"), chunk(b"three")[:-2] + end], count)
    what, reason = found.heard[-1]
    assert what == "failed"
    assert "not HTTP" in reason


def test_the_next_answer_on_the_connection_begins_anew() -> None:
    async def test() -> None:
        pool = ConnectionPool(Endpoint("127.0.0.1", 1))
        connection: Any = _Connection(pool)
        connection.connection_made(NoSocket())
        for _ in range(2):
            consumer = Listener()
            connection.send(EngineCall(pool, "/", b"{}", consumer))
            for data in (HEAD, chunk(b"one"), chunk(b"two"), END):
                connection.data_received(data)
            assert consumer.heard == [("started", 200), ("data", b"onetwo"), ("ended", None)]
        pool.close()

    run(test())
