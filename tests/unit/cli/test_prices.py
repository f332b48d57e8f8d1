import pytest

from openbigmodel.cli.main import run
from tests.unit.cli.asked import Asked, asked

__all__ = ["asked"]

ENTRY = {"model": "m", "version": 3, "source": "operator", "since": "2026-11-18T11:06:40.123Z"}


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        ("list", "list", {}),
        ("set m --input 1 --output 2.5", "set", {"model": "m", "price": {"input": "1", "output": "2.5"}}),
        (
            "set m --cached 0.1 --per-call 1 --per-image 2 --batch-percent 40",
            "set",
            {
                "model": "m",
                "price": {"cached": "0.1", "per_call": "1", "per_image": "2", "batch_percent": 40},
            },
        ),
        (
            'set m --bands [{"input":0.5,"output":1}]',
            "set",
            {"model": "m", "price": {"bands": [{"input": 0.5, "output": 1}]}},
        ),
        ("clear m", "clear", {"model": "m"}),
        ("history m", "history", {"model": "m"}),
    ],
)
def test_what_prices_commands_ask(
    words: str, command: str, arguments: dict[str, object], asked: Asked
) -> None:
    assert asked.by("prices", *words.split()) == (f"prices.{command}", arguments)


def test_prices_that_nothing_would_be_charged_by_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prices", "set", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--per-call" in shown
    assert "--per-image" not in shown
    assert "--batch-percent" not in shown


def test_bands_that_are_no_json(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prices", "set", "m", "--bands", "{"]) == 2
    assert "--bands is not JSON" in capsys.readouterr().err
    assert asked.questions == []


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ({"input": "1", "output": "2", "cached": "0.1"}, ["input 1, output 2, cached 0.1"]),
        # The catalogue's models that make images.
        ({"per_call": "0.01", "per_image": "0.2"}, ["per call 0.01", "per image 0.2"]),
        (
            {"bands": [{"input": "1", "output": "2"}, {"input_from": 32000, "input": "3", "output": "4"}]},
            ["input 1, output 2", "input from 32,000: input 3, output 4"],
        ),
        ({}, ["free"]),
        (None, ["none"]),
    ],
)
def test_prices_in_words(price: dict[str, object] | None, words: list[str], asked: Asked) -> None:
    text = asked.shown({"prices": [ENTRY | {"price": price}]}, "prices", "list")
    assert all(part in text for part in ["operator", "2026-11-18 11:06:40", *words])


def test_people_are_told_when_a_price_does_not_hold(asked: Asked) -> None:
    price = {"price": {"input": "1", "output": "2"}}
    words = ("prices", "set", "m", "--input", "1", "--output", "2")
    assert "wins" in asked.shown(ENTRY | price | {"in_force": False}, *words)
    assert "wins" not in asked.shown(ENTRY | price | {"in_force": True}, *words)


def test_a_price_taken_back(asked: Asked) -> None:
    assert "none" in asked.shown({"model": "m", "price": None}, "prices", "clear", "m")
    history = {"model": "m", "versions": [ENTRY | {"price": None}]}
    assert "none" in asked.shown(history, "prices", "history", "m")


def test_a_history_says_which_version_is_in_force(asked: Asked) -> None:
    price = {"input": "1", "output": "2"}
    versions = [
        ENTRY | {"price": price, "version": 4, "in_force": False},
        ENTRY | {"price": price, "in_force": True},
    ]
    lines = asked.shown({"model": "m", "versions": versions}, "prices", "history", "m").splitlines()
    assert ["in force" in line for line in lines if "operator" in line] == [False, True]


def test_nothing_has_a_price_in_try_out_mode(asked: Asked) -> None:
    assert "in try-out mode" in asked.shown({"prices": []}, "prices", "list")


def test_what_is_not_known_is_not_said(asked: Asked) -> None:
    price = {"price": {"input": "1", "output": "2"}}
    words = ("prices", "set", "m", "--input", "1", "--output", "2")
    assert "wins" not in asked.shown(ENTRY | price | {"in_force": None}, *words)
