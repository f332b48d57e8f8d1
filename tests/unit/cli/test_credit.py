import pytest

from tests.unit.cli.asked import Asked, asked

__all__ = ["asked"]

STANDING = {"account": "a1", "yuan": "-1.500000000", "balance": "2.000000000", "held": "0.100000000"}


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        ("add --account a1 --yuan 1.5", "add", {"account": "a1", "yuan": "1.5"}),
        (
            "adjust --account a1 --yuan -1.5 --memo x",
            "adjust",
            {"account": "a1", "yuan": "-1.5", "memo": "x"},
        ),
        ("refund r1", "refund", {"request": "r1"}),
        ("refund r1 --yuan 1 --memo x", "refund", {"request": "r1", "yuan": "1", "memo": "x"}),
        ("list --account a1", "list", {"account": "a1"}),
        ("list --account a1 --limit 3", "list", {"account": "a1", "limit": 3}),
    ],
)
def test_what_credit_commands_ask(
    words: str, command: str, arguments: dict[str, object], asked: Asked
) -> None:
    assert asked.by("credit", *words.split()) == (f"credit.{command}", arguments)


def test_what_people_see(asked: Asked) -> None:
    text = asked.shown(STANDING, "credit", "adjust", "--account", "a1", "--yuan", "-1.5")
    assert text == "-1.500000000 yuan; the balance is 2.000000000, and 0.100000000 are held besides\n"
    packs = {"packs": [{"id": "p1", "unit": "tokens", "amount": 5000}]}
    assert "5,000 tokens of pack p1" in asked.shown(STANDING | packs, "credit", "refund", "r1")
    action = {
        "posting": 7,
        "time": "2026-11-18T11:06:40.123Z",
        "kind": "topup",
        "yuan": "1.500000000",
        "balance_after": "2.000000000",
        "action": "x",
        "request": None,
        "memo": "a [b] c",
    }
    text = asked.shown({"account": "a1", "actions": [action]}, "credit", "list", "--account", "a1")
    assert "topup" in text and "a [b] c" in text and "2026-11-18 11:06:40" in text
