import json
import shlex
from pathlib import Path

import pytest

from openbigmodel.cli.main import run
from tests.unit.admin.data_folders import account_names, make_folder


def test_a_backup_goes_out_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(tmp_path / "data")
    file = str(tmp_path / "b.tar")
    assert run(["backup", file, "--data", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: ")
    assert run(["restore", file, "--data", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"Prove the ledger with: bigmodel verify --data {tmp_path / 'new'}\n")
    # It can be given as it is.
    assert run(shlex.split(out.rpartition("bigmodel ")[2])) == 0
    capsys.readouterr()
    assert account_names(tmp_path / "new") == ["team"]


def test_a_relative_name_is_of_the_current_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert run(["backup", "b.tar", "--data", "data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(tmp_path / "b.tar")
    assert run(["restore", "b.tar", "--data", "new", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == str(tmp_path / "new")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["backup", "x.tar", "--data", "none"], "There is no data folder"),
        (["backup", "none/x.tar", "--data", "data"], "cannot be written: No such file or directory"),
        (["backup", "there", "--data", "data"], "replaces nothing"),
        (["restore", "none.tar", "--data", "new"], "There is no file"),
        (["restore", "there", "--data", "new"], "is no backup"),
        (["restore", "there", "--data", "data"], "is no backup"),
    ],
)
def test_what_cannot_be_done(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_folder(tmp_path / "data")
    (tmp_path / "there").write_text("no tar")
    monkeypatch.chdir(tmp_path)
    assert run([*words, "--json"]) == 1
    assert message in json.loads(capsys.readouterr().out)["error"]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "there"}
