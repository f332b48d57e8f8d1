"""`bigmodel config`."""

import typer

cli = typer.Typer(help="Check a settings file.")


@cli.command("check")
def check() -> int:
    return 0


@cli.command("reference")
def reference() -> int:
    return 0
