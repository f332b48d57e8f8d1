"""Explains the charge of one request: from what was measured, by which price, through which packs, to what was posted.

Rule: nothing is believed. The amount is computed afresh from the row's tokens and the version of the price that it
names, and what differs from the charge is said.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from openbigmodel.billing.periods import CHINA
from openbigmodel.billing.plan_windows import CreditTerms, credits_of
from openbigmodel.billing.pricing import PARTS_PER_NANO, Band, Price
from openbigmodel.billing.statement import Line, Statements
from openbigmodel.billing.usage import Usage
from openbigmodel.db.queries import QUERIES

# Requests that cost nothing are found by the time in their id (`ids.py`); most end within a minute.
_WINDOWS_MS = (60_000, 600_000, 7_200_000, 86_400_000)
_LOG_ID = re.compile(r"([0-9]{14})[0-9a-f]{16}")
# The id is made a little before or after the request's first moment is noted.
_SLACK_MS = 2000

_FIND_BY_REQUEST_ID = QUERIES["find_by_request_id"]
_FIND_CHARGED = QUERIES["find_charged"]
_FIND_ENDED = QUERIES["find_ended"]
_POSTINGS = QUERIES["postings_of_usage"]


class Part(msgspec.Struct, frozen=True):
    """One summand.

    `price` is in nano-yuan per million tokens (a call: per call), `parts` = charged x price x percent.
    """

    what: str
    measured: int
    by_packs: int
    charged: int
    price: int
    parts: int


class Posting(msgspec.Struct, frozen=True):
    """A row of the ledger: `amount` went from the book `debit` to `credit`; `balance` is what the account's held."""

    seq: int
    at_ms: int
    kind: str
    debit: str
    credit: str
    amount: int
    unit: str
    balance: int
    memo: str
    hash: bytes


class Explanation(msgspec.Struct, frozen=True):
    """Money is in nano-yuan; `exact_parts`, before rounding, in parts of that (PARTS_PER_NANO).

    `computed` is what the price says, rounded, `rounding_parts` what rounding added; `saved` what packs covered,
    `refunded` what was given back. `unexplained` is computed − charge − overage: not 0 if something is wrong.
    """

    line: Line
    price: Price
    band: Band | None
    parts: tuple[Part, ...]
    exact_parts: int
    rounding_parts: int
    computed: int
    unexplained: int
    saved: int
    refunded: int
    postings: tuple[Posting, ...]


class CreditPart(msgspec.Struct, frozen=True):
    """One summand of a request's credits: `rate` is in millionths of a credit for a token, `parts` = measured x rate x
    percent.
    """

    what: str
    measured: int
    rate: int
    parts: int


class CreditExplanation(msgspec.Struct, frozen=True):
    """What a request took out of a Coding Plan, in millionths of a credit; `parts` before rounding in 1/100 of that.

    `computed` is what the rates and the time of day say, `capped` how much of it was not taken because the plan's
    windows had no more, `unexplained` how much more was taken than that: not 0 if rates have changed since, or are
    others where the request was answered.
    """

    parts: tuple[CreditPart, ...]
    percent: int
    computed: int
    taken: int
    capped: int
    unexplained: int


def explain_credits(terms: CreditTerms, line: Line) -> CreditExplanation:
    """Computes a plan's credits afresh. No row has the terms that it was taken by, so these are today's."""
    rates, percent = terms.rates, terms.percent
    usage = Usage(line.prompt_tokens, line.cached_tokens, line.completion_tokens, line.reasoning_tokens)
    computed = credits_of(rates, usage, percent)
    kinds = (
        ("prompt", line.prompt_tokens - line.cached_tokens, rates.input),
        ("cached", line.cached_tokens, rates.cached),
        ("completion", line.completion_tokens, rates.output),
    )
    return CreditExplanation(
        parts=tuple(
            CreditPart(what, measured, rate, measured * rate * percent) for what, measured, rate in kinds
        ),
        percent=percent,
        computed=computed,
        taken=line.plan_credits,
        capped=max(0, computed - line.plan_credits),
        unexplained=max(0, line.plan_credits - computed),
    )


def find_requests(statements: Statements, reference: str) -> list[Line]:
    """The request with this id of the platform's, or those to which callers gave this id, newest first."""
    rows: list[tuple[Any, ...]] = []
    for query, params in _searches(reference):
        rows = statements.connection.execute(query, params).fetchall()
        if rows:
            break
    return [Line(*row) for row in rows]


def _searches(reference: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield _FIND_CHARGED, (reference,)
    yield _FIND_BY_REQUEST_ID, (reference,)
    match = _LOG_ID.fullmatch(reference)
    if match is None:
        return
    try:
        began = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=CHINA)
    except ValueError:
        return
    from_ms = int(began.timestamp()) * 1000 - _SLACK_MS
    for window_ms in _WINDOWS_MS:
        yield _FIND_ENDED, (reference, from_ms, from_ms + window_ms)


def explain(statements: Statements, line: Line) -> Explanation:
    """Computes a charge afresh, and tells what was posted."""
    price = statements.prices.get(line.price_version, line.batch)
    usage = Usage(line.prompt_tokens, line.cached_tokens, line.completion_tokens, line.reasoning_tokens)
    band = price.band_of(usage.prompt_tokens, usage.completion_tokens)
    whole = line.pack_calls > 0
    parts = parts_of(price, band, usage, line.pack_tokens, whole=whole)
    exact = sum(part.parts for part in parts)
    computed = 0 if whole else price.charge(usage, line.pack_tokens)
    rows: list[tuple[Any, ...]] = statements.connection.execute(_POSTINGS, (line.id,)).fetchall()
    postings = tuple(Posting(*row) for row in rows)
    return Explanation(
        line=line,
        price=price,
        band=band,
        parts=parts,
        exact_parts=exact,
        rounding_parts=computed * PARTS_PER_NANO - exact,
        computed=computed,
        unexplained=computed - line.charge - line.overage,
        saved=max(0, price.charge(usage) - computed),
        refunded=sum(
            posting.amount for posting in postings if posting.kind == "refund" and posting.unit == "nano"
        ),
        postings=postings,
    )


def parts_of(price: Price, band: Band | None, usage: Usage, covered: int, *, whole: bool) -> tuple[Part, ...]:
    """The summands of a charge.

    Packs cover prompt tokens first, those not cached before those that were; a call covers all.
    """
    kinds: tuple[tuple[str, int, int], ...] = ()
    if band is not None:
        kinds = (
            ("prompt", usage.prompt_tokens - usage.cached_tokens, band.input),
            ("cached", usage.cached_tokens, band.input if band.cached is None else band.cached),
            ("completion", usage.completion_tokens, band.output),
        )
    parts = []
    for what, measured, unit_price in kinds:
        by_packs = measured if whole else min(measured, covered)
        covered -= 0 if whole else by_packs
        charged = measured - by_packs
        parts.append(
            Part(what, measured, by_packs, charged, unit_price, charged * unit_price * price.percent)
        )
    if price.per_call:
        charged = 0 if whole else 1
        amount = charged * price.per_call * price.percent * 1_000_000
        parts.append(Part("call", 1, 1 - charged, charged, price.per_call, amount))
    return tuple(parts)
