"""How SQLite finds the rows of each query: never by looking at every line of the log or the ledger.

On the path of a request, where it would stop the server, and in statements, which are asked for while it serves.
"""

import apsw
import pytest

from openbigmodel.db.migrations import migrate
from openbigmodel.db.queries import QUERIES

LOG = {"usage", "ledger"}
# Named like a scan: the last row, and the whole log for `verify`, which has a connection of its own.
ALLOWED = {
    "fetch_head",
    "count_usage",
    "list_postings",
    "list_uncharged",
    "list_unposted",
    # Of an index of plans' requests alone.
    "list_impossible_credits",
}
STATEMENT_QUERIES = (
    "sums_by_time",
    "sums_as_kept",
    "sums_by_kind",
    "sum_lines",
    "sum_unsummed",
    "hours_of_usage",
    "list_usage",
    "list_failed",
    "find_charged",
    "find_by_request_id",
    "find_ended",
    "postings_of_usage",
    "sum_actions",
    "last_balance",
    "fetch_summed",
    "add_to_sums",
)


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    connection.create_scalar_function("saved_by_packs", lambda *_: 0, 6)
    return connection


def plan(connection: apsw.Connection, query: str) -> list[str]:
    parameters = max((number for number in range(1, 100) if f"?{number}" in query), default=0)
    rows = connection.execute("EXPLAIN QUERY PLAN " + query, (1,) * parameters).fetchall()
    return [str(row[3]) for row in rows]


def scanned(connection: apsw.Connection, query: str) -> set[str]:
    """The tables that a query reads from end to end, by their own names."""
    steps = [step.split() for step in plan(connection, query)]
    # An index that is made for the query alone takes all of the table, too.
    whole = [step[1] for step in steps if step[0] == "SCAN" or "AUTOMATIC" in step]
    return {_table_of(name, query) for name in whole}


def _table_of(name: str, query: str) -> str:
    words = query.replace(",", " ").replace(")", " ").split()
    for table, between, alias in zip(words, words[1:], words[2:], strict=False):
        if between == "AS" and alias == name:
            return table
    return name


def test_every_query_of_a_statement_goes_by_an_index(connection: apsw.Connection) -> None:
    for name in STATEMENT_QUERIES:
        steps = plan(connection, QUERIES[name])
        assert any(step.startswith("SEARCH") for step in steps), (name, steps)
        assert not scanned(connection, QUERIES[name]) & (LOG | {"usage_sums"}), (name, steps)


def test_no_other_query_reads_the_whole_log(connection: apsw.Connection) -> None:
    assert {name for name in QUERIES if scanned(connection, QUERIES[name]) & LOG} <= ALLOWED


def test_the_last_row_is_found_at_once(connection: apsw.Connection) -> None:
    assert QUERIES["fetch_head"].endswith("FROM ledger ORDER BY seq DESC LIMIT 1")
    assert plan(connection, QUERIES["fetch_head"]) == ["SCAN ledger"]


@pytest.mark.parametrize(
    ("query", "table"),
    [
        ("SELECT sum(charge) FROM usage", "usage"),
        ("SELECT sum(u.charge) FROM accounts AS a JOIN usage AS u ON u.model = a.name", "usage"),
        ("SELECT count(*) FROM ledger", "ledger"),
        ("SELECT sum(charge) FROM usage WHERE model = ?1", "usage"),
        ("SELECT l.seq FROM ledger AS l WHERE l.memo = ?1", "ledger"),
    ],
)
def test_a_query_that_does_is_found(connection: apsw.Connection, query: str, table: str) -> None:
    assert table in scanned(connection, query)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (
            "sums_by_time",
            "SEARCH usage_sums USING PRIMARY KEY (account_id=? AND span=? AND from_ms>? AND from_ms<?)",
        ),
        (
            "sum_lines",
            "SEARCH usage USING INDEX usage_by_account (account_id=? AND ended_ms>? AND ended_ms<?)",
        ),
        ("sum_unsummed", "SEARCH usage USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("add_to_sums", "SEARCH usage USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("list_failed", "SEARCH usage USING INDEX usage_failed (account_id=? AND ended_ms>? AND ended_ms<?)"),
        ("sum_actions", "SEARCH ledger USING INDEX ledger_actions_by_book (book=? AND at_ms>? AND at_ms<?)"),
    ],
)
def test_the_rows_of_a_statement_are_found_by(connection: apsw.Connection, name: str, how: str) -> None:
    assert how in plan(connection, QUERIES[name])


@pytest.mark.parametrize("name", ["sums_by_time", "sums_as_kept", "list_usage", "list_failed"])
def test_pages_and_totals_need_no_sorting(connection: apsw.Connection, name: str) -> None:
    assert not [step for step in plan(connection, QUERIES[name]) if "TEMP B-TREE" in step]
