from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.references import Reference, ReferenceTaken, find_reference
from openbigmodel.db.migrations import migrate
from tests.cash_desk import Desk, run


def test_a_posting_is_found_by_its_reference_and_only_in_its_account(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        reference = Reference("a", "invoice 17", "{}")
        assert find_reference(desk.database, "a", "invoice 17") is None
        await desk.cashier.top_up("a", 700, "", reference.write)
        found = find_reference(desk.database, "a", "invoice 17")
        assert found is not None
        assert (found.content, found.posting, found.book) == ("{}", 1, "cash")
        assert find_reference(desk.database, "b", "invoice 17") is None
        assert find_reference(desk.database, "a", "invoice 1") is None
        # Of another account it is another one.
        await desk.cashier.top_up("b", 5, "", Reference("b", "invoice 17", "{}").write)
        assert desk.cashier.balance("b") == (5, 0)

    run(tmp_path / "x.db", scenario)


def test_what_is_posted_under_a_reference_is_posted_once(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        reference = Reference("a", "r", "{}")
        await desk.cashier.top_up("a", 700, "", reference.write)
        for again in (
            desk.cashier.top_up("a", 700, "", reference.write),
            desk.cashier.give("a", 700, "", reference.write),
            desk.cashier.adjust("a", -300, "", reference.write),
            desk.cashier.grant_pack("a", "tokens", 5, from_ms=0, to_ms=2**50, beside=reference.write),
        ):
            with pytest.raises(ReferenceTaken):
                await again
        assert desk.cashier.balance("a") == (700, 0)
        assert desk.cashier.packs("a") == ()
        assert desk.postings() == [("topup", 700, 700)]

    run(tmp_path / "x.db", scenario)


def test_a_reference_is_for_ever(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "x.db"))
    migrate(connection)
    Reference("a", "r", "{}").write(connection, 1)
    for statement in ("UPDATE posting_references SET content = ''", "DELETE FROM posting_references"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            connection.execute(statement)
