"""Amounts of money: whole nano-yuan, and how people write and read them.

Rule: money is an int of nano-yuan everywhere but in text. Nothing is rounded on the way in, and on the way out only
to fen, for the monthly bill.
"""

from decimal import Decimal

from openbigmodel.settings.amounts import exact_amount

NANO_PER_YUAN = 1_000_000_000
NANO_PER_FEN = NANO_PER_YUAN // 100


def parse_yuan(value: str | float | Decimal) -> int:
    """Nano-yuan of an amount in yuan: 1.5 → 1_500_000_000. Raises ValueError as `exact_amount` does."""
    whole, _, places = exact_amount(value).partition(".")
    return int(whole) * NANO_PER_YUAN + int(places.ljust(9, "0"))


def format_yuan(nano: int) -> str:
    """The exact amount in yuan, always with nine decimal places: "1.500000000", "-0.000000001"."""
    yuan, rest = divmod(abs(nano), NANO_PER_YUAN)
    return f"{'-' if nano < 0 else ''}{yuan}.{rest:09}"


def to_fen(nano: int) -> int:
    """The amount in fen, half a fen away from zero. Only for the monthly bill."""
    fen = (abs(nano) + NANO_PER_FEN // 2) // NANO_PER_FEN
    return -fen if nano < 0 else fen


def format_fen(fen: int) -> str:
    """An amount in fen, in yuan: "1.50" for 150."""
    yuan, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{yuan}.{rest:02}"
