from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.pricing import FREE, Band, Price
from openbigmodel.billing.usage import Usage

YUAN = 10**9
# glm-4.7 on bigmodel.cn, api.md §12.1.
GLM_4_7 = Price(
    "glm-4.7",
    1,
    (
        Band(2 * YUAN, 8 * YUAN, 400_000_000),
        Band(3 * YUAN, 14 * YUAN, 600_000_000, output_from=200),
        Band(4 * YUAN, 16 * YUAN, 800_000_000, input_from=32768),
    ),
)


def used(prompt: int, completion: int, cached: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (used(0, 0), 0),
        (used(1000, 100), 2_000_000 + 800_000),
        (used(1000, 100, cached=400), 600 * 2000 + 400 * 400 + 100 * 8000),
        # The example of docs/money.md.
        (used(1000, 250, cached=200), 6_020_000),
        (used(1000, 199), 1000 * 2000 + 199 * 8000),
        (used(1000, 200), 1000 * 3000 + 200 * 14000),
        (used(32767, 199), 32767 * 2000 + 199 * 8000),
        (used(32768, 1), 32768 * 4000 + 16000),
        (used(32768, 5000), 32768 * 4000 + 5000 * 16000),
    ],
)
def test_the_band_is_that_of_the_request(usage: Usage, nano: int) -> None:
    assert GLM_4_7.charge(usage) == nano


def test_cached_tokens_cost_what_others_cost_unless_they_have_a_price() -> None:
    assert Price("x", 1, (Band(10**6, 0),)).charge(used(10, 0, cached=10)) == 10
    assert Price("x", 1, (Band(10**6, 0, 0),)).charge(used(10, 0, cached=9)) == 1


def test_the_longer_prompt_decides_before_the_longer_answer() -> None:
    price = Price("x", 1, (Band(1, 1), Band(2, 2, output_from=10), Band(3, 3, input_from=5)))
    assert price.band_of(5, 100) == Band(3, 3, input_from=5)
    assert price.band_of(4, 100) == Band(2, 2, output_from=10)
    assert price.band_of(4, 9) == Band(1, 1)
    assert Price("x", 1, tuple(reversed(price.bands))).band_of(5, 100) == Band(3, 3, input_from=5)
    assert FREE.band_of(5, 5) is None


@pytest.mark.parametrize(("tokens", "nano"), [(1, 1), (2, 1), (3, 2), (499_999, 250_000)])
def test_half_a_nano_rounds_up_and_only_once(tokens: int, nano: int) -> None:
    assert Price("x", 1, (Band(500_000, 500_000),)).charge(used(tokens, 0)) == nano


def test_parts_are_not_rounded_one_by_one() -> None:
    price = Price("x", 1, (Band(400_000, 400_000, 400_000),))
    assert price.charge(used(2, 1, cached=1)) == 1
    assert price.charge(used(1, 0)) == 0
    assert price.bound(1, 0) == 1


def test_a_call_has_its_price_besides_the_tokens() -> None:
    price = Price("web_search", 1, (Band(10**6, 10**6),), per_call=7)
    assert price.charge(used(0, 0)) == 7
    assert price.charge(used(2, 1)) == 10
    assert price.bound(2, 1) == 10
    assert Price("x", 1, per_call=7).charge(used(5, 5)) == 7


def test_a_batch_costs_half_and_is_rounded_once() -> None:
    price = Price("x", 3, (Band(10**6, 10**6),), per_call=1)
    batch = price.for_batch()
    assert (batch.version, batch.model) == (3, "x")
    assert batch.charge(used(1, 0)) == 1
    assert batch.charge(used(1, 1)) == 2
    assert batch.charge(used(3, 0)) == 2
    assert batch.bound(3, 1) == 3
    assert price.charge(used(3, 0)) == 4


@pytest.mark.parametrize(
    ("covered", "nano"),
    [
        (0, 3 * 100 + 2 * 10 + 4 * 1000),
        (1, 2 * 100 + 2 * 10 + 4 * 1000),
        (3, 2 * 10 + 4 * 1000),
        (4, 1 * 10 + 4 * 1000),
        (5, 4 * 1000),
        (8, 1000),
        (9, 0),
        (10, 0),
    ],
)
def test_packs_cover_fresh_prompt_tokens_then_cached_ones_then_the_answer(covered: int, nano: int) -> None:
    price = Price("x", 1, (Band(100 * 10**6, 1000 * 10**6, 10 * 10**6),))
    assert price.charge(used(5, 4, cached=2), covered) == nano
    assert price.bound(5, 4, covered) >= nano


def test_the_bound_looks_at_every_band_within_reach() -> None:
    dear_when_short = Price("x", 1, (Band(100 * 10**6, 0), Band(10**6, 0, input_from=10)))
    assert dear_when_short.bound(10, 0) >= dear_when_short.charge(used(9, 0)) == 900
    assert dear_when_short.bound(9, 0) == 900
    assert GLM_4_7.bound(1000, 199) == 1000 * 2000 + 199 * 8000


@pytest.mark.parametrize(
    "price", [FREE, Price("x", 4, (Band(0, 0, 0),)), Price("x", 1, (Band(1, 1),), percent=0)]
)
def test_what_is_free(price: Price) -> None:
    assert price.free
    assert price.charge(used(10**9, 10**9)) == price.bound(10**9, 10**9) == 0


@pytest.mark.parametrize(
    "price",
    [
        Price("x", 1, (Band(0, 1),)),
        Price("x", 1, (Band(0, 0, 1),)),
        Price("x", per_call=1),
        Price("x", per_image=1),
    ],
)
def test_what_is_not_free(price: Price) -> None:
    assert not price.free


@pytest.mark.parametrize(
    ("make", "wrong", "reason"),
    [
        (Band, {"input": -1, "output": 0}, "never negative"),
        (Band, {"input": 0, "output": -1}, "never negative"),
        (Band, {"input": 0, "output": 0, "cached": -1}, "never negative"),
        (Band, {"input": 0, "output": 0, "input_from": -1}, "never negative"),
        (Band, {"input": 0, "output": 0, "output_from": -1}, "never negative"),
        (Price, {"model": "x", "version": -1}, "never negative"),
        (Price, {"model": "x", "per_call": -1}, "never negative"),
        (Price, {"model": "x", "per_image": -1}, "never negative"),
        (Price, {"model": "x", "batch_percent": 101}, "percent"),
        (Price, {"model": "x", "percent": -1}, "percent"),
        (Price, {"model": "x", "bands": (Band(1, 1, input_from=1),)}, "begin at 0"),
        (Price, {"model": "x", "bands": (Band(1, 1), Band(2, 2))}, "same lengths"),
    ],
)
def test_what_cannot_be_a_price(make: Any, wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make(**wrong)


def test_a_price_survives_as_text() -> None:
    text = msgspec.json.encode(GLM_4_7)
    assert msgspec.json.decode(text, type=Price) == GLM_4_7
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"model": "x", "per_call": -1}', type=Price)


amounts = st.integers(0, 10**11)
lengths = st.integers(0, 200)
bands = st.builds(
    Band, input=amounts, output=amounts, cached=st.none() | amounts, input_from=lengths, output_from=lengths
)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    first = msgspec.structs.replace(draw(bands), input_from=0, output_from=0)
    found = {(0, 0): first, **{(b.input_from, b.output_from): b for b in draw(st.lists(bands, max_size=3))}}
    return Price(
        "x",
        1,
        tuple(draw(st.permutations(list(found.values())))),
        per_call=draw(st.integers(0, 100)),
        percent=draw(st.sampled_from((100, 50, 33, 0))),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    prompt = draw(st.integers(0, 300))
    return used(prompt, draw(st.integers(0, 300)), cached=draw(st.integers(0, prompt)))


def exactly(price: Price, usage: Usage, covered: int) -> Fraction:
    """The charge without rounding, one token at a time."""
    kinds = ["fresh"] * (usage.prompt_tokens - usage.cached_tokens)
    kinds += ["cached"] * usage.cached_tokens + ["output"] * usage.completion_tokens
    reached = [
        band
        for band in price.bands
        if band.input_from <= usage.prompt_tokens and band.output_from <= usage.completion_tokens
    ]
    band = max(reached, key=lambda each: (each.input_from, each.output_from))
    each = {
        "fresh": band.input,
        "cached": band.input if band.cached is None else band.cached,
        "output": band.output,
    }
    total = Fraction(sum(each[kind] for kind in kinds[covered:]), 10**6) + price.per_call
    return total * price.percent / 100


@given(prices(), usages(), st.integers(0, 700))
def test_a_charge_is_the_exact_sum_rounded_half_up(price: Price, usage: Usage, covered: int) -> None:
    exact = exactly(price, usage, covered)
    assert price.charge(usage, covered) == (exact + Fraction(1, 2)).__floor__()
    assert price.charge(usage) == (exactly(price, usage, 0) + Fraction(1, 2)).__floor__()


@given(prices(), usages(), st.integers(0, 100), st.integers(0, 100), st.integers(0, 700))
def test_no_usage_within_the_bounds_costs_more_than_the_bound(
    price: Price, usage: Usage, more_prompt: int, more_completion: int, reserved: int
) -> None:
    prompt, completion = usage.prompt_tokens + more_prompt, usage.completion_tokens + more_completion
    covered = min(reserved, usage.prompt_tokens + usage.completion_tokens)
    assert price.charge(usage) <= price.bound(prompt, completion)
    assert price.charge(usage, covered) <= price.bound(prompt, completion, reserved)
    assert price.bound(prompt, completion, reserved) <= price.bound(prompt, completion)


@given(prices())
def test_free_is_what_never_costs_anything(price: Price) -> None:
    assert price.free == (price.bound(10**9, 10**9) == 0)
