import random
from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.periods import DAY_MS, FOREVER_MS, HOUR_MS, Period
from openbigmodel.billing.statement import (
    PAGE_LINES,
    By,
    Filter,
    Owner,
    Statements,
    UnknownOwner,
    Used,
    open_for_reading,
)
from openbigmodel.db.connection import DatabaseError
from openbigmodel.db.migrations import MIGRATIONS, DatabaseTooNew
from tests.conftest import SCALE
from tests.statement_world import (
    ACCOUNT,
    KEY,
    MIDNIGHT,
    OTHER,
    SECOND_KEY,
    START_MS,
    World,
    chosen,
    groups_of,
    many_lines,
)

# Each with other lines, summed to another place.
WORLDS = max(4, round(8 * SCALE))
QUESTIONS = 60


def a_period(chance: random.Random) -> Period:
    def moment() -> int:
        at_ms = chance.randrange(MIDNIGHT - 3 * DAY_MS, MIDNIGHT + 3 * DAY_MS)
        return at_ms - at_ms % chance.choice((1, HOUR_MS, DAY_MS))

    kind = chance.randrange(4)
    if kind == 0:
        return Period()
    if kind == 1:
        return Period(moment())
    if kind == 2:
        from_ms = moment()
        return Period(from_ms, from_ms + chance.choice((0, 1, 5000, HOUR_MS)))
    from_ms, to_ms = sorted((moment(), moment()))
    return Period(from_ms, to_ms)


def a_filter(chance: random.Random) -> Filter:
    return Filter(
        model=chance.choice((None, None, "glm-4.6", "glm-call", "nothing")),
        api_key_id=chance.choice((None, None, KEY, SECOND_KEY)),
    )


@pytest.mark.parametrize("seed", range(WORLDS))
def test_statements_are_right_however_far_the_sums_are(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = World(tmp_path)
    many_lines(world, chance, chance.choice((0, 1, 30, 400)))
    for _ in range(chance.choice((0, 0, 3, 100))):
        world.sum_step(chance.randrange(1, 60))
    with Statements.open(tmp_path) as statements:
        for _ in range(QUESTIONS):
            account, period, only = chance.choice((ACCOUNT, OTHER)), a_period(chance), a_filter(chance)
            lines = chosen(world.lines, account, period, only)
            by = By(chance.choice((0, 0, HOUR_MS, DAY_MS)), chance.random() < 0.5, chance.random() < 0.5)
            groups, moment = statements.groups(account, by, period, only)
            assert groups == groups_of(lines, by), (by, period, only)
            assert moment.last == len(world.lines)
            limit = chance.choice((None, None, 1, 10))
            if chance.random() < 0.3:
                only = Filter(only.model, only.api_key_id, chance.choice((None, "1234")), failed=True)
                lines = chosen(world.lines, account, period, only)
            assert list(statements.lines(account, period, only, limit=limit)) == lines[:limit]


@pytest.mark.parametrize(
    "mistake",
    [
        "UPDATE usage_summed SET usage_id = usage_id - 1",
        "UPDATE usage_summed SET usage_id = usage_id + 1",
        "DELETE FROM usage_sums WHERE span = 'hour'",
        "UPDATE usage_sums SET saved = saved + 1 WHERE span = 'day'",
    ],
    ids=["a line twice", "a line lost", "an hour lost", "a nano too much"],
)
def test_the_test_above_finds_a_wrong_sum(tmp_path: Path, mistake: str) -> None:
    world = World(tmp_path)
    many_lines(world, random.Random(1), 400)
    while world.sum_step(50) and world.lines[-1].id - 60 > summed(world):
        pass
    with Statements.open(tmp_path) as statements:
        assert differences(world, statements) == 0
        world.connection.execute(mistake)
        assert differences(world, statements) > 0


def summed(world: World) -> int:
    found: list[tuple[int]] = world.connection.execute("SELECT usage_id FROM usage_summed").fetchall()  # type: ignore[assignment]
    return found[0][0]


def differences(world: World, statements: Statements) -> int:
    """How many of many statements are wrong."""
    chance = random.Random(2)
    wrong = 0
    for _ in range(QUESTIONS):
        account, period = chance.choice((ACCOUNT, OTHER)), a_period(chance)
        lines = chosen(world.lines, account, period, Filter())
        wrong += statements.groups(account, By(), period)[0] != groups_of(lines, By())
    return wrong


def test_a_total_is_never_missing(tmp_path: Path) -> None:
    World(tmp_path)
    with Statements.open(tmp_path) as statements:
        assert statements.total(ACCOUNT)[0] == Used()
        assert statements.groups(ACCOUNT, By(model=True))[0] == []
        assert list(statements.lines(ACCOUNT)) == []


@pytest.mark.parametrize("only", [Filter(), Filter(model="glm-4.6"), Filter(failed=True)])
def test_lines_come_in_pages_without_a_gap(tmp_path: Path, only: Filter) -> None:
    world = World(tmp_path)
    count = 2 * PAGE_LINES + 1
    with world.connection:
        for number in range(count):
            # Many at the same millisecond.
            world.line(START_MS + number // 700, code="1234" if only.failed else "")
    with Statements.open(tmp_path) as statements:
        found = [line.id for line in statements.lines(ACCOUNT, only=only)]
        assert found == list(range(count, 0, -1))
        found = [line.id for line in statements.lines(ACCOUNT, only=only, limit=PAGE_LINES + 1)]
        assert found == list(range(count, PAGE_LINES, -1))


def test_totals_and_lines_are_of_one_moment(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.connection:
        for number in range(PAGE_LINES + 10):
            world.line(START_MS + number)
    with Statements.open(tmp_path) as statements:
        used, moment = statements.total(ACCOUNT)
        lines = statements.lines(ACCOUNT, moment=moment)
        first = next(lines)
        # A page has been read. What is written now belongs to the next statement, before and behind the first page.
        world.line(START_MS)
        world.line(START_MS + 2 * PAGE_LINES)
        world.sum_up()
        ids = [first.id, *(line.id for line in lines)]
        assert ids == list(range(PAGE_LINES + 10, 0, -1))
        assert used.requests == len(ids)
        # Nor is a transaction left open, which would keep the server from emptying its log.
        assert not statements.connection.in_transaction
        assert statements.total(ACCOUNT)[0].requests == PAGE_LINES + 12


def test_sums_in_a_snapshot_agree(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS)
    with Statements.open(tmp_path) as statements:
        with statements.snapshot():
            before, _ = statements.total(ACCOUNT)
            world.line(START_MS)
            world.sum_up()
            assert statements.total(ACCOUNT)[0] == before
        assert statements.total(ACCOUNT)[0].requests == 2


def test_whose_statement_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS - 5)
    with Statements.open(tmp_path) as statements:
        assert statements.owner(ACCOUNT) == Owner(ACCOUNT, "Alpha", START_MS - 5)
        assert statements.owner(OTHER) == Owner(OTHER, "Beta", START_MS)
        with pytest.raises(UnknownOwner, match="There is no account x"):
            statements.owner("x")
        assert statements.key_names(ACCOUNT) == {KEY: "first", SECOND_KEY: "=second"}


def test_balance_and_actions_come_from_the_ledger(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS)
    world.post("topup", 500, START_MS)
    world.post("topup", 70, START_MS + 1)
    world.post("refund", 3, START_MS + 2)
    world.post("adjust", -2, START_MS + 3)
    world.post("topup", 9, START_MS + 4, account=OTHER)
    world.post("topup", 1000, START_MS + DAY_MS)
    with Statements.open(tmp_path) as statements:
        day = Period(START_MS, START_MS + DAY_MS)
        assert statements.actions(ACCOUNT, day) == {"topup": 570, "refund": 3, "adjust": -2}
        assert statements.actions("x", day) == {}
        assert statements.balance(ACCOUNT) == 1_000_000_001_000
        assert statements.balance("x") == 0


def test_an_account_without_a_posting_has_nothing(tmp_path: Path) -> None:
    World(tmp_path)
    with Statements.open(tmp_path) as statements:
        assert statements.balance(ACCOUNT) == 0
        assert statements.actions(ACCOUNT, Period()) == {}


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    World(tmp_path)
    with Statements.open(tmp_path) as statements, pytest.raises(apsw.ReadOnlyError):
        statements.connection.execute("DELETE FROM usage_sums")


def test_reading_leaves_the_log_of_a_killed_server_as_it_is(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    alive.mkdir()
    world = World(alive)
    world.line(START_MS)
    dead = tmp_path / "dead"
    dead.mkdir()
    for name in ("bigmodel.db", "bigmodel.db-wal"):
        (dead / name).write_bytes((alive / name).read_bytes())
    before = [(dead / name).read_bytes() for name in ("bigmodel.db", "bigmodel.db-wal")]
    with Statements.open(dead) as statements:
        assert statements.total(ACCOUNT)[0].requests == 1
    assert [(dead / name).read_bytes() for name in ("bigmodel.db", "bigmodel.db-wal")] == before


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bigmodel.db"
    with pytest.raises(DatabaseError, match="There is no database"):
        open_for_reading(path)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(DatabaseError, match="cannot be read"):
        open_for_reading(path)
    path.unlink()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 1)
    with pytest.raises(DatabaseError, match="of an older release"):
        open_for_reading(path)
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    with pytest.raises(DatabaseTooNew, match="newer release"):
        open_for_reading(path)


def test_what_packs_saved_of_a_line(tmp_path: Path) -> None:
    world = World(tmp_path)
    paid = world.line(START_MS)
    by_packs = world.line(START_MS, pack_tokens=1200)
    with Statements.open(tmp_path) as statements:
        assert statements.saved(paid) == 0
        assert by_packs.charge == 0
        assert statements.saved(by_packs) == paid.charge


def test_the_end_of_time_is_no_moment_of_a_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(FOREVER_MS - 1)
    world.sum_up()
    with Statements.open(tmp_path) as statements:
        assert statements.total(ACCOUNT)[0].requests == 1
        assert len(list(statements.lines(ACCOUNT))) == 1
