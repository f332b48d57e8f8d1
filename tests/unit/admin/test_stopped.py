import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from openbigmodel.admin.protocol import AdminError
from openbigmodel.admin.stopped import ask_folder
from openbigmodel.billing.audit import verify
from openbigmodel.billing.price_book import PriceBook
from openbigmodel.db.connection import Database
from openbigmodel.db.data_folder import DataFolder
from openbigmodel.settings import (
    ModelPrice,
    ModelSettings,
    PriceBand,
    ServerSettings,
    Settings,
    SettingsError,
)
from tests.unit.admin.data_folders import make_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_folder(tmp_path / "data")
    return tmp_path / "data"


def ask(data: Path, command: str, settings: Settings | None = None, **arguments: object) -> dict[str, object]:
    with DataFolder.open(data) as folder:
        return ask_folder(folder, settings or Settings(data=data), command, arguments)


def test_one_command_after_the_other_finds_what_was_done(data: Path) -> None:
    account = ask(data, "accounts.create", name="new")["id"]
    ask(data, "credit.add", account=account, yuan="1")
    ask(data, "packs.grant", account=account, tokens=5, to="2099-01-01T00:00:00Z")
    ask(data, "plans.add", account=account, level="pro", to="2099-01-01T00:00:00Z")
    ask(data, "prices.set", model="m", price={"input": "1", "output": "2"})

    assert ask(data, "accounts.show", account=account)["balance"] == "1.000000000"
    assert len(ask(data, "packs.list", account=account)["packs"]) == 1  # type: ignore[arg-type]
    assert len(ask(data, "plans.list", account=account)["plans"]) == 1  # type: ignore[arg-type]
    assert ask(data, "prices.history", model="m")["versions"]


def test_prices_of_the_settings_count(data: Path) -> None:
    price = ModelPrice(bands=(PriceBand(input="1", output="2"),))
    settings = Settings(data=data, models=(ModelSettings(id="M", engine="e", price=price),))

    prices = ask(data, "prices.list", settings)["prices"]

    assert isinstance(prices, list)
    (entry,) = [each for each in prices if each["model"] == "m"]
    assert (entry["source"], entry["version"]) == ("config", None)


def test_a_database_of_a_newer_release(data: Path) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.pragma("user_version", 999)
    connection.close()

    with pytest.raises(AdminError, match="newer release") as caught:
        ask(data, "accounts.list")
    assert caught.value.code == "database"


def test_a_database_that_cannot_be_read(data: Path) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.pragma("journal_mode", "DELETE")
    (root,) = next(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'packs'"))
    connection.close()
    with (data / "bigmodel.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(AdminError) as caught:
        ask(data, "accounts.list")
    assert caught.value.code == "database"
    DataFolder.open(data).close()


def test_a_master_key_of_another_database(data: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "other")
    (data / "master.key").write_bytes((tmp_path / "other" / "master.key").read_bytes())

    with pytest.raises(AdminError, match="another database") as caught:
        ask(data, "accounts.list")
    assert caught.value.code == "master_key"


def test_a_price_of_settings_that_were_not_read_is_not_forgotten(data: Path) -> None:
    async def start(settings: Settings) -> None:
        database = Database.open(data / "bigmodel.db")
        configured = {model.id: model.price for model in settings.models if model.price is not None}
        await PriceBook(database, None, configured, now_ms=lambda: 1000).save()
        database.close()

    price = ModelPrice(bands=(PriceBand(input="1", output="2"),))
    models = (ModelSettings(id="House-Model", engine="e", price=price),)
    with_file = Settings(data=data, config=data / "c.toml", models=models)
    asyncio.run(start(with_file))
    wanted: dict[str, Any] = {"model": "house-model", "price": {"input": "5", "output": "6"}}

    blind = ask(data, "prices.set", **wanted)
    assert blind["in_force"] is None
    assert "A settings file had a price for house-model, version 1" in str(blind["warning"])
    assert "Nothing here is called" not in str(blind["warning"])
    history = ask(data, "prices.history", model="house-model")
    assert "--config FILE" in str(history["warning"])
    assert [each["in_force"] for each in history["versions"]] == [False, False]  # type: ignore[attr-defined]

    seeing = ask(data, "prices.set", with_file, **wanted)
    assert (seeing["in_force"], seeing["source"], "warning" in seeing) == (False, "config", False)
    history = ask(data, "prices.history", with_file, model="house-model")
    versions = history["versions"]
    assert [(each["version"], each["in_force"]) for each in versions] == [(3, False), (2, False), (1, True)]  # type: ignore[attr-defined]
    # One that no settings ever priced needs none to be known.
    own = ask(data, "prices.set", model="glm-4.6", price={"input": "5", "output": "6"})
    assert (own["in_force"], "warning" in own) == (True, False)
    versions = ask(data, "prices.history", model="glm-4.6")["versions"]
    assert [each["in_force"] for each in versions] == [True]  # type: ignore[attr-defined]
    assert "house-model" in str(ask(data, "prices.clear", model="house-model")["warning"])


def test_new_accounts_are_given_what_the_settings_say_unless_somebody_says_otherwise(data: Path) -> None:
    settings = Settings(data=data, server=ServerSettings(trial_credit="2.5"))

    def made(settings: Settings | None = None, **arguments: object) -> tuple[object, object]:
        answer = ask(data, "accounts.create", settings, name="new", **arguments)
        return answer.get("credit"), ask(data, "accounts.show", account=answer["id"])["balance"]

    assert made(settings) == ("2.500000000", "2.500000000")
    assert made(settings, credit="1") == ("1.000000000", "1.000000000")
    assert made(settings, credit="0") == (None, "0.000000000")
    assert made() == (None, "0.000000000")
    assert verify(data / "bigmodel.db").problems == []


def test_a_catalogue_of_ones_own_counts(data: Path) -> None:
    own = data.parent / "own.toml"
    own.write_text('[[families]]\n[families.models]\n"house" = { price = { input = 3, output = 4 } }\n')
    settings = Settings(data=data, server=ServerSettings(catalog=own))

    prices = ask(data, "prices.list", settings)["prices"]

    assert isinstance(prices, list)
    (entry,) = [each for each in prices if each["model"] == "house"]
    assert entry["source"] == "catalog"
    own.write_text("families = 1")
    with pytest.raises(SettingsError, match=r"own\.toml: families must be written"):
        ask(data, "prices.list", settings)
