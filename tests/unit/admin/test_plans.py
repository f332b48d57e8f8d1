from pathlib import Path

from tests.unit.admin.parts import HOUR_MS, NOW_MS, Platform, run


def test_a_subscription_passes_through_its_states(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        made = await platform.ask(
            "plans.add",
            account=account,
            level="lite",
            from_="2026-11-18T12:06:40Z",
            to="2026-12-18T00:00:00Z",
        )
        assert made["state"] == "future"
        platform.now_ms = NOW_MS + HOUR_MS
        (listed,) = (await platform.ask("plans.list", account=account))["plans"]
        assert (listed["id"], listed["state"]) == (made["id"], "valid")
        ended = await platform.ask("plans.end", plan=made["id"], at="2026-11-20T00:00:00Z")
        assert (ended["state"], ended["to"]) == ("valid", "2026-11-20T00:00:00.000Z")
        platform.now_ms += 48 * HOUR_MS
        assert (await platform.ask("plans.list"))["plans"][0]["state"] == "ended"

    run(tmp_path, scenario)


def test_a_subscription_that_cannot_be(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        to = "2099-01-01T00:00:00Z"
        for arguments in (
            {"level": "gold", "to": to},
            {"level": "pro", "to": "2000-01-01T00:00:00Z"},
            {"level": "pro", "to": "soon"},
        ):
            assert (await platform.refused("plans.add", account=account, **arguments)).code == "bad_value"
        assert (await platform.refused("plans.add", account="x", level="pro", to=to)).code == "not_found"
        assert (await platform.refused("plans.end", plan=7)).code == "bad_value"
        assert (await platform.refused("plans.end", plan=1 << 63)).code == "bad_arguments"
        assert (await platform.refused("plans.list", account="x")).code == "not_found"

    run(tmp_path, scenario)


def test_a_plan_to_a_day_lasts_until_its_end(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        made = await platform.ask("plans.add", account=account, level="pro", to="2027-11-18")
        assert made["to"] == "2027-11-18T16:00:00.000Z"
        assert (await platform.ask("plans.end", plan=made["id"], at="2027-01-31"))[
            "to"
        ] == "2027-01-31T16:00:00.000Z"

    run(tmp_path, scenario)


def test_a_server_tells_by_what_it_takes_credits(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        terms = await platform.ask("plans.show", model="glm-5.3", at_ms=NOW_MS)
        assert terms["rates"] == {"input": 690, "cached": 170, "output": 2400}
        # 19:06 in UTC+8, and five hours earlier.
        assert terms["percent"] == 50
        peak = await platform.ask("plans.show", model="glm-5.3", at_ms=NOW_MS - 5 * HOUR_MS)
        assert peak["percent"] == 100
        nothing = await platform.ask("plans.show", model="gone", at_ms=NOW_MS)
        assert nothing["rates"] == {"input": 0, "cached": 0, "output": 0}

    run(tmp_path, scenario)
