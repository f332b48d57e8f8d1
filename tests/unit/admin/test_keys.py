import asyncio
from pathlib import Path

import apsw

from tests.unit.admin.parts import NOW_MS, Platform, run


def test_a_secret_is_told_when_a_key_is_made_and_never_again(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        made = await platform.ask("keys.create", account=account)
        secret = made["key"].partition(".")[2]
        for command, arguments in (
            ("keys.list", {}),
            ("keys.rename", {"key": made["id"], "name": "x"}),
            ("keys.restrict", {"key": made["id"], "models": ["a"]}),
            ("keys.expire", {"key": made["id"], "at": "2030-01-01T00:00:00Z"}),
            ("keys.disable", {"key": made["id"]}),
        ):
            assert secret not in str(await platform.ask(command, **arguments))

    run(tmp_path, scenario)


def test_a_list_is_up_to_date_with_what_the_server_has_seen(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        made = await platform.ask("keys.create", account=account)
        assert platform.noted == 0
        await platform.auth.note_used({made["id"]: NOW_MS + 1})
        (listed,) = (await platform.ask("keys.list", account=account))["keys"]
        assert listed["last_used"] == "2026-11-18T11:06:40.001Z"
        assert platform.noted == 1

    run(tmp_path, scenario)


def test_a_list_restricts_an_empty_one_lifts_and_none_leaves(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        key = (await platform.ask("keys.create", account=account, models=["a"], networks=["10.0.0.1"]))["id"]
        shown = await platform.ask("keys.restrict", key=key, endpoints=["chat"], models=["B"])
        assert (shown["models"], shown["endpoints"], shown["networks"]) == (
            ("b",),
            ("chat",),
            ("10.0.0.1/32",),
        )
        shown = await platform.ask("keys.restrict", key=key, models=[], networks=[])
        assert (shown["models"], shown["endpoints"], shown["networks"]) == (None, ("chat",), None)
        assert (await platform.refused("keys.restrict", key=key)).code == "bad_arguments"
        assert (await platform.refused("keys.restrict", key="x", models=["a"])).code == "not_found"

    run(tmp_path, scenario)


def test_a_key_that_has_ended_is_expired_and_no_longer_counted(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("keys.create", account=account, expires="2026-11-18T11:06:41Z")
        disabled = (await platform.ask("keys.create", account=account, expires="2026-11-18T11:06:41Z"))["id"]
        await platform.ask("keys.disable", key=disabled)

        async def states() -> tuple[list[str], int]:
            keys = (await platform.ask("keys.list", account=account))["keys"]
            shown = await platform.ask("accounts.show", account=account)
            return sorted(key["state"] for key in keys), shown["keys"]

        platform.now_ms += 999
        assert await states() == (["active", "disabled"], 1)
        platform.now_ms += 1
        assert await states() == (["disabled", "expired"], 0)

    run(tmp_path, scenario)


def test_a_key_that_will_never_work_is_made_with_a_warning(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        made = await platform.ask("keys.create", account=account, expires="2026-11-18T11:06:40Z")
        assert made["key"]
        assert made["warning"] == "The key will never work: it ended at 2026-11-18T11:06:40.000Z."
        made = await platform.ask("keys.create", account=account, expires="2026-11-18T11:06:41Z")
        assert "warning" not in made

    run(tmp_path, scenario)


def test_a_model_that_nobody_knows_is_taken_with_a_warning(tmp_path: Path) -> None:
    unheard_of = (
        "Nothing here is called GLM-46: no model that is served, has a price or is in the catalogue. "
        "Did you mean glm-4.6?"
    )

    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        price = {"input": 1, "output": 1}
        end = "2099-01-01T00:00:00Z"
        made = await platform.ask("keys.create", account=account, models=["GLM-4.6", "GLM-46"])
        assert made["warning"] == unheard_of
        assert (await platform.ask("keys.restrict", key=made["id"], models=["GLM-46"]))[
            "warning"
        ] == unheard_of
        pack = await platform.ask("packs.grant", account=account, tokens=1, to=end, models=["GLM-46"])
        assert pack["warning"] == unheard_of
        assert (await platform.ask("prices.set", model="GLM-46", price=price))["warning"] == unheard_of
        # From now on it has a price.
        for names in (["GLM-46"], ["own-model"], ["glm-4.6"], ["cogview-4"]):
            assert "warning" not in await platform.ask("keys.create", account=account, models=names)
            pack = await platform.ask("packs.grant", account=account, tokens=1, to=end, models=names)
            assert "warning" not in pack
            assert "warning" not in await platform.ask("prices.set", model=names[0], price=price)
        assert (
            "Did you mean"
            not in (await platform.ask("keys.create", account=account, models=["qwerty"]))["warning"]
        )

    run(tmp_path, scenario)


def test_a_rotated_key_names_its_successor_and_its_end(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        old = (await platform.ask("keys.create", account=account, name="ci"))["id"]
        made = await platform.ask("keys.rotate", key=old, overlap_s=60)
        assert made["replaces"]["rotated_to"] == made["id"]
        assert made["replaces"]["expires"] == "2026-11-18T11:07:40.000Z"
        assert (await platform.refused("keys.rotate", key=made["id"], overlap_s=-1)).code == "bad_value"

    run(tmp_path, scenario)


def test_the_successor_of_a_leaked_key_is_revealed_once(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account(rotate_leaked=True)
        old = (await platform.ask("keys.create", account=account))["id"]
        platform.now_ms += 1
        await platform.auth.flag_leaked(old, overlap_s=60)
        leaked, successor = (await platform.ask("keys.list", account=account))["keys"]
        assert leaked["leaked"] == "2026-11-18T11:06:40.001Z"
        assert (successor["id"], successor["told"]) == (leaked["rotated_to"], False)
        assert (await platform.ask("keys.reveal", key=successor["id"]))["key"].startswith(successor["id"])
        assert (await platform.refused("keys.reveal", key=successor["id"])).code == "bad_value"

    run(tmp_path, scenario)


def test_a_moment_that_is_none(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        refused = await platform.refused("keys.create", account=account, expires="2026-13-01T00:00:00Z")
        assert refused.code == "bad_value"
        assert (await platform.ask("keys.list", account=account))["keys"] == []

    run(tmp_path, scenario)


def test_a_key_that_expires_on_a_day_works_until_its_end(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        made = await platform.ask("keys.create", account=account, expires="2026-11-18")
        assert made["expires"] == "2026-11-18T16:00:00.000Z"
        assert "warning" not in made
        later = await platform.ask("keys.expire", key=made["id"], at="2027-01-31")
        assert later["expires"] == "2027-01-31T16:00:00.000Z"
        assert "expires" not in await platform.ask("keys.create", account=account)

    run(tmp_path, scenario)


def test_many_keys_of_one_account_leave_others_their_turn(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()

        def fill(connection: apsw.Connection) -> None:
            connection.executemany(
                "INSERT INTO api_keys (id, account_id, kind, name, created_ms) VALUES (?1, ?2, 'standard', 'key', ?3)",
                ((f"{number:032x}", account, NOW_MS + number) for number in range(500)),
            )

        await platform.database.write(fill)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(count_turns())
        assert len((await platform.ask("keys.list", account=account))["keys"]) == 500
        assert turns >= 10
        others.cancel()
        assert (await platform.ask("accounts.show", account=account))["keys"] == 500

    run(tmp_path, scenario)
