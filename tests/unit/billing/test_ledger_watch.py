"""A broken chain is found beside the server that writes it, wherever in it and whenever it was broken."""

import asyncio
from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.ledger_watch import LedgerWatch
from tests.cash_desk import Desk, run

POSTINGS = 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 100_000, 'paid "quoted" \x01 \x7f 礼物')
        for _ in range(POSTINGS - 1):
            await desk.bill(desk.line())

    run(tmp_path / "x.db", scenario)
    return tmp_path / "x.db"


def change(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    for table in ("ledger", "usage"):
        for what in ("changed", "deleted"):
            connection.execute(f"DROP TRIGGER IF EXISTS {table}_is_never_{what}")
    connection.execute(sql)
    connection.close()


def watched(path: Path, *changes: str, steps: int = 10, links_at_once: int = 7) -> list[str]:
    """What is found, of changes that are made after it has read all of it once."""

    async def scenario() -> list[str]:
        watch = LedgerWatch(path, links_at_once=links_at_once)
        for _ in range(steps):
            assert await watch.step() == []
        for sql in changes:
            change(path, sql)
        found = [problem for _ in range(steps) for problem in await watch.step()]
        assert found == watch.problems
        watch.close()
        return found

    return asyncio.run(scenario())


def test_a_chain_in_order_is_read_again_and_again(path: Path) -> None:
    assert watched(path, steps=20) == []


@pytest.mark.parametrize("seq", [1, 2, 15, POSTINGS - 1, POSTINGS])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger SET memo = 'forged' WHERE seq = {seq}",
        "UPDATE ledger SET at_ms = at_ms + 1 WHERE seq = {seq}",
        "UPDATE ledger SET hash = randomblob(32) WHERE seq = {seq}",
    ],
)
def test_a_posting_that_was_changed_is_found(path: Path, sql: str, seq: int) -> None:
    assert f"posting {seq} or its usage row is not what was written" in watched(path, sql.format(seq=seq))


def test_a_usage_row_that_was_changed_is_found(path: Path) -> None:
    found = watched(path, "UPDATE usage SET model = 'other' WHERE posting = 9")
    assert found == ["posting 9 or its usage row is not what was written"]


def test_a_posting_that_is_gone_is_found(path: Path) -> None:
    assert watched(path, "DELETE FROM ledger WHERE seq = 9")[0] == "posting 9 is missing"


def test_an_end_that_was_cut_off_is_found(path: Path) -> None:
    sql = f"DELETE FROM ledger WHERE seq > {POSTINGS - 4}"
    assert watched(path, sql) == [f"postings {POSTINGS - 3} to {POSTINGS} are gone"]


def test_what_is_posted_meanwhile_is_read_at_once(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 100_000)
        watch = LedgerWatch(tmp_path / "x.db", links_at_once=1)
        assert await watch.step() == []
        for _ in range(POSTINGS):
            await desk.bill(desk.line())
        change(tmp_path / "x.db", f"UPDATE ledger SET memo = 'forged' WHERE seq = {POSTINGS}")
        assert await watch.step() == [f"posting {POSTINGS} or its usage row is not what was written"]
        watch.close()

    run(tmp_path / "x.db", scenario)


def test_a_closed_watch_gives_the_file_back_and_reads_no_more(path: Path) -> None:
    async def scenario() -> None:
        watch = LedgerWatch(path)
        step = asyncio.create_task(watch.step())
        await asyncio.sleep(0)
        watch.close()
        await step
        change(path, "DELETE FROM ledger WHERE seq = 9")
        assert await watch.step() == []

    asyncio.run(scenario())
    assert not path.with_name("x.db-wal").exists()
