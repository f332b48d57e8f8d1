"""Admin commands on a data folder as a whole, and what people see of all of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from openbigmodel.cli.main import run
from tests.integration.command_line import PRICE, CommandLine, commands

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=["stopped", "running"])
def bigmodel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CommandLine]:
    with commands(tmp_path_factory.mktemp(request.param), running=request.param == "running") as command_line:
        yield command_line


@pytest.fixture
def account(bigmodel: CommandLine) -> str:
    made = bigmodel("accounts", "create", "team")["id"]
    assert isinstance(made, str)
    return made


def test_verify(bigmodel: CommandLine, account: str) -> None:
    before = bigmodel("verify")
    bigmodel("credit", "add", "--account", account, "--yuan", "1")
    after = bigmodel("verify")

    assert (before["ok"], after["ok"], after["problems"]) == (True, True, [])
    assert after["postings"] == before["postings"] + 1
    assert re.fullmatch("[0-9a-f]{64}", after["head"])


def test_backup_and_restore(bigmodel: CommandLine, account: str, tmp_path: Path) -> None:
    made = bigmodel("backup", str(tmp_path / "b.tar"))
    assert (made["file"], made["bytes"]) == (str(tmp_path / "b.tar"), (tmp_path / "b.tar").stat().st_size)
    assert "replaces nothing" in bigmodel.error("backup", str(tmp_path / "b.tar"))
    assert "is not empty" in bigmodel.error("restore", str(tmp_path / "b.tar"))

    restored = CommandLine(tmp_path / "new")
    assert restored("restore", str(tmp_path / "b.tar"))["data"] == str(tmp_path / "new")
    assert restored("accounts", "show", account)["name"] == "team"
    assert restored("verify")["head"] == bigmodel("verify")["head"]


def test_usage(bigmodel: CommandLine, account: str) -> None:
    bigmodel("credit", "add", "--account", account, "--yuan", "2")
    shown = bigmodel("usage", "--account", account)

    assert (shown["balance"], shown["held"], shown["lines"]) == ("2.000000000", "0.000000000", [])
    assert shown["totals"]["charge"] == "0.000000000"


# for people


def test_people_see_tables(bigmodel: CommandLine, account: str) -> None:
    key = bigmodel("keys", "create", "--account", account)
    bigmodel("credit", "add", "--account", account, "--yuan", "1.5", "--memo", "a transfer")
    bigmodel("packs", "grant", "--account", account, "--tokens", "5000", "--to", "2099-01-01T00:00:00Z")
    to = ("--to", "2099-01-01T00:00:00Z")
    bigmodel("accounts", "plans", "add", "--account", account, "--level", "lite", *to)
    bigmodel("accounts", "users", "add", f"p-{account[:9]}@example.com", "--account", account)
    shows: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        (("accounts", "list"), (account, "team", "1.500000000", "operator")),
        (("accounts", "show", account), ("balance, yuan", "1.500000000")),
        (("accounts", "update", account, "--tier", "V1"), ("V1",)),
        (("accounts", "users", "list", "--account", account), ("member", "@example.com")),
        (("accounts", "plans", "list"), ("lite", "2099-01-01 00:00:00")),
        (("keys", "list"), (key["id"], "***", "standard")),
        (("keys", "rename", key["id"], "other"), ("other",)),
        (("keys", "create", "--account", account), ("API key: ",)),
        (("keys", "rotate", key["id"]), ("API key: ", f"{key['id']} ends 20")),
        (("credit", "list", "--account", account), ("topup", "1.500000000", "a transfer")),
        (
            ("credit", "add", "--account", account, "--yuan", "1"),
            ("1.000000000 yuan; the balance is 2.500000000",),
        ),
        (("packs", "list", "--account", account), ("5,000", "tokens", "valid", "all")),
        (("prices", "list"), ("glm-4.6", "catalog")),
        (("prices", "history", "glm-4.6"), ("catalog",)),
        (("verify",), ("postings", "in order", "the chain ends with")),
    ]
    for words, parts in shows:
        text = bigmodel.shown(*words)
        assert all(part in text for part in parts), (words, text)


def test_people_are_told_that_the_settings_win(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(
        '[[engines]]\nname = "e"\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
        f'[[models]]\nid = "m"\nengine = "e"\n{PRICE}'
    )
    CommandLine(tmp_path / "data")("accounts", "create", "x")
    at = ("--data", str(tmp_path / "data"), "--config", str(tmp_path / "c.toml"))
    assert run(["prices", "set", "m", "--input", "1", "--output", "1", *at]) == 0
    out = capsys.readouterr().out
    assert "input 10, output 20" in out
    assert "settings file's price, which wins" in out


@pytest.mark.parametrize(
    "words",
    [
        ("accounts", "list"),
        ("keys", "disable", "x"),
        ("credit", "add", "--account", "x", "--yuan", "1"),
        ("packs", "list", "--account", "x"),
        ("prices", "list"),
        ("usage", "--account", "x"),
        ("bills", "--account", "x"),
        ("verify",),
        ("backup", "b.tar"),
    ],
    ids=lambda words: words[0],
)
def test_a_folder_that_is_not_there_is_an_error_and_not_made(words: tuple[str, ...], tmp_path: Path) -> None:
    assert "no data folder" in CommandLine(tmp_path / "none").error(*words)
    assert not (tmp_path / "none").exists()
