"""`bigmodel accounts plans`: subscriptions to the Coding Plan."""

from typing import Annotated, Any, Literal

import typer

from openbigmodel.cli.admin import AccountOption, JsonOption, Site, carry_out
from openbigmodel.cli.server import ConfigOption, DataOption
from openbigmodel.cli.tables import moment, show_table

cli = typer.Typer(help="Subscriptions to the Coding Plan.")

_NAMES = ("id", "account", "level", "state", "from", "to")


@cli.command("add")
def add(
    account: AccountOption,
    level: Annotated[
        Literal["lite", "pro", "max"], typer.Option("--level", help="lite, pro or max.", show_choices=False)
    ],
    to: Annotated[str, typer.Option("--to", help="When it ends, like 2027-01-31T00:00:00Z.", metavar="TIME")],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", help="When it begins, like 2027-01-01T00:00:00Z. Default: now.", metavar="TIME"
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Subscribe an account; its coding keys are then paid for by the plan's credits."""
    arguments = {"account": account, "level": level, "from": from_, "to": to}
    return carry_out(Site(data, config, as_json), "plans.add", arguments, lambda plan: _show([plan]))


@cli.command("list")
def list_(
    account: Annotated[
        str | None, typer.Option("--account", help="Of one account only.", metavar="ID")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List subscriptions, earliest first."""
    site = Site(data, config, as_json)
    return carry_out(site, "plans.list", {"account": account}, lambda answer: _show(answer["plans"]))


@cli.command("end")
def end(
    plan: Annotated[int, typer.Argument(help="The subscription's id.", metavar="PLAN")],
    at: Annotated[
        str | None,
        typer.Option("--at", help="When, like 2027-01-01T00:00:00Z. Default: now.", metavar="TIME"),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """End a subscription before its time."""
    arguments = {"plan": plan, "at": at}
    return carry_out(Site(data, config, as_json), "plans.end", arguments, lambda answer: _show([answer]))


def _show(plans: list[dict[str, Any]]) -> None:
    show_table(
        _NAMES,
        ([moment(plan[name]) if name in ("from", "to") else plan[name] for name in _NAMES] for plan in plans),
    )
