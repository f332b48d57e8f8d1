from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.money import NANO_PER_YUAN, format_fen, format_yuan, parse_yuan, to_fen
from openbigmodel.settings.amounts import YUAN_MAX


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        ("0", 0),
        ("0.0", 0),
        (0, 0),
        (0.0, 0),
        ("1.5", 1_500_000_000),
        (1.5, 1_500_000_000),
        (10, 10_000_000_000),
        ("0.000000001", 1),
        (1e-9, 1),
        (1e-05, 10_000),
        (0.1, 100_000_000),
        ("007", 7_000_000_000),
        (Decimal("2.8"), 2_800_000_000),
        (Decimal("1E+2"), 100_000_000_000),
        ("1000000000", YUAN_MAX * NANO_PER_YUAN),
    ],
    ids=repr,
)
def test_an_amount_is_read_exactly(value: str | float | Decimal, nano: int) -> None:
    assert parse_yuan(value) == nano


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "not an amount"),
        ("-1", "not an amount"),
        (-1, "not an amount"),
        (-0.5, "not an amount"),
        ("+1", "not an amount"),
        ("1e3", "not an amount"),
        (" 1", "not an amount"),
        ("1\n", "not an amount"),
        ("1_000", "not an amount"),
        ("1,5", "not an amount"),
        (".5", "not an amount"),
        ("5.", "not an amount"),
        ("１２", "not an amount"),
        ("²", "not an amount"),
        ("¥1", "not an amount"),
        (True, "not an amount"),
        (float("nan"), "not an amount"),
        (float("inf"), "not an amount"),
        (Decimal("-Infinity"), "not an amount"),
        ("9" * 21, "not an amount"),
        ("0.0000000001", "nine decimal places"),
        (1e-10, "nine decimal places"),
        (0.1 + 0.2, "nine decimal places"),
        ("1000000000.000000001", "more than 1000000000 yuan"),
        (10**12, "more than 1000000000 yuan"),
    ],
    ids=repr,
)
def test_what_is_no_amount_is_refused_with_a_sentence(value: str | float | Decimal, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_yuan(value)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (1_500_000_000, "1.500000000"),
        (-2_000_000_001, "-2.000000001"),
        (2**63 - 1, "9223372036.854775807"),
    ],
)
def test_an_amount_is_written_exactly(nano: int, text: str) -> None:
    assert format_yuan(nano) == text


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00"),
        (4_999_999, "0.00"),
        (5_000_000, "0.01"),
        (-4_999_999, "0.00"),
        (-5_000_000, "-0.01"),
        (1_499_999_999, "1.50"),
        (1_994_999_999, "1.99"),
        (1_995_000_000, "2.00"),
        (-1_995_000_000, "-2.00"),
    ],
)
def test_a_bill_is_rounded_to_the_fen(nano: int, text: str) -> None:
    assert format_fen(to_fen(nano)) == text


@given(st.integers(0, YUAN_MAX * NANO_PER_YUAN))
def test_what_is_written_is_read_back(nano: int) -> None:
    assert parse_yuan(format_yuan(nano)) == nano
    assert parse_yuan(Decimal(format_yuan(nano))) == nano


@given(st.integers(-(2**63), 2**63))
def test_fen_are_the_nearest_and_halves_go_away_from_zero(nano: int) -> None:
    fen = int(format_fen(to_fen(nano)).replace(".", ""))
    assert abs(fen * 10_000_000 - nano) <= 5_000_000
    if abs(fen * 10_000_000 - nano) == 5_000_000:
        assert abs(fen * 10_000_000) > abs(nano)


def test_fen_as_they_are_read() -> None:
    assert [format_fen(fen) for fen in (0, 5, 150, -5, -150)] == ["0.00", "0.05", "1.50", "-0.05", "-1.50"]
