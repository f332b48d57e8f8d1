"""References: what an operator calls a posting, so that asking for it twice does it once.

Rule: a reference belongs to one account and is written in the unit of its posting, so one is never on disk without the
other. Of two that are asked for at once, the second finds the first on disk and writes nothing.
"""

import apsw
import msgspec

from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

_INSERT = QUERIES["insert_reference"]
_FIND = QUERIES["find_reference"]


class ReferenceTaken(Exception):  # noqa: N818  it names the state
    """Something was done under this reference before; nothing was written now."""


class Reference(msgspec.Struct, frozen=True):
    """`content` says all that was asked for, as JSON."""

    account_id: str
    text: str
    content: str

    def write(self, connection: apsw.Connection, posting: int) -> None:
        """Beside its posting. Raises ReferenceTaken."""
        try:
            connection.execute(_INSERT, (self.account_id, self.text, self.content, posting))
        except apsw.ConstraintError as error:
            raise ReferenceTaken(self.text) from error


class Referred(msgspec.Struct, frozen=True):
    """What was done under a reference: the number of the posting, when, and the name of the book that it changed."""

    content: str
    posting: int
    at_ms: int
    book: str


def find_reference(database: Database, account_id: str, text: str) -> Referred | None:
    """None if nothing was done under it. Raises DatabaseFailed, DatabaseClosed."""
    rows = database.read(_FIND, (account_id, text))
    return Referred(*rows[0]) if rows else None
