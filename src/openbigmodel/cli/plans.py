"""`bigmodel accounts plans`: subscriptions to the Coding Plan."""

from typing import Annotated, Any, Literal

import typer

from openbigmodel.cli.admin import (
    AccountOption,
    BeginOption,
    EndOption,
    JsonOption,
    Site,
    carry_out,
    show_ends,
    show_id,
)
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
    to: EndOption,
    from_: BeginOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Subscribe an account and print the subscription's id; its coding keys are then paid for by the plan's credits."""
    arguments = {"account": account, "level": level, "from": from_, "to": to}

    def show(plan: dict[str, Any]) -> None:
        show_id(plan)
        show_ends(plan, from_=from_, to=to)

    return carry_out(Site(data, config, as_json), "plans.add", arguments, show)


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
        typer.Option(
            "--at",
            help="When: 2027-01-31T16:00:00Z, or 2027-01-31 for the end of that day in UTC+8. Default: now.",
            metavar="TIME",
        ),
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
