"""Who has how much, and what of it is held for requests under way: balances and packs in memory, no database.

Rule: hold → post | void, and the first of the two wins. A hold is taken in one step, before any engine works, for the
most that the request may cost; a post takes what it did cost, never more than was held, and gives the rest back. So no
balance and no pack is ever negative, and `held` is exactly the sum of the open holds.

    balance ── hold ──► held ── post ──► charged; the rest returns to the balance
                             └─ void ──► all of it returns to the balance

Every method is for the event loop, which makes each of them one step. What is durable, and when, is the cashier's
business: a hold dies with the process, and that is its void.
"""

import heapq
from bisect import insort
from collections.abc import Iterator

import msgspec

from openbigmodel.billing.money import format_yuan
from openbigmodel.billing.packs import Burn, Pack, Reservation, burn, choose, release, reserve
from openbigmodel.billing.pricing import FREE, Price
from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError

__all__ = ["NO_CHARGE", "NO_HOLD", "Burn", "Charge", "Hold", "Ledger", "Pack"]

# What a book holds at most: the database counts in 64 bits.
NANO_MAX = 2**63 - 1
TOO_MUCH = f"an account can have at most {format_yuan(NANO_MAX)} yuan"


class Charge(msgspec.Struct, frozen=True):
    """What a request cost: nano-yuan from the balance, and burns from packs.

    `overage` is what went beyond the hold, in nano-yuan, and is not charged: an engine reported more than was asked
    of it.
    """

    nano: int
    burns: tuple[Burn, ...] = ()
    overage: int = 0


NO_CHARGE = Charge(0)


class _Account:
    """`balance` and `held` are nano-yuan, `packs` in the order in which they are used."""

    __slots__ = ("balance", "held", "id", "packs")

    def __init__(self, account_id: str, balance: int) -> None:
        self.id = account_id
        self.balance = balance
        self.held = 0
        self.packs: list[Pack] = []


class Hold(msgspec.Struct, eq=False, gc=False):
    """What is set aside for one request: `cash` nano-yuan, and parts of packs.

    `account` is None for a request that cannot cost anything; such a hold holds nothing, is never open and never in
    the way. A struct, because one is made for every request that is paid for: it is filled in at a quarter of the
    price.
    """

    account: _Account | None
    cash: int
    packs: tuple[Reservation, ...]
    price: Price
    open: bool = True
    charge: Charge | None = None


# For all requests that have no price.
NO_HOLD = Hold(None, 0, (), FREE, open=False)


class Ledger:
    """Balances, packs and holds of all accounts. An account that nobody has named has nothing."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._holds: set[Hold] = set()
        self._packs: dict[str, Pack] = {}
        # Packs by their end, a heap; and those that were seen to have ended, but are not written off to the last.
        # A clock that steps back does not revive them.
        self._ends: list[tuple[tuple[int, int, str], Pack]] = []
        self._ended: list[Pack] = []

    # what comes in and goes out besides requests

    def add_account(self, account_id: str, balance: int = 0) -> None:
        """Make an account known. Raises ValueError for one that is known already, or a balance below 0."""
        if account_id in self._accounts:
            raise ValueError(f"account {account_id} is there already")
        if not 0 <= balance <= NANO_MAX:
            raise ValueError(f"a balance is 0 to {format_yuan(NANO_MAX)} yuan")
        self._accounts[account_id] = _Account(account_id, balance)

    def credit(self, account_id: str, nano: int) -> None:
        """Add to a balance. Raises ValueError for an amount below 1, or if the database could not count it."""
        account = self._account(account_id)
        if nano < 1:
            raise ValueError("an amount is more than nothing")
        if account.balance + account.held + nano > NANO_MAX:
            raise ValueError(TOO_MUCH)
        account.balance += nano

    def debit(self, account_id: str, nano: int) -> None:
        """Take from a balance. Raises ValueError for an amount below 1, or above what is there and not held."""
        account = self._account(account_id)
        if nano < 1:
            raise ValueError("an amount is more than nothing")
        if nano > account.balance:
            raise ValueError(
                f"the balance is {format_yuan(account.balance)} yuan, not held by requests under way"
            )
        account.balance -= nano

    def grant(self, pack: Pack) -> None:
        """Add a pack, of which nothing is held yet. Raises ValueError for a pack that cannot be."""
        if pack.id in self._packs:
            raise ValueError(f"pack {pack.id} is there already")
        if not 0 < pack.left <= NANO_MAX or pack.held:
            raise ValueError("a new pack has something left, and nothing held")
        if pack.from_ms >= pack.to_ms:
            raise ValueError("a pack ends after it begins")
        self._shelve(pack)

    def refill(self, pack: Pack, amount: int) -> None:
        """Refund something to a pack, known by its facts. Harmless if it has ended: it is written off again."""
        assert amount > 0
        known = self._packs.get(pack.id)
        if known is None:
            self._shelve(msgspec.structs.replace(pack, left=amount, held=0))
        else:
            known.left += amount

    def expire_packs(self, now_ms: int) -> list[Pack]:
        """Write off what is left of packs that have ended; call it about once a second.

        Returns a copy of each, with the amount written off in `left`. What is held by requests under way stays, and
        whatever of it returns is written off by a later call.
        """
        self._see_ends(now_ms)
        if not self._ended:
            return []
        written_off, staying = [], []
        for pack in self._ended:
            if pack.left:
                written_off.append(msgspec.structs.replace(pack, held=0))
                pack.left = 0
            if pack.held:
                staying.append(pack)
            else:
                del self._packs[pack.id]
        self._ended = staying
        return written_off

    def put_back(self, pack: Pack, amount: int) -> None:
        """Undo a write-off, or a part of it, that could not be stored: the next `expire_packs` tells it again."""
        assert amount > 0
        known = self._packs.get(pack.id)
        if known is None:
            # A pack goes only when it has ended.
            known = self._packs[pack.id] = msgspec.structs.replace(pack, left=0, held=0)
            self._ended.append(known)
        known.left += amount

    # reading

    def balance(self, account_id: str) -> int:
        """Nano-yuan that can be spent; what is held is not among them."""
        account = self._accounts.get(account_id)
        return 0 if account is None else account.balance

    def held(self, account_id: str) -> int:
        """Nano-yuan set aside for requests under way."""
        account = self._accounts.get(account_id)
        return 0 if account is None else account.held

    def packs(self, account_id: str) -> tuple[Pack, ...]:
        """The packs of an account that were not seen to have ended, in the order of their use."""
        account = self._accounts.get(account_id)
        return () if account is None else tuple(account.packs)

    def pack_amount(self, pack_id: str) -> int:
        """What a pack has, with what is held of it; nothing if it is not there any more."""
        pack = self._packs.get(pack_id)
        return 0 if pack is None else pack.left + pack.held

    # requests

    def hold(
        self,
        account_id: str,
        price: Price,
        model_id: str,
        prompt_bound: int,
        completion_bound: int,
        now_ms: int,
    ) -> Hold:
        """Set aside the most that a request of at most so many tokens may cost: packs first, then balance.

        A price that is free takes no hold, of whatever account. One that is free only for so short a request takes an
        empty one: what turns out longer has a price. Raises ApiError 1113 if it cannot be covered, and then changes
        nothing.
        """
        cash = price.bound(prompt_bound, completion_bound)
        if not cash:
            if price is FREE:
                return NO_HOLD
            if price.free:
                return Hold(None, 0, (), price, open=False)
        account = self._accounts.get(account_id)
        if account is None:
            if cash:
                raise ApiError("1113")
            account = self._account(account_id)
        shares: tuple[Reservation, ...] = ()
        if account.packs and cash:
            self._see_ends(now_ms)
            chosen = choose(account.packs, model_id.lower(), prompt_bound + completion_bound, now_ms)
            shares = chosen.shares
            cash = 0 if chosen.whole else price.bound(prompt_bound, completion_bound, chosen.tokens)
        if cash > account.balance:
            raise ApiError("1113")
        account.balance -= cash
        account.held += cash
        if shares:
            reserve(shares)
        hold = Hold(account, cash, shares, price)
        self._holds.add(hold)
        return hold

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        """Take what a request did cost out of its hold, and give the rest back. Ends the hold."""
        account = hold.account
        if account is None:
            return NO_CHARGE
        # As `_end`, which is a call too many on the way of every request.
        assert hold.open, "a hold ends once"
        hold.open = False
        self._holds.remove(hold)
        price = hold.price
        if hold.packs:
            self._see_ends(now_ms)
            tokens = usage.prompt_tokens + usage.completion_tokens
            burns, covered, whole = burn(hold.packs, tokens, price.per_call)
            nano = 0 if whole else price.charge(usage, covered)
        else:
            burns = ()
            nano = price.charge(usage)
        overage = 0
        if nano > hold.cash:
            nano, overage = hold.cash, nano - hold.cash
        account.held -= hold.cash
        account.balance += hold.cash - nano
        charge = hold.charge = Charge(nano, burns, overage)
        return charge

    def void(self, hold: Hold) -> None:
        """Give everything held back. Ends the hold."""
        account = hold.account
        if account is None:
            return
        self._end(hold)
        account.held -= hold.cash
        account.balance += hold.cash
        release(hold.packs)

    def take_back(self, hold: Hold) -> None:
        """Undo a post that could not be stored, as if it had been a void. Once only."""
        account = hold.account
        if account is None:
            return
        charge = hold.charge
        assert charge is not None, "nothing was posted"
        hold.charge = None
        account.balance += charge.nano
        packs = {pack.id: pack for pack, _ in hold.packs}
        for burned in charge.burns:
            self.put_back(packs[burned.pack_id], burned.amount)

    def audit(self) -> list[str]:
        """A sentence for everything that does not hold; empty when all is well. Takes time with every account."""
        cash: dict[str, int] = {}
        shares: dict[str, int] = {}
        problems = []
        for hold in self._holds:
            assert hold.account is not None
            if not hold.open:
                problems.append(f"an ended hold of account {hold.account.id} is still kept")
            cash[hold.account.id] = cash.get(hold.account.id, 0) + hold.cash
            for pack, amount in hold.packs:
                shares[pack.id] = shares.get(pack.id, 0) + amount
                if pack.id not in self._packs:
                    problems.append(f"pack {pack.id} is gone while something of it is held")
        # 100,000 accounts take 5 ms, because nothing is called for those that are in order.
        for account in self._accounts.values():
            if account.balance < 0 or account.held != cash.get(account.id, 0):
                problems.extend(_account_problems(account, cash.get(account.id, 0)))
        for pack in self._packs.values():
            if pack.left < 0 or pack.held != shares.get(pack.id, 0):
                problems.extend(_pack_problems(pack, shares.get(pack.id, 0)))
        return problems

    # inside

    def _account(self, account_id: str) -> _Account:
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = _Account(account_id, 0)
        return account

    def _end(self, hold: Hold) -> None:
        assert hold.open, "a hold ends once"
        hold.open = False
        self._holds.remove(hold)

    def _shelve(self, pack: Pack) -> None:
        self._packs[pack.id] = pack
        insort(self._account(pack.account_id).packs, pack, key=Pack.order)
        heapq.heappush(self._ends, (pack.order(), pack))

    def _see_ends(self, now_ms: int) -> None:
        ends = self._ends
        while ends and ends[0][1].to_ms <= now_ms:
            pack = heapq.heappop(ends)[1]
            self._accounts[pack.account_id].packs.remove(pack)
            self._ended.append(pack)


def _account_problems(account: _Account, held: int) -> Iterator[str]:
    if account.balance < 0:
        yield f"the balance of account {account.id} is {account.balance} nano-yuan"
    if account.held != held:
        yield f"account {account.id} has {account.held} nano-yuan held, its open holds are {held}"


def _pack_problems(pack: Pack, held: int) -> Iterator[str]:
    if pack.left < 0:
        yield f"pack {pack.id} has {pack.left} {pack.unit} left"
    if pack.held != held:
        yield f"pack {pack.id} has {pack.held} {pack.unit} held, its open holds are {held}"
