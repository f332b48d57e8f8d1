"""Counts that cannot be true are named."""

from typing import Any

import pytest

from openbigmodel.conformance.counts import count_problems

GOOD: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_good_counts_have_no_problem() -> None:
    assert count_problems(GOOD) == []
    assert count_problems({**GOOD, "prompt_tokens_details": {"cached_tokens": 3}}) == []
    assert count_problems({**GOOD, "completion_tokens_details": {"reasoning_tokens": 0}}) == []
    assert count_problems({**GOOD, "prompt_tokens_details": {"image_tokens": 3}}) == ["prompt_tokens_details is {'image_tokens': 3}"]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_tokens": True},
        {"total_tokens": 6},
        {"completion_tokens": -1},
        {"prompt_tokens": 0, "total_tokens": 2},
        {"prompt_tokens": 3.0},
        {"prompt_tokens_details": []},
        {"prompt_tokens_details": {"cached_tokens": 4}},
        {"completion_tokens_details": {"reasoning_tokens": None}},
    ],
)
def test_wrong_counts_are_named(wrong: dict[str, Any]) -> None:
    assert count_problems({**GOOD, **wrong})


def test_no_counts_are_a_problem() -> None:
    assert count_problems({})
