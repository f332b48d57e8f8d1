"""A process that is to be killed: opens a data folder, does business as fast as it can, and says what was acknowledged.

Run as a program it is the mother of such processes: each line on its standard input (folder, seed, what is planted)
has it fork one, because a new interpreter would take longer than the life it is given. On standard output:

    pid 123          a process was born
    ready            it has opened the database
    charge id 5 0 0  it was told that a request is durable, and what it cost
    memo text        the same of an operator's action
    end              it is dead
"""

import asyncio
import gc
import os
import random
import sys
from pathlib import Path

from openbigmodel.db import writer as writer_module
from openbigmodel.db.connection import Database
from tests.cash_desk import Desk, add_prices
from tests.faults.planted import reports_too_early
from tests.faults.workload import Receipt, Workload

FILE = "platform.db"
_CHECKPOINT_PAGES = 30
_STEPS = 100_000


class _Receipts(list[Receipt]):
    """Says each at once: in a single write, so that a kill never cuts a line."""

    def append(self, receipt: Receipt) -> None:
        super().append(receipt)
        _say("charge", *receipt)


class _Memos(list[str]):
    def append(self, memo: str) -> None:
        super().append(memo)
        _say("memo", memo)


def _say(*words: object) -> None:
    try:
        os.write(1, (" ".join(map(str, words)) + "\n").encode())
    except BrokenPipeError:
        # The test is gone, and would have killed this process.
        os._exit(1)


async def _work(folder: Path, seed: int) -> None:
    database = Database.open(folder / FILE)
    if not database.read("SELECT 1 FROM prices"):
        await database.write(add_prices)
    desk = Desk(database)
    _say("ready")
    await Workload(desk, random.Random(seed), _Receipts(), _Memos()).run(_STEPS)


def _live(folder: Path, seed: int, planted: str) -> None:
    writer_module.CHECKPOINT_PAGES = _CHECKPOINT_PAGES
    if planted == "early":
        writer_module.Writer._finish_batch = reports_too_early()  # type: ignore[method-assign, assignment]
    asyncio.run(_work(folder, seed))


def main() -> None:
    """Forks a process for each line until standard input ends."""
    gc.freeze()
    for line in sys.stdin:
        folder, seed, planted = line.split()
        child = os.fork()
        if not child:
            try:
                _live(Path(folder), int(seed), planted)
            finally:
                os._exit(1)
        _say("pid", child)
        os.waitpid(child, 0)
        _say("end")


if __name__ == "__main__":
    main()
