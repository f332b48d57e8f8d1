"""`bigmodel packs`: prepaid tokens or calls."""

from typing import Annotated, Any

import typer

from openbigmodel.cli.admin import (
    AccountOption,
    BeginOption,
    EndOption,
    JsonOption,
    Site,
    carry_out,
    names_of,
    show_ends,
    show_id,
)
from openbigmodel.cli.credit import MemoOption, ReferenceOption
from openbigmodel.cli.server import ConfigOption, DataOption
from openbigmodel.cli.tables import moment, show_table

cli = typer.Typer(help="Give accounts prepaid tokens or calls, and see what is left of them.")


@cli.command("grant")
def grant(
    account: AccountOption,
    to: EndOption,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", help="How many tokens, prompt and completion.", metavar="N", min=1),
    ] = None,
    calls: Annotated[
        int | None, typer.Option("--calls", help="Or how many whole requests.", metavar="N", min=1)
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="For which models. Default: all.", metavar="A,B")
    ] = None,
    from_: BeginOption = None,
    gift: Annotated[bool, typer.Option("--gift", help="It was not paid for.")] = False,
    memo: MemoOption = None,
    reference: ReferenceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Give an account a pack and print its id. Packs pay before the balance does, those that end first first."""
    arguments = {
        "account": account,
        "tokens": tokens,
        "calls": calls,
        "models": names_of(models),
        "from": from_,
        "to": to,
        "gift": gift,
        "memo": memo,
        "reference": reference,
    }

    def show(answer: dict[str, Any]) -> None:
        show_id(answer)
        show_ends(answer, from_=from_, to=to)

    return carry_out(Site(data, config, as_json), "packs.grant", arguments, show)


@cli.command("list")
def list_(
    account: AccountOption,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List an account's packs in the order in which they are used."""
    return carry_out(Site(data, config, as_json), "packs.list", {"account": account}, _show_packs)


def _show_packs(answer: dict[str, Any]) -> None:
    show_table(
        ["pack", "left>", "of>", "", "state", "from (UTC)", "to (UTC)", "models", ""],
        (
            [
                pack["id"],
                f"{pack['left']:,}",
                f"{pack['amount']:,}",
                pack["unit"],
                pack["state"].replace("_", " "),
                moment(pack["from"]),
                moment(pack["to"]),
                pack["models"] or "all",
                "gift" if pack["gift"] else "",
            ]
            for pack in answer["packs"]
        ),
    )
