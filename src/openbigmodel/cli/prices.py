"""`bigmodel prices`: what models cost, in yuan per million tokens."""

from typing import Annotated, Any

import msgspec
import typer

from openbigmodel.cli.admin import JsonOption, Site, carry_out
from openbigmodel.cli.server import ConfigOption, DataOption
from openbigmodel.cli.tables import moment, show_table

cli = typer.Typer(help="See and set what models cost. A change never touches what was charged before.")

ModelArgument = Annotated[str, typer.Argument(help="The model's id.", metavar="MODEL")]


def _amount(name: str, text: str, *, hidden: bool = False) -> Any:
    return typer.Option(f"--{name}", help=text, metavar="YUAN", hidden=hidden)


@cli.command("list")
def list_(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """List the price of every model that has one. A stopped server's settings file counts if it is named."""
    return carry_out(Site(data, config, as_json), "prices.list", {}, _show_all)


@cli.command("set")
def set_(
    model: ModelArgument,
    input_: Annotated[str | None, _amount("input", "Per million prompt tokens.")] = None,
    output: Annotated[str | None, _amount("output", "Per million completion tokens.")] = None,
    cached: Annotated[
        str | None, _amount("cached", "Per million prompt tokens from the cache. Default: as --input.")
    ] = None,
    per_call: Annotated[str | None, _amount("per-call", "For each request besides.")] = None,
    # Whoever sets one of these two is told why it cannot be set.
    per_image: Annotated[str | None, _amount("per-image", "For each image made.", hidden=True)] = None,
    batch_percent: Annotated[
        int | None,
        typer.Option("--batch-percent", help="What is charged of it in a batch.", metavar="N", hidden=True),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            "--bands",
            help='Prices by length instead, as JSON: [{"input": 1, "output": 2}, {"input_from": 32000, …}].',
            metavar="JSON",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Set a model's price from now on. A price in the settings file wins over it."""
    price: dict[str, Any] = {
        "input": input_,
        "output": output,
        "cached": cached,
        "per_call": per_call,
        "per_image": per_image,
        "batch_percent": batch_percent,
        "bands": None if bands is None else _json(bands),
    }
    given = {name: value for name, value in price.items() if value is not None}
    arguments = {"model": model, "price": given}
    return carry_out(Site(data, config, as_json), "prices.set", arguments, _show_set)


@cli.command("clear")
def clear(
    model: ModelArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Take back the price that was set, so that the catalogue's holds again, or none."""
    return carry_out(
        Site(data, config, as_json), "prices.clear", {"model": model}, lambda answer: _show([answer])
    )


@cli.command("history")
def history(
    model: ModelArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List every version of a model's price, newest first, and say which of them is in force."""
    return carry_out(
        Site(data, config, as_json),
        "prices.history",
        {"model": model},
        lambda answer: _show(answer["versions"]),
    )


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"--bands is not JSON: {error}") from error


def _show_all(answer: dict[str, Any]) -> None:
    # The catalogue has prices, so it is without one that this is empty.
    _show(answer["prices"], none="Nothing has a price: in try-out mode only those count that are set here.")


def _show_set(answer: dict[str, Any]) -> None:
    _show([answer])
    if answer["in_force"] is False:
        print("This is the settings file's price, which wins; what you set is kept and holds without it.")


def _show(entries: list[dict[str, Any]], *, none: str = "Nothing here yet.") -> None:
    # Of a history, which of them holds.
    force = any("in_force" in entry for entry in entries) and len(entries) > 1
    show_table(
        ["model", "yuan per million tokens", "from", "version>", "since (UTC)", *([""] if force else [])],
        (
            [
                entry["model"],
                _in_words(entry["price"]),
                entry.get("source"),
                entry.get("version"),
                moment(entry.get("since")),
                *(["in force" if entry["in_force"] else ""] if force else []),
            ]
            for entry in entries
        ),
        none=none,
    )


def _in_words(price: dict[str, Any] | None) -> str:
    if price is None:
        return "none"
    bands = price.get("bands", [price])
    rest = [f"{name.replace('_', ' ')} {price[name]}" for name in ("per_call", "per_image") if name in price]
    return "\n".join([*filter(None, map(_band, bands)), *rest]) or "free"


def _band(band: dict[str, Any]) -> str:
    start = [
        f"{name.replace('_', ' ')} {band[name]:,}: " for name in ("input_from", "output_from") if name in band
    ]
    amounts = [f"{name} {band[name]}" for name in ("input", "output", "cached") if name in band]
    return "".join(start) + ", ".join(amounts)
