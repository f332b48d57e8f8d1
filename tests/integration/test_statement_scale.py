"""Statements of a month of ten million lines, where TEST_SCALE is 5, as in CI; of 400,000 on a desk.

Where the lines of a day in the middle would not be read anyway, there are only their sums: `benchmarks/statements.py`
measures the same with all of them.
"""

import gc
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from benchmarks.statements import (
    BIG_ACCOUNT,
    LIMIT_MS,
    MONTH,
    UNSUMMED,
    build_month,
    measure,
    measures,
    p95,
)
from openbigmodel.billing.bill import make_bill
from openbigmodel.billing.statement import Statements
from tests.conftest import SCALE

LINES = max(20_000, round(40_000 * SCALE))
LONG_MONTH_LINES = max(200_000, round(400_000 * SCALE * SCALE))


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("month")
    build_month(folder / "bigmodel.db", LINES)
    return folder


@pytest.fixture
def no_collections() -> Iterator[None]:
    """What thousands of other tests have left is looked through for a second, which no server has to."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("no_collections")
def test_every_statement_of_a_long_month_is_quick(tmp_path: Path) -> None:
    build_month(tmp_path / "bigmodel.db", LONG_MONTH_LINES, edges=True)
    # Of the processor: the tests may share it, and the disk is not what is judged here.
    times = measure(tmp_path, LONG_MONTH_LINES, repetitions=20, clock=time.thread_time, edges=True)
    assert len(times) >= 15
    print({name: round(p95(each), 1) for name, each in times.items()})
    assert {name: p95(each) for name, each in times.items() if p95(each) > LIMIT_MS} == {}
    with Statements.open(tmp_path) as statements:
        used, moment = statements.total(BIG_ACCOUNT)
    assert moment.last == LONG_MONTH_LINES
    assert used.requests == pytest.approx(LONG_MONTH_LINES * 4 / 5, rel=0.001)


def test_what_is_measured_is_right(month: Path) -> None:
    with Statements.open(month) as statements:
        used, moment = statements.total(BIG_ACCOUNT)
        assert moment.last - moment.summed == UNSUMMED
        slow = statements.connection.execute(
            "SELECT count(*), sum(code <> ''), sum(prompt_tokens), sum(charge), sum(pack_tokens), sum(pack_tokens > 0) "
            "FROM usage WHERE account_id = ?",
            (BIG_ACCOUNT,),
        ).fetchall()
        assert slow[0][:5] == (used.requests, used.failed, used.prompt_tokens, used.charge, used.pack_tokens)
        assert used.saved > 0
        bill = make_bill(statements, statements.owner(BIG_ACCOUNT), MONTH, MONTH.period.to_ms)
        assert bill.used == used
        assert bill.exact.refunds == 1_000_000
        for name, ask in measures(statements, random.Random(2), BIG_ACCOUNT, LINES).items():
            assert ask(), name


def test_the_sums_are_what_makes_it_quick(tmp_path: Path) -> None:
    path = tmp_path / "bigmodel.db"
    build_month(path, 100_000)
    with Statements.open(tmp_path) as statements:
        with_sums, expected = took(lambda: statements.total(BIG_ACCOUNT)[0])
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM usage_sums; UPDATE usage_summed SET usage_id = 0")
    connection.close()
    with Statements.open(tmp_path) as statements:
        without, found = took(lambda: statements.total(BIG_ACCOUNT)[0])
    # Right all the same, as on a server that has never summed.
    assert found == expected
    assert without > 3 * with_sums


def took(ask: Callable[[], object]) -> tuple[float, object]:
    """The least processor time of some, in seconds, and the answer."""
    times = []
    answer: object = None
    for _ in range(5):
        began = time.thread_time()
        answer = ask()
        times.append(time.thread_time() - began)
    return min(times), answer
