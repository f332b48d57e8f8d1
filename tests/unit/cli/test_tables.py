import json

import pytest

from openbigmodel.cli.tables import cell, moment, show_error_as_json, show_facts, show_json, show_table


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"name": "账户\n", "balance": "1.500000000"})

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"name": "账户\n", "balance": "1.500000000"}


def test_an_error_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    show_error_as_json("It is odd.")

    assert capsys.readouterr().out == '{"error":"It is odd."}\n'


def test_a_table_is_never_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show_table(["key", "yuan>"], [["k" * 75, "1.5"], ["[bold]x", "12.25"], ["账户", None]])

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0].split() == ["key", "yuan"]
    assert lines[2].endswith("k" * 75 + "     1.5")
    # A name is no markup.
    assert "[bold]x" in lines[3] and lines[3].endswith("  12.25")
    assert lines[4].strip() == "账户"


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["key"], [])
    show_table(["key"], [], none="No keys.")

    assert capsys.readouterr().out == "Nothing here yet.\nNo keys.\n"


def test_facts_leave_out_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts([("id", "1"), ("expires", None), ("exempt", False), ("models", ["a", "b"])])

    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [[word.strip() for word in line] for line in lines] == [
        ["id", "1"],
        ["exempt", "no"],
        ["models", "a, b"],
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (0, "0"), ("", ""), ([], ""), (("a", 1), "a, 1")],
)
def test_a_cell(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_moment_is_told_to_the_second() -> None:
    assert moment("2026-11-21T08:00:00.123Z") == "2026-11-21 08:00:00"
    assert moment(None) == ""
