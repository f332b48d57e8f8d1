import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from openbigmodel.admin.service import Arguments, Command
from openbigmodel.billing.money import format_yuan
from openbigmodel.billing.periods import HOUR_MS
from openbigmodel.cli.main import run
from tests.statement_world import ACCOUNT, KEY, SECOND_KEY, START_MS, World
from tests.unit.admin.folder_server import FolderServer

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `bigmodel usage … --json` and reads its answer."""

    def ask(*arguments: str, status: int = 0) -> dict[str, Any]:
        assert run(["usage", *arguments, "--data", str(tmp_path), "--json"]) == status
        out, err = capsys.readouterr()
        assert err == ""
        assert out.count("\n") == 1
        answer: dict[str, Any] = json.loads(out)
        return answer

    return ask


def test_totals_balance_and_every_line(world: World, ask: Ask) -> None:
    world.line(START_MS)
    world.line(START_MS + 1, request_id="mine", model="glm-4.5", price_version=2, api_key_id=SECOND_KEY)
    world.line(START_MS + 2, account_id="b" * 32)
    answer = ask("--account", ACCOUNT)
    assert list(answer) == ["totals", "balance", "held", "lines"]
    charges = [line.charge for line in world.lines]
    assert answer["totals"] == {
        "requests": 2,
        "failed": 0,
        "free": 0,
        "prompt_tokens": 2000,
        "cached_tokens": 200,
        "completion_tokens": 400,
        "reasoning_tokens": 40,
        "charge": format_yuan(charges[0] + charges[1]),
        "saved": "0.000000000",
        "pack_tokens": 0,
        "pack_calls": 0,
        "plan_credits": 0,
    }
    assert answer["lines"][0] == {
        "request_id": "mine",
        "model": "glm-4.5",
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "cached_tokens": 100,
        "charge": format_yuan(charges[1]),
        "time": "2026-10-31T16:00:00.001Z",
        "log_id": f"{2:030}",
        "api_key_id": SECOND_KEY,
        "reasoning_tokens": 20,
        "pack_tokens": 0,
        "pack_calls": 0,
        "plan_credits": 0,
        "finish_reason": "stop",
        "code": "",
        "stream": True,
        "source": "engine",
        "note": "",
    }
    # Without an id of the caller's it is the platform's.
    assert answer["lines"][1]["request_id"] == answer["lines"][1]["log_id"] == f"{1:030}"


def test_an_account_that_used_nothing(world: World, ask: Ask) -> None:
    answer = ask("--account", ACCOUNT)
    assert answer["totals"]["charge"] == answer["balance"] == answer["held"] == "0.000000000"
    assert answer["lines"] == []


@pytest.mark.parametrize("count", [1, 255, 256, 257, 2049])
def test_all_lines_are_one_object(world: World, ask: Ask, count: int) -> None:
    with world.connection:
        for number in range(count):
            world.line(START_MS + number)
    answer = ask("--account", ACCOUNT)
    assert len(answer["lines"]) == count == answer["totals"]["requests"]
    assert [line["log_id"] for line in answer["lines"]] == [f"{number:030}" for number in range(count, 0, -1)]


def test_a_limit_is_for_lines_alone(world: World, ask: Ask) -> None:
    for number in range(3):
        world.line(START_MS + number)
    answer = ask("--account", ACCOUNT, "--limit", "2")
    assert [line["log_id"] for line in answer["lines"]] == [f"{3:030}", f"{2:030}"]
    assert answer["totals"]["requests"] == 3


def test_a_part_of_the_time_and_of_the_requests(world: World, ask: Ask) -> None:
    world.line(START_MS - 1)
    world.line(START_MS)
    world.line(START_MS, api_key_id=SECOND_KEY)
    world.line(START_MS, model="glm-4.5")
    world.line(START_MS + HOUR_MS)
    for arguments, ids in (
        (["--since", "2026-10-31T16:00:00Z"], [5, 4, 3, 2]),
        (["--since", "2026-11-01"], [5, 4, 3, 2]),
        (["--until", "2026-11-01"], [1]),
        (["--since", "2026-11-01", "--until", "2026-11-01T01:00:00+08:00"], [4, 3, 2]),
        (["--model", "glm-4.5"], [4]),
        (["--key", KEY, "--since", "2026-11-01"], [5, 4, 2]),
    ):
        answer = ask("--account", ACCOUNT, *arguments)
        assert [int(line["log_id"]) for line in answer["lines"]] == ids, arguments
        assert answer["totals"]["requests"] == len(ids)


def test_groups_instead_of_lines(world: World, ask: Ask) -> None:
    world.line(START_MS)
    world.line(START_MS + HOUR_MS, model="glm-4.5", api_key_id=SECOND_KEY)

    def groups(by: str) -> list[dict[str, Any]]:
        answer = ask("--account", ACCOUNT, "--by", by)
        assert list(answer) == ["totals", "balance", "held", "groups"]
        assert sum(group["requests"] for group in answer["groups"]) == answer["totals"]["requests"] == 2
        found: list[dict[str, Any]] = answer["groups"]
        return found

    assert [group["model"] for group in groups("model")] == ["glm-4.5", "glm-4.6"]
    assert [group["api_key_id"] for group in groups("key")] == [KEY, SECOND_KEY]
    assert [group["day"] for group in groups("day")] == ["2026-11-01"]
    assert [group["from"] for group in groups("hour")] == [
        "2026-10-31T16:00:00.000Z",
        "2026-10-31T17:00:00.000Z",
    ]


def test_balance_and_held_come_from_the_server_that_runs(world: World, ask: Ask, tmp_path: Path) -> None:
    world.post("topup", 5, START_MS)
    assert ask("--account", ACCOUNT)["balance"] == "1000.000000005"

    class Show(Arguments):
        account: str

    async def show(wanted: Show) -> dict[str, object]:
        return {"balance": "12.300000000", "held": "0.700000000", "id": wanted.account}

    with FolderServer(tmp_path, commands=[Command("accounts.show", Show, show)]):
        for arguments in ([], ["--by", "model"]):
            answer = ask("--account", ACCOUNT, *arguments)
            assert (answer["balance"], answer["held"]) == ("12.300000000", "0.700000000")
    assert ask("--account", ACCOUNT)["held"] == "0.000000000"


def test_a_killed_server_left_a_folder_that_can_be_read(world: World, ask: Ask, tmp_path: Path) -> None:
    world.line(START_MS)
    with FolderServer(tmp_path, listens=False):
        assert ask("--account", ACCOUNT)["totals"]["requests"] == 1


def test_the_log_of_some_requests(world: World, ask: Ask) -> None:
    world.line(START_MS)
    world.line(START_MS + 1, code="1234")
    world.line(START_MS + 2, code="1301", model="glm-4.5")
    for arguments, ids in (
        ([], [3, 2, 1]),
        (["--failed"], [3, 2]),
        (["--code", "1234"], [2]),
        (["--failed", "--model", "glm-4.5"], [3]),
        (["--limit", "1"], [3]),
        (["--code", "1113"], []),
    ):
        answer = ask("log", "--account", ACCOUNT, *arguments)
        assert list(answer)[-1] == "lines"
        assert [int(line["log_id"]) for line in answer["lines"]] == ids, arguments


def test_an_explanation(world: World, ask: Ask) -> None:
    line = world.line(START_MS, request_id="mine", pack_tokens=1100)
    answer = ask("explain", "mine")
    (explained,) = answer["requests"]
    assert explained["charge"] == explained["computed"] == format_yuan(line.charge)
    assert explained["packs"] == [{"pack": "p1", "unit": "tokens", "amount": 1100}]
    assert explained["price"]["version"] == 1
    assert explained["price"]["output"] == "16.000000001"
    assert [part["by_packs"] for part in explained["parts"]] == [900, 100, 100]
    assert explained["exact"] == "0.00160000000010000"
    assert explained["rounding"] == "-0.00000000000010000"
    assert [posting["kind"] for posting in explained["postings"]] == ["pack_burn", "post"]
    assert explained["postings"][1]["seq"] == 2
    assert ask("explain", f"{line.id:030}") == answer
    assert ask("explain", "mine", "--account", ACCOUNT) == answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name the account: --account ID."),
        (["--account", "x"], "There is no account x."),
        (["--account", ACCOUNT, "--since", "soon"], "'soon' is not a moment like"),
        (
            ["--account", ACCOUNT, "--since", "2026-11-02", "--until", "2026-11-01"],
            "--since 2026-11-02 is after",
        ),
        (["--account", ACCOUNT, "--limit", "0"], "'--limit'"),
        (["--account", ACCOUNT, "--csv"], "Choose --csv or --json."),
        (["--account", ACCOUNT, "--by", "week"], "'--by'"),
        (["log"], "Name the account: --account ID."),
        (["log", "--account", ACCOUNT, "--csv"], "Choose --csv or --json."),
        (["explain"], "'ID'"),
        (["explain", "nobody's"], "There is no request nobody's."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_told_in_json(world: World, ask: Ask, arguments: list[str], message: str) -> None:
    answer = ask(*arguments, status=1)
    assert list(answer) == ["error"]
    assert message in answer["error"]


def test_a_request_of_another_account_is_not_shown(world: World, ask: Ask) -> None:
    world.line(START_MS, request_id="mine")
    assert ask("explain", "mine", "--account", "b" * 32, status=1) == {"error": "There is no request mine."}


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--account", ACCOUNT, "--data", str(tmp_path / "no"), "--json"]) == 1
    assert "There is no data folder" in json.loads(capsys.readouterr().out)["error"]
    (tmp_path / "lock").touch()
    assert run(["usage", "--account", ACCOUNT, "--data", str(tmp_path), "--json"]) == 1
    assert "There is no database" in json.loads(capsys.readouterr().out)["error"]
    apsw.Connection(str(tmp_path / "bigmodel.db")).pragma("user_version", 9999)
    assert run(["usage", "--account", ACCOUNT, "--data", str(tmp_path), "--json"]) == 1
    assert "newer release" in json.loads(capsys.readouterr().out)["error"]


def test_csv_of_the_lines(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world.line(START_MS)
    world.line(START_MS + 1, code="1234")
    for arguments, count in ((["usage"], 2), (["usage", "log", "--failed"], 1)):
        assert run([*arguments, "--account", ACCOUNT, "--data", str(tmp_path), "--csv", "--lang", "en"]) == 0
        out = capsys.readouterr().out
        rows = list(csv.DictReader(io.StringIO(out.removeprefix("\ufeff"))))
        assert len(rows) == count
        assert rows[0]["Error code"] == "1234"
    assert run(["usage", "--account", ACCOUNT, "--data", str(tmp_path), "--csv", "--by", "day"]) == 2
    assert "bills --details" in capsys.readouterr().err


def test_what_people_see(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with world.connection:
        for number in range(25):
            world.line(START_MS + number * 1000)
    world.line(START_MS + 30_000, pack_calls=1, request_id="mine")
    world.line(START_MS + 31_000, pack_tokens=1200)

    def see(*arguments: str) -> str:
        assert run(["usage", *arguments, "--data", str(tmp_path)]) == 0
        return capsys.readouterr().out

    seen = see("--account", ACCOUNT, "--since", "2026-11-01", "--until", "2026-12-01")
    assert "Alpha (" + ACCOUNT in seen
    assert "1200 tokens, 1 calls" in seen
    assert "The newest 20 of 27 requests; --limit shows more." in seen
    assert seen.count("glm-4.6") == 20
    assert see("--account", ACCOUNT, "--limit", "30").count("glm-4.6") == 27
    assert "first" in see("--account", ACCOUNT, "--by", "key")
    assert "2026-11-01 00:00:00" in see("--account", ACCOUNT, "--by", "hour")
    assert see("log", "--account", ACCOUNT, "--failed") == "No requests.\n"
    assert see("log", "--account", ACCOUNT).count("glm-4.6") == 20
    explained = see("explain", "mine")
    assert "version 1 of glm-4.6" in explained
    assert "pack:p2" in explained


@pytest.mark.parametrize(
    ("filters", "warning"),
    [
        (["--model", "glm-4,6"], "No request of this account was for a model glm-4,6. Did you mean glm-4.6?"),
        (["--model", "zebra"], "No request of this account was for a model zebra."),
        (["--key", "nokey"], "This account has no API key nokey."),
        (
            ["--model", "zebra", "--key", "nokey"],
            "No request of this account was for a model zebra. This account has no API key nokey.",
        ),
        (["--code", "abc"], "There is no error code abc."),
        (["--model", "glm-4.6"], None),
        (["--key", KEY], None),
        # It may happen yet.
        (["--code", "1113"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_name_that_nothing_has_is_no_silent_zero(
    world: World,
    ask: Ask,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    filters: list[str],
    warning: str | None,
) -> None:
    world.line(START_MS)
    forms = [["log"]] if "--code" in filters else [["log"], [], ["--by", "day"]]
    for form in forms:
        words = [*form, "--account", ACCOUNT, *filters]
        assert ask(*words).get("warning") == warning
        for form_of_lines in ([], ["--csv"]) if "--by" not in form else ([],):
            assert run(["usage", *words, *form_of_lines, "--data", str(tmp_path)]) == 0
            assert capsys.readouterr().err == (f"bigmodel: {warning}\n" if warning else "")


def test_what_a_plan_paid_is_explained_in_credits(
    world: World, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.line(START_MS, price_version=0, model="glm-5.3", plan_credits=100_000, request_id="mine")
    plan = ask("explain", "mine")["requests"][0]["plan"]
    assert [(part["what"], part["measured"], part["rate"]) for part in plan["parts"]] == [
        ("prompt", 900, "0.000690"),
        ("cached", 100, "0.000170"),
        ("completion", 200, "0.002400"),
    ]
    assert plan["taken"] == "0.100000"
    assert run(["usage", "explain", "mine", "--data", str(tmp_path)]) == 0
    seen = capsys.readouterr().out
    for words in (
        "0.000690",
        "unexplained, credits",
        "unexplained, yuan",
        "The plan paid for it",
        "0.100000",
    ):
        assert words in seen
    world.line(START_MS, request_id="other")
    assert ask("explain", "other")["requests"][0]["plan"] is None


class Terms(Arguments):
    model: str
    at_ms: int


def test_credits_are_explained_by_the_rates_of_the_server_that_took_them(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = world.line(START_MS, price_version=0, model="own", plan_credits=3_000_000, request_id="mine")

    async def terms(wanted: Terms) -> dict[str, object]:
        assert (wanted.model, wanted.at_ms) == ("own", line.started_ms)
        return {"rates": {"input": 2000, "cached": 2000, "output": 5000}, "percent": 100}

    def explained(*arguments: str) -> tuple[dict[str, Any], str | None]:
        assert run(["usage", "explain", "mine", "--data", str(tmp_path), "--json", *arguments]) == 0
        answer = json.loads(capsys.readouterr().out)
        return answer["requests"][0]["plan"], answer.get("warning")

    with FolderServer(tmp_path, commands=[Command("plans.show", Terms, terms)]):
        plan, warning = explained()
    assert (plan["computed"], plan["unexplained"], warning) == ("3.000000", "0.000000", None)

    (tmp_path / "own.toml").write_text(
        '[[families]]\n[families.models."own"]\ncoding = "own"\n'
        "credits = { input = 20, cached = 20, output = 50 }\n[coding_plan]\noff_peak_percent = 100\n"
    )
    (tmp_path / "bigmodel.toml").write_text(f"[server]\ncatalog = '{tmp_path}/own.toml'\n")
    # A server of another release does not know the command.
    with FolderServer(tmp_path):
        plan, warning = explained("--config", str(tmp_path / "bigmodel.toml"))
    assert (plan["computed"], plan["unexplained"], warning) == ("3.000000", "0.000000", None)

    plan, warning = explained()
    assert (plan["computed"], plan["unexplained"]) == ("0.000000", "3.000000")
    assert warning is not None and "--config FILE" in warning
    assert run(["usage", "explain", "mine", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().err == f"bigmodel: {warning}\n"


def test_rates_of_this_release_that_fit_need_no_warning(world: World, ask: Ask) -> None:
    line = world.line(START_MS, price_version=0, model="glm-5.3", plan_credits=1, request_id="one")
    taken = ask("explain", "one")["requests"][0]["plan"]["computed"]
    world.line(
        line.started_ms,
        price_version=0,
        model="glm-5.3",
        plan_credits=int(taken.replace(".", "")),
        request_id="mine",
    )
    assert "warning" not in ask("explain", "mine")
