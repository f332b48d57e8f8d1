import random
import struct

import pytest

from openbigmodel.media.images import Image, read_image
from openbigmodel.media.task import Refused
from tests.conftest import SCALE
from tests.hostile_web import png


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def frame(width: int, height: int) -> bytes:
    return struct.pack(">BHHB", 8, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"


def jpeg(width: int = 7, height: int = 5, *, marker: int = 0xC0, extra: bytes = b"") -> bytes:
    thumbnail = segment(0xE1, b"Exif\0\0" + b"\xff\xd8\xff\xd9")
    scan = segment(0xDA, b"\1\1\0\0\x3f\0") + b"pixels\xff\0more"
    return b"\xff\xd8" + thumbnail + extra + segment(marker, frame(width, height)) + scan + b"\xff\xd9"


def gif(width: int = 3, height: int = 4) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0" + b"\x2c" + b"\0" * 9 + b"\x3b"


def webp(kind: bytes, payload: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


LOSSLESS = b"\x2f" + struct.pack("<I", (639) | (479 << 14)) + b"data"
LOSSY = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480) + b"data"
EXTENDED = b"\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(7, 5), Image("image/png", 7, 5)),
        (png(1, 1) + b"trailing", Image("image/png", 1, 1)),
        (png(claim=(50_000, 50_000)), Image("image/png", 50_000, 50_000)),
        (jpeg(), Image("image/jpeg", 7, 5)),
        (jpeg(marker=0xC2), Image("image/jpeg", 7, 5)),
        (jpeg(extra=b"\xff\xff\xff\x01"), Image("image/jpeg", 7, 5)),
        (jpeg() + b"\0\0", Image("image/jpeg", 7, 5)),
        (gif(), Image("image/gif", 3, 4)),
        (webp(b"VP8L", LOSSLESS), Image("image/webp", 640, 480)),
        (webp(b"VP8 ", LOSSY), Image("image/webp", 640, 480)),
        (webp(b"VP8X", EXTENDED), Image("image/webp", 640, 480)),
    ],
)
def test_the_dimensions_of_a_whole_image(data: bytes, expected: Image) -> None:
    assert read_image(data) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(0, 5), "extent"),
        (png()[:8] + png()[33:], "without a header"),
        (png().replace(b"IDAT", b"iDAT"), "without pixels"),
        (png()[:33] + png()[8:], "two headers"),
        (b"\x89PNG\r\n\x1a\n" + png()[8:33] + b"\0\0\0\0abcd\0\0\0\0" * 100_001, "too many chunks"),
        (jpeg(0, 5), "extent"),
        (jpeg(extra=segment(0xC0, frame(1, 1))), "two frames"),
        (jpeg(extra=b"junk"), "something between"),
        (b"\xff\xd8" + segment(0xDA, b"\1\1\0\0\x3f\0") + b"x\xff\xd9", "without a frame"),
        (b"\xff\xd8" + segment(0xFE, b"") * 10_001, "too many segments"),
        (b"\xff\xd8\xff\xc0\0\1", "cut off"),
        (gif()[:-1], "cut off"),
        (webp(b"VP8L", LOSSLESS)[:-1], "cut off"),
        (webp(b"VP8X", EXTENDED[:6]), "cut off"),
        (webp(b"VP9 ", LOSSY), "unknown kind"),
    ],
)
def test_a_damaged_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        read_image(data)
    assert refused.value.outcome.refusal == "damaged"


@pytest.mark.parametrize(
    "data", [b"", b"text", b"<svg/>", b"%PDF-1.7", b"BM" + b"\0" * 60, b"II*\0" + b"\0" * 60]
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_image(data)
    assert refused.value.outcome.refusal == "format"


@pytest.mark.parametrize("data", [png(9, 9), jpeg(9, 9)])
def test_an_image_that_is_cut_anywhere_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(Refused):
            read_image(data[:length])


def test_whatever_is_changed_in_an_image_is_read_or_refused() -> None:
    chance = random.Random(1)
    whole = [png(9, 9), jpeg(), gif(), webp(b"VP8L", LOSSLESS), webp(b"VP8 ", LOSSY), webp(b"VP8X", EXTENDED)]
    read = 0
    for number in range(round(20_000 * SCALE)):
        data = bytearray(whole[number % len(whole)])
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        try:
            image = read_image(bytes(data))
        except Refused:
            continue
        assert image.width > 0
        assert image.height > 0
        read += 1
    assert read
