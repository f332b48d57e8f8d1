import json
from pathlib import Path

import pytest

from openbigmodel.admin.protocol import AdminError
from openbigmodel.billing.periods import DAY_MS
from openbigmodel.cli.admin import Site
from openbigmodel.cli.bill_source import print_bill, print_bills, print_details
from tests.statement_world import ACCOUNT, OTHER, START_MS, World

NOW_MS = START_MS + 35 * DAY_MS


def site(folder: Path, *, as_json: bool = True) -> Site:
    return Site(folder, None, as_json)


def test_every_month_up_to_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    world.line(START_MS, charge=15_000_000)
    print_bills(site(tmp_path), ACCOUNT, NOW_MS, None)
    bills = json.loads(capsys.readouterr().out)["bills"]
    assert [(bill["month"], bill["payable"], bill["closed"]) for bill in bills] == [
        ("2026-12", "0.00", False),
        ("2026-11", "0.02", True),
    ]
    print_bills(site(tmp_path, as_json=False), ACCOUNT, NOW_MS, None)
    seen = capsys.readouterr().out
    assert seen.index("2026-12-01 ~ 2026-12-31") < seen.index("2026-11-01 ~ 2026-11-30")
    assert "so far" in seen
    print_bills(site(tmp_path), ACCOUNT, NOW_MS, "zh")
    assert capsys.readouterr().out.count("\r\n") == 3


def test_months_of_one_account_are_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    world.line(START_MS, charge=15_000_000)
    print_bill(site(tmp_path), OTHER, "2026-11", NOW_MS, None)
    assert json.loads(capsys.readouterr().out)["payable"] == "0.00"


def test_the_parts_of_a_month_agree_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    for number in range(10):
        world.line(START_MS + number * DAY_MS, pack_tokens=number * 100)
    world.sum_up(3)
    world.line(START_MS)
    print_bill(site(tmp_path), ACCOUNT, "2026-11", NOW_MS, None)
    bill = json.loads(capsys.readouterr().out)
    nano = {
        name: sum(int(group["charge"].replace(".", "")) for group in bill[name])
        for name in ("models", "keys", "days")
    }
    assert set(nano.values()) == {int(bill["usage"]["charge"].replace(".", ""))}
    print_bill(site(tmp_path, as_json=False), ACCOUNT, "2026-11", NOW_MS, None)
    assert "2026-11-10 00:00:00" in capsys.readouterr().out
    print_bill(site(tmp_path), ACCOUNT, "2026-11", NOW_MS, "en")
    print_details(site(tmp_path), ACCOUNT, "2026-11", NOW_MS, "en")
    assert capsys.readouterr().out.count("\r\n") == 2 + 11


def test_what_is_no_month(tmp_path: Path) -> None:
    World(tmp_path)
    with pytest.raises(AdminError, match="is not a month like 2026-11"):
        print_bill(site(tmp_path), ACCOUNT, "11", NOW_MS, None)
    with pytest.raises(AdminError, match="is not a month like 2026-11"):
        print_details(site(tmp_path), ACCOUNT, "11", NOW_MS, "zh")


def test_a_month_that_has_not_begun_has_no_bill(tmp_path: Path) -> None:
    World(tmp_path)
    for month in ("2027-01", "2030-01"):
        with pytest.raises(AdminError, match=f"The month {month} has not begun"):
            print_bill(site(tmp_path), ACCOUNT, month, NOW_MS, None)
        with pytest.raises(AdminError, match=f"The month {month} has not begun"):
            print_details(site(tmp_path), ACCOUNT, month, NOW_MS, "zh")
    print_bill(site(tmp_path), ACCOUNT, "2026-12", NOW_MS, None)


def test_a_month_without_requests_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    World(tmp_path)
    print_bill(site(tmp_path, as_json=False), ACCOUNT, "2026-11", NOW_MS, None)
    assert capsys.readouterr().out.count("No requests.") == 1
