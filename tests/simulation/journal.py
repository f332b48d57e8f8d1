"""A disk that keeps what was committed: groups of items, all of a group or nothing, and sometimes trouble."""

from collections.abc import Callable
from random import Random

from tests.simulation.faults import Faults
from tests.simulation.requests import Bill, Entry
from tests.simulation.virtual_time import Scope

Item = Bill | Entry
Done = Callable[[BaseException | None], None]

BATCH_ITEMS_MAX = 8


class CommitFailed(Exception):  # noqa: N818 - it says what happened.
    """Nobody knows whether the group is on disk."""


class ItemRefused(Exception):  # noqa: N818 - it says what happened.
    """This item breaks a constraint; the others of its group are written."""


class Disk:
    """What survives a crash."""

    def __init__(self) -> None:
        self.bills: dict[str, Bill] = {}
        self.claims: dict[tuple[str, str], Bill] = {}
        self.entries: list[Entry] = []
        self.doubled: list[str] = []

    def write(self, item: Item) -> None:
        if isinstance(item, Entry):
            self.entries.append(item)
            return
        if item.log_id in self.bills:
            self.doubled.append(item.log_id)
        self.bills[item.log_id] = item
        if item.made and item.request_id != item.log_id:
            self.claims[item.account, item.request_id] = item


class Journal:
    """The writer of one process: queues items, commits what has gathered, then tells who waits."""

    def __init__(self, disk: Disk, scope: Scope, random: Random, faults: Faults) -> None:
        self.disk = disk
        self._scope = scope
        self._random = random
        self._faults = faults
        self._waiting: list[tuple[Item, Done]] = []
        self._writing: list[tuple[Item, Done]] = []

    def put(self, item: Item, done: Done) -> None:
        """`done` is called when the item is on disk, or with what went wrong."""
        self._waiting.append((item, done))
        if not self._writing:
            self._start()

    def _start(self) -> None:
        self._writing = self._waiting[:BATCH_ITEMS_MAX]
        del self._waiting[:BATCH_ITEMS_MAX]
        self._scope.after(self._random.randrange(100, self._faults.commit_us_max), self._commit)

    def _commit(self) -> None:
        batch, self._writing = self._writing, []
        if self._faults.commit_goes_wrong(self._random):
            if self._random.random() < 0.5:
                self._write(batch)
            outcomes: list[Exception | None] = [CommitFailed() for _ in batch]
        else:
            outcomes = self._write(batch)
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            done(outcome)
        if self._waiting and not self._writing:
            self._start()

    def _write(self, batch: list[tuple[Item, Done]]) -> list[Exception | None]:
        outcomes: list[Exception | None] = []
        for item, _ in batch:
            if self._breaks_a_rule(item) or self._random.random() < self._faults.item_refused:
                outcomes.append(ItemRefused())
            else:
                self.disk.write(item)
                outcomes.append(None)
        return outcomes

    def _breaks_a_rule(self, item: Item) -> bool:
        """One claim for each request id of an account, for ever."""
        return isinstance(item, Bill) and item.made and (item.account, item.request_id) in self.disk.claims

    def crash(self) -> None:
        """What is being written may still reach the disk; what waits is gone."""
        if self._writing and self._random.random() < 0.5:
            self._write(self._writing)
        self._writing, self._waiting = [], []
