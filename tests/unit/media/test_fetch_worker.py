import base64
import random
import ssl
import time
from typing import Any

import pytest

from openbigmodel.media.download import Download, SystemNet
from openbigmodel.media.fetch_worker import _in_time, decode_base64, perform
from openbigmodel.media.task import Outcome, Refused, Task
from tests.conftest import SCALE
from tests.hostile_web import png
from tests.unit.media.test_recordings import mp4

TLS = ssl.create_default_context()


def done(kind: str, data: bytes, **limits: Any) -> tuple[Outcome, bytes]:
    payload = base64.b64encode(data)
    task = Task(kind=kind, form="base64", size=len(payload), **{"bytes_max": 1000, **limits})  # type: ignore[arg-type]
    return perform(task, payload, SystemNet(), TLS)


def refusal(kind: str, data: bytes, **limits: Any) -> str:
    with pytest.raises(Refused) as raised:
        done(kind, data, **limits)
    return raised.value.outcome.refusal


def test_what_is_in_order_does_not_come_back() -> None:
    assert done("image", png(3, 4)) == (Outcome(media_type="image/png", kept=True, width=3, height=4), b"")
    assert done("video", mp4()) == (Outcome(media_type="video/mp4", kept=True), b"")
    assert done("audio", b"ID3\4") == (Outcome(media_type="audio/mpeg", kept=True), b"")


def test_base64_in_another_form_comes_back_in_ours() -> None:
    data = png()
    payload = base64.encodebytes(data)
    task = Task(kind="image", form="base64", size=len(payload), bytes_max=1000)
    outcome, encoded = perform(task, payload, SystemNet(), TLS)
    assert not outcome.kept
    assert outcome.size == len(encoded)
    assert base64.b64decode(encoded) == data


def test_a_file_comes_back_as_text() -> None:
    text = "智谱".encode()
    assert done("file", "智谱".encode("gb18030")) == (Outcome(media_type="text/plain", size=len(text)), text)


def test_limits_hold_to_the_byte_and_pixel() -> None:
    data = png(30, 20)
    assert done("image", data, bytes_max=len(data), side_max=30, pixels_max=600)[0].kept
    assert refusal("image", data, bytes_max=len(data) - 1) == "too_large"
    assert refusal("image", data, side_max=29) == "dimensions"
    assert refusal("image", data, pixels_max=599) == "dimensions"
    assert refusal("image", b"") == "damaged"


def test_formats_and_seconds_are_the_models() -> None:
    assert refusal("image", png(), formats=("image/jpeg",)) == "format"
    assert done("video", mp4(1000, 30_050), seconds_max=30)[0].kept
    assert refusal("video", mp4(1000, 31_000), seconds_max=30) == "too_long"
    assert refusal("video", png()) == "format"
    assert refusal("audio", png()) == "format"
    assert refusal("file", png()) == "format"


@pytest.mark.parametrize(
    ("text", "data", "canonical"),
    [
        (b"YWI=", b"ab", True),
        (b"YWI", b"ab", False),
        (b" YW\r\nI=\n", b"ab", False),
        (b"-_8=", b"\xfb\xff", False),
        (b"+/8=", b"\xfb\xff", True),
        (b"", b"", True),
    ],
)
def test_base64_is_read_kindly(text: bytes, data: bytes, canonical: bool) -> None:
    assert decode_base64(text) == (data, canonical)


@pytest.mark.parametrize(
    "text", [b"YWI=YWI=", b"Y", b"a!b=", b"=", b"====", b"YW=I", "图".encode(), b"YQ\0="]
)
def test_what_is_not_base64_is_refused(text: bytes) -> None:
    if text in {b"=", b"===="}:
        assert decode_base64(text) == (b"", False)
        return
    with pytest.raises(Refused) as raised:
        decode_base64(text)
    assert raised.value.outcome.refusal == "encoding"


def test_base64_of_anything_is_read_back() -> None:
    chance = random.Random(3)
    for _ in range(round(500 * SCALE)):
        data = chance.randbytes(chance.randrange(100))
        assert decode_base64(base64.b64encode(data)) == (data, True)
        assert decode_base64(base64.urlsafe_b64encode(data).rstrip(b"=") + b"\n")[0] == data


def test_the_clock_ends_a_fetch_and_is_put_back() -> None:
    def slow() -> Download:
        time.sleep(5)
        raise AssertionError

    begun_s = time.monotonic()
    with pytest.raises(Refused, match=r"within 0\.05 s"):
        _in_time(0.05, slow)
    assert time.monotonic() - begun_s < 2
    assert _in_time(5, lambda: Download(b"x", "")) == Download(b"x", "")
