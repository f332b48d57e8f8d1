"""A body of which some has come and some has not: its pieces, and the room that they take among all others'.

Rule: whoever is at fault is refused. An owner who holds much is out of room long before the others are (`room`).
"""

from typing import Final

from openbigmodel.errors import ApiError
from openbigmodel.room import Share

# An object for each piece; a body may come in pieces of two bytes.
_PIECE_BYTES: Final = 64


class Unfinished:
    """The beginning of one body."""

    __slots__ = ("_pieces", "_share")

    def __init__(self, share: Share) -> None:
        self._share = share
        self._pieces: list[bytes] = []

    def keep(self, piece: bytes) -> None:
        """One more piece, and the body does not end with it. Raises ApiError 1305 when there is no room for it."""
        if piece:
            if not self._share.take(len(piece) + _PIECE_BYTES):
                raise ApiError("1305", status=503)
            self._pieces.append(piece)

    def whole(self, last: bytes) -> bytes:
        """The body, whose last piece this is. Nothing of it is kept here any more."""
        pieces = self._pieces
        pieces.append(last)
        body = last if len(pieces) == 1 else b"".join(pieces)
        self.leave()
        return body

    def leave(self) -> None:
        """The rest will not come. Nothing of it is kept any more."""
        self._pieces = []
        self._share.leave()
