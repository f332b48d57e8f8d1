"""What an account asked for today is counted from sums and rows alike, and quickly."""

from pathlib import Path

import pytest

from openbigmodel.billing import daily_count
from openbigmodel.billing.daily_count import DailyCount
from openbigmodel.db.queries import QUERIES
from tests.statement_world import START_MS, World

DAY_MS = 86_400_000


@pytest.mark.parametrize("few_rows", [1000, -1])
def test_requests_of_one_day_one_account_and_one_model_are_counted(
    few_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_count, "_FEW_ROWS", few_rows)
    world = World(tmp_path)
    count = DailyCount(lambda sql, params: world.connection.execute(sql, params).fetchall())
    line = world.line(START_MS + 1000)
    account_id, model = line.account_id, line.model

    def today() -> int:
        return count(account_id, model, START_MS // 1000, 1000)

    assert today() == 1
    world.sum_up()
    assert today() == 1
    world.line(START_MS + DAY_MS - 1)
    world.line(START_MS - 1)
    world.line(START_MS + 2000, model="another")
    assert today() == 2
    world.sum_up()
    assert today() == 2
    assert count("nobody", model, START_MS // 1000, 1000) == 0
    assert count(account_id, model, (START_MS - DAY_MS) // 1000, 1000) == 1


def test_the_count_reads_no_more_than_it_must(tmp_path: Path) -> None:
    world = World(tmp_path)
    plan = world.connection.execute(
        "EXPLAIN QUERY PLAN " + QUERIES["count_requests_since"], ("a", "m", 0)
    ).fetchall()
    steps = [str(row[3]) for row in plan]

    assert any("usage_sums USING PRIMARY KEY" in step for step in steps), steps
    # From the last row that was summed on, by number.
    assert any("usage USING INTEGER PRIMARY KEY (rowid>?)" in step for step in steps), steps
    assert not any("SCAN usage " in f"{step} " for step in steps), steps


def test_after_a_start_on_a_file_that_was_never_summed_it_stops_where_the_limit_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS + 1)
    for number in range(30):
        world.line(START_MS + 2 + number)
        world.line(START_MS + 2 + number, account_id="b" * 32)
    most = (line.account_id, line.model, START_MS)
    query = QUERIES["count_many_requests_since"]

    assert world.connection.execute(query, (*most, 10)).fetchall() == [(10,)]
    assert world.connection.execute(query, (*most, 100)).fetchall() == [(31,)]
    steps = [str(row[3]) for row in world.connection.execute("EXPLAIN QUERY PLAN " + query, (*most, 10))]
    # Its own rows of the day, and no others.
    assert any(
        "usage USING INDEX usage_by_account (account_id=? AND ended_ms>?)" in step for step in steps
    ), steps
    assert not any("SCAN usage " in f"{step} " for step in steps), steps
