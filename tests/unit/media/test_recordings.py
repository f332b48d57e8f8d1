import random
import struct

import pytest

from openbigmodel.media.recordings import Recording, read_audio, read_video
from openbigmodel.media.task import Refused
from tests.conftest import SCALE


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, kind) + data


def header(scale: int, duration: int, version: int = 0) -> bytes:
    if version:
        return box(b"mvhd", struct.pack(">B3xQQIQ", 1, 0, 0, scale, duration) + b"\0" * 80)
    return box(b"mvhd", struct.pack(">B3xIIII", 0, 0, 0, scale, duration) + b"\0" * 80)


def mp4(scale: int = 1000, duration: int = 12_500, version: int = 0, brand: bytes = b"isom") -> bytes:
    movie = box(b"moov", header(scale, duration, version) + box(b"trak", b"x"))
    return box(b"ftyp", brand + b"\0\0\2\0") + box(b"mdat", b"frames") + movie


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (mp4(), Recording("video/mp4", 12.5)),
        (mp4(version=1), Recording("video/mp4", 12.5)),
        (mp4(scale=0), Recording("video/mp4", 0.0)),
        (mp4(brand=b"qt  "), Recording("video/quicktime", 12.5)),
        (box(b"wide", b"") + mp4()[16:], Recording("video/quicktime", 12.5)),
        (mp4() + struct.pack(">I4s", 0, b"mdat") + b"to the end", Recording("video/mp4", 12.5)),
        (mp4() + struct.pack(">I4sQ", 1, b"mdat", 20) + b"long", Recording("video/mp4", 12.5)),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + b"\0" * 9, Recording("video/x-matroska")),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm" + b"\0" * 9, Recording("video/x-matroska")),
    ],
)
def test_the_container_of_a_video_is_told(data: bytes, expected: Recording) -> None:
    assert read_video(data) == expected


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (mp4()[:-1], "damaged"),
        (mp4() + b"abc", "damaged"),
        (mp4() + struct.pack(">I4s", 4, b"mdat"), "damaged"),
        (box(b"ftyp", b"isom") + box(b"mdat", b"x"), "damaged"),
        (box(b"ftyp", b"isom") + box(b"moov", b"x"), "damaged"),
        (box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", b"\0\0")), "damaged"),
        (b"\x1a\x45\xdf\xa3other", "format"),
        (b"RIFF\0\0\0\0AVI ", "format"),
        (b"", "format"),
    ],
)
def test_other_videos_are_refused(data: bytes, refusal: str) -> None:
    with pytest.raises(Refused) as refused:
        read_video(data)
    assert refused.value.outcome.refusal == refusal


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff\xf3\x90", "audio/mpeg"),
        (b"\xff\xe3\x90", "audio/mpeg"),
    ],
)
def test_the_kind_of_a_sound_is_told(data: bytes, media_type: str) -> None:
    assert read_audio(data).media_type == media_type


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xf1\x50", b"OggS", b"fLaC", b"RIFF\0\0\0\0AVI "])
def test_other_sounds_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_audio(data)


def test_whatever_is_changed_in_a_video_is_read_or_refused() -> None:
    chance = random.Random(2)
    for _ in range(round(10_000 * SCALE)):
        data = bytearray(mp4(version=chance.randrange(2)))
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert read_video(bytes(data)).seconds >= 0
        except Refused:
            continue
