"""Counts are whole numbers from 0 on; whatever else an engine says of them is as if it had not been said."""

from typing import Any

import msgspec
import pytest

from openbigmodel.inference.engine_counts import read_patiently, timings_of, usage_of
from openbigmodel.schemas.engine import EngineUsage, PromptDetails, Timings


@pytest.mark.parametrize(
    ("said", "count"),
    [
        (7, 7),
        (7.0, 7),
        (0, 0),
        (0.0, 0),
        (7.5, None),
        (-1, None),
        ("7", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_only_whole_numbers_count(said: Any, count: int | None) -> None:
    usage = usage_of({"prompt_tokens": said, "completion_tokens": said, "reasoning_tokens": said})

    assert usage == EngineUsage(count, count, count)


def test_details_may_be_anything() -> None:
    assert usage_of({"prompt_tokens_details": {"cached_tokens": 3.0}, "completion_tokens_details": []}) == (
        EngineUsage(prompt_tokens_details=PromptDetails(3))
    )
    assert usage_of("none") is None


def test_counters_are_nothing_without_what_was_produced() -> None:
    assert timings_of({"predicted_n": 5.0, "prompt_n": "many"}) == Timings(0, 0, 5)
    assert timings_of({"prompt_n": 5}) is None
    assert timings_of([]) is None


def test_the_answer_itself_is_read_as_strictly_as_ever() -> None:
    reply = read_patiently(b'{"choices":null,"usage":"later","timings":7}')
    assert (reply.choices, reply.usage, reply.timings) == ([], None, None)

    with pytest.raises(msgspec.ValidationError):
        read_patiently(b'{"choices":3}')
