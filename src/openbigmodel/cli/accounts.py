"""`bigmodel accounts`: who owns keys and money, and the people who sign in for them."""

from typing import Annotated, Any, Literal

import typer

from openbigmodel.cli import plans
from openbigmodel.cli.admin import JsonOption, Site, carry_out, show_id
from openbigmodel.cli.server import ConfigOption, DataOption
from openbigmodel.cli.tables import moment, show_facts, show_note, show_table

cli = typer.Typer(help="Make accounts, see what they have, lock them.")
users = typer.Typer(help="The people who sign in.")
cli.add_typer(users, name="users")
cli.add_typer(plans.cli, name="plans")

AccountArgument = Annotated[str, typer.Argument(help="The account's id.", metavar="ID")]
UserArgument = Annotated[str, typer.Argument(help="The user's id.", metavar="USER")]
TierOption = Annotated[
    str | None, typer.Option("--tier", help="V0 to V3: by it limits are chosen.", metavar="TIER")
]
ExemptOption = Annotated[
    bool | None, typer.Option("--exempt/--no-exempt", help="Whether limits and prices leave it alone.")
]
RotateLeakedOption = Annotated[
    bool | None,
    typer.Option(
        "--rotate-leaked/--no-rotate-leaked",
        help="Whether a key that is seen in a request's text or URL is replaced at once.",
    ),
]
RoleOption = Annotated[
    Literal["owner", "member", "viewer", "operator"] | None,
    typer.Option("--role", help="owner, member or viewer of an account, or operator of the platform."),
]


@cli.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What people call it.", metavar="NAME")],
    tier: TierOption = None,
    exempt: ExemptOption = None,
    rotate_leaked: RotateLeakedOption = None,
    credit: Annotated[
        str | None,
        typer.Option(
            "--credit",
            help="Yuan to try the platform with, as a gift. Default: as in the server's settings.",
            metavar="AMOUNT",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make an account and print its id. A data folder that is missing or empty is made, too."""
    site = Site(data, config, as_json)
    folder = site.folder()
    if not as_json and not folder.exists():
        show_note(f"{folder} is a new data folder")
    arguments = {
        "name": name,
        "tier": tier,
        "exempt": exempt,
        "rotate_leaked": rotate_leaked,
        "credit": credit,
    }
    return carry_out(site, "accounts.create", arguments, show_id, new_folder=True)


@cli.command("list")
def list_(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """List all accounts, oldest first."""
    return carry_out(Site(data, config, as_json), "accounts.list", {}, _show_accounts)


@cli.command("show")
def show(
    account: AccountArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show one account: its balance in yuan, what requests under way hold besides, and its standing."""
    return carry_out(Site(data, config, as_json), "accounts.show", {"account": account}, _show_account)


@cli.command("update")
def update(
    account: AccountArgument,
    name: Annotated[str | None, typer.Option("--name", help="Another name.", metavar="NAME")] = None,
    lock: Annotated[
        bool | None,
        typer.Option(
            "--lock/--unlock", help="Whether its keys are refused, with 1112, until it is unlocked."
        ),
    ] = None,
    tier: TierOption = None,
    exempt: ExemptOption = None,
    rotate_leaked: RotateLeakedOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Change what is given of an account, at once also in a running server."""
    arguments = {
        "account": account,
        "name": name,
        "state": None if lock is None else "locked" if lock else "active",
        "tier": tier,
        "exempt": exempt,
        "rotate_leaked": rotate_leaked,
    }
    return carry_out(Site(data, config, as_json), "accounts.update", arguments, _show_account)


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The address that they sign in with.", metavar="EMAIL")],
    account: Annotated[
        str | None, typer.Option("--account", help="The account's id; operators have none.", metavar="ID")
    ] = None,
    role: RoleOption = None,
    name: Annotated[str | None, typer.Option("--name", help="What people call them.", metavar="NAME")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let a person sign in, and print the user's id. Without a role they become a member of the account."""
    arguments = {"email": email, "account": account, "role": role, "name": name}
    return carry_out(Site(data, config, as_json), "users.add", arguments, show_id)


@users.command("list")
def list_users(
    account: Annotated[
        str | None, typer.Option("--account", help="Of one account only.", metavar="ID")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List users, oldest first."""
    return carry_out(Site(data, config, as_json), "users.list", {"account": account}, _show_users)


@users.command("role")
def set_role(
    user: UserArgument,
    role: Annotated[
        Literal["owner", "member", "viewer", "operator"],
        typer.Argument(help="owner, member or viewer.", metavar="ROLE"),
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Give a user another role."""
    return carry_out(Site(data, config, as_json), "users.update", {"user": user, "role": role}, _show_user)


@users.command("disable")
def disable_user(
    user: UserArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Keep a user from signing in."""
    arguments = {"user": user, "state": "disabled"}
    return carry_out(Site(data, config, as_json), "users.update", arguments, _show_user)


@users.command("enable")
def enable_user(
    user: UserArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Let a disabled user sign in again."""
    arguments = {"user": user, "state": "active"}
    return carry_out(Site(data, config, as_json), "users.update", arguments, _show_user)


@users.command("remove")
def remove_user(
    user: UserArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Forget a user."""
    site = Site(data, config, as_json)
    return carry_out(site, "users.remove", {"user": user}, lambda answer: print(f"{answer['id']} removed"))


def _show_accounts(answer: dict[str, Any]) -> None:
    show_table(
        ["id", "name", "state", "tier", "balance>", "held>", "", "created"],
        (
            [
                account["id"],
                account["name"],
                account["state"],
                account["tier"],
                account["balance"],
                account["held"],
                "operator" if account["operator"] else "exempt" if account["exempt"] else "",
                moment(account["created"]),
            ]
            for account in answer["accounts"]
        ),
    )


def _show_account(answer: dict[str, Any]) -> None:
    names = {"balance": "balance, yuan", "held": "held, yuan", "rotate_leaked": "rotates leaked keys"}
    show_facts((names.get(name, name), value) for name, value in answer.items())


def _show_user(answer: dict[str, Any]) -> None:
    show_facts(answer.items())


def _show_users(answer: dict[str, Any]) -> None:
    names = ("id", "email", "name", "role", "state", "account", "created")
    show_table(names, ([user[name] for name in names] for user in answer["users"]))
