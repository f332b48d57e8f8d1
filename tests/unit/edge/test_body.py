from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.edge.body import ChunkedBody, CountedBody
from openbigmodel.errors import ApiError

LIMIT = 1 << 20


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def feed_in_pieces(body: CountedBody | ChunkedBody, raw: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Payload and rest, when `raw` arrives cut at the given places."""
    payload = rest = b""
    edges = [0, *sorted(cuts), len(raw)]
    for start, end in pairwise(edges):
        piece = raw[start:end]
        if body.complete:
            rest += piece
            continue
        got, over = body.feed(piece)
        payload += got
        rest += over
        assert over == b"" or body.complete
    return payload, rest


def test_a_counted_body_ends_where_it_said() -> None:
    raw = b"0123456789next"
    for cut in range(len(raw) + 1):
        body = CountedBody(10)
        assert feed_in_pieces(body, raw, [cut]) == (b"0123456789", b"next")
        assert body.complete
    assert CountedBody(0).complete


def test_a_chunked_body_at_every_cut() -> None:
    raw = b"3\r\nabc\r\n0A\r\n0123456789\r\n0001\r\n\n\r\n00\r\n\r\n"
    for cut in range(len(raw) + 1):
        for second in range(cut, len(raw) + 1):
            body = ChunkedBody(LIMIT)
            assert feed_in_pieces(body, raw + b"GET", [cut, second]) == (b"abc0123456789\n", b"GET")
            assert body.complete


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_any_chunks_at_any_cuts(chunks: list[bytes], cuts: list[int]) -> None:
    raw = chunked(*chunks)
    body = ChunkedBody(LIMIT)
    inside = [cut for cut in cuts if cut <= len(raw)]
    assert feed_in_pieces(body, raw + b"rest", inside) == (b"".join(chunks), b"rest")
    assert body.complete


MALFORMED = [
    b"\r\n",
    b"\n",
    b"g\r\n",
    b" 3\r\nabc\r\n0\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"3;a=b\r\nabc\r\n0\r\n\r\n",
    b"3;\r\nabc\r\n0\r\n\r\n",
    b"3\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"3\r\nab\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n",
    b"3\rabc",
    b"+3\r\nabc\r\n",
    b"-3\r\nabc\r\n",
    b"0x3\r\nabc\r\n",
    b"3_0\r\n",
    b"000000003\r\nabc\r\n0\r\n\r\n",
    b"FFFFFFFFF\r\n",
    b"0\r\nTrailer: x\r\n\r\n",
    b"0\r\n\n",
    b"0\n\r\n",
    b"0\r\n\r\x00",
    b"0;last\r\n\r\n",
    b"\x00\r\n",
    b"3\r\nabc\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("raw", MALFORMED)
def test_malformed_chunks_are_refused_at_every_cut(raw: bytes) -> None:
    for cut in range(len(raw) + 1):
        with pytest.raises(ApiError) as caught:
            feed_in_pieces(ChunkedBody(LIMIT), raw, [cut])
        assert caught.value.status == 400


def test_the_limit_holds_for_promises_and_for_sums() -> None:
    for raw in (b"B\r\n", b"6\r\n012345\r\n5\r\n"):
        with pytest.raises(ApiError) as caught:
            ChunkedBody(10).feed(raw)
        assert caught.value.status == 413
    body = ChunkedBody(10)
    assert body.feed(chunked(b"01234", b"56789")) == (b"0123456789", b"")


def test_a_flood_of_tiny_chunks_is_refused() -> None:
    assert ChunkedBody(LIMIT).feed(chunked(*[b"x"] * 1000))[0] == b"x" * 1000
    assert ChunkedBody(LIMIT).feed(chunked(*[b"x" * 16] * 5000))[0] == b"x" * 80000
    with pytest.raises(ApiError):
        ChunkedBody(LIMIT).feed(chunked(*[b"x"] * 5000))


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_give_the_same_verdict_however_cut(raw: bytes, cut: int) -> None:
    def verdict(cuts: list[int]) -> object:
        body = ChunkedBody(LIMIT)
        try:
            return feed_in_pieces(body, raw, cuts), body.complete
        except ApiError as error:
            return error.status

    assert verdict([]) == verdict([min(cut, len(raw))])
