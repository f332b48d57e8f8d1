import json
from pathlib import Path
from typing import Any

import pytest
import typer

from openbigmodel.admin.protocol import AdminError
from openbigmodel.cli import main as main_module
from openbigmodel.cli.admin import ADMIN_COMMANDS, READING, Site, answer_with, names_of, wants_json
from openbigmodel.cli.main import run
from openbigmodel.settings import SettingsError, load_settings
from tests.unit.admin.parts import Platform
from tests.unit.admin.parts import run as run_platform


def test_every_admin_noun_is_a_command_and_the_rest_are_none() -> None:
    assert commands().keys() - ADMIN_COMMANDS == {"serve", "doctor", "version", "config", "conformance"}
    assert commands().keys() >= ADMIN_COMMANDS


def commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(main_module.cli)
    found: dict[str, Any] = root.commands
    return found


def leaves() -> list[tuple[list[str], Any]]:
    """Every command below the admin nouns, with the words that lead to it."""
    found = []
    waiting = [([noun], command) for noun, command in commands().items() if noun in ADMIN_COMMANDS]
    while waiting:
        words, command = waiting.pop()
        below = getattr(command, "commands", {})
        if below and not getattr(command, "invoke_without_command", False):
            waiting += [([*words, name], each) for name, each in below.items()]
        else:
            found.append((words, command))
    return found


@pytest.mark.parametrize("words", [words for words, _ in leaves()], ids=" ".join)
def test_every_admin_command_takes_data_config_and_json(words: list[str]) -> None:
    command = next(each for path, each in leaves() if path == words)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--data", "--config", "--json"} <= options
    assert command.help
    assert all(getattr(parameter, "help", None) for parameter in command.params), words


@pytest.mark.parametrize("words", [words for words, _ in leaves()], ids=" ".join)
def test_an_option_that_there_is_not_is_a_json_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--json", "--colour", "red"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"error": "No such option: --colour"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["accounts", "--json"], "No such option: --json"),
        (["accounts", "creat", "--json"], "No such command 'creat'"),
        (["accounts", "create", "--json"], "Missing argument 'NAME'"),
        (["keys", "create", "--json"], "Missing option '--account'"),
        (["keys", "create", "--account", "1", "--kind", "gold", "--json"], "Invalid value for '--kind'"),
        (["accounts", "list", "--json", "--config", "/nowhere.toml"], "/nowhere.toml: cannot be read"),
        (["accounts", "list", "--json", "--data", "/proc/none"], "There is no data folder /proc/none."),
        (
            ["accounts", "create", "x", "--json", "--data", "/proc/none"],
            "The data folder /proc/none cannot be used",
        ),
    ],
    ids=range(8),
)
def test_misuse_is_a_json_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    error = json.loads(out)
    assert set(error) == {"error"}
    assert error["error"].startswith(message)


def test_without_json_misuse_is_a_sentence_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "create"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "bigmodel: Missing option '--account'.\n")


def test_a_failure_is_a_sentence_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["accounts", "list", "--data", str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bigmodel: There is no data folder ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (ZeroDivisionError(), 1, "internal error, please report it (--debug shows more): ZeroDivisionError"),
    ],
    ids=["Ctrl-C", "system", "bug"],
)
def test_whatever_happens_there_is_one_object(
    error: BaseException,
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("openbigmodel.admin.reach.perform", fail)
    assert run(["accounts", "list", "--json"]) == status
    assert json.loads(capsys.readouterr().out) == {"error": message}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["keys", "list", "--json"], True),
        (["--debug", "keys", "list", "--json"], True),
        (["keys", "list"], False),
        (["doctor", "--json"], False),
        (["serve", "--json"], False),
        (["--json"], False),
        ([], False),
    ],
)
def test_who_wants_json(arguments: list[str], wanted: bool) -> None:
    assert wants_json(arguments) is wanted


def test_names_in_a_list() -> None:
    assert names_of("a, b,,c") == ["a", "b", "c"]
    assert names_of("") == []
    assert names_of(None) is None


def test_an_answer_is_shown_in_one_way_only(capsys: pytest.CaptureFixture[str]) -> None:
    answer_with(Site(None, None, True), {"a": 1}, lambda _: print("shown"))
    answer_with(Site(None, None, False), {"a": 1}, lambda _: print("shown"))

    assert capsys.readouterr().out == '{"a":1}\nshown\n'


def test_the_servers_secrets_are_not_needed(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'data = "here"\n[[engines]]\nname = "e"\nkind = "glm"\nbase_url = "https://h/v4"\napi_key = "env:NOT_SET_ANYWHERE"\n'
    )
    assert Site(None, tmp_path / "c.toml", False).folder() == tmp_path / "here"
    with pytest.raises(SettingsError, match="NOT_SET_ANYWHERE is not set"):
        load_settings(tmp_path / "c.toml", environ={})


def test_the_folder_is_that_of_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGMODEL_DATA", str(tmp_path / "environment"))
    (tmp_path / "c.toml").write_text('data = "file"\n')

    assert Site(tmp_path / "flag", None, False).folder() == tmp_path / "flag"
    assert Site(None, tmp_path / "c.toml", False).folder() == tmp_path / "environment"
    monkeypatch.delenv("BIGMODEL_DATA")
    assert Site(None, tmp_path / "c.toml", False).folder() == tmp_path / "file"


def test_a_commands_name_says_whether_it_changes_anything(tmp_path: Path) -> None:
    seen: dict[str, bool] = {}

    async def scenario(platform: Platform) -> None:
        seen.update({name: command.reads for name, command in platform.service.commands.items()})

    run_platform(tmp_path, scenario)
    assert len(seen) > 25
    assert {name for name, reads in seen.items() if reads} == {
        name for name in seen if name.partition(".")[2] in READING
    }


@pytest.mark.parametrize(
    ("code", "status"), [("cut_off", 3), ("no_answer", 3), ("in_doubt", 3), ("database", 1)]
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["people", "json"])
def test_what_may_have_been_done_has_a_status_of_its_own(
    code: str,
    status: int,
    form: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AdminError(code, "Look.")

    monkeypatch.setattr("openbigmodel.admin.reach.perform", fail)
    assert run(["credit", "add", "--account", "a", "--yuan", "1", *form]) == status
    assert "Look." in "".join(capsys.readouterr())
