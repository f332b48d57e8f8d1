import apsw
import pytest

from openbigmodel.db.migrations import migrate
from openbigmodel.db.queries import QUERIES, parse_queries


def test_splits_a_file_by_name() -> None:
    text = "-- name: one\n-- The first.\nSELECT 1\n\n-- name: two\n-- The second.\nSELECT\n  2\n"
    assert parse_queries(text) == {"one": "SELECT 1", "two": "SELECT\n  2"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1", "before the first name"),
        ("-- name: one\nSELECT 1", "line of comment"),
        ("-- name: one\n-- A comment.\n", "line of comment"),
        ("-- name: one\n-- A comment.\nSELECT 1; SELECT 2", "more than one statement"),
        ("-- name: one\n-- A.\nSELECT 1\n-- name: one\n-- B.\nSELECT 2", "two queries"),
    ],
)
def test_refuses_a_file_that_breaks_the_rule(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_queries(text)


def test_refuses_a_name_that_two_files_use() -> None:
    with pytest.raises(ValueError, match="two queries are named one"):
        parse_queries("-- name: one\n-- A.\nSELECT 1", "-- name: one\n-- B.\nSELECT 2")


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_every_query_fits_the_schema(name: str) -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    # billing/price_history.py has it.
    connection.create_scalar_function("saved_by_packs", lambda *_: 0, 6)
    statement = QUERIES[name]
    parameters = max((number for number in range(1, 100) if f"?{number}" in statement), default=0)
    connection.execute("EXPLAIN " + statement, (1,) * parameters)


def test_hot_reads_use_an_index() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    for name, parameters in (("fetch_key", 1), ("list_keys", 4), ("list_key_states", 4)):
        plan = connection.execute("EXPLAIN QUERY PLAN " + QUERIES[name], (1,) * parameters).fetchall()
        assert plan
        steps = [str(row[3]) for row in plan]
        assert not [step for step in steps if "SCAN" in step or "B-TREE" in step], (name, steps)
