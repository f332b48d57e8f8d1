"""Every admin command's JSON, on a stopped folder and through a running server: the same on both."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.command_line import CommandLine, commands

pytestmark = pytest.mark.timeout(120)

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOTHING = "0.000000000"


@pytest.fixture(scope="module", params=["stopped", "running"])
def bigmodel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CommandLine]:
    with commands(tmp_path_factory.mktemp(request.param), running=request.param == "running") as command_line:
        yield command_line


@pytest.fixture
def account(bigmodel: CommandLine) -> str:
    made = bigmodel("accounts", "create", "team")
    assert isinstance(made["id"], str)
    return made["id"]


@pytest.fixture
def key(bigmodel: CommandLine, account: str) -> dict[str, Any]:
    return bigmodel("keys", "create", "--account", account)


def moment(text: object) -> bool:
    return isinstance(text, str) and MOMENT.fullmatch(text) is not None


# accounts


def test_accounts_create(bigmodel: CommandLine) -> None:
    assert set(bigmodel("accounts", "create", "team")) == {"id"}


def test_accounts_show(bigmodel: CommandLine, account: str) -> None:
    shown = bigmodel("accounts", "show", account)

    assert moment(shown.pop("created"))
    assert shown == {
        "id": account,
        "name": "team",
        "state": "active",
        "operator": False,
        "exempt": False,
        "tier": "V0",
        "rotate_leaked": False,
        "balance": NOTHING,
        "held": NOTHING,
        "keys": 0,
        "users": 0,
    }


def test_accounts_list(bigmodel: CommandLine, account: str) -> None:
    accounts = bigmodel("accounts", "list")["accounts"]

    assert (accounts[0]["name"], accounts[0]["operator"], accounts[0]["exempt"]) == ("operator", True, True)
    assert accounts[-1]["id"] == account
    assert {"balance", "held", "state", "tier"} <= accounts[-1].keys()


def test_accounts_update(bigmodel: CommandLine, account: str) -> None:
    changes = ("--lock", "--tier", "V2", "--exempt", "--rotate-leaked", "--name", "others")
    shown = bigmodel("accounts", "update", account, *changes)
    assert (shown["state"], shown["tier"], shown["exempt"], shown["rotate_leaked"], shown["name"]) == (
        "locked",
        "V2",
        True,
        True,
        "others",
    )

    shown = bigmodel("accounts", "update", account, "--unlock", "--no-exempt")
    assert (shown["state"], shown["tier"], shown["exempt"], shown["rotate_leaked"]) == (
        "active",
        "V2",
        False,
        True,
    )


def test_accounts_refuse(bigmodel: CommandLine, account: str) -> None:
    assert bigmodel.error("accounts", "show", "nobody") == "There is no account nobody."
    assert bigmodel.error("accounts", "update", "nobody", "--lock") == "There is no account nobody."
    assert "what shall be changed" in bigmodel.error("accounts", "update", account)
    assert "V0, V1, V2, V3" in bigmodel.error("accounts", "update", account, "--tier", "V9")
    assert "name" in bigmodel.error("accounts", "create", " ")
    assert "name" in bigmodel.error("accounts", "create", "x" * 1000)
    assert "control" in bigmodel.error("accounts", "create", "a\nb")


def test_users(bigmodel: CommandLine, account: str) -> None:
    email = f"{account[:8]}@example.com"
    made = bigmodel("accounts", "users", "add", email, "--account", account, "--role", "owner")
    assert moment(made.pop("created"))
    user = made["id"]
    assert made == {
        "id": user,
        "account": account,
        "email": email,
        "name": account[:8],
        "role": "owner",
        "state": "active",
    }
    other = bigmodel("accounts", "users", "add", f"other-{email}", "--account", account)["id"]
    listed = bigmodel("accounts", "users", "list", "--account", account)["users"]
    assert [(each["id"], each["role"]) for each in listed] == [(user, "owner"), (other, "member")]
    assert bigmodel("accounts", "users", "role", other, "owner")["role"] == "owner"
    assert bigmodel("accounts", "users", "disable", user)["state"] == "disabled"
    assert bigmodel("accounts", "users", "enable", user)["state"] == "active"
    assert bigmodel("accounts", "users", "remove", user) == {"id": user, "state": "removed"}
    assert bigmodel("accounts", "show", account)["users"] == 1
    assert any(each["id"] == other for each in bigmodel("accounts", "users", "list")["users"])


def test_users_refuse(bigmodel: CommandLine, account: str) -> None:
    assert "e-mail" in bigmodel.error("accounts", "users", "add", "nobody", "--account", account)
    assert "Operators belong" in bigmodel.error("accounts", "users", "add", "a@b.example", "--role", "member")
    assert bigmodel.error("accounts", "users", "list", "--account", "x") == "There is no account x."
    assert bigmodel.error("accounts", "users", "role", "x", "owner") == "There is no user x."
    assert bigmodel.error("accounts", "users", "remove", "x") == "There is no user x."


def test_plans(bigmodel: CommandLine, account: str) -> None:
    plans = ("accounts", "plans")
    to = ("--to", "2099-01-01T00:00:00Z")
    made = bigmodel(*plans, "add", "--account", account, "--level", "pro", *to)
    assert (made["account"], made["level"], made["state"], made["to"]) == (
        account,
        "pro",
        "valid",
        "2099-01-01T00:00:00.000Z",
    )
    assert bigmodel(*plans, "list", "--account", account)["plans"] == [made]
    assert made in bigmodel(*plans, "list")["plans"]
    assert "has a plan" in bigmodel.error(*plans, "add", "--account", account, "--level", "max", *to)
    assert bigmodel(*plans, "end", str(made["id"]))["state"] == "ended"
    later = ("--from", "2098-01-01T00:00:00Z")
    assert bigmodel(*plans, "add", "--account", account, "--level", "max", *later, *to)["state"] == "future"
    assert bigmodel.error(*plans, "end", "999999") == "There is no plan 999999."
    assert "no account x" in bigmodel.error(*plans, "add", "--account", "x", "--level", "pro", *to)


# keys


def test_keys_create(bigmodel: CommandLine, account: str) -> None:
    made = bigmodel("keys", "create", "--account", account)

    assert set(made) == {"id", "key"}
    assert re.fullmatch(r"[0-9a-f]{32}\.[0-9A-Za-z]{43}", made["key"])
    assert made["key"].startswith(made["id"] + ".")


def test_keys_list(bigmodel: CommandLine, account: str) -> None:
    made = bigmodel(
        *(
            "keys",
            "create",
            "--account",
            account,
            "--name",
            "ci",
            "--kind",
            "coding",
            "--models",
            "glm-4.6, GLM-5",
        ),
        *("--endpoints", "chat", "--networks", "10.0.0.0/8", "--expires", "2099-01-31T00:00:00Z"),
    )
    (listed,) = bigmodel("keys", "list", "--account", account)["keys"]

    assert moment(listed.pop("created"))
    assert listed == {
        "id": made["id"],
        "account": account,
        "name": "ci",
        "masked": f"{made['id']}.***{made['key'][-4:]}",
        "kind": "coding",
        "state": "active",
        "last_used": None,
        "expires": "2099-01-31T00:00:00.000Z",
        "models": ["glm-4.6", "glm-5"],
        "endpoints": ["chat"],
        "networks": ["10.0.0.0/8"],
        "rotated_to": None,
        "leaked": None,
        "told": True,
    }
    everybody = bigmodel("keys", "list")["keys"]
    assert made["id"] in {each["id"] for each in everybody}
    assert len({each["account"] for each in everybody}) > 1
    assert made["key"].partition(".")[2] not in str(everybody)


def test_keys_rename_disable_and_expire(bigmodel: CommandLine, key: dict[str, Any]) -> None:
    assert bigmodel("keys", "rename", key["id"], "new name")["name"] == "new name"
    expired = bigmodel("keys", "expire", key["id"], "--at", "2030-01-01T00:00:00Z")
    assert expired["expires"] == "2030-01-01T00:00:00.000Z"
    assert bigmodel("keys", "expire", key["id"], "--at", "never")["expires"] is None
    # A whole key will do: people paste what they have.
    assert bigmodel("keys", "disable", key["key"])["state"] == "disabled"
    assert bigmodel("keys", "disable", key["id"])["state"] == "disabled"


def test_keys_rotate(bigmodel: CommandLine, account: str, key: dict[str, Any]) -> None:
    made = bigmodel("keys", "rotate", key["id"], "--overlap", "1h")

    assert set(made) == {"id", "key", "replaces"}
    assert made["id"] != key["id"]
    assert (made["replaces"]["id"], made["replaces"]["rotated_to"]) == (key["id"], made["id"])
    assert moment(made["replaces"]["expires"])
    assert len(bigmodel("keys", "list", "--account", account)["keys"]) == 2
    assert "was rotated before" in bigmodel.error("keys", "rotate", key["id"])


def test_keys_restrict(bigmodel: CommandLine, key: dict[str, Any]) -> None:
    restrict = ("keys", "restrict", key["id"])
    shown = bigmodel(*restrict, "--models", "glm-4.6", "--networks", "192.0.2.7,10.0.0.0/8")
    assert (shown["models"], shown["networks"]) == (["glm-4.6"], ["10.0.0.0/8", "192.0.2.7/32"])
    shown = bigmodel(*restrict, "--models", "", "--endpoints", "chat,models")
    assert (shown["models"], shown["endpoints"], shown["networks"]) == (
        None,
        ["chat", "models"],
        ["10.0.0.0/8", "192.0.2.7/32"],
    )


def test_keys_refuse(bigmodel: CommandLine, account: str, key: dict[str, Any]) -> None:
    create = ("keys", "create", "--account", account)
    assert bigmodel.error("keys", "create", "--account", "x") == "There is no account x."
    assert "is not a moment" in bigmodel.error(*create, "--expires", "tomorrow")
    assert "'planets' is no endpoint" in bigmodel.error(*create, "--endpoints", "planets")
    assert "'300.1.1.1' is no network" in bigmodel.error(*create, "--networks", "300.1.1.1")
    assert "empty list" in bigmodel.error(*create, "--models", "")
    assert "--kind" in bigmodel.error(*create, "--kind", "gold")
    for words in (("rename", "x", "y"), ("disable", "x"), ("rotate", "x"), ("reveal", "x")):
        assert bigmodel.error("keys", *words) == "There is no key x."
    assert bigmodel.error("keys", "expire", "x", "--at", "never") == "There is no key x."
    assert bigmodel.error("keys", "restrict", "x", "--models", "a") == "There is no key x."
    assert "shall be restricted" in bigmodel.error("keys", "restrict", key["id"])
    assert "--overlap" in bigmodel.error("keys", "rotate", key["id"], "--overlap", "soon")
    assert "has been told" in bigmodel.error("keys", "reveal", key["id"])
    assert bigmodel.error("keys", "list", "--account", "x") == "There is no account x."


# money


def test_credit(bigmodel: CommandLine, account: str) -> None:
    added = bigmodel("credit", "add", "--account", account, "--yuan", "1.5", "--memo", "转账 7")
    assert added == {"account": account, "yuan": "1.500000000", "balance": "1.500000000", "held": NOTHING}
    adjusted = bigmodel("credit", "adjust", "--account", account, "--yuan", "-0.000000001")
    assert (adjusted["yuan"], adjusted["balance"]) == ("-0.000000001", "1.499999999")
    adjusted = bigmodel("credit", "adjust", "--account", account, "--yuan", "0.000000002", "--memo", "a slip")
    assert adjusted["balance"] == "1.500000001"
    assert bigmodel("accounts", "show", account)["balance"] == "1.500000001"

    actions = bigmodel("credit", "list", "--account", account)["actions"]
    assert [(each["kind"], each["yuan"], each["balance_after"], each["memo"]) for each in actions] == [
        ("adjust", "0.000000002", "1.500000001", "a slip"),
        ("adjust", "-0.000000001", "1.499999999", ""),
        ("topup", "1.500000000", "1.500000000", "转账 7"),
    ]
    assert all(moment(each["time"]) and each["action"] and each["request"] is None for each in actions)
    assert len(bigmodel("credit", "list", "--account", account, "--limit", "1")["actions"]) == 1


@pytest.mark.parametrize(
    ("yuan", "words"),
    [
        ("0", "more than nothing"),
        ("-1", "not an amount"),
        ("1e3", "not an amount"),
        ("１", "not an amount"),
        ("nan", "not an amount"),
        ("", "not an amount"),
        ("0.0000000001", "nine decimal places"),
        ("1000000001", "more than"),
    ],
)
def test_credit_of_no_amount(yuan: str, words: str, bigmodel: CommandLine, account: str) -> None:
    assert words in bigmodel.error("credit", "add", "--account", account, "--yuan", yuan)
    assert bigmodel("accounts", "show", account)["balance"] == NOTHING


def test_credit_refuses(bigmodel: CommandLine, account: str) -> None:
    assert bigmodel.error("credit", "add", "--account", "x", "--yuan", "1") == "There is no account x."
    assert bigmodel.error("credit", "adjust", "--account", "x", "--yuan", "1") == "There is no account x."
    assert bigmodel.error("credit", "list", "--account", "x") == "There is no account x."
    refused = bigmodel.error("credit", "adjust", "--account", account, "--yuan", "-1")
    assert refused == "The balance is 0.000000000 yuan."
    assert "not an amount" in bigmodel.error("credit", "adjust", "--account", account, "--yuan", "--1")
    memo = ("credit", "add", "--account", account, "--yuan", "1", "--memo")
    assert "memo" in bigmodel.error(*memo, "x" * 501)
    assert "memo" in bigmodel.error(*memo, "a\nb")
    assert bigmodel.error("credit", "refund", "nothing") == "No request nothing was charged."


def test_packs(bigmodel: CommandLine, account: str) -> None:
    grant = ("packs", "grant", "--account", account)
    made = bigmodel(
        *(*grant, "--tokens", "1000", "--models", "GLM-4.6,b"),
        *("--from", "2026-01-01T00:00:00Z", "--to", "2099-01-01T00:00:00Z"),
    )
    assert "Nothing here is called b:" in made.pop("warning")
    assert made == {
        "id": made["id"],
        "account": account,
        "tokens": 1000,
        "from": "2026-01-01T00:00:00.000Z",
        "to": "2099-01-01T00:00:00.000Z",
    }
    gift = bigmodel(*grant, "--calls", "3", "--gift", "--to", "2098-01-01T00:00:00Z")
    bigmodel(*grant, "--calls", "1", "--from", "2098-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z")

    packs = bigmodel("packs", "list", "--account", account)["packs"]
    assert [pack["state"] for pack in packs] == ["valid", "valid", "future"]
    assert packs[0]["id"] == gift["id"]
    assert (packs[0]["unit"], packs[0]["left"], packs[0]["models"], packs[0]["gift"]) == (
        "calls",
        3,
        None,
        True,
    )
    assert moment(packs[1].pop("created"))
    assert packs[1] == {
        "id": made["id"],
        "unit": "tokens",
        "amount": 1000,
        "left": 1000,
        "models": ["b", "glm-4.6"],
        "gift": False,
        "state": "valid",
        "from": "2026-01-01T00:00:00.000Z",
        "to": "2099-01-01T00:00:00.000Z",
    }


def test_packs_refuse(bigmodel: CommandLine, account: str) -> None:
    grant = ("packs", "grant", "--account", account)
    to = ("--to", "2099-01-01T00:00:00Z")
    assert "--to" in bigmodel.error(*grant, "--tokens", "1")
    assert "either tokens or calls" in bigmodel.error(*grant, *to)
    assert "either tokens or calls" in bigmodel.error(*grant, "--tokens", "1", "--calls", "1", *to)
    assert "--tokens" in bigmodel.error(*grant, "--tokens", "0", *to)
    assert "for no model" in bigmodel.error(*grant, "--tokens", "1", "--models", ",", *to)
    assert "is not a moment" in bigmodel.error(*grant, "--tokens", "1", "--to", "soon")
    assert "after it begins" in bigmodel.error(*grant, "--tokens", "1", *to, "--from", "2099-01-01T00:00:00Z")
    assert (
        bigmodel.error("packs", "grant", "--account", "x", "--tokens", "1", *to) == "There is no account x."
    )
    assert bigmodel.error("packs", "list", "--account", "x") == "There is no account x."


# prices


def test_prices(bigmodel: CommandLine) -> None:
    made = bigmodel("prices", "set", "My-Model", "--input", "0.5", "--output", "2", "--per-call", "0.01")
    version = made["version"]
    assert moment(made.pop("since")) and isinstance(version, int)
    assert "Nothing here is called My-Model:" in made.pop("warning")
    assert made == {
        "model": "my-model",
        "version": version,
        "source": "operator",
        "price": {"input": "0.5", "output": "2", "per_call": "0.01"},
        "in_force": True,
    }
    bands = '[{"input": 1, "output": 2}, {"input_from": 32000, "input": "1.5", "output": 3}]'
    made = bigmodel("prices", "set", "my-model", "--bands", bands)
    assert made["version"] > version
    assert "warning" not in made
    assert made["price"]["bands"][1] == {"input_from": 32000, "input": "1.5", "output": "3"}
    listed = {entry["model"]: entry for entry in bigmodel("prices", "list")["prices"]}
    assert listed["my-model"]["version"] == made["version"]
    assert listed["glm-4.6"]["source"] == "catalog"

    assert bigmodel("prices", "clear", "my-model") == {"model": "my-model", "price": None}
    versions = bigmodel("prices", "history", "my-model")["versions"]
    assert [entry["price"] and "bands" in entry["price"] for entry in versions] == [None, True, False]
    assert "my-model" not in {entry["model"] for entry in bigmodel("prices", "list")["prices"]}


def test_the_catalogues_price_comes_back(bigmodel: CommandLine) -> None:
    before = next(entry for entry in bigmodel("prices", "list")["prices"] if entry["model"] == "glm-4.5-air")
    bigmodel("prices", "set", "glm-4.5-air", "--input", "1", "--output", "1")
    assert bigmodel("prices", "clear", "GLM-4.5-Air")["price"] == before["price"]


def test_prices_refuse(bigmodel: CommandLine) -> None:
    price = ("prices", "set", "my-model")
    assert "says nothing" in bigmodel.error(*price)
    assert "output is missing" in bigmodel.error(*price, "--input", "1")
    assert ".input must be an amount" in bigmodel.error(*price, "--input", "-1", "--output", "1")
    assert "--bands is not JSON" in bigmodel.error(*price, "--bands", "[")
    assert ".bands must be" in bigmodel.error(*price, "--bands", "{}")
    assert "exclude each other" in bigmodel.error(*price, "--bands", "[]", "--input", "1")
    for option, name in (("--batch-percent", "batch_percent"), ("--per-image", "per_image")):
        refused = bigmodel.error(*price, "--input", "1", "--output", "1", option, "1")
        assert f"price.{name} would never be charged" in refused
    assert "name it" in bigmodel.error("prices", "set", " ", "--input", "1", "--output", "1")
    assert bigmodel.error("prices", "clear", "unheard-of") == "No operator's price holds for unheard-of."
    assert bigmodel("prices", "history", "unheard-of") == {"model": "unheard-of", "versions": []}
