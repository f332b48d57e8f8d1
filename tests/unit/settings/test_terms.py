"""Prices and limits as people write them."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.money import parse_yuan
from openbigmodel.settings import ModelLimits, ModelPrice, PriceBand, read_limits, read_price


def test_a_price_as_numbers_or_as_text_is_the_same() -> None:
    numbers = read_price({"input": 10.0, "output": 10, "cached": 2.5})
    assert numbers == ModelPrice(bands=(PriceBand("10.0", "10", "2.5"),))
    text = read_price({"input": "10.0", "output": "10", "cached": "2.5"})
    assert text == numbers


def test_zero_is_a_price() -> None:
    assert read_price({"input": 0.0, "output": 0.0}).bands == (PriceBand("0.0", "0.0"),)


def test_cached_tokens_may_have_no_price_of_their_own() -> None:
    assert read_price({"input": 1, "output": 2}).bands[0].cached is None


def test_bands_by_length() -> None:
    price = read_price(
        {
            "bands": [
                {"input": 2, "output": 8, "cached": 0.4},
                {"output_from": 200, "input": 3, "output": 14},
                {"input_from": 32000, "input": "4", "output": 16},
            ],
            "per_call": 0.01,
            "per_image": "0.06",
            "batch_percent": 40,
        },
        catalog=True,
    )
    assert [(band.input_from, band.output_from) for band in price.bands] == [(0, 0), (0, 200), (32000, 0)]
    assert (price.per_call, price.per_image, price.batch_percent) == ("0.01", "0.06", 40)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("per_image", "0.1", "images are not made here yet"),
        ("per_image", 0, "images are not made here yet"),
        ("batch_percent", 40, "requests in batches are not taken here yet"),
    ],
)
def test_what_would_never_be_charged_cannot_be_set(name: str, value: object, why: str) -> None:
    raw = {"input": 1, "output": 1, name: value}
    assert complaint(read_price, raw) == f".{name} would never be charged: {why}. Leave it out"


def test_a_price_may_be_for_calls_alone() -> None:
    assert read_price({"per_call": 1}) == ModelPrice(per_call="1")


@given(st.floats(min_value=1e-9, max_value=999_999_999).map(lambda value: round(value, 9)))
def test_every_number_with_nine_places_is_taken_for_what_it_prints_as(value: float) -> None:
    text = read_price({"per_call": value}).per_call
    assert float(text) == value
    # Whoever charges can read it.
    assert parse_yuan(text) == parse_yuan(value)


AMOUNT = "must be an amount in yuan such as 12 or 0.8: not negative, nine decimal places at most"
BAND = {"input": 1, "output": 1}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (3, " must be a table such as { input = …, output = … }"),
        ([], " must be a table such as { input = …, output = … }"),
        ({}, " says nothing; give it input and output, and 0 for what is free"),
        ({"batch_percent": 10}, " says nothing; give it input and output, and 0 for what is free"),
        ({"input": 1}, ".output is missing: yuan per million tokens"),
        ({"cached": 1, "output": 1}, ".input is missing: yuan per million tokens"),
        ({"input": 1, "outptu": 1}, ".outptu is not a setting; did you mean output?"),
        ({"input": -1, "output": 1}, f".input {AMOUNT}"),
        ({"input": "-0.5", "output": 1}, f".input {AMOUNT}"),
        ({"input": 1, "output": True}, f".output {AMOUNT}"),
        ({"input": 1, "output": "1e3"}, f".output {AMOUNT}"),
        ({"input": 1, "output": "１"}, f".output {AMOUNT}"),
        ({"input": 1, "output": " 1"}, f".output {AMOUNT}"),
        ({"input": 1, "output": float("nan")}, f".output {AMOUNT}"),
        ({"input": 1, "output": float("inf")}, f".output {AMOUNT}"),
        ({"input": 1, "output": -0.0}, f".output {AMOUNT}"),
        ({"input": 1, "output": 1e-10}, f".output {AMOUNT}"),
        ({"input": 1, "output": 1e10}, f".output {AMOUNT}"),
        ({"input": 1, "output": 1, "cached": "free"}, f".cached {AMOUNT}"),
        ({"input": 1, "output": 1, "per_image": None}, f".per_image {AMOUNT}"),
        ({"per_call": []}, f".per_call {AMOUNT}"),
        ({"per_call": 1, "batch_percent": 101}, ".batch_percent must be a whole number from 0 to 100"),
        ({"per_call": 1, "batch_percent": 0.5}, ".batch_percent must be a whole number from 0 to 100"),
        ({"input": 1, "bands": [BAND]}, ".input and bands exclude each other; write it into the first band"),
        ({"bands": []}, ".bands must be a list of tables"),
        ({"bands": BAND}, ".bands must be a list of tables"),
        ({"bands": [1]}, ".bands[0] must be a table such as { input = …, output = … }"),
        ({"bands": [BAND, {"input": 1}]}, ".bands[1].output is missing: yuan per million tokens"),
        (
            {"bands": [BAND, {**BAND, "input_from": -1}]},
            ".bands[1].input_from must be a whole number of tokens, 0 or more",
        ),
        (
            {"bands": [{**BAND, "output_from": "200"}]},
            ".bands[0].output_from must be a whole number of tokens, 0 or more",
        ),
        (
            {"bands": [{**BAND, "input_from": 1}]},
            ".bands need one without input_from and output_from, for short requests",
        ),
        ({"bands": [BAND, BAND]}, ".bands has two that begin at the same lengths"),
        (
            {"bands": [{**BAND, "from": 1}]},
            ".bands[0].from is not a setting; known are input, output, cached, input_from, output_from",
        ),
    ],
)
def test_a_price_that_cannot_be_meant_is_told_in_a_sentence(raw: object, message: str) -> None:
    assert complaint(partial(read_price, catalog=True), raw) == message


def test_limits_for_everybody() -> None:
    assert read_limits({"in_flight": 100, "rpm": 600, "tpm": 0}) == {"*": ModelLimits(100, 600, 0, 0)}
    assert read_limits({}) == {"*": ModelLimits()}


def test_limits_by_tier() -> None:
    limits = read_limits({"V0": {"in_flight": 2, "daily": 10}, "V3": {}, "*": {"rpm": 60}})
    assert limits == {"V0": ModelLimits(in_flight=2, daily=10), "V3": ModelLimits(), "*": ModelLimits(rpm=60)}


def test_a_tier_that_nobody_has_named_is_limited_like_the_next_below() -> None:
    assert read_limits({"V0": {"rpm": 1}}) == dict.fromkeys(("V0", "V1", "V2", "V3"), ModelLimits(rpm=1))
    assert read_limits({"V0": {"rpm": 1}, "V2": {"rpm": 5}}) == {
        "V0": ModelLimits(rpm=1),
        "V1": ModelLimits(rpm=1),
        "V2": ModelLimits(rpm=5),
        "V3": ModelLimits(rpm=5),
    }
    # Below the lowest that is named nobody has more than it has.
    assert read_limits({"V3": {"rpm": 9}, "V1": {"rpm": 5}})["V0"] == ModelLimits(rpm=5)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (3, " must be a table such as { in_flight = …, rpm = … }"),
        ({"rpm": -1}, ".rpm must be a whole number, 0 or more (0: no limit)"),
        ({"rpm": 1.5}, ".rpm must be a whole number, 0 or more (0: no limit)"),
        ({"tpm": "9"}, ".tpm must be a whole number, 0 or more (0: no limit)"),
        ({"daily": True}, ".daily must be a whole number, 0 or more (0: no limit)"),
        ({"in_flight": 10**13}, ".in_flight must be a whole number, 0 or more (0: no limit)"),
        ({"inflight": 1}, ".inflight is not a setting; did you mean in_flight?"),
        ({"V4": {}}, ".V4 is not a setting; known are in_flight, rpm, tpm, daily, V0, V1, V2, V3, *"),
        (
            {"V1": {"rpm": 1}, "rpm": 1},
            '.rpm stands beside tiers; for all other tiers write "*" = { rpm = … }',
        ),
        ({"V1": 3}, ".V1 must be a table such as { in_flight = …, rpm = … }"),
        ({"V1": {"rpm": -3}}, ".V1.rpm must be a whole number, 0 or more (0: no limit)"),
        ({"V1": {"rmp": 3}}, ".V1.rmp is not a setting; did you mean rpm?"),
    ],
)
def test_limits_that_cannot_be_meant_are_told_in_a_sentence(raw: object, message: str) -> None:
    assert complaint(read_limits, raw) == message


def complaint(read: Callable[[object], object], raw: object) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        read(raw)
    return str(caught.value)
