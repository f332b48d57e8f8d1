"""What a database file must still say after a crash: all that was acknowledged, nothing twice, and `verify` clean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from openbigmodel.billing.audit import verify, verify_open
from tests.cash_desk import Desk
from tests.faults.workload import ACCOUNTS, Receipt

_USAGE = "SELECT log_id, charge, pack_tokens, pack_calls FROM usage"
_MEMOS = "SELECT memo, book FROM ledger WHERE memo <> ''"
_BILLED = "SELECT usage_id, sum(amount) FROM ledger WHERE kind = 'post' GROUP BY 1 HAVING count(*) > 1"
_BALANCES = (
    "SELECT b.account_id, b.name, sum(CASE WHEN l.credit = l.book THEN l.amount ELSE -l.amount END) "
    "FROM ledger AS l JOIN books AS b ON b.id = l.book GROUP BY l.book"
)
_SCHEMA_OF_LEDGER = 4


class Survivors:
    """What was found in a file. `problems` is what verify says, and what is there twice."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self.charges: dict[str, Receipt] = {}
        self.memos: set[str] = set()
        try:
            self._open(path, apsw.SQLITE_OPEN_READONLY)
        except apsw.ReadOnlyError:
            # In the first moment of its life: `verify` does the same.
            assert verify(path).ok
            self._open(path, apsw.SQLITE_OPEN_READWRITE)

    def _open(self, path: Path, flags: int) -> None:
        connection = apsw.Connection(str(path), flags=flags)
        try:
            self.problems += verify_open(connection).problems
            version = connection.pragma("user_version")
            if isinstance(version, int) and version >= _SCHEMA_OF_LEDGER:
                self._read(connection)
        finally:
            connection.close()

    def _read(self, connection: apsw.Connection) -> None:
        for row in connection.execute(_USAGE):
            receipt = Receipt(*row)
            if receipt.log_id in self.charges:
                self.problems.append(f"{receipt.log_id} is there twice")
            self.charges[receipt.log_id] = receipt
        memos: list[tuple[Any, ...]] = connection.execute(_MEMOS).fetchall()
        if len(set(memos)) < len(memos):
            self.problems.append("an action is there twice")
        self.memos = {memo for memo, _ in memos}
        for usage_id, amount in connection.execute(_BILLED):
            self.problems.append(f"usage row {usage_id} is billed more than once, {amount} in all")

    def lost(self, receipts: Sequence[Receipt], memos: Sequence[str]) -> list[str]:
        """What of the acknowledged is not there, or not as it was."""
        sentences = [
            f"{receipt} was acknowledged; there is {self.charges.get(receipt.log_id)}"
            for receipt in receipts
            if self.charges.get(receipt.log_id) != receipt
        ]
        sentences += [f"{memo} was acknowledged and is not there" for memo in memos if memo not in self.memos]
        return sentences


def memory_problems(desk: Desk) -> list[str]:
    """Where the cashier, with nothing under way, does not say what the postings add up to."""
    problems = desk.cashier.audit()
    packs = {pack.id: pack.left for account_id in ACCOUNTS for pack in desk.cashier.packs(account_id)}
    for account_id, name, amount in desk.database.read(_BALANCES):
        if name == "cash":
            there = sum(desk.cashier.balance(account_id))
        else:
            there = packs.get(name.removeprefix("pack:"), 0)
        if there != amount:
            problems.append(f"{name} of {account_id} has {amount} on disk, {there} in memory")
    return problems
