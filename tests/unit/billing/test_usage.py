from typing import Any

import pytest

from openbigmodel.billing.usage import Usage


def test_nothing_used() -> None:
    assert Usage() == Usage(0, 0, 0, 0, measured=False)


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": -1},
        {"cached_tokens": 1},
        {"prompt_tokens": 1, "cached_tokens": 2},
        {"prompt_tokens": 1, "cached_tokens": -1},
        {"completion_tokens": 1, "reasoning_tokens": 2},
        {"reasoning_tokens": -1},
    ],
)
def test_counts_that_cannot_be(counts: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        Usage(**counts)
