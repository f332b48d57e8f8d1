import pytest

from tests.unit.cli.asked import Asked, asked

__all__ = ["asked"]


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        (
            "grant --account a1 --tokens 1000 --models a,b --from F --to T",
            "grant",
            {"account": "a1", "tokens": 1000, "models": ["a", "b"], "from": "F", "to": "T", "gift": False},
        ),
        (
            "grant --account a1 --calls 5 --to T --gift --memo x",
            "grant",
            {"account": "a1", "calls": 5, "to": "T", "gift": True, "memo": "x"},
        ),
        ("list --account a1", "list", {"account": "a1"}),
    ],
)
def test_what_packs_commands_ask(
    words: str, command: str, arguments: dict[str, object], asked: Asked
) -> None:
    assert asked.by("packs", *words.split()) == (f"packs.{command}", arguments)


def test_what_people_see(asked: Asked) -> None:
    grant = ("packs", "grant", "--account", "a1", "--tokens", "1", "--to", "T")
    assert asked.shown({"id": "p1", "account": "a1", "tokens": 1}, *grant) == "p1\n"
    pack = {
        "id": "p1",
        "unit": "tokens",
        "amount": 5000,
        "left": 0,
        "models": None,
        "gift": True,
        "state": "used_up",
        "from": "2026-11-18T11:06:40.123Z",
        "to": "2027-11-18T11:06:40.123Z",
        "created": "2026-11-18T11:06:40.123Z",
    }
    text = asked.shown({"account": "a1", "packs": [pack]}, "packs", "list", "--account", "a1")
    assert "5,000" in text and "used up" in text and "all" in text and "gift" in text
