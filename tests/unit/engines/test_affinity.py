"""All turns of a conversation have one key, and a key moves only when the place that it is at goes."""

import json
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.affinity import claim, conversation_key, text_key

Message = dict[str, Any]
TEXT = st.text(max_size=200) | st.sampled_from(
    [
        '"user"',
        '{"role":"user"}',
        "}]}]",
        '\\"',
        "\\",
        "{{{",
        '"role": "user"',
        "你好",
        "x" * 9000,
        '"}\n' * 6000,
    ]
)
CONTENT = TEXT | st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})
    | st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": TEXT})}
    ),
    max_size=3,
)


def message(role: str) -> st.SearchStrategy[Message]:
    fields = st.fixed_dictionaries({"content": CONTENT}, optional={"name": TEXT})
    return st.tuples(fields, st.booleans()).map(
        lambda made: {"role": role, **made[0]} if made[1] else {**made[0], "role": role}
    )


OPENING = st.tuples(st.lists(message("system"), max_size=2), message("user")).map(
    lambda made: [*made[0], made[1]]
)
LATER = st.lists(st.one_of(message("assistant"), message("user"), message("tool")), max_size=4)


@given(OPENING, LATER, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_later_turns_have_the_same_key(
    opening: list[Message], later: list[Message], separators: tuple[str, str], ascii_only: bool
) -> None:
    def key(messages: list[Message]) -> int:
        return conversation_key(json.dumps(messages, separators=separators, ensure_ascii=ascii_only).encode())

    assert key(opening) == key([*opening, *later])


def of(*messages: tuple[str, str]) -> int:
    return conversation_key(json.dumps([{"role": role, "content": text} for role, text in messages]).encode())


def test_other_conversations_have_other_keys() -> None:
    system = ("system", "You are kind. " * 2000)
    keys = {
        of(("user", "one")),
        of(("user", "two")),
        of(system, ("user", "one")),
        of(system, ("user", "two")),
        of(("system", "You are rude. " * 2000), ("user", "one")),
        of(system, ("user", "long " * 3000)),
        of(system, ("user", "long " * 3001)),
    }
    assert len(keys) == 7


def test_what_differs_only_between_its_edges_may_share_a_key() -> None:
    one, two = (of(("user", "a" * 6000 + middle + "b" * 6000)) for middle in "xy")
    assert one == two


def test_the_key_is_the_same_after_a_restart() -> None:
    assert of(("system", "s"), ("user", "u")) == 0x4BD2FAA8493EC743
    assert text_key("engine") == 0x1B5EE450C56CA11A


@pytest.mark.parametrize(
    "messages",
    [
        b"[]",
        b"",
        b'[{"role":"assistant","content":"a"}]',
        b'[{"role":"user"',
        b'["user"',
        b'"user',
        b'[{"a":"user\\',
    ],
)
def test_anything_has_a_key(messages: bytes) -> None:
    assert 0 <= conversation_key(messages) < 1 << 64


@pytest.mark.parametrize("text", [b'\\"', b'"{', b"\\", b'"', b"{", b'\\"{', b"[", b'"user",', b"a\\"])
def test_no_text_makes_it_slow(text: bytes) -> None:
    evil = b'[{"role":"user","content":"' + text * (10_000_000 // len(text))
    began_s = time.perf_counter()
    conversation_key(evil)
    assert time.perf_counter() - began_s < 1.0, "quadratic"


PLACES = [text_key(f"engine-{number}") for number in range(10)]
KEYS = [of(("user", str(number))) for number in range(10_000)]


def first(key: int, places: list[int]) -> int:
    return max(places, key=lambda place: claim(key, place))


def test_each_place_has_its_part_of_the_keys() -> None:
    counts = Counter(first(key, PLACES) for key in KEYS)
    assert min(counts.values()) > 880 and max(counts.values()) < 1120


def test_a_place_with_a_weight_has_more() -> None:
    weights = dict(zip(PLACES[:3], (1, 2, 5), strict=True))
    counts = Counter(max(weights, key=lambda place: claim(key, place, weights[place])) for key in KEYS)
    for place, weight in weights.items():
        assert counts[place] == pytest.approx(10_000 * weight / 8, rel=0.05)


@pytest.mark.parametrize("gone", range(10))
def test_only_the_keys_of_a_place_that_goes_move(gone: int) -> None:
    left = [place for place in PLACES if place != PLACES[gone]]
    moved = [key for key in KEYS if first(key, PLACES) != first(key, left)]
    assert moved == [key for key in KEYS if first(key, PLACES) == PLACES[gone]]
    assert max(Counter(first(key, left) for key in moved).values()) < 0.2 * len(moved), "to all others"


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.integers(1, 1000))
def test_every_claim_is_a_positive_number(key: int, place: int, weight: int) -> None:
    assert 0 < claim(key, place, weight) < float("inf")
    assert claim(key, place, weight) == pytest.approx(weight * claim(key, place))
