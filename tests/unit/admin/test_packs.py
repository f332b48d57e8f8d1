from pathlib import Path

from tests.unit.admin.parts import HOUR_MS, NOW_MS, Platform, run


def test_a_pack_passes_through_its_states(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask(
            "packs.grant",
            account=account,
            tokens=2000,
            from_="2026-11-18T12:06:40Z",
            to="2026-11-18T13:06:40Z",
        )

        async def state() -> str:
            (pack,) = (await platform.ask("packs.list", account=account))["packs"]
            return str(pack["state"])

        assert await state() == "future"
        platform.now_ms = NOW_MS + HOUR_MS
        assert await state() == "valid"
        await platform.charge(account)
        assert await state() == "used_up"
        platform.now_ms = NOW_MS + 2 * HOUR_MS
        assert await state() == "expired"

    run(tmp_path, scenario)


def test_those_that_end_first_are_listed_first(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        late = await platform.ask("packs.grant", account=account, tokens=1, to="2099-01-01T00:00:00Z")
        soon = await platform.ask(
            "packs.grant", account=account, calls=2, to="2098-01-01T00:00:00Z", gift=True
        )
        packs = (await platform.ask("packs.list", account=account))["packs"]
        assert [pack["id"] for pack in packs] == [soon["id"], late["id"]]
        assert {name: soon[name] for name in ("account", "calls")} == {"account": account, "calls": 2}
        assert [pack["from"] for pack in packs] == ["2026-11-18T11:06:40.000Z"] * 2

    run(tmp_path, scenario)


def test_a_pack_that_cannot_be(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        to = "2099-01-01T00:00:00Z"
        for code, arguments in (
            ("bad_arguments", {"to": to}),
            ("bad_arguments", {"to": to, "tokens": 1, "calls": 1}),
            ("bad_value", {"to": to, "tokens": 0}),
            ("bad_value", {"to": to, "tokens": 10**15 + 1}),
            ("bad_value", {"to": to, "calls": 2**63}),
            ("bad_value", {"to": to, "tokens": 1, "models": []}),
            ("bad_value", {"to": "2000-01-01T00:00:00Z", "tokens": 1}),
            ("bad_value", {"to": to, "tokens": 1, "memo": "a\nb"}),
            ("bad_value", {"to": "never", "tokens": 1}),
        ):
            refused = await platform.refused("packs.grant", account=account, **arguments)
            assert refused.code == code, arguments
        assert (await platform.refused("packs.grant", account="x", tokens=1, to=to)).code == "not_found"
        assert (await platform.ask("packs.list", account=account))["packs"] == []

    run(tmp_path, scenario)


def test_a_pack_to_a_day_can_be_used_until_its_end(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        days = {"from": "2026-11-19", "to": "2026-11-19"}
        made = await platform.ask("packs.grant", account=account, tokens=1, **days)
        assert (made["from"], made["to"]) == ("2026-11-18T16:00:00.000Z", "2026-11-19T16:00:00.000Z")
        (pack,) = (await platform.ask("packs.list", account=account))["packs"]
        assert (pack["from"], pack["to"]) == (made["from"], made["to"])

    run(tmp_path, scenario)
