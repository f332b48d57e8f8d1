"""`bigmodel credit`: money that comes and goes besides requests, in yuan."""

from typing import Annotated, Any

import typer

from openbigmodel.cli.admin import AccountOption, JsonOption, LimitOption, Site, carry_out
from openbigmodel.cli.server import ConfigOption, DataOption
from openbigmodel.cli.tables import moment, show_table

cli = typer.Typer(help="Add money to accounts, correct it, give it back.")

MemoOption = Annotated[
    str | None, typer.Option("--memo", help="Why; it stays in the ledger for ever.", metavar="TEXT")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Your own name for it, such as the payment's number: asked for again with it, it is done once.",
        metavar="TEXT",
    ),
]


@cli.command("add")
def add(
    account: AccountOption,
    yuan: Annotated[
        str, typer.Option("--yuan", help="How much, with nine decimal places at most.", metavar="AMOUNT")
    ],
    memo: MemoOption = None,
    gift: Annotated[
        bool | None, typer.Option("--gift", help="Nobody paid it: a posting of another kind.")
    ] = None,
    reference: ReferenceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Add money to an account's balance."""
    arguments = {"account": account, "yuan": yuan, "memo": memo, "gift": gift, "reference": reference}
    return carry_out(Site(data, config, as_json), "credit.add", arguments, _show_standing)


@cli.command("adjust")
def adjust(
    account: AccountOption,
    yuan: Annotated[
        str, typer.Option("--yuan", help="How much more, or less with a minus.", metavar="AMOUNT")
    ],
    memo: MemoOption = None,
    reference: ReferenceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Correct an account's balance, up or down, but not below what is there and not held."""
    arguments = {"account": account, "yuan": yuan, "memo": memo, "reference": reference}
    return carry_out(Site(data, config, as_json), "credit.adjust", arguments, _show_standing)


@cli.command("refund")
def refund(
    request: Annotated[
        str, typer.Argument(help="The platform's id of the request (x-log-id).", metavar="REQUEST")
    ],
    yuan: Annotated[
        str | None,
        typer.Option(
            "--yuan",
            help="How much. Default: all of the charge that was not given back yet, and what packs paid.",
            metavar="AMOUNT",
        ),
    ] = None,
    memo: MemoOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Give back what a request was charged, at once or in parts: never more than that in sum."""
    arguments = {"request": request, "yuan": yuan, "memo": memo}
    return carry_out(Site(data, config, as_json), "credit.refund", arguments, _show_standing)


@cli.command("list")
def list_(
    account: AccountOption,
    limit: LimitOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List what changed an account's balance besides requests, newest first."""
    arguments = {"account": account, "limit": limit}
    return carry_out(Site(data, config, as_json), "credit.list", arguments, _show_actions)


def _show_standing(answer: dict[str, Any]) -> None:
    print(f"{answer['yuan']} yuan; the balance is {answer['balance']}, and {answer['held']} are held besides")
    for pack in answer.get("packs", ()):
        print(f"{pack['amount']:,} {pack['unit']} of pack {pack['id']}")


def _show_actions(answer: dict[str, Any]) -> None:
    show_table(
        ["posting>", "time (UTC)", "kind", "yuan>", "afterwards>", "request", "memo"],
        (
            [
                action["posting"],
                moment(action["time"]),
                action["kind"],
                action["yuan"],
                action["balance_after"],
                action["request"],
                action["memo"],
            ]
            for action in answer["actions"]
        ),
    )
