from pathlib import Path

import pytest

from openbigmodel.cli.main import run
from tests.unit.cli.asked import Asked, asked

__all__ = ["asked"]

ACCOUNT = {
    "id": "a1",
    "name": "team",
    "state": "active",
    "operator": False,
    "exempt": False,
    "tier": "V0",
    "rotate_leaked": True,
    "created": "2026-11-18T11:06:40.123Z",
    "balance": "1.500000000",
    "held": "0.000000000",
}
USER = {
    "id": "u1",
    "account": "a1",
    "email": "a@b.example",
    "name": "A",
    "role": "owner",
    "state": "active",
    "created": "2026-11-18T11:06:40.123Z",
}


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        ("create team", "create", {"name": "team"}),
        (
            "create team --tier V2 --exempt --rotate-leaked --credit 5",
            "create",
            {"name": "team", "tier": "V2", "exempt": True, "rotate_leaked": True, "credit": "5"},
        ),
        ("list", "list", {}),
        ("show a1", "show", {"account": "a1"}),
        ("update a1 --lock", "update", {"account": "a1", "state": "locked"}),
        ("update a1 --unlock --no-exempt", "update", {"account": "a1", "state": "active", "exempt": False}),
        (
            "update a1 --name x --no-rotate-leaked",
            "update",
            {"account": "a1", "name": "x", "rotate_leaked": False},
        ),
    ],
)
def test_what_accounts_commands_ask(
    words: str, command: str, arguments: dict[str, object], asked: Asked
) -> None:
    assert asked.by("accounts", *words.split()) == (f"accounts.{command}", arguments)


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        ("add a@b.example", "add", {"email": "a@b.example"}),
        (
            "add a@b.example --account a1 --role owner --name A",
            "add",
            {"email": "a@b.example", "account": "a1", "role": "owner", "name": "A"},
        ),
        ("list", "list", {}),
        ("list --account a1", "list", {"account": "a1"}),
        ("role u1 viewer", "update", {"user": "u1", "role": "viewer"}),
        ("disable u1", "update", {"user": "u1", "state": "disabled"}),
        ("enable u1", "update", {"user": "u1", "state": "active"}),
        ("remove u1", "remove", {"user": "u1"}),
    ],
)
def test_what_users_commands_ask(
    words: str, command: str, arguments: dict[str, object], asked: Asked
) -> None:
    assert asked.by("accounts", "users", *words.split()) == (f"users.{command}", arguments)


def test_only_create_makes_a_folder(asked: Asked) -> None:
    asked.by("accounts", "create", "team")
    assert asked.new_folder
    asked.by("accounts", "list")
    assert not asked.new_folder


def test_a_new_folder_is_told_to_people(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = {"id": "a1"}
    assert run(["accounts", "create", "team", "--data", str(tmp_path / "new")]) == 0
    assert capsys.readouterr() == ("a1\n", f"bigmodel: {tmp_path / 'new'} is a new data folder\n")
    assert run(["accounts", "create", "team", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("a1\n", "")


def test_what_people_see(asked: Asked) -> None:
    text = asked.shown({"accounts": [ACCOUNT, ACCOUNT | {"operator": True}]}, "accounts", "list")
    assert "1.500000000" in text and "2026-11-18 11:06:40" in text and "operator" in text
    text = asked.shown(ACCOUNT, "accounts", "show", "a1")
    assert "balance, yuan" in text and "rotates leaked keys" in text
    assert "owner" in asked.shown({"users": [USER]}, "accounts", "users", "list")
    assert "a@b.example" in asked.shown(USER, "accounts", "users", "role", "u1", "owner")
    removed = asked.shown({"id": "u1", "state": "removed"}, "accounts", "users", "remove", "u1")
    assert removed == "u1 removed\n"
