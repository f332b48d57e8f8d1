"""The beginning of a body: its pieces in order, and the room that they take for as long as they are kept."""

import pytest

from openbigmodel.edge.unfinished import Unfinished
from openbigmodel.errors import ApiError
from openbigmodel.room import Room


def test_pieces_become_a_body_and_their_room_is_free_again() -> None:
    room = Room(10_000)
    body = Unfinished(room.share("a"))
    for piece in (b"ab", b"", b"cd"):
        body.keep(piece)
    assert room.taken == 4 + 2 * 64
    assert body.whole(b"ef") == b"abcdef"
    assert room.taken == 0


def test_a_last_piece_that_is_the_only_one_is_not_copied() -> None:
    last = b"x" * 1000
    assert Unfinished(Room(1).share("a")).whole(last) is last


def test_without_room_it_is_refused_and_what_it_held_is_free_after_it_has_left() -> None:
    room = Room(1500)
    body = Unfinished(room.share("a"))
    body.keep(b"x" * 400)
    with pytest.raises(ApiError) as refused:
        body.keep(b"x" * 100)
    assert (refused.value.code, refused.value.status) == ("1305", 503)
    body.leave()
    body.leave()
    assert room.taken == 0


def test_tiny_pieces_count_for_what_they_cost() -> None:
    room = Room(30_000)
    body = Unfinished(room.share("a"))
    for _ in range(10_000 // (2 + 64)):
        body.keep(b"xy")
    with pytest.raises(ApiError):
        body.keep(b"xy")
