"""What moderation says of a text. The findings are what callers are told (api.md §8.3)."""

from typing import Literal

import msgspec

from openbigmodel.schemas.chat import Finding

Role = Literal["user", "assistant", "history"]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """`blocked` says why the text must not pass; `noted` is what was seen in one that may."""

    blocked: Finding | None = None
    noted: tuple[Finding, ...] = ()


CLEAR = Verdict()


class CheckerUnavailable(Exception):  # noqa: N818  it names the state
    """The checker gave no answer, and the settings say that nothing passes unchecked."""


def most_severe(findings: list[Finding]) -> tuple[Finding, ...]:
    """Of each role the most severe finding, the worst first."""
    found: dict[Role, Finding] = {}
    for finding in sorted(findings, key=lambda finding: finding.level):
        found.setdefault(finding.role, finding)
    return tuple(found.values())
