from pathlib import Path

import pytest

from openbigmodel.billing.price_history import PriceHistory
from openbigmodel.billing.pricing import FREE
from openbigmodel.billing.usage import Usage
from tests.statement_world import PRICES, World


@pytest.fixture
def history(tmp_path: Path) -> PriceHistory:
    return PriceHistory(World(tmp_path).connection)


def test_a_version_is_what_it_was(history: PriceHistory) -> None:
    assert history.get(2, 0) == PRICES[1]
    assert history.get(2, 0) is history.get(2, 0)
    assert history.get(2, 1).charge(Usage(1000)) == PRICES[1].charge(Usage(1000)) // 2


def test_what_was_never_stored_is_free(history: PriceHistory) -> None:
    assert history.get(0, 0) is FREE
    assert history.get(99, 1) is FREE


def test_a_version_that_comes_later_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    history = PriceHistory(world.connection)
    assert history.get(4, 0) is FREE
    world.connection.execute(
        "INSERT INTO prices SELECT 4, model, source, body, created_ms FROM prices WHERE version = 1"
    )
    assert history.get(4, 0).bands == PRICES[0].bands
    # The number is the row's, whatever the body says.
    assert history.get(4, 0).version == 4


def test_what_packs_saved(history: PriceHistory) -> None:
    full = PRICES[0].charge(Usage(1000, 100, 200))
    assert history.saved(1, 0, 1000, 100, 200, full - 5) == 5
    assert history.saved(1, 1, 1000, 100, 200, 0) == PRICES[0].for_batch().charge(Usage(1000, 100, 200))
    # Never less than nothing, whatever was charged.
    assert history.saved(0, 0, 1000, 100, 200, 7) == 0


def test_queries_may_ask_for_it(tmp_path: Path) -> None:
    connection = World(tmp_path).connection
    rows = connection.execute("SELECT saved_by_packs(1, 0, 1000, 100, 200, 0)").fetchall()
    assert rows == [(PRICES[0].charge(Usage(1000, 100, 200)),)]
