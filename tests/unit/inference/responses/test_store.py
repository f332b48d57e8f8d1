"""Stored responses are there for their account, for a week, and for nobody else."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from openbigmodel.db.connection import Database, DatabaseClosed
from openbigmodel.db.queries import QUERIES
from openbigmodel.db.writer import QUEUE_ITEMS_MAX
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_MESSAGES
from openbigmodel.inference.long_bodies import MAX_VALUES
from openbigmodel.inference.responses import store as store_module
from openbigmodel.inference.responses.rereading import BURST_BYTES
from openbigmodel.inference.responses.store import (
    CONVERSATION_RESPONSES_MAX,
    FORGOTTEN_AT_ONCE,
    KEPT_MS,
    STORED_BYTES_MAX,
    ResponseStore,
    StoredResponse,
)
from tests.faulty_disk import FaultyDisk

START_MS = 1_790_000_000_000
_Result = TypeVar("_Result")


class Shelf:
    """A store on a file, with a clock and a log of the test's own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now_ms = START_MS
        self.log: list[str] = []
        self.store = ResponseStore(
            database, self.log.append, now_ms=lambda: self.now_ms, monotonic_s=lambda: self.now_ms / 1000
        )

    async def settled(self) -> None:
        """Everything that was queued before is on disk."""
        await self.database.write(lambda _connection: None)

    def count(self) -> int:
        return int(self.database.read("SELECT count(*) FROM responses")[0][0])

    def total(self, account_id: str = "a") -> int:
        rows = self.database.read("SELECT bytes FROM response_totals WHERE account_id = ?1", (account_id,))
        return int(rows[0][0]) if rows else 0

    async def keep(self, *responses: StoredResponse) -> None:
        for each in responses:
            self.store.keep(each)
        await self.settled()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.db"


def run(
    path: Path, scenario: Callable[[Shelf], Coroutine[Any, Any, _Result]], vfs: str | None = None
) -> _Result:
    async def main() -> _Result:
        database = Database.open(path, vfs=vfs)
        try:
            return await scenario(Shelf(database))
        finally:
            database.close()
            await asyncio.sleep(0)

    return asyncio.run(main())


def response(
    number: int | str, *, previous: int | str = "", account: str = "a", size: int = 0
) -> StoredResponse:
    text = f"answer {number}" + "x" * size
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
    return StoredResponse(
        f"resp_{number}",
        account,
        f"resp_{previous}" if previous != "" else "",
        json.dumps(f"question {number}").encode(),
        json.dumps({"id": f"resp_{number}", "output": output}).encode(),
    )


def refused(store: ResponseStore, response_id: str, account: str = "a") -> str:
    with pytest.raises(ApiError) as caught:
        store.conversation(account, response_id)
    assert (caught.value.code, caught.value.field) == ("1214", "previous_response_id")
    return caught.value.message("en")


def test_a_response_is_found_for_a_week_by_its_account(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1))
        assert shelf.store.find("a", "resp_1") == response(1)
        assert shelf.store.find("a", "resp_2") is None
        assert shelf.store.find("b", "resp_1") is None
        shelf.now_ms += KEPT_MS
        assert shelf.store.find("a", "resp_1") == response(1)
        shelf.now_ms += 1
        # It may not have been deleted yet, and is forgotten all the same.
        assert shelf.store.find("a", "resp_1") is None
        refused(shelf.store, "resp_1")
        assert not await shelf.store.delete("a", "resp_1")

    run(path, scenario)


def test_it_survives_a_restart(path: Path) -> None:
    async def keep(shelf: Shelf) -> None:
        shelf.store.keep(response(1))

    async def look(shelf: Shelf) -> StoredResponse | None:
        return shelf.store.find("a", "resp_1")

    run(path, keep)
    assert run(path, look) == response(1)


def test_what_is_queued_after_it_finds_it_on_disk(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        seen: list[bool] = []
        shelf.store.keep(response(1))
        shelf.database.submit(
            "INSERT INTO response_totals VALUES ('x', 1)",
            (),
            lambda error: seen.append(error is None and shelf.store.find("a", "resp_1") is not None),
        )
        await shelf.settled()
        assert seen == [True]

    run(path, scenario)


def test_another_account_cannot_tell_an_id_from_one_that_never_was(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1), response(2, previous=1))
        theirs, nobodys = refused(shelf.store, "resp_1", "b"), refused(shelf.store, "resp_9", "b")
        assert theirs.replace("resp_1", "?") == nobodys.replace("resp_9", "?")
        assert not await shelf.store.delete("b", "resp_1")
        assert shelf.store.find("a", "resp_1") is not None
        # Nor is one of theirs joined into a conversation of one's own.
        await shelf.keep(response(3, previous=1, account="b"))
        assert "resp_1" in refused(shelf.store, "resp_3", "b")

    run(path, scenario)


def test_a_conversation_is_told_from_its_beginning(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(
            response(1), response(2, previous=1), response(3, previous=2), response(4, previous=1)
        )
        items = shelf.store.conversation("a", "resp_3")
        said = [
            item.content if isinstance(item.content, str) else (item.content or [])[0].text for item in items
        ]
        assert said == [f"{what} {number}" for number in (1, 2, 3) for what in ("question", "answer")]
        assert [item.role for item in items] == ["user", "assistant"] * 3
        assert len(shelf.store.conversation("a", "resp_4")) == 4

    run(path, scenario)


def test_without_one_of_its_parts_a_conversation_cannot_go_on(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1))
        shelf.now_ms += KEPT_MS - 10
        await shelf.keep(response(2, previous=1), response(3, previous=2))
        assert len(shelf.store.conversation("a", "resp_3")) == 6
        assert await shelf.store.delete("a", "resp_2")
        assert not await shelf.store.delete("a", "resp_2")
        assert "resp_2" in refused(shelf.store, "resp_3")
        await shelf.keep(response(4, previous=1))
        shelf.now_ms += 11
        assert "resp_1" in refused(shelf.store, "resp_4")

    run(path, scenario)


def test_a_conversation_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CONVERSATION_RESPONSES_MAX", 3)

    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1), *(response(n, previous=n - 1) for n in range(2, 5)))
        assert len(shelf.store.conversation("a", "resp_3")) == 6
        assert "too long" in refused(shelf.store, "resp_4")
        half = store_module.CONVERSATION_BYTES_MAX // 2
        await shelf.keep(response("x", size=half), response("y", previous="x", size=half))
        assert len(shelf.store.conversation("a", "resp_x")) == 2
        assert "too long" in refused(shelf.store, "resp_y")

    run(path, scenario)


def test_a_huge_one_is_kept_as_it_is(path: Path) -> None:
    huge = response("huge", size=9 * 1024 * 1024)

    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(huge)
        assert shelf.store.find("a", "resp_huge") == huge
        assert shelf.total() > 9 * 1024 * 1024

    run(path, scenario)


def test_an_account_can_fill_its_own_share_and_no_more(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1), response(2, account="b"))
        shelf.store.check_room("a")
        await shelf.database.write(
            lambda connection: connection.execute(
                "UPDATE response_totals SET bytes = bytes + ?1 WHERE account_id = 'a'", (STORED_BYTES_MAX,)
            )
        )
        with pytest.raises(ApiError) as caught:
            shelf.store.check_room("a")
        assert (caught.value.code, caught.value.field) == ("1214", "store")
        shelf.store.check_room("b")
        shelf.store.check_room("nobody")

    run(path, scenario)


def test_totals_follow(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1), response(2), response(2))
        both = shelf.total()
        assert shelf.count() == 2
        assert both == shelf.database.read("SELECT sum(bytes) FROM responses")[0][0]
        await shelf.store.delete("a", "resp_1")
        assert 0 < shelf.total() < both
        await shelf.store.delete("a", "resp_2")
        assert shelf.total() == 0
        await shelf.keep(response(3))
        with pytest.raises(apsw.ConstraintError):
            await shelf.database.write(
                lambda connection: connection.execute("UPDATE responses SET previous_id = 'x'")
            )

    run(path, scenario)


def test_old_responses_go_a_few_at_a_time(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(*(response(number) for number in range(2 * FORGOTTEN_AT_ONCE + 5)))
        shelf.now_ms += 1
        await shelf.keep(response("new"))
        shelf.now_ms += KEPT_MS
        once = await shelf.database.write(
            lambda connection: connection.execute(
                QUERIES["delete_old_responses"] + " RETURNING id", (shelf.now_ms, FORGOTTEN_AT_ONCE)
            ).fetchall()
        )
        assert len(once) == FORGOTTEN_AT_ONCE and ("resp_new",) not in once
        shelf.store.forget_old()
        shelf.store.forget_old()
        while shelf.count() > 1:
            await shelf.settled()
        assert shelf.store.find("a", "resp_new") is not None
        assert shelf.total() == shelf.database.read("SELECT sum(bytes) FROM responses")[0][0]
        shelf.store.forget_old()
        await shelf.settled()
        assert shelf.count() == 1

    run(path, scenario)


def test_the_timer_forgets_until_the_database_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FORGET_INTERVAL_S", 0.001)

    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(response(1))
        shelf.now_ms += KEPT_MS + 1
        running = asyncio.create_task(shelf.store.run())
        while shelf.count():
            await asyncio.sleep(0.001)
        shelf.database.close()
        await asyncio.wait_for(running, 5)
        assert shelf.log == []

    run(path, scenario)


def test_a_full_queue_and_a_closed_database_are_told(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        for _ in range(QUEUE_ITEMS_MAX):
            shelf.database.submit("DELETE FROM response_totals", (), lambda _error: None)
        shelf.store.keep(response(1))
        # Whoever settles next finds no room either.
        assert shelf.log == [f"response resp_1 not stored: {QUEUE_ITEMS_MAX} writes are waiting for the disk"]
        shelf.database.close()
        shelf.store.keep(response(2))
        assert len(shelf.log) == 2
        with pytest.raises(DatabaseClosed):
            shelf.store.find("a", "resp_1")
        with pytest.raises(ApiError) as caught:
            shelf.store.conversation("a", "resp_1")
        assert caught.value.code == "500"

    run(path, scenario)


def test_a_wrong_row_is_told_and_tried_once(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.database.write(lambda connection: connection.execute("DROP TABLE response_totals"))
        await shelf.keep(response(1))
        assert len(shelf.log) == 1 and "resp_1 not stored" in shelf.log[0]

    run(path, scenario)


def test_after_a_failed_commit_it_is_written_again_before_what_comes_after_it(path: Path) -> None:
    disk = FaultyDisk()
    failures = 1

    def fail(operation: str, file: str) -> None:
        nonlocal failures
        if operation == "sync" and file.endswith("-wal") and failures:
            failures -= 1
            raise apsw.IOError("told to fail")

    async def scenario(shelf: Shelf) -> None:
        nonlocal failures
        await shelf.keep(response(0))
        found: list[bool] = []

        def settled(error: BaseException | None) -> None:
            if error is not None:
                # As the cashier does it.
                shelf.database.submit("DELETE FROM response_totals WHERE account_id = 'x'", (), settled)
            else:
                found.append(shelf.store.find("a", "resp_1") is not None)

        disk.fail = fail
        shelf.store.keep(response(1))
        shelf.database.submit("DELETE FROM response_totals WHERE account_id = 'x'", (), settled)
        while not found:
            await asyncio.sleep(0.001)
        assert found == [True] and shelf.log == []
        assert shelf.total() == shelf.database.read("SELECT sum(bytes) FROM responses")[0][0]
        failures = 2
        shelf.store.keep(response(2))
        while not shelf.log:
            await asyncio.sleep(0.001)
        assert "resp_2 not stored" in shelf.log[0]
        disk.fail = lambda operation, file: None

    run(path, scenario, vfs=disk.name)
    disk.unregister()


def items_of(number: int, count: int, previous: int | str = "") -> StoredResponse:
    asked = json.dumps([{"type": "reasoning"}] * (count - 1)).encode()
    first = response(number, previous=previous)
    return StoredResponse(first.id, first.account_id, first.previous_id, asked, first.response)


def test_a_conversation_has_no_more_items_than_a_request(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(items_of(1, MAX_MESSAGES // 2), items_of(2, MAX_MESSAGES // 2, 1), items_of(3, 2, 2))
        assert len(shelf.store.conversation("a", "resp_2")) == MAX_MESSAGES
        assert "too long" in refused(shelf.store, "resp_3")

    run(path, scenario)


@pytest.mark.parametrize("count", [MAX_MESSAGES + 2, MAX_VALUES // 2])
def test_what_was_stored_before_there_was_a_bound_is_no_conversation(path: Path, count: int) -> None:
    async def scenario(shelf: Shelf) -> None:
        await shelf.keep(items_of(1, count))
        assert "At most" in refused(shelf.store, "resp_1") or count > MAX_MESSAGES + 2

    run(path, scenario)


def readings(read: Callable[[], object]) -> tuple[int, ApiError]:
    """How often it is done until there has been too much of it, and what is said then."""
    for number in range(100_000):
        try:
            read()
        except ApiError as error:
            if error.code == "1303":
                return number, error
    raise AssertionError("there is no end to it")


def test_what_is_stored_is_not_read_all_the_time(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        store, size = shelf.store, 4 * 1024 * 1024
        await shelf.keep(response(1, size=size), response(2, account="b"))
        most = BURST_BYTES // size
        found, error = readings(lambda: store.find("a", "resp_1"))
        assert most <= found <= most + 1 and error.retry_after_s
        assert readings(lambda: store.conversation("a", "resp_1"))[0] == 0
        assert store.find("b", "resp_2") == response(2, account="b")

        shelf.now_ms += 1000 * error.retry_after_s
        assert store.find("a", "resp_1") == response(1, size=size)
        shelf.now_ms += 60_000
        assert most <= readings(lambda: store.conversation("a", "resp_1"))[0] <= most + 1

    run(path, scenario)


def test_looking_for_what_is_not_there_counts_too(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        found, _ = readings(lambda: shelf.store.find("a", "resp_1"))
        shelf.now_ms += 60_000
        joined, _ = readings(lambda: shelf.store.conversation("a", "resp_1"))
        assert found > 1000 and joined > 1000

    run(path, scenario)


def test_a_conversation_that_is_too_long_is_not_looked_through_all_the_time(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        for number in range(1, CONVERSATION_RESPONSES_MAX + 2):
            shelf.store.keep(response(number, previous=number - 1 or ""))
        await shelf.settled()
        last = f"resp_{CONVERSATION_RESPONSES_MAX + 1}"
        codes = []
        for _ in range(100):
            with pytest.raises(ApiError) as caught:
                shelf.store.conversation("a", last)
            codes.append(caught.value.code)
        assert codes[0] == "1214"
        assert codes[-1] == "1303"

    run(path, scenario)


def test_the_timer_forgets_who_reads_nothing(path: Path) -> None:
    async def scenario(shelf: Shelf) -> None:
        readings(lambda: shelf.store.find("a", "resp_1"))
        timer = asyncio.create_task(shelf.store.run())
        await asyncio.sleep(0)
        timer.cancel()
        assert readings(lambda: shelf.store.find("a", "resp_1"))[0] == 0

    run(path, scenario)
