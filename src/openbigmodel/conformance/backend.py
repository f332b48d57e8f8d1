"""The engine behind a server under test, as the checks see it: it says what it is told to, and keeps what it was asked.

Rule: a request is known by the mark in its question and never by its order, because a server may ask again, look
whether the engine is well, or serve somebody else meanwhile.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec


class Says(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the engine: its head, its body in pieces, and how it ends.

    `end`: as it should; `close`: the connection ends before the body does; `reset`: so, and with a TCP reset;
    `wait`: nothing more comes; `drip`: the last piece comes again and again. `pause_s` stands before each piece but
    the first, and before the end; with `gated` each of them waits for `Asked.go_on`.
    """

    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] = ()
    ending: Literal["end", "close", "reset", "wait", "drip"] = "end"
    pause_s: float = 0.0
    gated: bool = False


Script = Callable[[dict[str, Any]], Says]


class Asked(Protocol):
    """A request that the engine got."""

    @property
    def json(self) -> dict[str, Any]:
        """Its body."""

    @property
    def gone(self) -> bool:
        """Whether the asker has left before the answer was over."""

    def go_on(self) -> None:
        """Say the next piece of a gated answer."""


class Backend(Protocol):
    """A scripted engine."""

    def say(self, mark: str, script: Script) -> None:
        """Answer every request with this mark so."""

    def asked(self, mark: str) -> list[Asked]:
        """The requests with this mark, the first one first."""
