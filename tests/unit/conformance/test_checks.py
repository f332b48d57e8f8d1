"""What a check says of itself."""

import pytest

from openbigmodel.conformance.checks import Failed, check, expect, shown
from openbigmodel.conformance.subject import Subject


async def _run(subject: Subject) -> None:
    pass


def test_a_function_becomes_a_check() -> None:
    made = check("auth", "name", "It is.", "是。", "api.md §2", only="openai", row="jwt")(_run)
    assert (made.id, made.required, made.upstreams, made.row) == (
        "auth.name",
        True,
        frozenset(("openai",)),
        "jwt",
    )


def test_what_does_not_hold_is_said() -> None:
    expect(holds=True, seen="never")
    with pytest.raises(Failed, match="seen"):
        expect(holds=[], seen="seen")


def test_long_values_are_cut() -> None:
    assert shown(b"\xff" * 300) == "\N{REPLACEMENT CHARACTER}" * 199 + "…"
    assert shown({"a": 1}) == "{'a': 1}"
