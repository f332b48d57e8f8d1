"""Tool calls that a strict client stumbles over are named."""

from typing import Any

import pytest

from openbigmodel.conformance.tool_calls import argument_problems, arguments_of, call_problems, joined

GOOD: dict[str, Any] = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}


def test_a_good_call_has_no_problem() -> None:
    assert call_problems([GOOD, {**GOOD, "index": 1}]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": 1},
        {"index": None},
        {"id": ""},
        {"type": None},
        {"function": None},
        {"function": {"name": "", "arguments": "{}"}},
        {"function": {"name": "f", "arguments": {}}},
        {"function": {"name": "f", "arguments": "[]"}},
        {"function": {"name": "f", "arguments": '{"a":'}},
    ],
)
def test_a_wrong_call_is_named(wrong: dict[str, Any]) -> None:
    assert call_problems([{**GOOD, **wrong}])


def test_no_calls_are_a_problem() -> None:
    assert call_problems(None) and call_problems([]) and call_problems("x")


def test_fragments_are_put_together_by_index() -> None:
    parts = [{**GOOD, "index": place, "function": {"name": "f", "arguments": text}} for place, text in ((0, "{"), (1, "{}"), (0, "}"))]  # fmt: skip
    found = joined(parts)
    assert [arguments_of(found[index]) for index in (0, 1)] == ["{}", "{}"]
    assert argument_problems("") and not argument_problems("{}")
