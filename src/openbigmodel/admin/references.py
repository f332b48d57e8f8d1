"""What an operator may ask for twice and gets once: actions that have a reference of the operator's own.

Rule: the same reference with the same content is answered with what was done the first time; with any other content it
is an error, because one of the two is a slip. A reference lasts for ever.
"""

from collections.abc import Awaitable, Callable, Mapping

import apsw
import msgspec

from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.billing.entries import Beside
from openbigmodel.billing.periods import moment_name
from openbigmodel.billing.references import Reference, ReferenceTaken, Referred, find_reference
from openbigmodel.db.connection import Database

_CHARACTERS_MAX = 200

Act = Callable[[Beside | None], Awaitable[object]]


async def do_once(
    database: Database, account_id: str, text: str | None, content: Mapping[str, object], act: Act
) -> Referred | None:
    """Have `act` done, unless it was done under this reference before: then what that was, else None.

    `act` hands what it is given to the cashier. Raises AdminError for a reference that stands for something else.
    """
    if text is None:
        await act(None)
        return None
    # With a blank at an end it would look like another one.
    if not 0 < len(text) <= _CHARACTERS_MAX or not text.isprintable() or text != text.strip():
        raise AdminError(
            "bad_value",
            f"A reference is one line of 1 to {_CHARACTERS_MAX} characters that can be printed, without blanks at its "
            "ends.",
        )
    reference = Reference(account_id, text, msgspec.json.encode(content, order="deterministic").decode())
    found = find_reference(database, account_id, text)
    if found is None:
        try:
            await act(reference.write)
        except ReferenceTaken:
            # By one that was asked for at the same time, and is on disk by now.
            found = find_reference(database, account_id, text)
            assert found is not None, "a reference that is taken and not there"
        except (AdminError, ValueError):
            # It may be the same action, asked for at the same time, that leaves too little for this one.
            await _until_written(database)
            found = find_reference(database, account_id, text)
            if found is None:
                raise
        else:
            return None
    if found.content != reference.content:
        raise AdminError(
            "reference_used",
            f"The reference {text} stands for something else, posting {found.posting} of "
            f"{moment_name(found.at_ms)}. Nothing was done; choose another.",
        )
    return found


async def _until_written(database: Database) -> None:
    """Return when all that is on its way to the disk is there, or has failed."""
    await database.write(_nothing)


def _nothing(_: apsw.Connection) -> None:
    """The writer takes one after the other."""


def repeated(found: Referred | None) -> Answer:
    """What an answer says besides if it was done before."""
    if found is None:
        return {}
    return {"repeated": True, "posting": found.posting, "time": moment_name(found.at_ms)}
