import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from openbigmodel.cli.main import run
from tests.statement_world import ACCOUNT, START_MS, World

See = Callable[..., str]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    line = world.line(START_MS, charge=1_234_567_891)
    world.line(START_MS + 1, pack_tokens=1200)
    world.post("refund", 4_000_000, START_MS, usage_id=line.id)
    world.post("topup", 5_000_000_000, START_MS)
    return world


@pytest.fixture
def see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> See:
    def see(*arguments: str, status: int = 0) -> str:
        assert run(["bills", *arguments, "--account", ACCOUNT, "--data", str(tmp_path)]) == status
        out, err = capsys.readouterr()
        return out if status == 0 else out + err

    return see


def test_the_bill_of_a_month(world: World, see: See) -> None:
    bill = json.loads(see("--month", "2026-11", "--json"))
    usage, exact = bill.pop("usage"), bill.pop("exact")
    models, keys, days = (bill.pop(name) for name in ("models", "keys", "days"))
    saved = int(usage["saved"].replace(".", ""))
    assert saved > 0
    assert exact == {
        "consumption": f"1.{234_567_891 + saved}",
        "discount": usage["saved"],
        "refunds": "0.004000000",
        "payable": "1.230567891",
    }
    assert bill == {
        "account": ACCOUNT,
        "month": "2026-11",
        "period": "2026-11-01 ~ 2026-11-30",
        "closed": bill["closed"],
        "consumption": "1.24",
        "discount": "0.01",
        "refunds": "0.00",
        "payable": "1.23",
        "rounding": "-0.000567891",
        "topups": "5.000000000",
        "gifts": "0.000000000",
        "adjustments": "0.000000000",
    }
    assert [group["model"] for group in models] == ["glm-4.6"]
    assert [group["requests"] for group in keys] == [2]
    assert [group["day"] for group in days] == ["2026-11-01"]
    assert days[0]["charge"] == usage["charge"] == "1.234567891"


def test_all_months_newest_first(world: World, see: See) -> None:
    answer = json.loads(see("--json"))
    assert answer["account"] == ACCOUNT
    # Since the account was made, up to now, whenever that is.
    assert [bill["month"] for bill in answer["bills"]][-1:] in (["2026-11"], [])


def test_a_month_in_which_nothing_was_used(world: World, see: See) -> None:
    bill = json.loads(see("--month", "2020-02", "--json"))
    assert (bill["payable"], bill["models"], bill["closed"]) == ("0.00", [], True)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_csv(world: World, see: See, language: str) -> None:
    (row,) = table(see("--month", "2026-11", "--csv", "--lang", language))
    assert list(row.values())[:5] == ["2026-11-01 ~ 2026-11-30", "1.24", "1.23", "0.01", "0.00"]
    (row,) = table(see("--month", "2026-11", "--csv", "--details", "--lang", language))
    assert list(row.values())[:2] == ["2026-11-01", "glm-4.6"]
    assert list(table(see("--csv", "--lang", language)))[-1:] in (
        [table(see("--month", "2026-11", "--csv", "--lang", language))[0]],
        [],
    )


def table(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_what_people_see(world: World, see: See) -> None:
    seen = see("--month", "2026-11")
    assert "payable, yuan" in seen
    assert "1.23" in seen
    assert "2026-11-01 ~ 2026-11-30" in seen
    assert "payable" in see() or see() == "Nothing here yet.\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--month", "november"], 1, "'november' is not a month like 2026-11."),
        (["--month", "november", "--csv", "--details"], 1, "'november' is not a month like 2026-11."),
        (["--json", "--csv"], 1, "Choose --csv or --json."),
        (["--csv", "--details"], 2, "--details is for --csv and --month."),
        (["--month", "2026-11", "--details"], 2, "--details is for --csv and --month."),
        (["--lang", "fr"], 2, "'--lang'"),
    ],
)
def test_mistakes(world: World, see: See, arguments: list[str], status: int, message: str) -> None:
    assert message in see(*arguments, status=status)


def test_an_account_that_there_is_not(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--month", "2026-11"], ["--month", "2026-11", "--csv", "--details"]):
        assert run(["bills", "--account", "x", "--data", str(tmp_path), *arguments]) == 1
        assert capsys.readouterr().err == "bigmodel: There is no account x.\n"
