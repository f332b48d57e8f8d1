import asyncio
import random
from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.rollup import RollUp, step, sums_problems
from openbigmodel.db.connection import Database
from tests.statement_world import START_MS, World, many_lines

SUMS = "SELECT * FROM usage_sums ORDER BY 1, 2, 3, 4, 5"


def sums(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return connection.execute(SUMS).fetchall()


def test_an_hour_is_also_part_of_its_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS + 5_000_000)
    world.sum_up()
    rows = world.connection.execute("SELECT span, from_ms, requests, charge FROM usage_sums ORDER BY 1")
    assert rows.fetchall() == [
        ("day", START_MS, 1, line.charge),
        ("hour", START_MS + 3_600_000, 1, line.charge),
    ]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_size_of_the_steps_does_not_matter(tmp_path: Path, rows: int) -> None:
    world = World(tmp_path)
    many_lines(world, random.Random(1), 100)
    world.sum_up(rows)
    found = sums(world.connection)
    world.connection.execute("DELETE FROM usage_sums")
    world.connection.execute("UPDATE usage_summed SET usage_id = 0")
    world.sum_up(1_000_000)
    assert sums(world.connection) == found
    assert len(found) > 20


def test_a_step_that_is_taken_back_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    many_lines(world, random.Random(1), 40)
    assert world.sum_step(20)
    before = sums(world.connection)
    world.connection.execute("BEGIN")
    assert not step(world.connection, 20)
    assert sums(world.connection) != before
    world.connection.execute("ROLLBACK")
    assert sums(world.connection) == before
    assert not world.sum_step(20)
    assert not world.sum_step(20)
    requests = "SELECT sum(requests) FROM usage_sums WHERE span = 'hour'"
    assert world.connection.execute(requests).fetchall() == [(40,)]


def test_a_line_that_comes_after_its_hour_was_summed_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS + 1000)
    world.line(START_MS + 3 * 3_600_000)
    world.sum_up()
    world.line(START_MS + 2000)
    world.sum_up()
    rows = world.connection.execute(
        "SELECT requests FROM usage_sums WHERE span = 'hour' AND from_ms = ?", (START_MS,)
    )
    assert rows.fetchall() == [(2,)]


def test_two_who_sum_the_same_lines_are_found_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS)
    world.connection.execute(
        "CREATE TEMP TRIGGER other AFTER INSERT ON usage_sums BEGIN UPDATE usage_summed SET usage_id = 1; END"
    )
    with pytest.raises(AssertionError), world.connection:
        step(world.connection, 10)
    assert sums(world.connection) == []


def test_sums_that_are_not_those_of_the_rows_are_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert sums_problems(world.connection) == []
    many_lines(world, random.Random(1), 40)
    assert sums_problems(world.connection) == []
    world.sum_step(20)
    assert sums_problems(world.connection) == []
    for mistake, spans in (
        ("UPDATE usage_summed SET usage_id = usage_id + 1", ["hour", "day"]),
        ("UPDATE usage_sums SET charge = charge + 1 WHERE span = 'day'", ["day"]),
        ("DELETE FROM usage_sums WHERE span = 'hour'", ["hour"]),
    ):
        world.connection.execute("SAVEPOINT mistake")
        world.connection.execute(mistake)
        problems = sums_problems(world.connection)
        assert [problem.split(" are not")[0] for problem in problems] == [
            f"The sums of usage by {span}" for span in spans
        ]
        world.connection.execute("ROLLBACK TO mistake")


def test_a_server_sums_what_there_is_and_then_rests(tmp_path: Path) -> None:
    world = World(tmp_path)
    many_lines(world, random.Random(1), 50)
    world.close()

    async def test() -> None:
        database = Database.open(world.path)
        rollup = RollUp(database, pytest.fail, step_rows=20)
        assert await rollup.run_once()
        assert await rollup.run_once()
        assert not await rollup.run_once()
        written = database.read("SELECT usage_id FROM usage_summed")
        assert written == [(50,)]
        assert not await rollup.run_once()
        database.close()

    asyncio.run(test())


def test_it_goes_on_until_the_database_is_closed(tmp_path: Path) -> None:
    world = World(tmp_path)
    many_lines(world, random.Random(1), 50)
    world.close()

    async def test() -> None:
        database = Database.open(world.path)
        running = asyncio.create_task(RollUp(database, pytest.fail, step_rows=20).run(pause_s=0, breath_s=0))
        while database.read("SELECT usage_id FROM usage_summed") != [(50,)]:
            await asyncio.sleep(0)
        database.close()
        await running

    asyncio.run(test())


def test_a_failure_is_told_once_and_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS, pack_tokens=10)
    world.connection.execute("DROP TRIGGER prices_are_never_changed")
    body = world.connection.execute("SELECT body FROM prices WHERE version = 1").fetchall()[0][0]
    world.connection.execute("UPDATE prices SET body = 'x' WHERE version = 1")

    async def test() -> list[str]:
        notes: list[str] = []
        database = Database.open(world.path)
        running = asyncio.create_task(RollUp(database, notes.append).run(pause_s=0.001))
        while not notes:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        # The other one may be writing.
        world.connection.set_busy_timeout(5000)
        world.connection.execute("UPDATE prices SET body = ? WHERE version = 1", (body,))
        while database.read("SELECT usage_id FROM usage_summed") != [(1,)]:
            await asyncio.sleep(0.001)
        database.close()
        await running
        return notes

    (note,) = asyncio.run(test())
    assert note.startswith("usage is not summed, statements get slower: ")
