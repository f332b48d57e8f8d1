"""`bigmodel usage`: what an account used and was charged, the log of its requests, and where a charge comes from.

Rule: it reads the database file itself, on a connection that cannot write, so that no statement, however long, costs
the server more than the file's cache. Only balance and held come from the server, if one runs.
"""

from typing import Annotated, Literal

import typer

from openbigmodel.cli.admin import JsonOption, LimitOption, Site
from openbigmodel.cli.server import ConfigOption, DataOption

cli = typer.Typer(help="What accounts used: sums, the request log, and where a charge comes from.")

# What a person reads without asking for more.
_LINES_SHOWN = 20

OptionalAccount = Annotated[
    str | None, typer.Option("--account", help="The account's id.", metavar="ID", show_default=False)
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", help="From this moment, 2026-11-21T08:00:00Z, or this day of UTC+8.", metavar="TIME"
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Before this moment, or this day of UTC+8.", metavar="TIME")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Of this model only.", metavar="MODEL")]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="Of this API key only, by its id.", metavar="KEY")
]
ByOption = Annotated[
    Literal["model", "key", "day", "hour"] | None,
    typer.Option("--by", help="Sums by model, key, day or hour instead of lines."),
]
CsvOption = Annotated[
    bool, typer.Option("--csv", help="Print CSV for a spreadsheet, UTF-8 with a byte order mark.")
]
LanguageOption = Annotated[
    Literal["zh", "en"], typer.Option("--lang", help="Language of the CSV's column names.")
]
FailedOption = Annotated[bool, typer.Option("--failed", help="Only requests that failed.")]
CodeOption = Annotated[
    str | None, typer.Option("--code", help="Only requests that failed with this code.", metavar="CODE")
]
ReferenceArgument = Annotated[
    str,
    typer.Argument(help="The platform's id of the request (x-log-id), or the caller's own.", metavar="ID"),
]


@cli.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    account: OptionalAccount = None,
    limit: LimitOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    key: KeyOption = None,
    by: ByOption = None,
    csv: CsvOption = False,
    lang: LanguageOption = "zh",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show an account's totals, its balance, and its requests, newest first."""
    if context.invoked_subcommand is not None:
        return 0
    from openbigmodel.billing.statement import Filter
    from openbigmodel.cli.statement_source import open_statement

    _check_form(csv=csv, as_json=as_json)
    if csv and by is not None:
        raise typer.BadParameter("--csv has a line for each request; for sums see bills --details.")
    with open_statement(Site(data, config, as_json), _account(account), since, until) as statement:
        only = Filter(model, key)
        if by is not None:
            statement.print_groups(by, only)
        elif csv:
            statement.print_csv(only, limit, lang, refunds=True)
        elif as_json:
            statement.print_json(only, limit)
        else:
            statement.show(only, limit or _LINES_SHOWN)
    return 0


@cli.command("log")
def log(
    account: OptionalAccount = None,
    limit: LimitOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    key: KeyOption = None,
    code: CodeOption = None,
    failed: FailedOption = False,
    csv: CsvOption = False,
    lang: LanguageOption = "zh",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List an account's requests, newest first: by model, key, time, or those that failed."""
    from openbigmodel.billing.statement import Filter
    from openbigmodel.cli.statement_source import open_statement

    _check_form(csv=csv, as_json=as_json)
    with open_statement(Site(data, config, as_json), _account(account), since, until) as statement:
        only = Filter(model, key, code, failed)
        if csv:
            statement.print_csv(only, limit, lang)
        elif as_json:
            statement.print_log(only, limit)
        else:
            statement.show_log(only, limit or _LINES_SHOWN)
    return 0


@cli.command("explain")
def explain(
    reference: ReferenceArgument,
    account: OptionalAccount = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Explain a charge: tokens, price version, packs, rounding, postings."""
    from openbigmodel.cli.statement_source import explain_charge

    explain_charge(Site(data, config, as_json), reference, account)
    return 0


def _account(account: str | None) -> str:
    if account is None:
        raise typer.BadParameter("Name the account: --account ID.")
    return account


def _check_form(*, csv: bool, as_json: bool) -> None:
    if csv and as_json:
        raise typer.BadParameter("Choose --csv or --json.")
