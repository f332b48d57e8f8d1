"""The monthly bill of an account.

Rule: consumption − discount − refunds = payable, exactly in nano-yuan and again in fen. Only here is money rounded to
fen, and once: of the sums of a month, never of their parts.

    consumption   what the month's requests cost at their prices, packs or not       总消费金额
    discount      the part of it that packs covered                                  优惠金额
    refunds       given back in this month, whenever it was charged                  退款金额
    payable       what the month has cost the balance; negative if more came back    应付金额
"""

import msgspec

from openbigmodel.billing.money import NANO_PER_FEN, to_fen
from openbigmodel.billing.periods import Month, month_of
from openbigmodel.billing.statement import Owner, Statements, Used


class Amounts(msgspec.Struct, frozen=True):
    """The four amounts of a bill, in one unit: nano-yuan or fen."""

    consumption: int
    discount: int
    refunds: int
    payable: int


class Bill(msgspec.Struct, frozen=True):
    """A month of one account. `exact` is in nano-yuan, `fen` in fen.

    `rounding` is what the payable amount in fen is more than the exact one, in nano-yuan. `topups`, `gifts` and
    `adjustments` (may be negative) are no part of what is payable. `closed`: the month is over, so nothing but a
    commit that is late will change it.
    """

    owner: Owner
    month: Month
    used: Used
    exact: Amounts
    fen: Amounts
    rounding: int
    topups: int
    gifts: int
    adjustments: int
    closed: bool


def make_bill(statements: Statements, owner: Owner, month: Month, now_ms: int) -> Bill:
    """The bill of a month, as far as it has come."""
    period = month.period
    used, _ = statements.total(owner.account_id, period)
    actions = statements.actions(owner.account_id, period)
    exact = amounts_of(used, actions.get("refund", 0))
    fen = in_fen(exact)
    return Bill(
        owner=owner,
        month=month,
        used=used,
        exact=exact,
        fen=fen,
        rounding=fen.payable * NANO_PER_FEN - exact.payable,
        topups=actions.get("topup", 0),
        gifts=actions.get("gift", 0),
        adjustments=actions.get("adjust", 0),
        closed=now_ms >= period.to_ms,
    )


def make_bills(statements: Statements, owner: Owner, now_ms: int) -> list[Bill]:
    """The bills of all months since there is the account, newest first."""
    months = []
    month, first = month_of(now_ms), month_of(owner.first_ms)
    while month >= first:
        months.append(month)
        month = month.after(-1)
    return [make_bill(statements, owner, month, now_ms) for month in months]


def amounts_of(used: Used, refunds: int) -> Amounts:
    """In nano-yuan."""
    return Amounts(
        consumption=used.charge + used.saved,
        discount=used.saved,
        refunds=refunds,
        payable=used.charge - refunds,
    )


def in_fen(exact: Amounts) -> Amounts:
    """Rounds consumption and payable, half a fen away from zero; what is between them makes up discount and refunds.

    So it adds up, nothing is negative that was not, and what was nothing stays nothing.
    """
    consumption, payable = to_fen(exact.consumption), to_fen(exact.payable)
    between = consumption - payable
    if exact.discount == 0:
        refunds = between
    else:
        refunds = min(to_fen(exact.refunds), between)
    return Amounts(consumption, between - refunds, refunds, payable)
