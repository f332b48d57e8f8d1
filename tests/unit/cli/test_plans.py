import pytest

from tests.unit.cli.asked import Asked, asked

__all__ = ["asked"]

PLAN = {
    "id": 3,
    "account": "a1",
    "level": "pro",
    "state": "valid",
    "from": "2026-11-18T11:06:40.123Z",
    "to": "2027-11-18T11:06:40.123Z",
    "created": "2026-11-18T11:06:40.123Z",
}


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        (
            "add --account a1 --level pro --from F --to T",
            "add",
            {"account": "a1", "level": "pro", "from": "F", "to": "T"},
        ),
        ("list", "list", {}),
        ("list --account a1", "list", {"account": "a1"}),
        ("end 3", "end", {"plan": 3}),
        ("end 3 --at T", "end", {"plan": 3, "at": "T"}),
    ],
)
def test_what_plans_commands_ask(
    words: str, command: str, arguments: dict[str, object], asked: Asked
) -> None:
    if words.endswith(("F --to T", "end 3", "--at T")):
        asked.answer = PLAN
    assert asked.by("accounts", "plans", *words.split()) == (f"plans.{command}", arguments)


def test_what_people_see(asked: Asked) -> None:
    for answer, words in (
        ({"plans": [PLAN]}, ("list",)),
        (PLAN, ("end", "3")),
    ):
        text = asked.shown(answer, "accounts", "plans", *words)
        assert "pro" in text and "2027-11-18 11:06:40" in text


def test_whoever_makes_one_gets_its_id_and_hears_which_moments_were_taken(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("accounts", "plans", "add", "--account", "a1", "--level", "pro", "--from", "2026-11-18", "--to")
    assert asked.shown(PLAN, *words, "2027-11-18") == "3\n"
    assert capsys.readouterr().err == (
        "bigmodel: 2026-11-18 begins 2026-11-18 11:06:40 UTC, midnight in UTC+8\n"
        "bigmodel: 2027-11-18 ends 2027-11-18 11:06:40 UTC, midnight in UTC+8\n"
    )
