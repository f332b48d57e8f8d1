from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.bill import Amounts, in_fen, make_bill, make_bills
from openbigmodel.billing.money import NANO_PER_FEN
from openbigmodel.billing.periods import DAY_MS, Month
from openbigmodel.billing.statement import Statements
from tests.statement_world import ACCOUNT, MONTH, OTHER, START_MS, World

END_MS = MONTH.period.to_ms


def test_a_bill_is_of_its_month_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS - 1)
    charges = world.line(START_MS).charge + world.line(END_MS - 1).charge
    world.line(END_MS)
    world.line(START_MS, account_id=OTHER)
    world.post("refund", 700, START_MS - 1)
    world.post("refund", 5, END_MS - 1)
    world.post("topup", 60, START_MS)
    world.post("gift", 7, START_MS)
    world.post("adjust", -8, START_MS)
    with Statements.open(tmp_path) as statements:
        bill = make_bill(statements, statements.owner(ACCOUNT), MONTH, END_MS)
    assert bill.used.requests == 2
    assert bill.exact == Amounts(consumption=charges, discount=0, refunds=5, payable=charges - 5)
    assert (bill.topups, bill.gifts, bill.adjustments, bill.closed) == (60, 7, -8, True)


def test_what_packs_covered_is_a_discount(tmp_path: Path) -> None:
    world = World(tmp_path)
    paid = world.line(START_MS).charge
    part = world.line(START_MS, pack_tokens=1000).charge
    world.line(START_MS, pack_calls=1)
    assert 0 < part < paid
    world.sum_up()
    with Statements.open(tmp_path) as statements:
        bill = make_bill(statements, statements.owner(ACCOUNT), MONTH, START_MS)
    assert bill.exact == Amounts(
        consumption=3 * paid, discount=2 * paid - part, refunds=0, payable=paid + part
    )
    assert not bill.closed


def test_money_is_rounded_once_for_the_month(tmp_path: Path) -> None:
    world = World(tmp_path)
    # Each alone would be nothing.
    with world.connection:
        for number in range(30):
            world.line(START_MS + number * DAY_MS, charge=4_000_000)
    with Statements.open(tmp_path) as statements:
        bill = make_bill(statements, statements.owner(ACCOUNT), MONTH, END_MS)
    assert bill.exact.payable == 120_000_000
    assert bill.fen == Amounts(12, 0, 0, 12)
    assert bill.rounding == 0


@pytest.mark.parametrize(
    ("exact", "fen"),
    [
        (Amounts(0, 0, 0, 0), Amounts(0, 0, 0, 0)),
        (Amounts(5_000_000, 0, 0, 5_000_000), Amounts(1, 0, 0, 1)),
        (Amounts(4_999_999, 0, 0, 4_999_999), Amounts(0, 0, 0, 0)),
        (Amounts(20_000_000, 20_000_000, 0, 0), Amounts(2, 2, 0, 0)),
        # Rounded by itself, the discount would be 1 and the columns would not add up.
        (Amounts(14_000_000, 7_000_000, 0, 7_000_000), Amounts(1, 0, 0, 1)),
        # More came back than was used.
        (Amounts(10_000_000, 0, 40_000_000, -30_000_000), Amounts(1, 0, 4, -3)),
        # No discount, so the fen that rounding makes belongs to the refund.
        (Amounts(10_050_000, 0, 5_060_000, 4_990_000), Amounts(1, 0, 1, 0)),
        # The refund alone would be rounded to more than there is between.
        (Amounts(10_000_000, 100_000, 5_000_000, 4_900_000), Amounts(1, 0, 1, 0)),
    ],
)
def test_fen(exact: Amounts, fen: Amounts) -> None:
    assert exact.consumption - exact.discount - exact.refunds == exact.payable
    assert in_fen(exact) == fen


@given(charge=st.integers(0, 10**11), saved=st.integers(0, 10**11), refunds=st.integers(0, 10**11))
def test_a_bill_in_fen_adds_up(charge: int, saved: int, refunds: int) -> None:
    exact = Amounts(charge + saved, saved, refunds, charge - refunds)
    fen = in_fen(exact)
    assert fen.consumption - fen.discount - fen.refunds == fen.payable
    assert min(fen.consumption, fen.discount, fen.refunds) >= 0
    for rounded, nano in ((fen.consumption, exact.consumption), (fen.payable, exact.payable)):
        assert 2 * abs(rounded * NANO_PER_FEN - nano) <= NANO_PER_FEN
    assert fen.discount == 0 or saved > 0
    assert fen.refunds == 0 or refunds > 0


def test_there_is_a_bill_for_every_month_since_there_is_the_account(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS - 40 * DAY_MS)
    now_ms = START_MS + 70 * DAY_MS
    with Statements.open(tmp_path) as statements:
        bills = make_bills(statements, statements.owner(ACCOUNT), now_ms)
        others = make_bills(statements, statements.owner(OTHER), now_ms)
    assert [str(bill.month) for bill in bills] == ["2027-01", "2026-12", "2026-11", "2026-10", "2026-09"]
    assert [bill.used.requests for bill in bills] == [0, 0, 0, 0, 1]
    assert [bill.closed for bill in bills] == [False, True, True, True, True]
    assert others[-1].month == Month(2026, 11)
