"""The durable side of the ledger: who pays for a request, and what is on disk before anybody hears of it.

Rule: memory decides, at once and never with more than there is; disk is what counts. Money that comes in is in memory
when it is durable, money that goes out is taken from memory first. So what is on disk always suffices for what memory
allows, and a crash loses holds, never a charge that somebody was told of.

When a commit fails, nobody knows what is on disk. Each entry of that batch is looked up in the next transaction: what
is there counts, what is not is written once more. Only if that fails too its caller is told so, and it is looked
up again every second: until then its money stays taken.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from openbigmodel.billing.entries import (
    PACK_PREFIX,
    Beside,
    CashMove,
    Entry,
    Expiry,
    Grant,
    Inquiry,
    Refund,
    Settlement,
    pack_of_row,
)
from openbigmodel.billing.ledger import NANO_MAX, NO_CHARGE, NO_HOLD, Charge, Hold, Ledger
from openbigmodel.billing.ledger_watch import Held, Snapshot, unlike
from openbigmodel.billing.packs import Burn, Pack, Unit
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.pricing import Price
from openbigmodel.billing.replies import MAX_REPLY_BYTES, Claimed, Replies, StoredReply
from openbigmodel.billing.store import (
    ADJUSTMENTS,
    CASH,
    CASH_GIFTS,
    FUNDING,
    INSERT_USAGE,
    Books,
    UsageLine,
    usage_row,
)
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import (
    Database,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseFailed,
    Done,
)
from openbigmodel.db.queries import QUERIES
from openbigmodel.errors import ApiError

_COMPARED_AT_ONCE = 1000
_FETCH_HEAD = QUERIES["fetch_head"]
_LIST_BALANCES = QUERIES["list_balances"]
_LIST_PACKS = QUERIES["list_packs"]

# Whose, and its name.
Book = tuple[str, str]
_Entry = TypeVar("_Entry", bound=Entry)


class Payer(msgspec.Struct, frozen=True, gc=False):
    """Who pays: nobody if `exempt`, the account's Coding Plan if `plan`, else its packs and its balance."""

    account_id: str
    exempt: bool = False
    plan: bool = False


class Prices(Protocol):
    """Where the price of a model is known."""

    def get(self, model_id: str) -> Price:
        """The price that holds now; FREE for a model without one."""


class Plans(Protocol):
    """The windows of the Coding Plans; like the ledger, but in credits."""

    def hold(
        self, account_id: str, model_id: str, prompt_bound: int, completion_bound: int, now_ms: int
    ) -> PlanHold | None:
        """Set credits aside; None for an account without a plan, which pays like others."""

    def post(self, hold: PlanHold, usage: Usage, now_ms: int) -> int:
        """Use up what the request needed; returns it for the usage row."""

    def void(self, hold: PlanHold) -> None:
        """Give everything back."""

    def take_back(self, hold: PlanHold) -> None:
        """Undo a post that could not be stored."""


class Cashier:
    """Holds, charges and everything else that moves money. One per process, for the event loop."""

    def __init__(
        self,
        database: Database,
        prices: Prices,
        plans: Plans,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """`new_id` names the operator's actions and packs. Reads what everybody has; for use while starting.

        Raises DatabaseFailed, DatabaseClosed.
        """
        self.ledger = Ledger()
        self._database = database
        self._prices = prices
        self._plans = plans
        self._now_ms = now_ms
        self._new_id = new_id
        self._books = Books()
        self._replies = Replies(database, now_ms)
        # Entries on their way to the disk; of these, those of which nobody knows whether they are there.
        self._alive: set[Entry] = set()
        self._unknown: list[Entry] = []
        # What the last audit found, in memory and against the disk.
        self.problems: list[str] = []
        self._unlike_disk: dict[Book, str] = {}
        # Books whose turn it is to be compared with the disk.
        self._to_compare: list[Book] = []
        for account_id, balance in database.read(_LIST_BALANCES):
            self.ledger.add_account(account_id, balance)
        for *facts, left in database.read(_LIST_PACKS):
            self.ledger.grant(pack_of_row(facts, left))

    # requests

    def hold(self, payer: Payer, model_id: str, prompt_bound: int, completion_bound: int) -> Hold | PlanHold:
        """Set aside the most that a request of at most so many tokens may cost.

        Raises ApiError 1113, for a plan 1302 and 1308 to 1311, after an audit that found something 1120, and then has
        changed nothing.
        """
        if payer.exempt:
            return NO_HOLD
        account_id, clock = payer.account_id, self._now_ms
        now_ms = clock()
        if payer.plan:
            held = self._plans.hold(account_id, model_id, prompt_bound, completion_bound, now_ms)
            if held is not None:
                return held
        price = self._prices.get(model_id)
        if self.problems and not price.free:
            raise ApiError("1120")
        return self.ledger.hold(account_id, price, model_id, prompt_bound, completion_bound, now_ms)

    def settle(
        self, hold: Hold | PlanHold, line: UsageLine, done: Done, reply: StoredReply | None = None
    ) -> UsageLine:
        """Charge a request, have it written, and return its line with what it cost. Ends the hold.

        Nothing is charged if nothing was produced. `done` is called on the event loop when all of it is durable, or
        with why it is not: then it costs nothing. Raises DatabaseBusy, DatabaseClosed: then, too.
        """
        if hold is NO_HOLD and reply is None:
            # The most common of all: nothing to charge, and nothing to keep.
            self._database.submit(INSERT_USAGE, usage_row(line), done)
            return line
        if line.source == "none":
            self.void(hold)
            self._database.submit(INSERT_USAGE, usage_row(line), done)
            return line
        if reply is not None and len(reply.reply) > MAX_REPLY_BYTES:
            reply = None
        if not isinstance(hold, Hold):
            return self._settle_by_plan(hold, line, done, reply)
        clock = self._now_ms
        now_ms = clock()
        charge = self.ledger.post(hold, line.usage, now_ms)
        line = _with_charge(line, hold.price.version, charge)
        if reply is None and not charge.nano and not charge.burns:
            self._database.submit(INSERT_USAGE, usage_row(line), done)
        else:
            take_back = partial(self.ledger.take_back, hold)
            self._put(Settlement(self._books, line, charge, now_ms, done, take_back, reply))
        return line

    def _settle_by_plan(
        self, hold: PlanHold, line: UsageLine, done: Done, reply: StoredReply | None
    ) -> UsageLine:
        now_ms = self._now_ms()
        plan_credits = self._plans.post(hold, line.usage, now_ms)
        line = msgspec.structs.replace(line, plan_credits=plan_credits)
        take_back = partial(self._plans.take_back, hold)
        self._put(Settlement(self._books, line, NO_CHARGE, now_ms, done, take_back, reply))
        return line

    def void(self, hold: Hold | PlanHold) -> None:
        """End a hold without a charge; nothing is written."""
        if isinstance(hold, Hold):
            self.ledger.void(hold)
        else:
            self._plans.void(hold)

    def find_request(self, account_id: str, request_id: str) -> StoredReply | Claimed | None:
        """What became of the request to which the caller gave this id; None if it may be made.

        Raises DatabaseFailed, DatabaseClosed.
        """
        return self._replies.find(account_id, request_id)

    # what operators do; everything is durable when it returns

    def balance(self, account_id: str) -> tuple[int, int]:
        """Nano-yuan that an account can spend, and those held for requests under way."""
        return self.ledger.balance(account_id), self.ledger.held(account_id)

    async def top_up(self, account_id: str, nano: int, memo: str = "", beside: Beside | None = None) -> int:
        """Add money that was paid, in nano-yuan; returns the balance. Raises ValueError for an amount below 1.

        This and the other actions raise DatabaseBusy, DatabaseClosed, or DatabaseFailed when it is not known whether
        it is on disk; if it is, the balance follows within seconds. What `beside` writes, or raises, is part of it.
        """
        if nano < 1:
            raise ValueError("an amount is more than nothing")
        return await self._move_cash("topup", account_id, nano, FUNDING, memo, beside)

    async def give(self, account_id: str, nano: int, memo: str = "", beside: Beside | None = None) -> int:
        """Add money that nobody paid, in nano-yuan; returns the balance. Raises ValueError for an amount below 1."""
        if nano < 1:
            raise ValueError("an amount is more than nothing")
        return await self._move_cash("gift", account_id, nano, CASH_GIFTS, memo, beside)

    async def adjust(self, account_id: str, nano: int, memo: str = "", beside: Beside | None = None) -> int:
        """Correct a balance, up or down; returns the balance. Raises ValueError for 0, or more than can be spent."""
        if nano < 0:
            self.ledger.debit(account_id, -nano)
        elif not nano:
            raise ValueError("an adjustment is not 0")
        return await self._move_cash("adjust", account_id, nano, ADJUSTMENTS, memo, beside)

    async def _move_cash(
        self,
        kind: str,
        account_id: str,
        amount: int,
        platform_book: int,
        memo: str,
        beside: Beside | None = None,
    ) -> int:
        def entry(done: Done) -> CashMove:
            return CashMove(
                self._books,
                self.ledger,
                self._new_id(),
                done,
                kind=kind,
                account_id=account_id,
                amount=amount,
                platform_book=platform_book,
                at_ms=self._now_ms(),
                memo=memo,
                beside=beside,
            )

        await self._write(entry)
        return self.ledger.balance(account_id)

    async def refund(self, log_id: str, nano: int | None = None, memo: str = "") -> Charge:
        """Give back a request's charge, `nano` of it or all that is left and what packs paid; returns what that was.

        Raises ValueError if there is not that much to give back.
        """
        if nano is not None and nano < 1:
            raise ValueError("an amount is more than nothing")

        def entry(done: Done) -> Refund:
            return Refund(
                self._books,
                self.ledger,
                self._new_id(),
                done,
                of_log_id=log_id,
                nano=nano,
                at_ms=self._now_ms(),
                memo=memo,
            )

        refund = await self._write(entry)
        return Charge(refund.cash, tuple(Burn(pack.id, pack.unit, amount) for pack, amount in refund.packs))

    async def grant_pack(
        self,
        account_id: str,
        unit: Unit,
        amount: int,
        *,
        models: frozenset[str] | None = None,
        gift: bool = False,
        from_ms: int,
        to_ms: int,
        memo: str = "",
        beside: Beside | None = None,
    ) -> Pack:
        """Give an account a pack; `models` in whatever case, None for all. Raises ValueError for what cannot be one."""
        if amount < 1:
            raise ValueError("a pack has at least one token or call")
        if amount > NANO_MAX:
            raise ValueError(f"a pack has at most {NANO_MAX} tokens or calls")
        if from_ms >= to_ms:
            raise ValueError("a pack ends after it begins")
        scope = None if models is None else frozenset(model.lower() for model in models)
        pack = Pack(self._new_id(), account_id, unit, scope, gift, from_ms, to_ms, amount)

        def entry(done: Done) -> Grant:
            return Grant(self._books, self.ledger, self._new_id(), done, pack, self._now_ms(), memo, beside)

        await self._write(entry)
        return pack

    def packs(self, account_id: str) -> tuple[Pack, ...]:
        """The packs that an account can use or has reserved something of, in the order of their use."""
        return self.ledger.packs(account_id)

    async def _write(self, make: Callable[[Done], _Entry]) -> _Entry:
        """Returns when the entry is durable. Goes on if the caller is cancelled."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = make(partial(_finish, written))
        self._put(entry)
        await written
        return entry

    # for a timer

    async def tend(self) -> None:
        """Write off packs that have ended, look again for what nobody knows of, forget old answers.

        For a timer, about once a second; returns when that is durable. What fails is tried again the next time.
        """
        waiting: list[asyncio.Future[None]] = []
        loop = asyncio.get_running_loop()
        for pack in self.ledger.expire_packs(self._now_ms()):
            done: asyncio.Future[None] = loop.create_future()
            at_ms, log_id = self._now_ms(), self._new_id()
            # One that finds no room goes back to the ledger, and the others have their turn all the same.
            with suppress(DatabaseError):
                self._put(Expiry(self._books, self.ledger, log_id, partial(_finish, done), pack, at_ms))
                waiting.append(done)
        unknown, self._unknown = self._unknown, []
        for entry in unknown:
            self._look_up(entry, None)
        with suppress(DatabaseError):
            self._replies.forget_old()
        await asyncio.gather(*waiting, return_exceptions=True)

    @property
    def unknown(self) -> int:
        """Of how many entries nobody knows whether they are on disk; for a health check."""
        return len(self._unknown)

    def snapshot(self) -> Snapshot:
        """What memory has of some books of which nothing is on its way to the disk; other books each time."""
        moving = {entry.owner for entry in self._alive}
        if "" in moving:
            return Snapshot(0, ())
        # Those that were wrong before, and the next in turn.
        books = set(self._unlike_disk)
        self._to_compare = self._to_compare or self._books.known()
        while self._to_compare and len(books) < _COMPARED_AT_ONCE:
            books.add(self._to_compare.pop())
        head = self._database.read(_FETCH_HEAD)
        return Snapshot(
            head[0][0] if head else 0,
            tuple(Held(*book, self._amount(*book)) for book in books if book[0] not in moving),
        )

    def _amount(self, account_id: str, book: str) -> int:
        if book == CASH:
            return self.ledger.balance(account_id) + self.ledger.held(account_id)
        return self.ledger.pack_amount(book.removeprefix(PACK_PREFIX))

    def audit(self, snapshot: Snapshot | None = None, found: Mapping[Book, str] | None = None) -> list[str]:
        """A sentence for everything that does not hold; empty when all is well. Takes time with every account.

        `found` is what of a snapshot is not so on disk; without one, some books are looked up here and now.
        """
        if snapshot is None or found is None:
            snapshot = self.snapshot()
            found = unlike(self._database.read, snapshot)
        for held in snapshot.books:
            self._unlike_disk.pop((held.account_id, held.book), None)
        self._unlike_disk.update(found)
        self.problems = self.ledger.audit() + list(self._unlike_disk.values())
        return self.problems

    # entries on their way

    def _put(self, entry: Entry) -> None:
        try:
            self._database.submit_prepared(entry, partial(self._written, entry))
        except (DatabaseBusy, DatabaseClosed):
            entry.lost()
            raise
        self._alive.add(entry)

    def _written(self, entry: Entry, error: BaseException | None) -> None:
        if error is None:
            self._alive.discard(entry)
            entry.stored()
            entry.tell(None)
        elif isinstance(error, DatabaseFailed):
            self._books.forget()
            self._look_up(entry, error)
        else:
            self._alive.discard(entry)
            entry.lost()
            entry.tell(error)

    def _look_up(self, entry: Entry, failure: BaseException | None) -> None:
        """Find out whether an entry is on disk; `failure` is why that is not known."""
        inquiry = Inquiry(entry)
        try:
            self._database.submit_prepared(inquiry, partial(self._looked_up, inquiry, failure))
        except (DatabaseBusy, DatabaseClosed) as error:
            self._unknown.append(entry)
            entry.tell(failure or error)

    def _looked_up(
        self, inquiry: Inquiry, failure: BaseException | None, error: BaseException | None
    ) -> None:
        entry = inquiry.entry
        if isinstance(error, DatabaseFailed):
            self._books.forget()
            self._unknown.append(entry)
            entry.tell(error)
            return
        self._alive.discard(entry)
        if error is None and inquiry.there:
            entry.stored()
            entry.tell(None)
        else:
            entry.lost()
            entry.tell(error or failure)


def _with_charge(line: UsageLine, price_version: int, charge: Charge) -> UsageLine:
    if not (price_version or charge.nano or charge.burns or charge.overage):
        return line
    tokens = calls = 0
    for burn in charge.burns:
        if burn.unit == "tokens":
            tokens += burn.amount
        else:
            calls += burn.amount
    return msgspec.structs.replace(
        line,
        charge=charge.nano,
        overage=charge.overage,
        price_version=price_version,
        pack_tokens=tokens,
        pack_calls=calls,
    )


def _finish(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
