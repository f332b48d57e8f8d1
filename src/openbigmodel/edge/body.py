"""Where a request's body ends: counted, or chunked by a grammar as strict as the head's.

Chunk extensions and trailers are refused: nobody who calls this API needs them, and every reader of HTTP treats
them a little differently. Pure: bytes in, payload and what lies behind the body out.
"""

import re
from typing import Final

from openbigmodel.errors import ApiError

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BEGUN = re.compile(rb"(?:[0-9A-Fa-f]{1,8}\r?)?")
_CRLF = b"\r\n"
# A body of one-byte chunks costs us a hundred times what it costs its sender.
_SMALL_CHUNKS_MAX: Final = 1024
_CHUNK_BYTES_MEAN_MIN: Final = 16


class CountedBody:
    """A body of exactly `length` bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def complete(self) -> bool:
        return self._left == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The payload in `data` and the rest, which belongs to the next message."""
        if len(data) <= self._left:
            self._left -= len(data)
            return data, b""
        payload, rest = data[: self._left], data[self._left :]
        self._left = 0
        return payload, rest


class ChunkedBody:
    """A chunked body of at most `limit` bytes of payload."""

    __slots__ = ("_chunks", "_expect", "_held", "_left", "_limit", "_total", "complete")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0  # bytes promised by the sizes read so far
        self._chunks = 0
        self._left = 0  # bytes of the current chunk still to come
        self._held = b""  # a size line or line end that has only partly arrived
        self._expect = self._size
        self.complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The payload in `data` and the rest, which belongs to the next message.

        Raises ApiError, 400 or 413, on the first byte that cannot belong to an acceptable body.
        """
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at = 0
        while not self.complete:
            if self._left:
                piece = data[at : at + self._left]
                if not piece:
                    return b"".join(pieces), b""
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            step = self._expect(data, at)
            if step == 0:
                self._held = data[at:]
                return b"".join(pieces), b""
            at += step
        return b"".join(pieces), data[at:]

    def _size(self, data: bytes, at: int) -> int:
        """Read a size line; 0 when more bytes are needed."""
        match = _SIZE.match(data, at)
        if match is None:
            if not _SIZE_BEGUN.fullmatch(data, at):
                raise malformed_chunk()
            return 0
        self._left = int(match[1], 16)
        self._total += self._left
        self._chunks += self._left > 0
        if self._total > self._limit:
            raise body_too_large(self._limit)
        if self._chunks > _SMALL_CHUNKS_MAX and self._total < self._chunks * _CHUNK_BYTES_MEAN_MIN:
            raise malformed_chunk()
        self._expect = self._line_end if self._left else self._last_line_end
        return match.end() - at

    def _line_end(self, data: bytes, at: int) -> int:
        """Read the CRLF behind a chunk's bytes; 0 when more bytes are needed."""
        if data.startswith(_CRLF, at):
            self._expect = self._size
            return 2
        if data[at:] in (b"", b"\r"):
            return 0
        raise malformed_chunk()

    def _last_line_end(self, data: bytes, at: int) -> int:
        """Read the CRLF that ends the body: anything else would be a trailer."""
        step = self._line_end(data, at)
        self.complete = step > 0
        return step


def malformed_chunk() -> ApiError:
    """The body's chunks are not framed as they must be."""
    return ApiError(
        "1210",
        detail_zh="分块传输的请求体格式有误（不支持分块扩展、尾部字段与大量极小的分块）。",
        detail_en="The chunked body is malformed (extensions, trailers and floods of tiny chunks are refused).",
    )


def body_too_large(limit: int) -> ApiError:
    """The body is larger than its route takes; `limit` in bytes."""
    return ApiError(
        "1210",
        status=413,
        detail_zh=f"请求体不得超过 {limit} 字节。",
        detail_en=f"The request body may be at most {limit} bytes.",
    )
