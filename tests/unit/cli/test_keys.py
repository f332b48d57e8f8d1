import json

import pytest

from openbigmodel.cli.keys import key_id, seconds
from openbigmodel.cli.main import run
from tests.unit.cli.asked import Asked, asked

__all__ = ["asked"]

KEY = {
    "id": "k1",
    "account": "a1",
    "name": "ci",
    "masked": "k1.***abcd",
    "kind": "standard",
    "state": "active",
    "created": "2026-11-18T11:06:40.123Z",
    "last_used": None,
    "expires": "2027-01-31T00:00:00.000Z",
    "models": ["glm-4.6"],
    "endpoints": None,
    "networks": ["10.0.0.0/8"],
    "rotated_to": None,
    "leaked": None,
    "told": True,
}


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        ("create --account a1", "create", {"account": "a1"}),
        (
            "create --account a1 --name ci --kind coding --models a,b --endpoints chat --networks 10.0.0.0/8 --expires T",
            "create",
            {
                "account": "a1",
                "name": "ci",
                "kind": "coding",
                "models": ["a", "b"],
                "endpoints": ["chat"],
                "networks": ["10.0.0.0/8"],
                "expires": "T",
            },
        ),
        ("list", "list", {}),
        ("list --account a1", "list", {"account": "a1"}),
        ("rename k1 other", "rename", {"key": "k1", "name": "other"}),
        ("disable k1.secret", "disable", {"key": "k1"}),
        ("rotate k1", "rotate", {"key": "k1", "overlap_s": 0}),
        ("rotate k1 --overlap 24h", "rotate", {"key": "k1", "overlap_s": 86_400}),
        ("restrict k1 --models=", "restrict", {"key": "k1", "models": []}),
        ("expire k1 --at T", "expire", {"key": "k1", "at": "T"}),
        ("expire k1 --at never", "expire", {"key": "k1"}),
        ("reveal k1", "reveal", {"key": "k1"}),
    ],
)
def test_what_keys_commands_ask(words: str, command: str, arguments: dict[str, object], asked: Asked) -> None:
    assert asked.by("keys", *words.split()) == (f"keys.{command}", arguments)


def test_spans() -> None:
    spans = {"0": 0, "90s": 90, "5m": 300, "24h": 86_400, "7d": 604_800}
    assert {text: seconds(text) for text in spans} == spans


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "1w", "５m", "1h30m"])
def test_what_is_no_span(text: str, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "rotate", "k1", "--overlap", text]) == 2
    assert "'--overlap': it must be written like 90s, 5m, 24h or 7d" in capsys.readouterr().err
    assert asked.questions == []


def test_a_secret_that_is_pasted_goes_nowhere() -> None:
    assert key_id("b1690de1.s3cret") == "b1690de1"
    assert key_id("b1690de1") == "b1690de1"


def test_what_people_see(asked: Asked) -> None:
    text = asked.shown(
        {"keys": [KEY, KEY | {"leaked": "T", "expires": None}, KEY | {"state": "disabled"}]}, "keys", "list"
    )
    assert "k1.***abcd" in text and "glm-4.6, 10.0.0.0/8" in text and "2027-01-31 00:00:00" in text
    assert "leaked" in text and "disabled" in text
    assert text.count("2026-11-18 11:06:40") == 3
    used = asked.shown({"keys": [KEY | {"last_used": "2026-11-20T01:02:03.000Z"}]}, "keys", "list")
    assert "2026-11-18 11:06:40   2026-11-20 01:02:03" in used
    assert "expired" in asked.shown({"keys": [KEY | {"state": "expired", "leaked": "T"}]}, "keys", "list")
    assert "k1" in asked.shown(KEY, "keys", "rename", "k1", "x")
    assert asked.shown({"id": "k2", "key": "k2.s"}, "keys", "create", "--account", "a") == "API key: k2.s\n"
    text = asked.shown({"id": "k2", "key": "k2.s", "replaces": KEY}, "keys", "rotate", "k1")
    assert text == "API key: k2.s\nk1 ends 2027-01-31 00:00:00 UTC\n"


def test_a_warning_is_on_stderr_or_in_the_object(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"id": "k2", "key": "k2.s", "warning": "Nothing here is called glm-46."}
    assert asked.shown(dict(answer), "keys", "create", "--account", "a") == "API key: k2.s\n"
    assert capsys.readouterr().err == "bigmodel: Nothing here is called glm-46.\n"

    asked.answer = dict(answer)
    assert run(["keys", "create", "--account", "a", "--json", "--data", "/nowhere"]) == 0
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == (answer, "")
