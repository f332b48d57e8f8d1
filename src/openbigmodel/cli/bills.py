"""`bigmodel bills`: the bill of each month of an account, by days and months of UTC+8."""

import time
from typing import Annotated, Literal

import typer

from openbigmodel.cli.admin import AccountOption, JsonOption, Site
from openbigmodel.cli.server import ConfigOption, DataOption

MonthOption = Annotated[
    str | None,
    typer.Option(
        "--month", help="One month like 2026-11, with what it consists of. Default: all, newest first."
    ),
]
CsvOption = Annotated[
    bool, typer.Option("--csv", help="Print CSV for a spreadsheet, UTF-8 with a byte order mark.")
]
DetailsOption = Annotated[
    bool, typer.Option("--details", help="CSV of the month by day, model and key instead of its one line.")
]
LanguageOption = Annotated[
    Literal["zh", "en"], typer.Option("--lang", help="Language of the CSV's column names.")
]


def bills(
    account: AccountOption,
    month: MonthOption = None,
    csv: CsvOption = False,
    details: DetailsOption = False,
    lang: LanguageOption = "zh",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what an account's months cost: consumption, discounts, refunds, and what is payable, in yuan to the fen."""
    from openbigmodel.cli import bill_source

    if csv and as_json:
        raise typer.BadParameter("Choose --csv or --json.")
    if details and not (csv and month):
        raise typer.BadParameter("--details is for --csv and --month.")
    site = Site(data, config, as_json)
    now_ms = time.time_ns() // 1_000_000
    if month is None:
        bill_source.print_bills(site, account, now_ms, lang if csv else None)
    elif details:
        bill_source.print_details(site, account, month, now_ms, lang)
    else:
        bill_source.print_bill(site, account, month, now_ms, lang if csv else None)
    return 0
