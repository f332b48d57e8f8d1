"""Every admin command by its name: what it takes, and who carries it out.

Rule: a command takes a struct of plain values and returns the JSON object that the operator is shown. It does not
know whether it was asked over the socket of a running server or by the command line on a stopped folder.

To add a command to a running server:

1. write a struct of its arguments (below `Arguments`; text for times and money, as people write them) and an async
   method that takes it and returns a dict, in the file of its noun (`accounts.py`, `keys.py`, …). What cannot be
   done is an `AdminError(code, sentence)`, or a ValueError whose text is for people;
2. name it in that class's `commands()`: `Command("keys.rename", RenameKey, self.rename)`;
3. give it a subcommand in `cli/`; how is told in `cli/admin.py`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.auth.accounts import NotFound
from openbigmodel.db.connection import DatabaseError, DatabaseFailed
from openbigmodel.errors import ApiError


class Arguments(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a command takes."""


@dataclass(frozen=True, slots=True)
class Command:
    """`run` takes a struct of the type `arguments`. `reads` says that it changes nothing."""

    name: str
    arguments: type[Arguments]
    run: Callable[[Any], Awaitable[Answer]]
    reads: bool = False


class AdminService:
    """Carries out commands by name."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._commands = {command.name: command for command in commands}

    @property
    def commands(self) -> Mapping[str, Command]:
        """All of them."""
        return self._commands

    async def perform(self, name: str, arguments: Mapping[str, object]) -> Answer:
        """Carry out a command; what it changes is on disk when this returns. Raises AdminError."""
        command = self._commands.get(name)
        if command is None:
            raise AdminError(
                "unknown_command", f"The server does not know the command {name}: it is of another release."
            )
        try:
            wanted = msgspec.convert(arguments, command.arguments)
        except msgspec.ValidationError as error:
            raise AdminError("bad_arguments", f"{name}: {error}.") from error
        try:
            return await command.run(wanted)
        except ApiError as error:
            raise AdminError(error.code, error.message("en")) from error
        except DatabaseFailed as error:
            # What was being written may be on disk; a command that only reads leaves no doubt.
            if command.reads:
                raise AdminError("database", str(error)) from error
            doubt = "It may have been carried out: look before you ask again."
            raise AdminError("in_doubt", f"{error}. {doubt}") from error
        except DatabaseError as error:
            raise AdminError("database", str(error)) from error
        except NotFound as error:
            raise AdminError("not_found", _sentence(error)) from error
        except ValueError as error:
            raise AdminError("bad_value", _sentence(error)) from error


def _sentence(error: Exception) -> str:
    """What the parts below say without capital and full stop."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
