from pathlib import Path

from tests.unit.admin.parts import Platform, run


def test_an_operators_price_wins_over_the_catalogue_and_loses_to_the_settings(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        price = {"input": "1", "output": "2", "cached": "0.1"}
        made = await platform.ask("prices.set", model="GLM-4.6", price=price)
        assert (made["source"], made["price"], made["in_force"]) == ("operator", price, True)
        made = await platform.ask("prices.set", model="priced", price=price)
        assert (made["source"], made["in_force"]) == ("config", False)
        assert made["price"] == {"input": "400", "output": "600"}

    run(tmp_path, scenario)


def test_a_price_taken_back_uncovers_what_was_below(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        price = {"input": "1", "output": "2"}
        await platform.ask("prices.set", model="own", price=price)
        await platform.ask("prices.set", model="glm-4.6", price=price)
        assert await platform.ask("prices.clear", model="Own") == {"model": "own", "price": None}
        assert (await platform.ask("prices.clear", model="glm-4.6"))["source"] == "catalog"
        for model in ("own", "glm-4.6", "nothing"):
            assert (await platform.refused("prices.clear", model=model)).code == "not_found"

    run(tmp_path, scenario)


def test_every_version_is_kept(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        for amount in ("1", "2"):
            platform.now_ms += 1000
            await platform.ask("prices.set", model="own", price={"input": amount, "output": amount})
        await platform.ask("prices.clear", model="own")
        versions = (await platform.ask("prices.history", model="OWN"))["versions"]
        assert [each["price"] and each["price"]["input"] for each in versions] == [None, "2", "1"]
        assert versions[2]["since"] == "2026-11-18T11:06:41.000Z"

    run(tmp_path, scenario)


def test_a_price_that_is_not_stored_yet_has_no_version(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        listed = {each["model"]: each for each in (await platform.ask("prices.list"))["prices"]}
        assert listed["priced"]["version"] > 0
        refused = await platform.refused("prices.set", model="own", price={"input": "x", "output": "1"})
        assert refused.message.startswith("price.input must be an amount")
        assert (await platform.refused("prices.set", model=" ", price={})).code == "bad_value"

    run(tmp_path, scenario)
