import asyncio
from pathlib import Path

import pytest

from openbigmodel.billing.store import UsageLine, UsageStore
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import Database, DatabaseClosed

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
)
ROWS = (
    "SELECT log_id, request_id, account_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens, "
    "reasoning_tokens, finish_reason, code, started_ms, ended_ms FROM usage"
)


def record(store: UsageStore, line: UsageLine) -> "asyncio.Future[BaseException | None]":
    written: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    store.record(line, written.set_result)
    return written


def test_a_line_is_there_when_it_is_said_to_be(tmp_path: Path) -> None:
    async def test() -> None:
        database = Database.open(tmp_path / "a.db")
        written = record(UsageStore(database), LINE)
        assert not written.done()
        assert await written is None
        # `measured` and the like stay in memory.
        assert database.read(ROWS) == [
            ("ours", "mine", "account", "key", "glm-4.6", "gpu", 13, 2, 9, 5, "stop", "", 1000, 2000)
        ]
        database.close()

    asyncio.run(test())


def test_lines_outlive_the_process(tmp_path: Path) -> None:
    async def write() -> None:
        database = Database.open(tmp_path / "a.db")
        store = UsageStore(database)
        assert await asyncio.gather(*(record(store, LINE) for _ in range(100))) == [None] * 100
        database.close()

    async def read() -> int:
        database = Database.open(tmp_path / "a.db")
        rows = database.read(ROWS)
        database.close()
        return len(rows)

    asyncio.run(write())
    assert asyncio.run(read()) == 100


def test_a_closed_database_says_so_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        database = Database.open(tmp_path / "a.db")
        database.close()
        with pytest.raises(DatabaseClosed):
            UsageStore(database).record(LINE, lambda _: None)

    asyncio.run(test())
