"""The types of settings: bounded numbers, credentials, model files, networks.

Rule: a credential is wrapped, and only `reveal` gives its text.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

PortNumber = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
# Service managers kill what has not ended after 90 s.
DrainSeconds = Annotated[int, Meta(ge=0, le=60)]
CheckSeconds = Annotated[int, Meta(ge=1, le=60)]
Level = Annotated[int, Meta(ge=0, le=3)]
# A video is held several times over while it is turned into what an engine takes.
MediaMegabytes = Annotated[int, Meta(ge=1, le=200)]
# Memory of which one account gets a third: at least two of the largest bodies.
RoomMegabytes = Annotated[int, Meta(ge=64, le=1 << 20)]
MediaTasks = Annotated[int, Meta(ge=1, le=128)]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

DOWNLOAD_PREFIXES = ("hf:", "modelscope:")


class SettingsError(Exception):
    """The settings cannot be used; the text is for the person who wrote them."""


class Secret:
    """A credential. `reveal()` is the only way to its text, so a log line or a traceback cannot leak it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)" if self._text else "Secret()"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Secrets:
    """One credential or several; none when it is empty."""

    __slots__ = ("_secrets",)

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = secrets

    def reveal(self) -> tuple[str, ...]:
        """Their texts, without empty ones."""
        return tuple(secret.reveal() for secret in self._secrets if secret)

    def __repr__(self) -> str:
        return f"Secrets({len(self._secrets)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and other._secrets == self._secrets

    def __hash__(self) -> int:
        return hash(self._secrets)


def described(text: str, *, env: str | None = None) -> Meta:
    """A field's help, and the environment variable that sets it where that does not follow from its name."""
    return Meta(description=text, extra=None if env is None else {"env": env})


class ModelFile(str):
    """A model's file: an absolute path, or `hf:OWNER/REPO/FILE` or `modelscope:OWNER/REPO/FILE`."""

    __slots__ = ()

    @property
    def path(self) -> Path | None:
        """None if it must be downloaded."""
        return None if self.startswith(DOWNLOAD_PREFIXES) else Path(self)


class NetworkText(str):
    """A network such as 10.0.0.0/8, or a single address."""

    __slots__ = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the settings file."""
