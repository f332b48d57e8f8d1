import asyncio
from collections.abc import Mapping
from pathlib import Path

from openbigmodel.auth.last_used import LastUsed
from tests.unit.auth.store_bench import NOW_MS, StoreBench, create_account, run


class BrokenStore:
    """Fails as often as it is told to, then keeps what it gets."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.written: list[dict[str, int]] = []
        self.called = asyncio.Event()

    async def note_used(self, used: Mapping[str, int]) -> None:
        self.called.set()
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        self.written.append(dict(used))


def test_uses_are_written_at_intervals_and_at_the_end(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        account = await create_account(bench.store, "team")
        keys = [await bench.store.create_key(account.id, name) for name in ("one", "two")]
        store = BrokenStore(0)
        last_used = LastUsed(bench.authenticator, store, print, interval_s=0.01)
        last_used.start()
        assert bench.code(keys[0]) is None
        await asyncio.wait_for(store.called.wait(), 3)
        bench.now_ms += 5
        assert bench.code(keys[1]) is None
        await last_used.close()
        assert store.written == [{keys[0].id: NOW_MS}, {keys[1].id: NOW_MS + 5}]

    run(tmp_path, scenario)


def test_what_was_not_written_is_written_next_time(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        key = await bench.store.create_key((await create_account(bench.store, "team")).id, "one")
        store, report = BrokenStore(1), list[str]()
        last_used = LastUsed(bench.authenticator, store, report.append)
        assert bench.code(key) is None
        await last_used.flush()
        assert report == ["when keys were last used was not written: the disk is full"]
        await last_used.flush()
        await last_used.flush()
        assert store.written == [{key.id: NOW_MS}]
        # Never started, so there is nothing to stop.
        await last_used.close()

    run(tmp_path, scenario)


def test_it_reaches_the_database_through_the_real_store(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        key = await bench.store.create_key((await create_account(bench.store, "team")).id, "one")
        assert bench.code(key) is None
        await LastUsed(bench.authenticator, bench.store, print).close()
        record = bench.store.find_key_record(key.id)
        assert record is not None and record.last_used_ms == NOW_MS

    run(tmp_path, scenario)


def test_a_flush_that_is_cut_off_loses_nothing(tmp_path: Path) -> None:
    class SlowStore:
        def __init__(self) -> None:
            self.called = asyncio.Event()

        async def note_used(self, used: Mapping[str, int]) -> None:
            self.called.set()
            await asyncio.Event().wait()

    async def scenario(bench: StoreBench) -> None:
        key = await bench.store.create_key((await create_account(bench.store, "team")).id, "one")
        assert bench.code(key) is None
        store = SlowStore()
        flushing = asyncio.create_task(LastUsed(bench.authenticator, store, print).flush())
        await asyncio.wait_for(store.called.wait(), 3)
        flushing.cancel()
        await asyncio.wait((flushing,))
        assert flushing.cancelled()
        assert bench.authenticator.take_used() == {key.id: NOW_MS}

    run(tmp_path, scenario)
