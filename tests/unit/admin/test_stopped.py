from pathlib import Path

import apsw
import pytest

from openbigmodel.admin.protocol import AdminError
from openbigmodel.admin.stopped import ask_folder
from openbigmodel.db.data_folder import DataFolder
from openbigmodel.settings import ModelPrice, ModelSettings, PriceBand, Settings
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
