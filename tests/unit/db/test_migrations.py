from pathlib import Path

import apsw
import pytest

from openbigmodel.db.migrations import (
    MIGRATIONS,
    DatabaseTooNew,
    Migration,
    migrate,
    parse_migrations,
    schema_version,
)
from openbigmodel.db.queries import QUERIES

_ONE = Migration(1, "one", "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)")
_TWO = Migration(2, "two", "ALTER TABLE a ADD COLUMN y TEXT")
_BROKEN = Migration(2, "broken", "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)")


def test_applies_what_is_missing_and_only_that(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "x.db"))
    assert migrate(connection, [_ONE]) == 1
    assert migrate(connection, [_ONE]) == 0
    assert migrate(connection, [_ONE, _TWO]) == 1
    assert schema_version(connection) == 2
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, None)]


def test_a_failing_step_leaves_no_trace_of_itself() -> None:
    connection = apsw.Connection(":memory:")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        migrate(connection, [_ONE, _BROKEN])
    assert schema_version(connection) == 1
    assert not connection.in_transaction
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("a",)]


def test_a_step_that_ends_its_transaction_is_an_error() -> None:
    connection = apsw.Connection(":memory:")
    with pytest.raises(apsw.SQLError):
        migrate(connection, [Migration(1, "commits", "COMMIT")])


def test_refuses_a_database_from_the_future(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = apsw.Connection(str(path))
    migrate(connection, [_ONE, _TWO])
    with pytest.raises(DatabaseTooNew, match=r"x\.db was written by a newer release .*schema 2.*up to 1"):
        migrate(connection, [_ONE])


def test_every_table_is_strict() -> None:
    connection = apsw.Connection(":memory:")
    assert migrate(connection) == len(MIGRATIONS)
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
    assert {"accounts", "api_keys", "usage", "master_keys"} <= {name for name, _ in tables}
    assert [name for name, strict in tables if not strict and not str(name).startswith("sqlite_")] == []


def test_usage_cannot_be_changed() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    row = ("l", "r", "a", "k", "glm-4.6", "local", 1, 0, 1, 0, "stop", "", 1, 2)
    connection.execute(QUERIES["insert_usage"], (*row, 0, 0, 0, 0, 0, 0, "engine", "", 0, 0, 1, None))
    for statement in ("UPDATE usage SET prompt_tokens = 0", "DELETE FROM usage"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            connection.execute(statement)


def test_orders_files_by_number() -> None:
    steps = parse_migrations([("0002_b.sql", "B"), ("0001_a.sql", "A")])
    assert steps == (Migration(1, "a", "A"), Migration(2, "b", "B"))


@pytest.mark.parametrize(
    "names",
    [
        ["0002_b.sql"],
        ["0001_a.sql", "0003_c.sql"],
        ["0001_a.sql", "0001_b.sql"],
        ["1_a.sql"],
        ["0001_a.txt"],
        ["x"],
    ],
)
def test_refuses_gaps_and_odd_names(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"migrations are not numbered|not named like"):
        parse_migrations([(name, "") for name in names])
