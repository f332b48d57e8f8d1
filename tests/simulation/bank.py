"""The money side of one process: the real Ledger, in front of a journal. What the platform's cashier must be like."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from openbigmodel.billing.ledger import Hold, Ledger, Pack
from openbigmodel.billing.pricing import FREE, Price
from openbigmodel.billing.usage import Usage
from tests.simulation.journal import Disk, Journal
from tests.simulation.requests import Ask, Bill, Burned, Entry
from tests.simulation.virtual_time import WallClock

Done = Callable[[BaseException | None], None]


class Earlier(NamedTuple):
    """A request id that is used up; the digest of its body and its answer, if that is kept."""

    reply: tuple[bytes, bytes] | None


class Money(Protocol):
    """The money side of one process, as the world uses it."""

    ledger: Ledger

    def hold(self, ask: Ask) -> Hold: ...
    def void(self, hold: Hold) -> None: ...
    def find(self, ask: Ask) -> Earlier | None: ...
    def settle(self, hold: Hold, ask: Ask, usage: Usage | None, reply: bytes | None, done: Done) -> None: ...
    def top_up(self, entry_id: str, account: str, nano: int, done: Done) -> None: ...
    def adjust(self, entry_id: str, account: str, nano: int, done: Done) -> None: ...
    def grant(self, pack: Pack, done: Done) -> None: ...
    def expire(self) -> None: ...
    def audit(self) -> list[str]: ...


class Bank:
    """Memory decides, the journal remembers. A crash ends both; the next one begins with what is on disk."""

    ledger_type: type[Ledger] = Ledger

    def __init__(
        self,
        journal: Journal,
        clock: WallClock,
        prices: Mapping[str, Price],
        exempt: frozenset[str],
        packs: Mapping[str, Pack],
        entry_id: Callable[[], str],
    ) -> None:
        """`packs` are all that were ever granted, as they were then."""
        self.ledger = self.ledger_type()
        self._journal = journal
        self._clock = clock
        self._prices = prices
        self._exempt = exempt
        self._packs = packs
        self._entry_id = entry_id
        self._load(journal.disk)

    def _load(self, disk: Disk) -> None:
        money, left = balances(disk)
        for account, nano in money.items():
            self.ledger.add_account(account, nano)
        for pack_id, amount in left.items():
            if amount:
                self.ledger.grant(msgspec.structs.replace(self._packs[pack_id], left=amount))

    # requests

    def hold(self, ask: Ask) -> Hold:
        """Raises ApiError 1113."""
        price = FREE if ask.account in self._exempt else self._prices[ask.model]
        return self.ledger.hold(
            ask.account, price, ask.model, ask.prompt_bound, ask.max_tokens, self._clock.now_ms()
        )

    def void(self, hold: Hold) -> None:
        self.ledger.void(hold)

    def find(self, ask: Ask) -> Earlier | None:
        """What became of an earlier request with this id that was charged or delivered."""
        bill = self._journal.disk.claims.get(ask.key())
        return None if bill is None else Earlier(bill.reply)

    def settle(self, hold: Hold, ask: Ask, usage: Usage | None, reply: bytes | None, done: Done) -> None:
        """Charge what was used and write it down; None: nothing was, and nothing is charged."""
        if usage is None:
            self.ledger.void(hold)
            nano = 0
            burns: tuple[Burned, ...] = ()
        else:
            charge = self.ledger.post(hold, usage, self._clock.now_ms())
            nano = charge.nano
            burns = tuple(Burned(burn.pack_id, burn.unit, burn.amount) for burn in charge.burns)
        bill = Bill(
            log_id=ask.log_id,
            request_id=ask.request_id or ask.log_id,
            account=ask.account,
            usage=usage or Usage(),
            price_version=hold.price.version,
            nano=nano,
            burns=burns,
            made=usage is not None,
            reply=None if reply is None else (ask.digest, reply),
        )

        def told(error: BaseException | None) -> None:
            ask.unsaved = error is not None
            done(error)

        self._write(hold, bill, posted=usage is not None, done=told)

    def _write(self, hold: Hold, bill: Bill, *, posted: bool, done: Done) -> None:
        def told(error: BaseException | None) -> None:
            if error is not None and self._is_on_disk(bill.log_id):
                error = None
            if error is not None and posted:
                self.ledger.take_back(hold)
            done(error)

        self._journal.put(bill, told)

    def _is_on_disk(self, log_id: str) -> bool:
        return log_id in self._journal.disk.bills

    # everything else

    def top_up(self, entry_id: str, account: str, nano: int, done: Done) -> None:
        """On disk first: money that is not there must not be spent."""
        entry = Entry("topup", entry_id, account, nano)

        def told(error: BaseException | None) -> None:
            error = self._certain(error, entry)
            if error is None:
                self.ledger.credit(account, nano)
            done(error)

        self._journal.put(entry, told)

    def adjust(self, entry_id: str, account: str, nano: int, done: Done) -> None:
        """In memory first: money that is to go must not be spent. Raises ValueError if it is not there."""
        entry = Entry("adjust", entry_id, account, -nano)
        self.ledger.debit(account, nano)

        def told(error: BaseException | None) -> None:
            error = self._certain(error, entry)
            if error is not None:
                self.ledger.credit(account, nano)
            done(error)

        self._journal.put(entry, told)

    def grant(self, pack: Pack, done: Done) -> None:
        """On disk first."""
        entry = Entry("pack_grant", pack.id, pack.account_id, pack.left, pack.id)

        def told(error: BaseException | None) -> None:
            error = self._certain(error, entry)
            if error is None:
                self.ledger.grant(pack)
            done(error)

        self._journal.put(entry, told)

    def expire(self) -> None:
        """Write off packs that have ended."""
        for pack in self.ledger.expire_packs(self._clock.now_ms()):
            self._write_off(pack)

    def _write_off(self, pack: Pack) -> None:
        entry = Entry("pack_expire", self._entry_id(), pack.account_id, -pack.left, pack.id)

        def told(error: BaseException | None) -> None:
            if self._certain(error, entry) is not None:
                self.ledger.put_back(pack, pack.left)

        self._journal.put(entry, told)

    def audit(self) -> list[str]:
        """What does not hold."""
        return self.ledger.audit()

    def _certain(self, error: BaseException | None, entry: Entry) -> BaseException | None:
        """An error at the commit says nothing: the disk does."""
        return None if error is None or entry in self._journal.disk.entries else error


def balances(disk: Disk) -> tuple[dict[str, int], dict[str, int]]:
    """Nano-yuan by account, and what is left by pack: all that is on disk, added up."""
    money: dict[str, int] = {}
    left: dict[str, int] = {}
    for entry in disk.entries:
        book, name = (left, entry.pack_id) if entry.pack_id else (money, entry.account)
        book[name] = book.get(name, 0) + entry.amount
    for bill in disk.bills.values():
        if bill.nano:
            money[bill.account] = money.get(bill.account, 0) - bill.nano
        for burned in bill.burns:
            left[burned.pack_id] = left.get(burned.pack_id, 0) - burned.amount
    return money, left
