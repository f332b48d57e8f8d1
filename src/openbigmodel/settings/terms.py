"""What a model costs and how much of it an account may use: one grammar for `[[models]]` and the model catalogue.

Rule: amounts stay exact decimal text, because TOML's numbers are binary fractions. Whoever reads raises ValueError with
the rest of a sentence that begins with the place: `.bands[1].input must be …`.

    price = { input = 10.0, output = 10.0, cached = 2.0 }              yuan per million tokens, number or text
    price = { bands = [{ input = "0.5", output = 1 }, { input_from = 32000, input = 1, output = 2 }], per_call = 0.01 }
    limits = { in_flight = 100, rpm = 600, tpm = 0 }                   for every account; 0: no limit
    limits = { V0 = { in_flight = 2 }, "*" = { in_flight = 10 } }      by the account's tier, * for all others
    limits = { V0 = { in_flight = 2 }, V2 = { in_flight = 10 } }       without *: each tier like the next below that is
                                                                       named, so nobody is unlimited for want of a line
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeGuard

import msgspec

from openbigmodel.settings.amounts import exact_amount

TIERS = ("V0", "V1", "V2", "V3")
EVERY_TIER = "*"

_COUNT_MAX = 1_000_000_000_000
# What the catalogue knows of bigmodel.cn, and no request here can cost yet.
_UNSERVED = {
    "per_image": "images are not made here yet",
    "batch_percent": "requests in batches are not taken here yet",
}


class ModelLimits(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What one account may ask of one model: requests at once, requests and tokens a minute, requests a day.

    0 is no limit. What they mean to the second is in `limits.py`.
    """

    in_flight: int = 0
    rpm: int = 0
    tpm: int = 0
    daily: int = 0


class PriceBand(msgspec.Struct, frozen=True):
    """Yuan per million tokens, as decimal text, for requests of at least these lengths in tokens."""

    input: str
    output: str
    cached: str | None = None
    input_from: int = 0
    output_from: int = 0


class ModelPrice(msgspec.Struct, frozen=True):
    """A price as it is written; amounts are yuan as decimal text. Without bands tokens cost nothing."""

    bands: tuple[PriceBand, ...] = ()
    per_call: str = "0"
    per_image: str = "0"
    batch_percent: int = 50


def read_price(raw: object, *, catalog: bool = False) -> ModelPrice:
    """Reads a table as above.

    Raises ValueError, also for what nothing would be charged by unless it is a `catalog`'s.
    """
    table = _table(raw, ("input", "output", "cached", "bands", "per_call", "per_image", "batch_percent"), "")
    for key, why in _UNSERVED.items():
        if key in table and not catalog:
            raise ValueError(f".{key} would never be charged: {why}. Leave it out")
    flat = [key for key in ("input", "output", "cached") if key in table]
    if "bands" in table and flat:
        raise ValueError(f".{flat[0]} and bands exclude each other; write it into the first band")
    if "bands" in table:
        bands = _bands(table["bands"])
    else:
        bands = (_band({key: table[key] for key in flat}, ""),) if flat else ()
    percent = table.get("batch_percent", ModelPrice().batch_percent)
    if not _is_count(percent) or percent > 100:
        raise ValueError(".batch_percent must be a whole number from 0 to 100")
    if not bands and not ({"per_call", "per_image"} & set(table)):
        raise ValueError(" says nothing; give it input and output, and 0 for what is free")
    return ModelPrice(
        bands=bands,
        per_call=_amount(table.get("per_call", 0), ".per_call"),
        per_image=_amount(table.get("per_image", 0), ".per_image"),
        batch_percent=percent,
    )


def read_limits(raw: object) -> Mapping[str, ModelLimits]:
    """Reads a table as above into limits by tier. Raises ValueError."""
    tiers = (*TIERS, EVERY_TIER)
    names = msgspec.structs.fields(ModelLimits)
    counts = tuple(field.name for field in names)
    table = _table(raw, (*counts, *tiers), "")
    by_tier = [key for key in table if key in tiers]
    if not by_tier:
        return {EVERY_TIER: _limits(table, "")}
    if len(by_tier) < len(table):
        other = next(key for key in table if key not in tiers)
        raise ValueError(f'.{other} stands beside tiers; for all other tiers write "*" = {{ {other} = … }}')
    named = {tier: _limits(_table(table[tier], counts, f".{tier}"), f".{tier}") for tier in by_tier}
    return named if EVERY_TIER in named else _for_every_tier(named)


def _for_every_tier(named: Mapping[str, ModelLimits]) -> Mapping[str, ModelLimits]:
    """Whom nobody has named has the limits of the next tier below, or, with none below, of the lowest named."""
    limits, found = {}, next(named[tier] for tier in TIERS if tier in named)
    for tier in TIERS:
        limits[tier] = found = named.get(tier, found)
    return limits


def _limits(table: Mapping[str, object], where: str) -> ModelLimits:
    for key, value in table.items():
        if not _is_count(value):
            raise ValueError(f"{where}.{key} must be a whole number, 0 or more (0: no limit)")
    return msgspec.convert(table, ModelLimits)


def _bands(raw: object) -> tuple[PriceBand, ...]:
    if not isinstance(raw, list) or not raw:
        raise ValueError(".bands must be a list of tables")
    bands = tuple(_band(entry, f".bands[{index}]") for index, entry in enumerate(raw))
    starts = [(band.input_from, band.output_from) for band in bands]
    if (0, 0) not in starts:
        raise ValueError(".bands need one without input_from and output_from, for short requests")
    if len(set(starts)) < len(starts):
        raise ValueError(".bands has two that begin at the same lengths")
    return bands


def _band(raw: object, where: str) -> PriceBand:
    table = _table(raw, ("input", "output", "cached", "input_from", "output_from"), where)
    for key in ("input", "output"):
        if key not in table:
            raise ValueError(f"{where}.{key} is missing: yuan per million tokens")
    return PriceBand(
        input=_amount(table["input"], f"{where}.input"),
        output=_amount(table["output"], f"{where}.output"),
        cached=_amount(table["cached"], f"{where}.cached") if "cached" in table else None,
        input_from=_start(table.get("input_from", 0), f"{where}.input_from"),
        output_from=_start(table.get("output_from", 0), f"{where}.output_from"),
    )


def _start(raw: object, where: str) -> int:
    if not _is_count(raw):
        raise ValueError(f"{where} must be a whole number of tokens, 0 or more")
    return raw


def _table(raw: object, known: Iterable[str], where: str) -> dict[str, object]:
    if not isinstance(raw, dict):
        example = " = …, ".join(list(known)[:2])
        raise ValueError(f"{where} must be a table such as {{ {example} = … }}")  # noqa: TRY004  what people wrote
    for key in raw:
        if key not in known:
            close = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise ValueError(f"{where}.{key} is not a setting; {hint}")
    return raw


def read_amount(raw: object) -> str:
    """The exact decimal text of an amount in yuan. Raises ValueError."""
    return _amount(raw, "")


def _amount(raw: object, where: str) -> str:
    try:
        return exact_amount(raw)
    except ValueError as error:
        raise ValueError(
            f"{where} must be an amount in yuan such as 12 or 0.8: not negative, nine decimal places at most"
        ) from error


def _is_count(raw: object) -> TypeGuard[int]:
    return isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= _COUNT_MAX
