import json
from pathlib import Path

import apsw
import pytest

from openbigmodel.cli.main import run
from openbigmodel.db.migrations import MIGRATIONS
from tests.unit.admin.parts import Platform
from tests.unit.admin.parts import run as with_platform


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def scenario(platform: Platform) -> None:
        account = await platform.account()
        await platform.ask("credit.add", account=account, yuan="5")
        await platform.charge(account)

    with_platform(tmp_path, scenario)
    (tmp_path / "x.db").rename(tmp_path / "bigmodel.db")
    return tmp_path


def verify(data: Path, capsys: pytest.CaptureFixture[str], status: int) -> dict[str, object]:
    assert run(["verify", "--data", str(data), "--json"]) == status
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def test_a_ledger_in_order(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = verify(data, capsys, 0)
    assert (answer["ok"], answer["postings"], answer["usage_rows"], answer["problems"]) == (True, 2, 1, [])
    assert "error" not in answer
    assert run(["verify", "--data", str(data)]) == 0
    assert capsys.readouterr().out.startswith("2 postings, 1 requests: in order\nthe chain ends with ")


def test_a_ledger_that_somebody_changed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.execute("DROP TRIGGER ledger_is_never_changed; UPDATE ledger SET memo = 'mine' WHERE seq = 1")
    connection.close()

    answer = verify(data, capsys, 1)
    assert answer["ok"] is False
    assert answer["problems"]
    assert str(answer["error"]).endswith(str(answer["problems"][0]))  # type: ignore[index]
    assert run(["verify", "--data", str(data)]) == 1
    assert "NOT in order" in capsys.readouterr().out


def test_a_ledger_of_a_newer_release(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()

    assert "newer release" in str(verify(data, capsys, 1)["error"])


def test_a_folder_with_a_lock_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lock").touch()
    assert "no database" in str(verify(tmp_path, capsys, 1)["error"])
