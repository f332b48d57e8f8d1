"""What the cashier's tests do not reach; those are in test_cashier.py and test_cashier_faults.py."""

import apsw
import pytest

from openbigmodel.billing.entries import Entry, Expiry, pack_book, pack_of_row
from openbigmodel.billing.ledger import Ledger
from openbigmodel.billing.packs import Pack
from openbigmodel.billing.store import Books
from openbigmodel.db.migrations import migrate


def test_a_pack_is_what_its_row_says() -> None:
    row = ("p", "a", "tokens", '["glm-4.6"]', 1, 5, 9)
    assert pack_of_row(row, 3) == Pack("p", "a", "tokens", frozenset({"glm-4.6"}), True, 5, 9, 3)
    everything = ("p", "a", "calls", None, 0, 5, 9)
    assert pack_of_row(everything, 1) == Pack("p", "a", "calls", None, False, 5, 9, 1)
    assert pack_book("p") == "pack:p"


def test_who_waits_is_told_once() -> None:
    told: list[BaseException | None] = []
    entry = Entry(Books(), "log", told.append)
    failure = OSError()
    entry.tell(failure)
    entry.tell(None)
    assert told == [failure]


def test_an_entry_must_say_what_it_writes() -> None:
    with pytest.raises(NotImplementedError):
        Entry(Books(), "log", lambda _error: None).write(apsw.Connection(":memory:"))


def test_an_entry_that_never_was_written_is_not_there() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    pack = Pack("p", "a", "tokens", None, False, 5, 9, 3)
    entry = Expiry(Books(), Ledger(), "log", lambda _error: None, pack, 9)
    assert not entry.is_there(connection)
    with pytest.raises(ValueError, match="no book pack:p"):
        entry.write(connection)
    assert not entry.is_there(connection)
