import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from openbigmodel.auth import store as store_module
from openbigmodel.auth.accounts import UnknownAccount
from openbigmodel.auth.api_keys import Authenticator, Principal
from openbigmodel.auth.master_key import MasterKeyError
from openbigmodel.auth.store import MASTER_KEY_FILE, AuthStore
from openbigmodel.credentials import sign_jwt
from openbigmodel.db.connection import Database
from openbigmodel.db.migrations import MIGRATIONS, migrate
from openbigmodel.db.queries import QUERIES
from openbigmodel.errors import ApiError
from tests.unit.auth.store_bench import create_account

NOW_MS = 1_795_000_000_000


def run(folder: Path, scenario: Callable[[AuthStore], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database.open(folder / "x.db")
        try:
            await scenario(AuthStore(database, folder, now_ms=lambda: NOW_MS))
        finally:
            database.close()

    asyncio.run(main())


async def make_keys(store: AuthStore) -> None:
    assert await store.ensure_operator() is not None


def test_the_first_key_is_told_once(tmp_path: Path) -> None:
    keys: list[str] = []

    async def first(store: AuthStore) -> None:
        key = await store.ensure_operator()
        assert key is not None
        keys.append(str(key))
        (account,) = store.list_accounts()
        assert (account.name, account.operator, account.created_ms) == ("operator", True, NOW_MS)
        assert Authenticator(store).authenticate(b"Bearer " + str(key).encode()) == Principal(
            account.id, key.id, "standard", operator=True, exempt=True
        )
        assert await store.ensure_operator() is None

    async def second(store: AuthStore) -> None:
        assert await store.ensure_operator() is None
        assert Authenticator(store).authenticate(keys[0].encode()).operator

    run(tmp_path, first)
    run(tmp_path, second)


def test_an_account_has_keys(tmp_path: Path) -> None:
    async def scenario(store: AuthStore) -> None:
        account = await create_account(store, "team")
        assert store.list_accounts() == [account]
        assert not account.operator
        assert store.list_keys(account.id) == []
        standard = await store.create_key(account.id, "one")
        coding = await store.create_key(account.id, "two", kind="coding", expires_ms=NOW_MS + 1)
        records = {record.id: record for record in store.list_keys(account.id)}
        assert set(records) == {standard.id, coding.id}
        record = records[coding.id]
        assert (record.account_id, record.kind, record.version, record.name) == (
            account.id,
            "coding",
            1,
            "two",
        )
        assert (record.state, record.created_ms, record.expires_ms) == ("active", NOW_MS, NOW_MS + 1)
        assert record.last_used_ms is None
        found = store.find_key(coding.id)
        assert found is not None
        assert found.principal == Principal(account.id, coding.id, "coding")
        assert found.secret == coding.secret
        assert found.expires_ms == NOW_MS + 1
        assert store.find_key("nobody") is None
        assert store.list_keys("nobody") == []
        # Accounts that were made before the first start do not keep the operator from theirs.
        assert await store.ensure_operator() is not None
        assert await store.ensure_operator() is None

    run(tmp_path, scenario)


def test_a_key_needs_an_account(tmp_path: Path) -> None:
    async def scenario(store: AuthStore) -> None:
        with pytest.raises(UnknownAccount, match="nobody"):
            await store.create_key("nobody", "x")
        account = await create_account(store, "team")
        with pytest.raises(ValueError, match="the kind of a key must be one of standard, coding"):
            await store.create_key(account.id, "x", kind="gold")  # type: ignore[arg-type]
        assert store.list_keys(account.id) == []

    run(tmp_path, scenario)


def test_a_disabled_key_stops_at_once(tmp_path: Path) -> None:
    async def scenario(store: AuthStore) -> None:
        key = await store.ensure_operator()
        assert key is not None
        authenticator = Authenticator(store, now_ms=lambda: NOW_MS)
        credentials = [str(key).encode(), sign_jwt(key, NOW_MS, 1000).encode()]
        for credential in credentials:
            authenticator.authenticate(credential)
        told: list[str] = []
        store.on_change(told.append)
        assert await store.disable_key(key.id)
        assert told == [key.id]
        for credential in credentials:
            with pytest.raises(ApiError, match="1000"):
                authenticator.authenticate(credential)
        assert not await store.disable_key(key.id)
        assert not await store.disable_key("nobody")
        assert [record.state for record in store.list_keys(store.list_accounts()[0].id)] == ["disabled"]

    run(tmp_path, scenario)


def test_secrets_are_nowhere_in_the_database(tmp_path: Path) -> None:
    secrets: list[str] = []

    async def scenario(store: AuthStore) -> None:
        key = await store.ensure_operator()
        assert key is not None
        secrets.append(key.secret)

    run(tmp_path, scenario)
    content = (tmp_path / "x.db").read_bytes()
    assert b"first key" in content
    assert secrets[0].encode() not in content
    assert bytes.fromhex((tmp_path / MASTER_KEY_FILE).read_text().split()[1]) not in content


def test_keys_without_their_master_key_are_refused(tmp_path: Path) -> None:
    run(tmp_path, make_keys)
    (tmp_path / MASTER_KEY_FILE).rename(tmp_path / "away")
    with pytest.raises(MasterKeyError, match=r"master\.key is missing.*Restore it from a backup"):
        run(tmp_path, make_keys)
    assert not (tmp_path / MASTER_KEY_FILE).exists()


def test_another_databases_master_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    run(tmp_path, make_keys)
    run(tmp_path / "other", make_keys)
    (tmp_path / "other" / MASTER_KEY_FILE).replace(tmp_path / MASTER_KEY_FILE)
    with pytest.raises(MasterKeyError, match="belongs to another database"):
        run(tmp_path, make_keys)


def test_a_master_key_that_never_made_a_key_may_be_lost(tmp_path: Path) -> None:
    async def nothing(_store: AuthStore) -> None:
        pass

    run(tmp_path, nothing)
    (tmp_path / MASTER_KEY_FILE).unlink()
    run(tmp_path, make_keys)


def test_accounts_and_keys_of_an_earlier_release_keep_what_they_had(tmp_path: Path) -> None:
    earlier = apsw.Connection(str(tmp_path / "x.db"))
    migrate(earlier, MIGRATIONS[:2])
    for number, operator in enumerate((1, 0)):
        earlier.execute("INSERT INTO accounts VALUES (?, ?, ?, ?)", (f"a{number}", "name", operator, number))
    earlier.execute(
        "INSERT INTO api_keys (id, account_id, kind, name, created_ms) VALUES ('k', 'a1', 'standard', 'one', 5)"
    )
    earlier.close()

    async def scenario(store: AuthStore) -> None:
        operator, other = store.list_accounts()
        assert (operator.operator, operator.exempt) == (True, True)
        assert (other.operator, other.exempt, other.tier, other.state) == (False, False, "V0", "active")
        (record,) = store.list_keys(other.id)
        assert (record.models, record.networks, record.leaked_ms, record.told) == (None, None, None, True)
        found = store.find_key("k")
        assert found is not None and not found.principal.restricted

    run(tmp_path, scenario)


def test_accounts_are_read_a_page_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_ACCOUNTS_PER_PAGE", 3)

    async def scenario(store: AuthStore) -> None:
        # All of the same millisecond.
        made = {(await create_account(store, "same")).id for _ in range(10)}
        pages = list(store.pages_of_accounts())
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        assert [account.id for page in pages for account in page] == sorted(made)
        assert len(store.list_accounts()) == 10

    run(tmp_path, scenario)
    connection = apsw.Connection(str(tmp_path / "x.db"))
    (plan,) = connection.execute("EXPLAIN QUERY PLAN " + QUERIES["list_accounts"], (-1, "", 3)).fetchall()
    assert "USING INDEX accounts_by_age" in str(plan[3])
    connection.close()
