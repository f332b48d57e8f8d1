"""How admin commands show things: the one JSON object of `--json`, and tables for people.

Rule: with `--json` nothing else is ever on stdout, whether the command did its work or not. What people see may
leave things out; the object never does.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_WIDTH_MAX = 10_000


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
    Console(width=_WIDTH_MAX).print(table)
