"""What kind of image some bytes are, how large, and whether all of it is there, told from its structure alone.

Rule: nothing is decompressed, so that no image can cost more than its bytes: a decoder would have to be trusted with
what strangers send (reliability.md §2.4). Whoever decodes it afterwards knows its dimensions beforehand.
"""

import struct

import msgspec

from openbigmodel.media.task import Refused

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS_MAX = 100_000
_JPEG_SEGMENTS_MAX = 10_000
# Start of frame: every way to code one but DHT (C4), JPG (C8) and DAC (CC), which are something else.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# They stand alone, without a length.
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))


class Image(msgspec.Struct, frozen=True):
    """An image that is complete, as far as its structure shows."""

    media_type: str
    width: int
    height: int


def read_image(data: bytes) -> Image:
    """Raises Refused: `format` when it is no PNG, JPEG, GIF or WebP, `damaged` when it is cut off or inconsistent."""
    try:
        if data.startswith(_PNG):
            image = _read_png(data)
        elif data.startswith(b"\xff\xd8\xff"):
            image = _read_jpeg(data)
        elif data.startswith((b"GIF87a", b"GIF89a")):
            image = _read_gif(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            image = _read_webp(data)
        else:
            raise Refused("format", "no image that is known")
    except (struct.error, IndexError) as error:
        raise Refused("damaged", "cut off") from error
    if image.width < 1 or image.height < 1:
        raise Refused("damaged", "without an extent")
    return image


def _read_png(data: bytes) -> Image:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise Refused("damaged", "PNG without a header")
    position, has_pixels = 8, False
    for _ in range(_PNG_CHUNKS_MAX):
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if position > len(data):
            raise Refused("damaged", "cut off")
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IHDR" and position != 33:
            raise Refused("damaged", "PNG with two headers")
        if kind == b"IEND":
            if not has_pixels:
                raise Refused("damaged", "PNG without pixels")
            return Image("image/png", width, height)
    raise Refused("damaged", "PNG of too many chunks")


def _read_jpeg(data: bytes) -> Image:
    width = height = 0
    position = 2
    for _ in range(_JPEG_SEGMENTS_MAX):
        if data[position] != 0xFF:
            raise Refused("damaged", "JPEG with something between its segments")
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker in _BARE_MARKERS:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            raise Refused("damaged", "cut off")
        if marker in _START_OF_FRAME:
            if width:
                # One decoder takes the first, another the last.
                raise Refused("damaged", "JPEG with two frames")
            height, width = struct.unpack_from(">HH", data, position + 3)
            if not width or not height:
                raise Refused("damaged", "without an extent")
        position += length
        if marker == 0xDA:
            break
    else:
        raise Refused("damaged", "JPEG of too many segments")
    if not width:
        raise Refused("damaged", "JPEG without a frame")
    if data.find(b"\xff\xd9", position) < 0:
        raise Refused("damaged", "cut off")
    return Image("image/jpeg", width, height)


def _read_gif(data: bytes) -> Image:
    width, height = struct.unpack_from("<HH", data, 6)
    if len(data) < 14 or data.rstrip(b"\x00")[-1] != 0x3B:
        raise Refused("damaged", "cut off")
    return Image("image/gif", width, height)


def _read_webp(data: bytes) -> Image:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise Refused("damaged", "cut off")
    kind = data[12:16]
    if kind == b"VP8X":
        raw = data[24:30]
        if len(raw) < 6:
            raise Refused("damaged", "cut off")
        return Image(
            "image/webp", 1 + int.from_bytes(raw[:3], "little"), 1 + int.from_bytes(raw[3:], "little")
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Image("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Image("image/webp", width & 0x3FFF, height & 0x3FFF)
    raise Refused("damaged", "WebP of an unknown kind")
