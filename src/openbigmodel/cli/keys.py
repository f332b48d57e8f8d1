"""`bigmodel keys`: the API keys of accounts. A secret is shown once, when its key is made."""

import re
from typing import Annotated, Any, Literal

import typer

from openbigmodel.cli.admin import AccountOption, JsonOption, Site, carry_out, names_of, show_ends
from openbigmodel.cli.server import ConfigOption, DataOption
from openbigmodel.cli.tables import moment, show_facts, show_table

cli = typer.Typer(help="Make API keys, restrict them, take them out of use.")

_SPAN = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def key_id(text: str) -> str:
    """The id alone: people paste whole keys, and a secret has no business in what follows."""
    return text.partition(".")[0]


def seconds(text: str) -> int:
    """`90s`, `5m`, `24h`, `7d` or `0` in seconds."""
    match = _SPAN.fullmatch(str(text))
    if match is None and str(text) != "0":
        raise typer.BadParameter("it must be written like 90s, 5m, 24h or 7d")
    return 0 if match is None else int(match[1]) * _SECONDS[match[2]]


KeyArgument = Annotated[
    str,
    typer.Argument(help="The key's id; of a whole key only that is used.", metavar="KEY", parser=key_id),
]
ModelsOption = Annotated[
    str | None, typer.Option("--models", help="Model ids that it may ask for.", metavar="A,B")
]
EndpointsOption = Annotated[
    str | None,
    typer.Option("--endpoints", help="Endpoints that it may use, such as chat,models.", metavar="A,B"),
]
NetworksOption = Annotated[
    str | None,
    typer.Option(
        "--networks", help="Where it may be used from, such as 10.0.0.0/8,192.0.2.7.", metavar="A,B"
    ),
]


@cli.command("create")
def create(
    account: AccountOption,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.", metavar="NAME")] = None,
    kind: Annotated[
        Literal["standard", "coding"] | None,
        typer.Option("--kind", help="standard, or coding for a Coding Plan. Default: standard."),
    ] = None,
    models: ModelsOption = None,
    endpoints: EndpointsOption = None,
    networks: NetworksOption = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            help="When it ends: 2027-01-31T16:00:00Z, or 2027-01-31 for the end of that day in UTC+8. Default: never.",
            metavar="TIME",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make an API key and print it: the only time that its secret is shown."""
    arguments = {
        "account": account,
        "name": name,
        "kind": kind,
        "models": names_of(models),
        "endpoints": names_of(endpoints),
        "networks": names_of(networks),
        "expires": expires,
    }

    def show(answer: dict[str, Any]) -> None:
        _show_secret(answer)
        show_ends(answer, expires=expires)

    return carry_out(Site(data, config, as_json), "keys.create", arguments, show)


@cli.command("list")
def list_(
    account: Annotated[
        str | None, typer.Option("--account", help="Of one account only.", metavar="ID")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List keys, oldest first, without their secrets."""
    return carry_out(Site(data, config, as_json), "keys.list", {"account": account}, _show_keys)


@cli.command("rename")
def rename(
    key: KeyArgument,
    name: Annotated[str, typer.Argument(help="What people shall call it.", metavar="NAME")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Give a key another name."""
    return carry_out(Site(data, config, as_json), "keys.rename", {"key": key, "name": name}, _show_key)


@cli.command("disable")
def disable(
    key: KeyArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Take a key out of use, for good. Its next request is refused."""
    return carry_out(Site(data, config, as_json), "keys.disable", {"key": key}, _show_key)


@cli.command("rotate")
def rotate(
    key: KeyArgument,
    overlap: Annotated[
        int,
        typer.Option(
            "--overlap",
            help="How long the old key still works, like 90s, 5m, 24h or 7d. Default: 0.",
            metavar="SPAN",
            parser=seconds,
            show_default=False,
        ),
    ] = 0,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make a new key that may do what this one may, and print it; this one ends after the overlap."""
    arguments = {"key": key, "overlap_s": overlap}
    return carry_out(Site(data, config, as_json), "keys.rotate", arguments, _show_secret)


@cli.command("restrict")
def restrict(
    key: KeyArgument,
    models: ModelsOption = None,
    endpoints: EndpointsOption = None,
    networks: NetworksOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say all that a key may be used for. What is not given stays; an empty list lifts a restriction."""
    arguments = {
        "key": key,
        "models": names_of(models),
        "endpoints": names_of(endpoints),
        "networks": names_of(networks),
    }
    return carry_out(Site(data, config, as_json), "keys.restrict", arguments, _show_key)


@cli.command("expire")
def expire(
    key: KeyArgument,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            help="When it ends: 2027-01-31T16:00:00Z, or 2027-01-31 for the end of that day in UTC+8, or never.",
            metavar="TIME",
        ),
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Have a key end at another time."""
    arguments = {"key": key, "at": None if at == "never" else at}
    return carry_out(Site(data, config, as_json), "keys.expire", arguments, _show_key)


@cli.command("reveal")
def reveal(
    key: KeyArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Print the key that the platform made in place of a leaked one: the only time that its secret is shown."""
    return carry_out(Site(data, config, as_json), "keys.reveal", {"key": key}, _show_secret)


def _show_secret(answer: dict[str, Any]) -> None:
    print(f"API key: {answer['key']}")
    if replaced := answer.get("replaces"):
        print(f"{replaced['id']} ends {moment(replaced['expires'])} UTC")


def _show_key(answer: dict[str, Any]) -> None:
    show_facts((name, value) for name, value in answer.items() if name not in ("told", "masked"))


def _state(key: dict[str, Any]) -> str:
    return "leaked" if key["state"] == "active" and key["leaked"] else str(key["state"])


def _show_keys(answer: dict[str, Any]) -> None:
    show_table(
        ["key", "name", "kind", "state", "created", "last used", "expires", "account", "restricted to"],
        (
            [
                key["masked"],
                key["name"],
                key["kind"],
                _state(key),
                moment(key["created"]),
                moment(key["last_used"]),
                moment(key["expires"]),
                key["account"],
                [*(key["models"] or ()), *(key["endpoints"] or ()), *(key["networks"] or ())],
            ]
            for key in answer["keys"]
        ),
    )
