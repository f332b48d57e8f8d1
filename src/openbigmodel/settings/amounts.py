"""Amounts as people write them: exact decimal text, in settings files, catalogues and commands alike.

Rule: nothing is rounded and nothing guessed. A binary fraction, as TOML and JSON have them, counts as what it prints
as.
"""

import re
from decimal import Decimal

# One amount in yuan; a book of them all still fits the database's 64 bits of nano-yuan.
YUAN_MAX = 1_000_000_000
DECIMAL_PLACES_MAX = 9
# ASCII digits only: int() also reads full-width ones and underscores.
_TEXT = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?")


def exact_amount(value: object) -> str:
    """The exact decimal text of an amount in yuan: text, a whole number, a float or a Decimal.

    Raises ValueError, with a sentence for whoever wrote it: for a negative amount, more than nine decimal places,
    more than YUAN_MAX, or what is no plain decimal number.
    """
    text = _decimal_text(value)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{value!r} is not an amount in yuan, like 12 or 0.8")
    whole, places = match[1], match[2] or ""
    if len(places) > DECIMAL_PLACES_MAX:
        raise ValueError(f"{value!r} has more than nine decimal places: a nano-yuan is the smallest amount")
    if int(whole) > YUAN_MAX or (int(whole) == YUAN_MAX and places.strip("0")):
        raise ValueError(f"{value!r} is more than {YUAN_MAX} yuan")
    return text


def _decimal_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return ""
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    # Without an exponent; infinity and NaN stay words, which are no amount.
    return format(number, "f")
