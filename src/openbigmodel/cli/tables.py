"""How admin commands show things: the one JSON object of `--json`, and tables for people.

Rule: with `--json` nothing else is ever on stdout, whether the command did its work or not. What people see may
leave things out; the object never does.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

_WIDTH_MAX = 10_000


class ResultUnwritten(Exception):  # noqa: N818  it names the state
    """A command has its result, and stdout would not take it. `carried_out`: it changed something."""

    def __init__(self, reason: OSError, *, carried_out: bool, subject: str = "") -> None:
        why = f"result could not be written: {reason.strerror or reason}."
        about = f" ({subject})" if subject else ""
        done = f"This was carried out{about}, but its {why} Look before you ask again."
        super().__init__(done if carried_out else f"The {why}")
        self.carried_out = carried_out


@contextlib.contextmanager
def written(*, carried_out: bool = False, subject: str = "") -> Iterator[None]:
    """What is printed within it is written when it ends. Raises ResultUnwritten; for a reader who went away and missed
    nothing that counts, BrokenPipeError.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        abandon_stdout()
        if isinstance(error, BrokenPipeError) and not carried_out:
            raise
        raise ResultUnwritten(error, carried_out=carried_out, subject=subject) from error


def abandon_stdout() -> None:
    """Write no more: else the process would stumble over what is left when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_note(text: str) -> None:
    """A line on stderr: what a person should hear besides the result. Lost if nobody can hear it."""
    with contextlib.suppress(OSError):
        print(f"bigmodel: {text}", file=sys.stderr, flush=True)


def show_json(answer: Mapping[str, Any]) -> None:
    """The object, on one line."""
    print(msgspec.json.encode(answer).decode())


def show_error_as_json(message: str) -> None:
    """What stands in the object's place when there is none."""
    show_json({"error": message})


def show_table(
    head: Iterable[str], rows: Iterable[Iterable[object]], *, none: str = "Nothing here yet."
) -> None:
    """A table, one line for each row. A column's name that ends in `>` is aligned right; `none`: said without rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        # Ids, keys and amounts are copied from here: they may be wide, but never broken or cut.
        right = name.endswith(">")
        table.add_column(name.removesuffix(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if table.row_count:
        _print(table)
    else:
        print(none)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A name and a value on each line; those without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        text = cell(value)
        if text:
            table.add_row(Text(name, "dim"), Text(text))
    _print(table)


def cell(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def moment(text: str | None) -> str:
    """A moment of an answer, to the second."""
    return "" if text is None else f"{text[:10]} {text[11:19]}"


def _print(table: Any) -> None:
    from rich.console import Console

    # As wide as its contents: a narrow terminal may break lines, but nothing is lost.
    console = Console(width=_WIDTH_MAX)
    # Written by us: rich would end the process over a reader who went away.
    with console.capture() as capture:
        console.print(table)
    sys.stdout.write(capture.get())
