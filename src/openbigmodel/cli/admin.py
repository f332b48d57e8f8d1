"""What the admin commands share: where they find the platform, and what becomes of an answer or a failure.

To add one, write a function in the file of its noun that names its own options, then `data`, `config` and `as_json`
as below, and hands the work on:

    @cli.command("disable")
    def disable(
        key: Annotated[str, typer.Argument(help="The key's id, the part before the dot.", metavar="KEY")],
        data: DataOption = None,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> int:
        \"""Take a key out of use, for good.\"""
        return carry_out(Site(data, config, as_json), "keys.disable", {"key": key}, show=...)

`carry_out` asks the server, or does the work on the stopped folder (`admin/service.py` tells how a command is added
there). `answer_with` is for what is done right here, such as reading the database or writing a backup. Both print the
answer, as JSON or with `show`, and return the exit status. What an answer warns of is its member `warning`, or a line
on stderr. Every noun must be named in `ADMIN_COMMANDS`, so that
`--json` holds for mistakes on the command line as well; and in `cli/main.py`. An option that was not given is None
and is not sent. A command that changes nothing ends in `list`, `show` or `history`: after every other one a result that
cannot be written has an exit status of its own, because the work is done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from openbigmodel.cli import tables
from openbigmodel.settings import Settings, load_settings

ADMIN_COMMANDS = frozenset(
    ("accounts", "backup", "bills", "credit", "keys", "packs", "prices", "restore", "usage", "verify")
)

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object; after a failure it has `error`, and the exit status is 1."
    ),
]
AccountOption = Annotated[str, typer.Option("--account", help="The account's id.", metavar="ID")]
EndOption = Annotated[
    str,
    typer.Option(
        "--to",
        help="When it ends: 2027-01-31T16:00:00Z, or 2027-01-31 for the end of that day in UTC+8.",
        metavar="TIME",
    ),
]
BeginOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="When it begins: 2027-01-01T00:00:00Z, or 2027-01-01 for its midnight in UTC+8. Default: now.",
        metavar="TIME",
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", help="At most so many, the newest. Default: all.", metavar="N", min=1)
]

# What commands are called that change nothing; `reads` in `admin/service.py` says the same.
READING = frozenset(("list", "show", "history"))

Answer = Mapping[str, Any]
Show = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Site:
    """Where the platform is, and whether the answer is for a program."""

    data: Path | None
    config: Path | None
    as_json: bool

    def settings(self) -> Settings:
        """As `serve` would have them, but for secrets that only its environment has. Raises SettingsError."""
        return load_settings(self.config, flags={"data": self.data}, need_secrets=False)

    def folder(self) -> Path:
        """The data folder, which may be missing. Raises SettingsError."""
        return self.settings().data.expanduser().absolute()


def carry_out(
    site: Site, command: str, arguments: Mapping[str, object], show: Show, *, new_folder: bool = False
) -> int:
    """Have a command carried out by the server or on the stopped folder. Raises AdminError, SettingsError."""
    from openbigmodel.admin.reach import perform

    given = {name: value for name, value in arguments.items() if value is not None}
    answer = perform(site.settings(), command, given, new_folder=new_folder)
    if not site.as_json and "warning" in answer:
        tables.show_note(answer.pop("warning"))
    if not site.as_json and answer.get("repeated"):
        done = f"as posting {answer['posting']}, {tables.moment(answer['time'])} UTC"
        tables.show_note(f"This was done before under this reference, {done}; nothing was done again")
    changed = command.partition(".")[2] not in READING
    return answer_with(site, answer, show, changed=changed)


def answer_with(site: Site, answer: Answer, show: Show, *, changed: bool = False) -> int:
    """Print an answer. Raises ResultUnwritten, which says whether something was `changed` before."""
    subject = str(answer.get("id", ""))
    with tables.written(carried_out=changed, subject=subject):
        if site.as_json:
            tables.show_json(answer)
        else:
            show(answer)
    return 0


def show_id(answer: Answer) -> None:
    """What every command prints that makes something: its id alone, for a script."""
    print(answer["id"])


def show_ends(answer: Answer, **given: str | None) -> None:
    """Say which moment was taken where a day was given: by name of the answer's member, what was typed."""
    from openbigmodel.billing.periods import is_day

    for name, text in given.items():
        member = name.rstrip("_")
        if text is not None and is_day(text) and answer.get(member):
            verb = "begins" if member == "from" else "ends"
            tables.show_note(f"{text} {verb} {tables.moment(answer[member])} UTC, midnight in UTC+8")


def wants_json(arguments: list[str]) -> bool:
    """Whether a command line, which may be wrong in any way, is an admin command's with `--json`."""
    noun = next((word for word in arguments if not word.startswith("-")), "")
    return noun in ADMIN_COMMANDS and "--json" in arguments


def names_of(text: str | None) -> list[str] | None:
    """`a,b` as a list; None stays None, and an empty text is an empty list."""
    return None if text is None else [name for name in (part.strip() for part in text.split(",")) if name]
