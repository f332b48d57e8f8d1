"""The command `bigmodel`: its subcommands, and what becomes of an error.

A person sees one sentence and an exit status: 1 if the work failed, 2 if the command or the settings are
wrong, 3 if the work was done and its result could not be written, or it may have been done, 130 after Ctrl-C.
`--debug` shows the traceback as well. An admin command with `--json` says the sentence in a JSON object on stdout, if
that can be written, and has status 1 instead of 2.
"""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from openbigmodel import __version__
from openbigmodel.admin.protocol import IN_DOUBT, AdminError
from openbigmodel.cli import (
    accounts,
    backup,
    bills,
    config,
    conformance,
    credit,
    doctor,
    keys,
    packs,
    prices,
    server,
    tables,
    usage,
    verify,
)
from openbigmodel.cli.admin import wants_json
from openbigmodel.cli.mistakes import in_our_words
from openbigmodel.settings import SettingsError

EXIT_FAILED = 1
EXIT_MISUSED = 2
# What was asked for may be done: whoever asks again without looking may have it twice.
EXIT_LOOK_FIRST = 3
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

cli = typer.Typer(name="bigmodel", add_completion=False, pretty_exceptions_enable=False)
cli.command("serve")(server.serve)
cli.command("doctor")(doctor.doctor)
cli.add_typer(config.cli, name="config")
cli.add_typer(accounts.cli, name="accounts")
cli.add_typer(keys.cli, name="keys")
cli.add_typer(credit.cli, name="credit")
cli.add_typer(packs.cli, name="packs")
cli.add_typer(prices.cli, name="prices")
cli.add_typer(usage.cli, name="usage")
cli.command("bills")(bills.bills)
cli.command("verify")(verify.verify)
cli.command("conformance")(conformance.conformance)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@cli.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """The BigModel (GLM) open platform on your own machine."""


@cli.command()
def version() -> None:
    """Print the version."""
    print(f"bigmodel {__version__}")


def run(arguments: Sequence[str]) -> int:
    """Run a command line; the exit status."""
    try:
        status = cli(list(arguments) or ["--help"], prog_name="bigmodel", standalone_mode=False)
        with tables.written():
            pass
        return _interrupted(arguments) if status == EXIT_INTERRUPTED else int(status or 0)
    except tables.ResultUnwritten as error:
        # Not as JSON: nothing more can be written there, or a part of the result is there already.
        return _complain(error, arguments, EXIT_LOOK_FIRST if error.carried_out else EXIT_FAILED)
    except (typer.TyperException, SettingsError) as error:
        return _fail(error, arguments, EXIT_MISUSED)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted(arguments)
    except UnicodeEncodeError:
        return _fail(ValueError("What is given must be text in UTF-8."), arguments, EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read it has what they wanted, as `head` does.
        return EXIT_FAILED
    except AdminError as error:
        return _fail(error, arguments, EXIT_LOOK_FIRST if error.code in IN_DOUBT else EXIT_FAILED)
    except OSError as error:
        return _fail(error, arguments, EXIT_FAILED)
    except Exception as error:  # noqa: BLE001 - the process's edge: a bug must not meet a person as a page of code
        return _fail(error, arguments, EXIT_FAILED, "internal error, please report it (--debug shows more): ")


def _interrupted(arguments: Sequence[str]) -> int:
    if wants_json(list(arguments)):
        _say_as_json("interrupted")
    return EXIT_INTERRUPTED


def _fail(error: Exception, arguments: Sequence[str], status: int, introduction: str = "") -> int:
    text = in_our_words(error.format_message()) if isinstance(error, typer.TyperException) else str(error)
    text = introduction + (text or type(error).__name__)
    if not wants_json(list(arguments)):
        return _complain(error, arguments, status, text)
    status = EXIT_FAILED if status == EXIT_MISUSED else status
    if _say_as_json(text):
        _show_traceback(error, arguments)
        return status
    return _complain(error, arguments, status, text)


def _complain(error: Exception, arguments: Sequence[str], status: int, text: str = "") -> int:
    _show_traceback(error, arguments)
    tables.show_note(text or str(error))
    return status


def _show_traceback(error: Exception, arguments: Sequence[str]) -> None:
    if "--debug" in arguments:
        with contextlib.suppress(OSError):
            traceback.print_exception(error)


def _say_as_json(text: str) -> bool:
    """Whether stdout took it."""
    try:
        with tables.written():
            tables.show_error_as_json(text)
    except (tables.ResultUnwritten, BrokenPipeError):
        return False
    return True


def open_missing_streams() -> None:
    """Have all three standard streams, and able to write any text.

    A service manager or a shell may start us without some of them; the next socket would then get a number below
    three, which the event loop takes for a mistake and aborts.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  open until the end
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Run the process's own command line and leave."""
    open_missing_streams()
    sys.exit(run(sys.argv[1:]))
