import asyncio
from pathlib import Path

import pytest

from openbigmodel.billing.store import Books
from tests.unit.admin.parts import Platform, run


def test_an_account_is_made_and_shown(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        made = await platform.ask(
            "accounts.create", name=" team ", tier="V1", exempt=True, rotate_leaked=True
        )
        assert set(made) == {"id"}
        assert await platform.ask("accounts.show", account=made["id"]) == {
            "id": made["id"],
            "name": "team",
            "state": "active",
            "operator": False,
            "exempt": True,
            "tier": "V1",
            "rotate_leaked": True,
            "created": "2026-11-18T11:06:40.000Z",
            "balance": "0.000000000",
            "held": "0.000000000",
            "keys": 0,
            "users": 0,
        }

    run(tmp_path, scenario)


def test_trial_credit_is_a_posting_like_any_other(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account(credit="5")
        assert (await platform.ask("accounts.show", account=account))["balance"] == "5.000000000"
        (action,) = (await platform.ask("credit.list", account=account))["actions"]
        assert (action["kind"], action["memo"]) == ("gift", "trial credit")
        assert (await platform.refused("accounts.create", name="x", credit="much")).code == "bad_value"
        assert len((await platform.ask("accounts.list"))["accounts"]) == 1

    run(tmp_path, scenario)


def test_an_account_is_never_there_without_its_trial_credit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(platform: Platform) -> None:
        def fails(*_: object) -> int:
            raise ValueError("the ledger is full")

        with monkeypatch.context() as broken:
            broken.setattr(Books, "post", fails)
            refusal = await platform.refused("accounts.create", name="team", credit="5")
        assert (refusal.code, str(refusal)) == ("bad_value", "The ledger is full.")
        assert (await platform.ask("accounts.list"))["accounts"] == []

    run(tmp_path, scenario)


def test_credit_can_be_a_gift_later_too(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="2", gift=True)
        await platform.ask("credit.add", account=account, yuan="3")
        actions = (await platform.ask("credit.list", account=account))["actions"]
        assert [(action["kind"], action["yuan"]) for action in actions] == [
            ("topup", "3.000000000"),
            ("gift", "2.000000000"),
        ]

    run(tmp_path, scenario)


def test_a_user_changes_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("users.add", email="a@b.example", account=account, role="owner")
        user = await platform.ask("users.add", email="c@b.example", account=account)
        # The role cannot be, so the state stays, too.
        refusal = await platform.refused("users.update", user=user["id"], role="operator", state="disabled")
        assert refusal.code == "bad_value"
        users = (await platform.ask("users.list", account=account))["users"]
        assert sorted((each["role"], each["state"]) for each in users) == [
            ("member", "active"),
            ("owner", "active"),
        ]

    run(tmp_path, scenario)


def test_a_long_list_lets_requests_pass(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        await asyncio.gather(*(platform.account() for _ in range(501)))
        asking = asyncio.create_task(platform.ask("accounts.list"))
        await asyncio.sleep(0)
        assert not asking.done()
        assert len((await asking)["accounts"]) == 501

    run(tmp_path, scenario)


def test_only_keys_in_use_are_counted(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("keys.create", account=account)
        disabled = await platform.ask("keys.create", account=account)
        await platform.ask("keys.disable", key=disabled["id"])
        assert (await platform.ask("accounts.show", account=account))["keys"] == 1

    run(tmp_path, scenario)


def test_what_is_not_given_stays(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account(tier="V2", exempt=True)
        changed = await platform.ask("accounts.update", account=account, exempt=False)
        assert (changed["tier"], changed["exempt"], changed["name"]) == ("V2", False, "team")
        changed = await platform.ask("accounts.update", account=account, state="locked")
        assert (changed["state"], changed["exempt"]) == ("locked", False)
        assert (await platform.refused("accounts.update", account=account)).code == "bad_arguments"
        assert (
            await platform.refused("accounts.update", account=account, state="odd")
        ).code == "bad_arguments"
        assert (await platform.refused("accounts.update", account="x", state="locked")).code == "not_found"

    run(tmp_path, scenario)


def test_a_user_comes_changes_and_goes(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        user = await platform.ask("users.add", email="a@b.example", account=account, role="owner", name="A")
        assert (user["name"], user["role"], user["account"]) == ("A", "owner", account)
        second = await platform.ask("users.add", email="c@b.example", account=account)
        changed = await platform.ask("users.update", user=second["id"], role="owner", state="disabled")
        assert (changed["role"], changed["state"]) == ("owner", "disabled")
        assert (await platform.refused("users.update", user=user["id"])).code == "bad_arguments"
        assert (await platform.refused("users.update", user=user["id"], role="viewer")).code == "bad_value"
        await platform.ask("users.remove", user=second["id"])
        assert [each["id"] for each in (await platform.ask("users.list"))["users"]] == [user["id"]]
        assert (await platform.refused("users.list", account="x")).code == "not_found"

    run(tmp_path, scenario)
