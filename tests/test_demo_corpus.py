"""Training of the demo model never sees what its evaluation asks for, and its last phase is drawn apart.

The generators are in demo_model/ and need no torch.
"""

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from demo_model.corpus import words
from demo_model.corpus.hard import hard_conversation
from demo_model.corpus.hard_values import HardValues
from demo_model.corpus.mix import conversation
from demo_model.corpus.values import Values

SAMPLES = 1500
# Answers to questions about capitals and words of common topics, which may be known.
CAPITALS = {name for row in words.CAPITALS for name in row}
HELD_OUT = {
    *words.PLACES_ZH_HELD_OUT,
    *words.PLACES_EN_HELD_OUT,
    *words.NAMES_EN_HELD_OUT,
} - CAPITALS


def strings(value: Any) -> list[str]:
    """Every text in a sample, keys of objects included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def samples(make: Callable[[random.Random], Any]) -> str:
    """All text of many samples."""
    rng = random.Random(4711)
    return "\n".join(text for _ in range(SAMPLES) for text in strings(asdict(make(rng))))


def hard(rng: random.Random) -> Any:
    return hard_conversation(HardValues(rng))


def usual(rng: random.Random) -> Any:
    return conversation(Values(rng), 0.8)


def test_the_lists_of_training_and_evaluation_share_nothing() -> None:
    assert not set(words.PLACES_ZH) & set(words.PLACES_ZH_HELD_OUT)
    assert not set(words.PLACES_EN) & set(words.PLACES_EN_HELD_OUT)
    assert not set(words.NAMES_EN) & set(words.NAMES_EN_HELD_OUT)
    assert "Salt Lake City" in words.PLACES_EN_HELD_OUT


@pytest.mark.parametrize("make", [usual, hard])
def test_no_sample_of_training_holds_a_place_or_name_of_the_evaluation(
    make: Callable[[random.Random], Any],
) -> None:
    text = samples(make)
    assert [name for name in sorted(HELD_OUT) if name in text] == []
    # Nor its beginning, from which the rest would be easy to guess.
    assert "Salt Lake" not in text
    assert "Cape Town" not in text


def test_hard_places_have_up_to_four_words_and_doubled_characters() -> None:
    values = HardValues(random.Random(1))
    english = [values.place("en") for _ in range(400)]
    assert {len(place.split()) for place in english} >= {2, 3, 4}
    chinese = [values.place("zh") for _ in range(400)]
    assert sum(len(set(place)) < len(place) for place in chinese) > 100


def test_hard_samples_are_the_same_for_the_same_seed() -> None:
    assert samples(hard) == samples(hard)


def test_the_first_phase_draws_nothing_of_the_hard_corpus() -> None:
    text = samples(usual)
    assert "Puerto " not in text
    assert "Rio de " not in text.replace("Rio de Janeiro", "")
