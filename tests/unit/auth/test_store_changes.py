"""What can be changed about accounts and keys, and that a running server knows at once."""

import asyncio
from pathlib import Path

import apsw
import pytest

from openbigmodel.auth.accounts import FlaggedKey, UnknownAccount, UnknownKey
from openbigmodel.auth.restrictions import read_restrictions
from openbigmodel.credentials import ApiKey
from tests.unit.auth.store_bench import NOW_MS, StoreBench, create_account, run


def test_an_account_is_changed_at_once(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, " team ", tier="V1", rotate_leaked=True)
        assert (account.name, account.tier, account.exempt, account.state) == ("team", "V1", False, "active")
        key = await store.create_key(account.id, "one")
        assert bench.code(key) is None

        locked = await store.update_account(account.id, state="locked")
        assert (locked.state, locked.name, locked.rotate_leaked) == ("locked", "team", True)
        assert bench.accounts_told == [account.id]
        assert bench.code(key) == "1112"

        changed = await store.update_account(
            account.id, name="crew", exempt=True, tier="V3", state="active", rotate_leaked=False
        )
        assert store.find_account(account.id) == changed
        assert store.list_accounts() == [changed]
        assert (changed.name, changed.exempt, changed.tier, changed.rotate_leaked) == (
            "crew",
            True,
            "V3",
            False,
        )
        assert bench.code(key) is None
        principal = bench.authenticator.authenticate(str(key).encode())
        assert (principal.exempt, principal.tier) == (True, "V3")
        await store.update_account(account.id, exempt=False)
        assert not bench.authenticator.authenticate(str(key).encode()).exempt

    run(tmp_path, scenario)


def test_accounts_that_cannot_be(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        for fields in ({"name": ""}, {"name": "x", "tier": "V9"}):
            with pytest.raises(ValueError, match="must"):
                await create_account(store, **fields)  # type: ignore[arg-type]
        account = await create_account(store, "team")
        for change in ({"name": "a\nb"}, {"tier": "gold"}, {"state": "asleep"}):
            with pytest.raises(ValueError, match="must"):
                await store.update_account(account.id, **change)  # type: ignore[arg-type]
        with pytest.raises(UnknownAccount, match="there is no account nobody"):
            await store.update_account("nobody", name="x")
        assert store.find_account("nobody") is None
        assert store.list_accounts() == [account]

    run(tmp_path, scenario)


def test_a_key_has_its_restrictions(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team")
        key = await store.create_key(
            account.id, "one", models=["GLM-5"], endpoints=["chat"], networks=["10.0.0.0/8"]
        )
        record = store.find_key_record(key.id)
        assert record is not None
        assert (record.models, record.endpoints, record.networks) == (("glm-5",), ("chat",), ("10.0.0.0/8",))
        assert record.masked == f"{key.id}.***{key.secret[-4:]}"
        assert key.secret not in repr(record)
        assert store.list_keys(account.id) == [record]
        principal = bench.authenticator.authenticate(str(key).encode())
        assert principal.restricted
        assert principal.restrictions == read_restrictions(["glm-5"], ["chat"], ["10.0.0.0/8"])
        with pytest.raises(ValueError, match="empty list"):
            await store.create_key(account.id, "two", models=[])
        with pytest.raises(ValueError, match="the name of a key"):
            await store.create_key(account.id, "")

    run(tmp_path, scenario)


def test_a_key_is_renamed_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        key = await store.create_key((await create_account(store, "team")).id, "one")
        assert bench.code(key) is None
        assert (await store.rename_key(key.id, "uno")).name == "uno"
        assert (await store.set_key_expiry(key.id, NOW_MS + 10)).expires_ms == NOW_MS + 10
        assert bench.told == [key.id, key.id]
        assert bench.code(key) is None
        bench.now_ms += 10
        assert bench.code(key) == "1003"
        assert (await store.set_key_expiry(key.id, None)).expires_ms is None
        assert bench.code(key) is None
        with pytest.raises(UnknownKey, match="there is no key nobody"):
            await store.rename_key("nobody", "x")
        with pytest.raises(UnknownKey):
            await store.set_key_expiry("nobody", 1)
        assert store.find_key_record("nobody") is None

    run(tmp_path, scenario)


def test_a_keys_restrictions_change_at_once(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        key = await store.create_key((await create_account(store, "team")).id, "one", models=["glm-5"])
        credential = str(key).encode()
        assert bench.authenticator.authenticate(credential).restrictions == read_restrictions(["glm-5"])
        record = await store.restrict_key(key.id, endpoints=["chat"], networks=["10.1.2.3"])
        assert (record.models, record.endpoints, record.networks) == (None, ("chat",), ("10.1.2.3/32",))
        assert bench.authenticator.authenticate(credential).restrictions == read_restrictions(
            None, ["chat"], ["10.1.2.3"]
        )
        await store.restrict_key(key.id)
        assert not bench.authenticator.authenticate(credential).restricted
        with pytest.raises(ValueError, match="empty list"):
            await store.restrict_key(key.id, models=[])
        with pytest.raises(UnknownKey):
            await store.restrict_key("nobody")

    run(tmp_path, scenario)


def test_a_rotated_key_works_for_the_overlap(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team")
        old = await store.create_key(
            account.id, "one", kind="coding", models=["glm-5"], networks=["::1"], expires_ms=NOW_MS + 10**9
        )
        assert bench.code(old) is None
        bench.now_ms += 1
        new = await store.rotate_key(old.id, overlap_s=60)
        assert new.id != old.id
        before, after = (store.find_key_record(key.id) for key in (old, new))
        assert before is not None and after is not None
        assert (before.rotated_to, before.expires_ms) == (new.id, NOW_MS + 60_001)
        for field in ("account_id", "kind", "name", "models", "endpoints", "networks"):
            assert getattr(before, field) == getattr(after, field)
        assert (after.expires_ms, after.created_ms, after.told) == (NOW_MS + 10**9, NOW_MS + 1, True)
        assert after.last_used_ms is None and after.rotated_to is None
        assert [bench.code(key) for key in (old, new)] == [None, None]
        bench.now_ms += 60_000
        assert [bench.code(key) for key in (old, new)] == ["1003", None]

    run(tmp_path, scenario)


def test_an_overlap_never_lengthens_a_keys_life(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team")
        old = await store.create_key(account.id, "one", expires_ms=NOW_MS + 5)
        await store.rotate_key(old.id, overlap_s=60)
        record = store.find_key_record(old.id)
        assert record is not None and record.expires_ms == NOW_MS + 5
        at_once = await store.create_key(account.id, "two")
        assert bench.code(at_once) is None
        await store.rotate_key(at_once.id, overlap_s=0)
        assert bench.code(at_once) == "1003"

    run(tmp_path, scenario)


def test_what_cannot_be_rotated(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team")
        once, disabled = [await store.create_key(account.id, name) for name in ("once", "disabled")]
        expired = await store.create_key(account.id, "expired", expires_ms=NOW_MS)
        await store.disable_key(disabled.id)
        await store.rotate_key(once.id, overlap_s=60)
        for key_id, message in (
            (once.id, "was rotated before, to b1690de1"),
            (disabled.id, "is disabled or has expired"),
            (expired.id, "is disabled or has expired"),
        ):
            with pytest.raises(ValueError, match=message):
                await store.rotate_key(key_id, overlap_s=60)
        with pytest.raises(ValueError, match="the overlap must be 0 to 31622400 seconds"):
            await store.rotate_key(once.id, overlap_s=-1)
        with pytest.raises(UnknownKey):
            await store.rotate_key("nobody", overlap_s=1)
        assert len(store.list_keys(account.id)) == 4

    run(tmp_path, scenario)


def test_a_leaked_key_is_flagged_once(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team")
        key = await store.create_key(account.id, "one")
        assert await store.flag_leaked(key.id, overlap_s=60) == FlaggedKey(key.id, account.id, None)
        bench.now_ms += 1
        assert await store.flag_leaked(key.id, overlap_s=60) is None
        record = store.find_key_record(key.id)
        assert record is not None and record.leaked_ms == NOW_MS
        found = store.find_key(key.id)
        assert found is not None and found.leaked
        assert bench.code(key) is None
        with pytest.raises(UnknownKey):
            await store.flag_leaked("nobody", overlap_s=60)

    run(tmp_path, scenario)


def test_a_leaked_key_is_replaced_if_the_account_wants_it(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team", rotate_leaked=True)
        key = await store.create_key(account.id, "one", models=["glm-5"])
        flagged = await store.flag_leaked(key.id, overlap_s=60)
        assert flagged is not None and flagged.rotated_to is not None
        successor = store.find_key_record(flagged.rotated_to)
        assert successor is not None
        assert (successor.models, successor.told, successor.expires_ms) == (("glm-5",), False, None)
        bench.now_ms += 60_000
        assert bench.code(key) == "1003"
        # Nobody knows its secret yet; asked for, it is told once.
        new = await store.reveal_key(successor.id)
        assert bench.code(new) is None
        with pytest.raises(ValueError, match="has been told; rotate the key"):
            await store.reveal_key(successor.id)
        with pytest.raises(ValueError, match="has been told"):
            await store.reveal_key(key.id)
        with pytest.raises(UnknownKey):
            await store.reveal_key("nobody")

    run(tmp_path, scenario)


def test_a_leaked_key_that_has_a_successor_or_no_life_gets_none(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team", rotate_leaked=True)
        rotated, disabled = [await store.create_key(account.id, name) for name in ("one", "two")]
        successor = await store.rotate_key(rotated.id, overlap_s=86_400)
        await store.disable_key(disabled.id)
        assert await store.flag_leaked(rotated.id, overlap_s=60) == FlaggedKey(
            rotated.id, account.id, successor.id
        )
        assert await store.flag_leaked(disabled.id, overlap_s=60) == FlaggedKey(disabled.id, account.id, None)
        assert len(store.list_keys(account.id)) == 3
        bench.now_ms += 60_000
        assert bench.code(rotated) == "1003"
        assert bench.code(successor) is None

    run(tmp_path, scenario)


def test_last_uses_are_noted_in_one_go_and_never_go_back(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "team")
        keys = [await store.create_key(account.id, str(number)) for number in range(3)]
        await store.note_used({keys[0].id: 20, keys[1].id: 5, "nobody": 7})
        await store.note_used({keys[0].id: 10, keys[1].id: 6})
        await store.note_used({})
        used = {record.id: record.last_used_ms for record in store.list_keys(account.id)}
        assert [used[key.id] for key in keys] == [20, 6, None]
        # More than one batch.
        await store.note_used({keys[2].id: 9} | {f"nobody{number}": 1 for number in range(1200)})
        record = store.find_key_record(keys[2].id)
        assert record is not None and record.last_used_ms == 9

    run(tmp_path, scenario)


def test_a_change_whose_caller_has_given_up_is_announced_too(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        key = await store.create_key((await create_account(store, "team")).id, "one")
        assert bench.code(key) is None
        disabling = asyncio.create_task(store.disable_key(key.id))
        # As far as the queue of the database.
        await asyncio.sleep(0)
        disabling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await disabling
        await create_account(store, "later")
        assert bench.told == [key.id]
        assert bench.code(key) == "1000"

    run(tmp_path, scenario)


def test_a_change_that_fails_is_announced_as_well(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        key = await bench.store.create_key((await create_account(bench.store, "team")).id, "one")
        assert bench.code(key) is None
        with pytest.raises(UnknownKey):
            await bench.store.rename_key("nobody", "x")
        assert bench.told == ["nobody"]

    run(tmp_path, scenario)


def test_a_key_that_was_flagged_before_its_account_wanted_it_replaced(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store

        def all_done(key: ApiKey) -> bool:
            found = store.find_key(key.id)
            assert found is not None
            return found.leaked

        account = await create_account(store, "team")
        key, ended = [await store.create_key(account.id, name) for name in ("one", "two")]
        for each in (key, ended):
            await store.flag_leaked(each.id, overlap_s=60)
        await store.set_key_expiry(ended.id, NOW_MS)
        assert all_done(key)
        await store.update_account(account.id, rotate_leaked=True)
        assert not all_done(key)
        assert all_done(ended)
        bench.now_ms += 1000
        flagged = await store.flag_leaked(key.id, overlap_s=60)
        assert flagged is not None and flagged.rotated_to is not None
        record = store.find_key_record(key.id)
        assert record is not None
        assert (record.leaked_ms, record.expires_ms) == (NOW_MS, NOW_MS + 61_000)
        assert all_done(key)
        assert await store.flag_leaked(key.id, overlap_s=60) is None
        assert await store.flag_leaked(ended.id, overlap_s=60) is None
        assert len(store.list_keys(account.id)) == 3

    run(tmp_path, scenario)


def test_many_keys_are_read_in_pages_and_counted(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account, other = await create_account(store, "team"), await create_account(store, "other")
        await store.create_key(other.id, "of another")

        def fill(connection: apsw.Connection) -> None:
            # Many of the same millisecond.
            connection.executemany(
                "INSERT INTO api_keys (id, account_id, kind, name, created_ms, expires_ms, state) "
                "VALUES (?1, ?2, 'standard', 'key', ?3, ?4, ?5)",
                (
                    (
                        f"{number:032x}",
                        account.id,
                        NOW_MS + number // 700,
                        NOW_MS if number % 3 == 0 else None,
                        "disabled" if number % 5 == 0 else "active",
                    )
                    for number in range(2100)
                ),
            )

        await bench.database.write(fill)
        pages = list(store.pages_of_keys(account.id))
        assert max(map(len, pages)) <= 50
        keys = [key for page in pages for key in page]
        assert [key.id for key in keys] == [f"{number:032x}" for number in range(2100)]
        assert store.list_keys(account.id) == keys
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(count_turns())
        assert await store.count_working_keys(account.id) == sum(
            bool(number % 3 and number % 5) for number in range(2100)
        )
        others.cancel()
        assert turns >= 3
        assert await store.count_working_keys("nobody") == 0

    run(tmp_path, scenario)
