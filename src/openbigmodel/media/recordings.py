"""What kind of video or sound some bytes are, and how long it runs where its container says so in one place.

Rule: containers only, as with images; nothing is decoded.
"""

import struct

import msgspec

from openbigmodel.media.task import Refused

_BOXES_MAX = 10_000
# Boxes that a QuickTime or MP4 file may begin with.
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_MATROSKA = b"\x1a\x45\xdf\xa3"


class Recording(msgspec.Struct, frozen=True):
    """`seconds` is 0 where it is not known."""

    media_type: str
    seconds: float = 0.0


def read_video(data: bytes) -> Recording:
    """Raises Refused: `format` when it is no MP4, QuickTime or Matroska file, `damaged` when it is cut off."""
    if data[4:8] in _FIRST_BOXES:
        quicktime = data[4:8] != b"ftyp" or data[8:12] == b"qt  "
        return Recording("video/quicktime" if quicktime else "video/mp4", _seconds(data))
    if data.startswith(_MATROSKA):
        if b"matroska" not in data[:64] and b"webm" not in data[:64]:
            raise Refused("format", "no Matroska file")
        return Recording("video/x-matroska")
    raise Refused("format", "no video that is known")


def read_audio(data: bytes) -> Recording:
    """Raises Refused `format` when it is neither WAV nor MP3."""
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        return Recording("audio/wav")
    # An MPEG frame: eleven bits set, then layer III.
    if data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2):
        return Recording("audio/mpeg")
    raise Refused("format", "no sound that is known")


def _seconds(data: bytes) -> float:
    """The duration in the movie header; also walks the top boxes to see that all of the file is there."""
    seconds: float | None = None
    position = 0
    for _ in range(_BOXES_MAX):
        if position == len(data):
            break
        if position + 8 > len(data):
            raise Refused("damaged", "cut off")
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        elif size == 0:
            size = len(data) - position
        if size < header or position + size > len(data):
            raise Refused("damaged", "cut off")
        if kind == b"moov":
            seconds = _movie_seconds(data[position + header : position + size])
        position += size
    if seconds is None:
        raise Refused("damaged", "a video without a movie header")
    return seconds


def _movie_seconds(moov: bytes) -> float:
    """From the `mvhd` box; 0 where its scale is."""
    place = moov.find(b"mvhd")
    if place < 4:
        raise Refused("damaged", "a movie without a header")
    try:
        (version,) = struct.unpack_from(">B", moov, place + 4)
        layout, offset = (">IQ", 24) if version == 1 else (">II", 16)
        scale, duration = struct.unpack_from(layout, moov, place + offset)
    except struct.error as error:
        raise Refused("damaged", "cut off") from error
    return float(duration / scale) if scale else 0.0
