"""One reading of amounts for files, catalogues and commands: exact or refused."""

from decimal import Decimal

import pytest

from openbigmodel.settings.amounts import YUAN_MAX, exact_amount


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.80", "0.80"),
        (0.8, "0.8"),
        (1e-9, "0.000000001"),
        (12, "12"),
        (Decimal("1E+2"), "100"),
        (YUAN_MAX, "1000000000"),
        ("1000000000.000000000", "1000000000.000000000"),
    ],
)
def test_an_amount_is_kept_as_it_was_written(value: object, text: str) -> None:
    assert exact_amount(value) == text


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("-1", "is not an amount in yuan"),
        (-0.0, "is not an amount in yuan"),
        ("1e3", "is not an amount in yuan"),
        (" 1", "is not an amount in yuan"),
        ("１", "is not an amount in yuan"),
        (True, "is not an amount in yuan"),
        (None, "is not an amount in yuan"),
        ([1], "is not an amount in yuan"),
        (float("inf"), "is not an amount in yuan"),
        (1e-10, "more than nine decimal places"),
        ("0.0000000001", "more than nine decimal places"),
        (YUAN_MAX + 1, "is more than 1000000000 yuan"),
        ("1000000000.000000001", "is more than 1000000000 yuan"),
    ],
)
def test_what_is_no_exact_amount_is_refused(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        exact_amount(value)
