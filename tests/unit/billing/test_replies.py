import asyncio
from pathlib import Path

import pytest

from openbigmodel.billing.replies import (
    FORGOTTEN_AT_ONCE,
    KEPT_MS,
    Claimed,
    Replies,
    StoredReply,
    reply_row,
)
from openbigmodel.billing.store import INSERT_USAGE, usage_row
from openbigmodel.db.connection import DatabaseClosed
from openbigmodel.db.writer import QUEUE_ITEMS_MAX
from tests.cash_desk import START_MS, Desk, run

REPLY = StoredReply(b"digest", b"answer", START_MS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.db"


async def keep(desk: Desk, request_id: str, reply: StoredReply = REPLY) -> None:
    sql, row = reply_row("a", request_id, reply)
    await desk.database.write(lambda connection: connection.execute(sql, row))


def count(desk: Desk) -> int:
    rows = desk.database.read("SELECT count(*) FROM replies")
    return int(rows[0][0])


def test_a_reply_is_found_for_a_day(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        now_ms = START_MS
        replies = Replies(desk.database, lambda: now_ms)
        await keep(desk, "mine")
        assert replies.find("a", "mine") == REPLY
        assert replies.find("a", "other") is None
        assert replies.find("b", "mine") is None
        now_ms += KEPT_MS
        assert replies.find("a", "mine") == REPLY
        now_ms += 1
        # It may not have been deleted yet, and is forgotten all the same.
        assert replies.find("a", "mine") is None

    run(path, scenario)


def test_a_claim_lasts(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        replies = Replies(desk.database, lambda: START_MS)
        line = desk.line(request_id="mine")
        failed = desk.line(request_id="failed", source="none")
        for each in (line, failed):
            row = usage_row(each)
            await desk.database.write(lambda connection, row=row: connection.execute(INSERT_USAGE, row))  # type: ignore[misc]
        assert replies.find("a", "mine") == Claimed(line.log_id)
        assert replies.find("a", "failed") is None
        # The platform's own id is not the caller's.
        assert replies.find("a", line.log_id) is None

    run(path, scenario)


def test_old_replies_go_a_few_at_a_time(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        now_ms = START_MS + KEPT_MS
        replies = Replies(desk.database, lambda: now_ms)
        for number in range(FORGOTTEN_AT_ONCE + 5):
            await keep(desk, f"old-{number}")
        await keep(desk, "new", StoredReply(b"digest", b"answer", START_MS + 1))
        replies.forget_old()
        await desk.database.write(lambda _connection: None)
        assert count(desk) == FORGOTTEN_AT_ONCE + 6
        now_ms += 1
        replies.forget_old()
        replies.forget_old()  # under way already
        seen = set[int]()
        while count(desk) > 1:
            await desk.database.write(lambda _connection: None)
            seen.add(count(desk))
        assert seen <= {6, 1}
        await desk.database.write(lambda _connection: None)
        assert count(desk) == 1

    run(path, scenario)


def test_forgetting_waits_when_the_queue_is_full(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        replies = Replies(desk.database, lambda: START_MS + KEPT_MS + 1)
        await keep(desk, "mine")
        for _ in range(QUEUE_ITEMS_MAX):
            desk.database.submit("SELECT 1 WHERE 0", (), lambda _error: None)
        replies.forget_old()
        while desk.database.queue_length:
            await asyncio.sleep(0)
        assert count(desk) == 1
        desk.database.close()
        with pytest.raises(DatabaseClosed):
            replies.forget_old()

    run(path, scenario)
