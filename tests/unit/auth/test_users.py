from pathlib import Path

import apsw
import pytest

from openbigmodel.auth.accounts import UnknownAccount, UnknownUser
from openbigmodel.db.migrations import migrate
from openbigmodel.db.queries import QUERIES
from tests.unit.auth.store_bench import NOW_MS, StoreBench, create_account, run


def test_users_of_an_account_and_of_the_platform(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account, other = [await create_account(store, name) for name in ("one", "two")]
        boss = await store.add_user("root@example.com", "operator")
        owner = await store.add_user(" Li@example.com ", "owner", account_id=account.id, name="李")
        bench.now_ms += 1
        viewer = await store.add_user("wang@example.com", "viewer", account_id=account.id)
        stranger = await store.add_user("zhao@example.com", "member", account_id=other.id)

        assert (owner.email, owner.name, owner.role, owner.state) == (
            "Li@example.com",
            "李",
            "owner",
            "active",
        )
        assert (owner.account_id, owner.created_ms) == (account.id, NOW_MS)
        assert (boss.account_id, viewer.name) == (None, "wang")
        assert len({user.id for user in (boss, owner, viewer, stranger)}) == 4
        assert store.list_users(account.id) == [owner, viewer]
        assert store.list_users(other.id) == [stranger]
        assert store.list_users("nobody") == []
        everybody = store.list_users()
        assert everybody[2:] == sorted((viewer, stranger), key=lambda user: user.id)
        assert (store.count_users(account.id), store.count_users("nobody")) == (2, 0)
        assert sorted(user.id for user in everybody) == sorted(
            user.id for user in (boss, owner, viewer, stranger)
        )

    run(tmp_path, scenario)


def test_users_that_cannot_be(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "one")
        await store.add_user("li@example.com", "owner", account_id=account.id)
        with pytest.raises(ValueError, match="there is a user with the address LI@example"):
            await store.add_user("LI@example.com", "operator")
        with pytest.raises(ValueError, match="no e-mail address"):
            await store.add_user("li", "owner", account_id=account.id)
        with pytest.raises(ValueError, match="operators belong to no account"):
            await store.add_user("a@b", "owner")
        with pytest.raises(ValueError, match="the name of a user"):
            await store.add_user("a@b", "operator", name="a\nb")
        with pytest.raises(UnknownAccount):
            await store.add_user("a@b", "owner", account_id="nobody")
        assert len(store.list_users()) == 1

    run(tmp_path, scenario)


def test_roles_and_states_change(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "one")
        user = await store.add_user("li@example.com", "viewer", account_id=account.id)
        operator = await store.add_user("root@example.com", "operator")
        assert (await store.update_user(user.id, role="member")).role == "member"
        assert (await store.update_user(user.id, state="disabled")).state == "disabled"
        assert (await store.update_user(operator.id, state="disabled")).state == "disabled"
        assert [(each.role, each.state) for each in store.list_users(account.id)] == [("member", "disabled")]
        with pytest.raises(ValueError, match="operators belong to no account"):
            await store.update_user(user.id, role="operator")
        with pytest.raises(ValueError, match="operators belong to no account"):
            await store.update_user(operator.id, role="owner")
        with pytest.raises(ValueError, match="the role must be one of"):
            await store.update_user(user.id, role="king")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="the state must be one of"):
            await store.update_user(user.id, state="asleep")  # type: ignore[arg-type]
        for change in (
            store.update_user("nobody", role="owner"),
            store.update_user("nobody", state="active"),
        ):
            with pytest.raises(UnknownUser):
                await change

    run(tmp_path, scenario)


def test_the_last_owner_leaves_last(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "one")
        owner = await store.add_user("li@example.com", "owner", account_id=account.id)
        # Alone, an owner may be anything.
        await store.update_user(owner.id, role="member")
        await store.update_user(owner.id, role="owner")
        member = await store.add_user("wang@example.com", "member", account_id=account.id)
        for leaving in (
            store.update_user(owner.id, role="viewer"),
            store.update_user(owner.id, state="disabled"),
            store.remove_user(owner.id),
        ):
            with pytest.raises(ValueError, match=r"li@example\.com is the only owner of the account"):
                await leaving
        second = await store.add_user("zhao@example.com", "owner", account_id=account.id)
        await store.update_user(second.id, state="disabled")
        # A disabled owner is none.
        with pytest.raises(ValueError, match="the only owner"):
            await store.remove_user(owner.id)
        await store.update_user(second.id, state="active")
        await store.remove_user(owner.id)
        await store.remove_user(member.id)
        await store.remove_user(second.id)
        assert store.list_users(account.id) == []
        with pytest.raises(UnknownUser, match="there is no user"):
            await store.remove_user(owner.id)

    run(tmp_path, scenario)


def test_users_come_a_page_at_a_time(tmp_path: Path) -> None:
    async def scenario(bench: StoreBench) -> None:
        store = bench.store
        account = await create_account(store, "one")
        for number in range(405):
            bench.now_ms += number % 2
            await store.add_user(f"u{number}@b.cn", "member", account_id=account.id)
        everybody = store.list_users()
        assert [len(page) for page in store.pages_of_users()] == [200, 200, 5]
        assert [len(page) for page in store.pages_of_users(account.id)] == [200, 200, 5]
        assert len({user.id for user in everybody}) == 405
        assert everybody == sorted(everybody, key=lambda user: (user.created_ms, user.id))
        assert store.list_users(account.id) == everybody
        assert [[user.name for user in page] for page in store.pages_of_users("nobody")] == []

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("query", "params"), [("list_all_users", (0, "", 2)), ("list_users", ("a", 0, "", 2))]
)
def test_a_page_of_users_is_read_in_its_order(tmp_path: Path, query: str, params: tuple[object, ...]) -> None:
    connection = apsw.Connection(str(tmp_path / "x.db"))
    migrate(connection)
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {QUERIES[query]}", params)]
    assert len(steps) == 1 and steps[0].startswith("SEARCH users USING"), steps
