"""The event parser gives the same events however the bytes are cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.sse import EventParser, EventTooLarge, escape_separators, has_separator

STREAM = (
    b"data: one\n\n"
    b": a comment\n"
    b"event: ignored\n"
    b"data:two\r\n\r\n"
    b"data: three a\ndata: three b\n\n"
    b"\n\n"
    b"data: \xe4\xbd\xa0\xe5\xa5\xbd\xe2\x80\xa8\xc2\x85\r\r"
    b"data: [DONE]\n\n"
)
EVENTS = [b"one", b"two", b"three a\nthree b", "你好\u2028\u0085".encode(), b"[DONE]"]


def parse(parts: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [event for part in parts for event in parser.feed(part)]


def test_events_of_a_stream_in_one_piece() -> None:
    assert parse([STREAM]) == EVENTS


def test_every_single_cut_gives_the_same_events() -> None:
    for cut in range(len(STREAM) + 1):
        assert parse([STREAM[:cut], STREAM[cut:]]) == EVENTS, cut


def test_byte_by_byte() -> None:
    assert parse([STREAM[i : i + 1] for i in range(len(STREAM))]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cuts_give_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert parse([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EVENTS


def test_a_byte_order_mark_before_the_stream_belongs_to_no_line() -> None:
    marked = b"\xef\xbb\xbf" + STREAM
    for cut in range(len(marked) + 1):
        assert parse([marked[:cut], marked[cut:]]) == EVENTS, cut
    # Anywhere else it is part of a name that nobody knows.
    assert parse([b"data: one\n\n", b"\xef\xbb\xbfdata: two\n\n"]) == [b"one"]


def test_unicode_line_separators_do_not_end_a_line() -> None:
    assert parse(["data: a\u2028b\u2029c\u0085d\x0be\x1ef\n\n".encode()]) == [
        "a\u2028b\u2029c\u0085d\x0be\x1ef".encode()
    ]


def test_an_unfinished_event_is_not_given() -> None:
    assert parse([b"data: one\n"]) == []


def test_an_endless_event_is_refused() -> None:
    parser = EventParser(max_event_bytes=100)
    parser.feed(b"data: " + b"x" * 60)
    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * 60)


def test_an_event_of_endless_lines_is_refused() -> None:
    parser = EventParser(max_event_bytes=100)
    with pytest.raises(EventTooLarge):
        parser.feed(b"data: xxxxxxxxxx\n" * 20)


@given(st.text())
def test_escaped_json_means_the_same_and_has_no_separator(text: str) -> None:
    escaped = escape_separators(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    assert json.loads(escaped.decode("utf-8", "surrogatepass")) == text
    assert len(escaped.decode("utf-8", "surrogatepass").splitlines()) == 1
    assert has_separator(text) == any(separator in text for separator in "\u0085\u2028\u2029")
