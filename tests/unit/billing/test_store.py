import asyncio
from pathlib import Path

import apsw
import msgspec
import pytest

from openbigmodel.billing.chain import GENESIS, link
from openbigmodel.billing.store import (
    CASH,
    FUNDING,
    INSERT_USAGE,
    REVENUE,
    Books,
    Cause,
    UsageLine,
    usage_row,
)
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import Database, DatabaseClosed
from openbigmodel.db.migrations import migrate
from openbigmodel.db.queries import QUERIES

LINE = UsageLine(
    log_id="ours",
    request_id="mine",
    account_id="account",
    api_key_id="key",
    model="glm-4.6",
    engine="gpu",
    usage=Usage(prompt_tokens=13, cached_tokens=2, completion_tokens=9, reasoning_tokens=5, measured=True),
    finish_reason="stop",
    code="",
    started_ms=1000,
    ended_ms=2000,
    charge=1,
    overage=2,
    price_version=3,
    pack_tokens=4,
    pack_calls=5,
    plan_credits=6,
    source="counted",
    note="estimated",
    stream=True,
    batch=True,
)
COLUMNS = (
    "SELECT log_id, request_id, account_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens, "
    "reasoning_tokens, finish_reason, code, started_ms, ended_ms, charge, overage, price_version, pack_tokens, "
    "pack_calls, plan_credits, source, note, stream, batch, claims, posting FROM usage"
)


@pytest.fixture
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    return connection


def post(books: Books, connection: apsw.Connection, amount: int, account_id: str = "a") -> int:
    books.open_book(connection, account_id, CASH, "nano")
    kind, book = ("topup", FUNDING) if amount > 0 else ("post", REVENUE)
    return books.post(connection, kind, account_id, CASH, amount, book, Cause(1000, "log", "memo"))


def rows(connection: apsw.Connection) -> list[tuple[object, ...]]:
    columns = (
        "SELECT seq, at_ms, kind, debit, credit, amount, balance, usage_id, log_id, memo, hash FROM ledger"
    )
    return list[tuple[object, ...]](connection.execute(columns + " ORDER BY seq"))


def test_every_field_of_a_line_is_where_it_belongs(tmp_path: Path) -> None:
    async def test() -> None:
        database = Database.open(tmp_path / "a.db")
        written: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        database.submit(INSERT_USAGE, usage_row(LINE, 7), written.set_result)
        assert not written.done()
        assert await written is None
        who = ("ours", "mine", "account", "key", "glm-4.6", "gpu", 13, 2, 9, 5, "stop", "", 1000, 2000)
        cost = (1, 2, 3, 4, 5, 6, "counted", "estimated", 1, 1, 1, 7)
        assert database.read(COLUMNS) == [(*who, *cost)]
        database.close()
        with pytest.raises(DatabaseClosed):
            database.submit(INSERT_USAGE, usage_row(LINE), lambda _: None)

    asyncio.run(test())


def test_only_what_was_produced_claims_the_callers_id() -> None:
    assert LINE.claims
    nothing = msgspec.structs.replace(LINE, source="none", stream=False, batch=False)
    assert not nothing.claims
    assert usage_row(nothing)[-4:] == (0, 0, 0, None)


def test_postings_are_chained_and_carry_the_running_balance(connection: apsw.Connection) -> None:
    books = Books()
    assert [post(books, connection, amount) for amount in (100, -30, 50)] == [100, 70, 120]
    assert post(books, connection, 5, "b") == 5
    first, second, third, other = rows(connection)
    assert first[:10] == (1, 1000, "topup", FUNDING, 100, 100, 100, None, "log", "memo")
    assert second[:10] == (2, 1000, "post", 100, REVENUE, 30, 70, None, "log", "memo")
    assert (third[6], other[4], other[6]) == (120, 101, 5)
    previous = GENESIS
    for row in (first, second, third, other):
        previous = link(previous, row[:10] + (None,) * 26)
        assert row[10] == previous
    assert books.known() == [("a", CASH), ("b", CASH)]


def test_a_new_connection_is_read_anew(connection: apsw.Connection, tmp_path: Path) -> None:
    books = Books()
    post(books, connection, 100)
    other = apsw.Connection(str(tmp_path / "other.db"))
    migrate(other)
    assert books.next_seq(other) == 1
    assert post(books, other, 7) == 7
    assert post(books, connection, 1) == 101
    assert [row[0] for row in rows(connection)] == [1, 2]


def test_what_was_taken_back_is_forgotten(connection: apsw.Connection) -> None:
    books = Books()
    post(books, connection, 100)
    connection.execute("SAVEPOINT item")
    post(books, connection, 11)
    post(books, connection, 5, "b")
    connection.execute("ROLLBACK TO item")
    books.forget()
    assert books.known() == []
    assert post(books, connection, 1) == 101
    assert post(books, connection, 2, "c") == 2
    assert [(row[0], row[4]) for row in rows(connection)] == [(1, 100), (2, 100), (3, 101)]


def test_a_book_never_goes_below_nothing(connection: apsw.Connection) -> None:
    books = Books()
    post(books, connection, 10)
    with pytest.raises(ValueError, match="has 10, not 11"):
        post(books, connection, -11)
    with pytest.raises(ValueError, match="account b has no book cash"):
        books.post(connection, "post", "b", CASH, -1, REVENUE, Cause(1, "log"))
    assert len(rows(connection)) == 1


@pytest.mark.parametrize("table", ["books", "packs", "prices", "ledger"])
def test_the_past_cannot_be_changed(connection: apsw.Connection, table: str) -> None:
    post(Books(), connection, 10)
    connection.execute("INSERT INTO packs VALUES ('p', 'a', 'tokens', 1, NULL, 0, 1, 2, 3)")
    connection.execute("INSERT INTO prices VALUES (1, 'm', 'config', '{}', 1)")
    for statement in (f"UPDATE {table} SET rowid = rowid + 1", f"DELETE FROM {table}"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            connection.execute(statement)


def test_the_start_and_a_charge_use_indexes(connection: apsw.Connection) -> None:
    for name, parameters, scans in (
        # From its end, and one row of it.
        ("fetch_head", 0, 1),
        ("fetch_book_balance", 1, 0),
        ("find_book", 2, 0),
        ("find_reply", 3, 0),
        ("find_claim", 2, 0),
        ("any_old_reply", 1, 0),
        ("charged_usage", 1, 0),
        ("list_refundable", 1, 0),
    ):
        plan = connection.execute("EXPLAIN QUERY PLAN " + QUERIES[name], (1,) * parameters).fetchall()
        assert sum("SCAN" in str(row[3]) for row in plan) == scans, (name, plan)
