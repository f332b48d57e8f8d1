"""What a check is: a sentence that holds or does not, and the function that finds out.

Rule: a check fails by `Failed` with what it saw, and says nothing by `Skipped` when the server under test gives it
nothing to judge: a model that called no tool has not called it wrongly.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from openbigmodel.conformance.subject import Subject

Group = Literal[
    "requests",
    "refusals",
    "answers",
    "streams",
    "auth",
    "errors",
    "disconnect",
    "to_engine",
    "from_engine",
    "engine_faults",
]
GROUPS: dict[Group, tuple[str, str]] = {
    "requests": ("What a request may contain", "请求字段"),
    "refusals": ("What is wrong in a request", "参数错误"),
    "answers": ("Whole answers", "非流式响应"),
    "streams": ("Streams", "流式响应"),
    "auth": ("Credentials", "鉴权"),
    "errors": ("Errors", "错误"),
    "disconnect": ("Clients that leave", "客户端断开"),
    "to_engine": ("What reaches the engine", "到达引擎的字段"),
    "from_engine": ("What comes back from the engine", "引擎返回的字段"),
    "engine_faults": ("Engines that fail", "引擎故障"),
}
# These need the suite's own engine behind the server under test.
BACKEND_GROUPS: frozenset[Group] = frozenset(("to_engine", "from_engine", "engine_faults"))

Run = Callable[[Subject], Awaitable[None]]


class Failed(Exception):  # noqa: N818  it says what happened
    """The server does something else; the text says what was seen."""


class Skipped(Exception):  # noqa: N818  it says what happened
    """There was nothing to judge; the text says why."""


class Check(msgspec.Struct, frozen=True):
    """One sentence about a server. `source` says where it is known from; `row` is its row in the fidelity table.

    `upstreams`: the kinds of engine behind the server for which it means something.
    """

    group: Group
    name: str
    en: str
    zh: str
    source: str
    run: Run
    required: bool = True
    upstreams: frozenset[str] = frozenset(("glm", "openai"))
    row: str = ""

    @property
    def id(self) -> str:
        """`group.name`."""
        return f"{self.group}.{self.name}"


def check(
    group: Group,
    name: str,
    en: str,
    zh: str,
    source: str,
    *,
    required: bool = True,
    only: Literal["glm", "openai"] | None = None,
    row: str = "",
) -> Callable[[Run], Check]:
    """Make a function a check."""
    upstreams = frozenset((only,)) if only else frozenset(("glm", "openai"))
    return lambda run: Check(group, name, en, zh, source, run, required, upstreams, row)


def expect(holds: object, seen: str) -> None:
    """Raises Failed with what was seen unless it holds."""
    if not holds:
        raise Failed(seen)


def shown(value: object, characters: int = 200) -> str:
    """A value in a few words."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= characters else text[: characters - 1] + "…"
