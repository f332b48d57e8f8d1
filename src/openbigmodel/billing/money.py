"""Amounts of money: whole nano-yuan, and how people write and read them.

Rule: money is an int of nano-yuan everywhere but in text. Nothing is rounded on the way in, and on the way out only
to fen, for the monthly bill.
"""

import re
from decimal import Decimal

NANO_PER_YUAN = 1_000_000_000
NANO_PER_FEN = NANO_PER_YUAN // 100
# One amount; a book of them all still fits the database's 64 bits.
YUAN_MAX = 1_000_000_000

# ASCII digits only: int() also reads full-width ones and underscores.
_TEXT = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?")


def parse_yuan(value: str | float | Decimal) -> int:
    """Nano-yuan of an amount in yuan: 1.5 → 1_500_000_000. A float counts as what it prints as.

    Raises ValueError, with a sentence for whoever wrote it: for a negative amount, more than nine decimal places,
    more than YUAN_MAX, or what is no plain decimal number.
    """
    match = _TEXT.fullmatch(_decimal_text(value))
    if match is None:
        raise ValueError(f"{value!r} is not an amount in yuan, like 12 or 0.8")
    whole, places = match[1], match[2] or ""
    if len(places) > 9:
        raise ValueError(f"{value!r} has more than nine decimal places: a nano-yuan is the smallest amount")
    nano = int(whole) * NANO_PER_YUAN + int(places.ljust(9, "0"))
    if nano > YUAN_MAX * NANO_PER_YUAN:
        raise ValueError(f"{value!r} is more than {YUAN_MAX} yuan")
    return nano


def _decimal_text(value: str | float | Decimal) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return ""
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    # Without an exponent; infinity and NaN stay words, which are no amount.
    return format(number, "f")


def format_yuan(nano: int) -> str:
    """The exact amount in yuan, always with nine decimal places: "1.500000000", "-0.000000001"."""
    yuan, rest = divmod(abs(nano), NANO_PER_YUAN)
    return f"{'-' if nano < 0 else ''}{yuan}.{rest:09}"


def format_fen(nano: int) -> str:
    """The amount in yuan to the fen, half a fen away from zero: "1.50". Only for the monthly bill."""
    fen = (abs(nano) + NANO_PER_FEN // 2) // NANO_PER_FEN
    yuan, rest = divmod(fen, 100)
    return f"{'-' if nano < 0 and fen else ''}{yuan}.{rest:02}"
