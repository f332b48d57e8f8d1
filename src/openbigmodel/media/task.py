"""What the platform and the fetch worker say to each other about one image, video, sound or file.

Each task has a socket of its own: the platform writes a Task as one line of JSON and `size` bytes, the worker answers
with an Outcome as one line and `size` bytes, and closes. Nothing in an Outcome but `refusal` and the numbers in it is
ever shown to a caller: how a fetch failed would tell what the platform's network looks like.
"""

from typing import Literal

import msgspec

Kind = Literal["image", "video", "audio", "file"]
Form = Literal["url", "base64"]
Refusal = Literal[
    "",
    "unreachable",
    "status",
    "too_large",
    "encoding",
    "format",
    "damaged",
    "dimensions",
    "too_long",
    "too_much_text",
]

LINE_BYTES_MAX = 65_536


class FetchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where URLs may lead. `allowed_hosts` empty: anywhere public. `allow_private`: networks, as text."""

    ports: tuple[int, ...] = (80, 443)
    allowed_hosts: tuple[str, ...] = ()
    allow_private: tuple[str, ...] = ()
    timeout_s: float = 10.0
    redirects_max: int = 3


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wanted. `size` counts the bytes that follow: a URL, or base64.

    `side_max` and `pixels_max` are for images, `seconds_max` for videos; 0 means no bound. `formats` are media types.
    """

    kind: Kind
    form: Form
    size: int
    bytes_max: int
    name: str = ""
    formats: tuple[str, ...] = ()
    side_max: int = 0
    pixels_max: int = 0
    seconds_max: int = 0
    cpu_s: int = 5
    memory_bytes: int = 1 << 29
    policy: FetchPolicy = FetchPolicy()


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of it. `size` counts the bytes that follow: base64, or the text of a file.

    `kept`: the caller's own base64 is in order and does not come back. `status` is an HTTP status; `detail` is for the
    operator's log.
    """

    refusal: Refusal = ""
    status: int = 0
    detail: str = ""
    media_type: str = ""
    size: int = 0
    kept: bool = False
    width: int = 0
    height: int = 0


class Refused(Exception):  # noqa: N818  it is an outcome
    """Raised by what reads media, with the outcome to report."""

    def __init__(
        self, refusal: Refusal, detail: str = "", *, status: int = 0, width: int = 0, height: int = 0
    ) -> None:
        super().__init__(detail or refusal)
        self.outcome = Outcome(refusal=refusal, detail=detail, status=status, width=width, height=height)
