"""Platforms with one planted bug each: mistakes that others have made. The simulation must find all of them."""

from collections.abc import Callable

import msgspec

from openbigmodel.billing.ledger import Hold, Pack
from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError
from tests.broken_ledgers import BROKEN_LEDGERS, ClockStepsRevivePacks, EndsTwice, PacksLastAMillisecondLonger
from tests.simulation.bank import Bank, Done, Earlier
from tests.simulation.desk import Client, Desk, Exchange
from tests.simulation.journal import Disk, Item, Journal
from tests.simulation.requests import Ask, Bill, Entry, Log
from tests.simulation.world import Parts, World

PLANTS: dict[str, Callable[[int, Log], World]] = {}


def plant(name: str, parts: Parts) -> None:
    PLANTS[name] = lambda seed, log: World(seed, parts, log)


def planted_bank(bank: type[Bank]) -> type[Bank]:
    plant(bank.__name__, Parts(bank=bank))
    return bank


def planted_exchange(exchange: type[Exchange]) -> type[Exchange]:
    class WithBug(Desk):
        def exchange(self, ask: Ask, client: Client, hold: Hold) -> Exchange:
            return exchange(self, ask, client, hold)

    plant(exchange.__name__, Parts(desk=WithBug))
    return exchange


# Bugs of the ledger that show only in a desk or at a millisecond that this world does not have; tests of the ledger
# itself find them.
UNSEEN = {ClockStepsRevivePacks, EndsTwice, PacksLastAMillisecondLonger}


# what the money side can do wrong


@planted_bank
class ToldBeforeTheCommit(Bank):
    """The end of the answer is sent while its charge is still on its way to the disk."""

    def _write(self, hold: Hold, bill: Bill, *, posted: bool, done: Done) -> None:
        super()._write(hold, bill, posted=posted, done=lambda error: None)
        done(None)


@planted_bank
class FailedCommitIsCharged(Bank):
    """A charge that could not be stored stays taken from memory."""

    def _write(self, hold: Hold, bill: Bill, *, posted: bool, done: Done) -> None:
        super()._write(hold, bill, posted=False, done=done)


@planted_bank
class UnknownCommitIsTakenForLost(Bank):
    """After an error at the commit nobody looks whether the charge is on disk."""

    def _is_on_disk(self, log_id: str) -> bool:
        return False


@planted_bank
class UnknownCommitIsTakenForDone(Bank):
    """After an error at the commit everybody believes that the charge is on disk."""

    def _is_on_disk(self, log_id: str) -> bool:
        return True


@planted_bank
class UnknownCommitIsWrittenAgain(Bank):
    """After an error at the commit the charge is written again, without looking."""

    def _write(self, hold: Hold, bill: Bill, *, posted: bool, done: Done) -> None:
        def told(error: BaseException | None) -> None:
            if error is None:
                done(None)
            else:
                second = Bill(**{name: getattr(bill, name) for name in Bill.__slots__} | {"made": False})
                super(UnknownCommitIsWrittenAgain, self)._write(hold, second, posted=posted, done=done)

        self._journal.put(bill, told)


@planted_bank
class TopUpBeforeTheCommit(Bank):
    """Money can be spent that is not on disk yet."""

    def top_up(self, entry_id: str, account: str, nano: int, done: Done) -> None:
        self.ledger.credit(account, nano)
        self._journal.put(Entry("topup", entry_id, account, nano), done)


@planted_bank
class AdjustmentAfterTheCommit(Bank):
    """Money that is to go can still be spent until it is gone."""

    def adjust(self, entry_id: str, account: str, nano: int, done: Done) -> None:
        if nano > self.ledger.balance(account):
            raise ValueError("not enough")
        entry = Entry("adjust", entry_id, account, -nano)

        def told(error: BaseException | None) -> None:
            if self._certain(error, entry) is None:
                self.ledger.debit(account, nano)
            done(error)

        self._journal.put(entry, told)


@planted_bank
class BurnsAreNotReloaded(Bank):
    """After a restart packs are as full as on the day they were granted."""

    def _load(self, disk: Disk) -> None:
        forgetful = Disk()
        forgetful.entries = disk.entries
        forgetful.bills = {name: _without_burns(bill) for name, bill in disk.bills.items()}
        super()._load(forgetful)


@planted_bank
class WriteOffsAreForgottenWhenTheyFail(Bank):
    """A pack whose write-off could not be stored is gone from memory, and on disk for ever."""

    def _write_off(self, pack: Pack) -> None:
        entry = Entry("pack_expire", self._entry_id(), pack.account_id, -pack.left, pack.id)
        self._journal.put(entry, lambda error: None)


@planted_bank
class RequestIdsAreForgottenAtRestart(Bank):
    """Which request ids were used is only known to the process that served them."""

    def _load(self, disk: Disk) -> None:
        super()._load(disk)
        self._known = set(disk.claims)

    def find(self, ask: Ask) -> Earlier | None:
        return None if ask.key() in self._known else super().find(ask)

    def settle(self, hold: Hold, ask: Ask, usage: Usage | None, reply: bytes | None, done: Done) -> None:
        if ask.request_id is not None and ask.key() in self._known:
            ask = _renamed(ask)
        super().settle(hold, ask, usage, reply, done)


@planted_bank
class RepliesAreForEveryBody(Bank):
    """A repeated request id gets the stored reply, whatever it asks now."""

    def find(self, ask: Ask) -> Earlier | None:
        earlier = super().find(ask)
        if earlier is None or earlier.reply is None:
            return earlier
        return Earlier((ask.digest, earlier.reply[1]))


@planted_bank
class ChecksLongBeforeItTakes(Bank):
    """The balance is looked at, something is awaited, and only then it is taken."""

    def hold(self, ask: Ask) -> Hold:
        ledger, account = self.ledger, ask.account
        hold = super().hold(ask)
        held = hold.account
        if held is None or hold.packs:
            return hold
        held.balance += hold.cash
        held.held -= hold.cash
        cash, hold.cash = hold.cash, 0

        def take() -> None:
            if hold.open:
                hold.cash = cash
                held.balance -= cash
                held.held += cash
                assert ledger.balance(account) >= 0

        self._journal._scope.after(50, take)
        return hold


@planted_bank
class NobodyIsExempt(Bank):
    """The operator's own account pays like others."""

    def hold(self, ask: Ask) -> Hold:
        self._exempt = frozenset()
        return super().hold(ask)


# what the way of a request can do wrong


@planted_exchange
class HoldStaysWhenTheEngineIsAway(Exchange):
    """An engine that cannot be reached leaves the hold behind."""

    def never_asked(self) -> None:
        self.over = True
        self._leave()
        self.client.refused("1305")


@planted_exchange
class HoldStaysWhenTheCallerLeaves(Exchange):
    """Settlement lives in the task of the client's request, and dies with it."""

    def client_left(self) -> None:
        if not self.over:
            self.over = True
            if self.call is not None:
                self.call.cancel()
            self._leave()


@planted_exchange
class LeavingIsFree(Exchange):
    """Whoever leaves before the end pays nothing."""

    def client_left(self) -> None:
        if not self.over:
            self._settle(None)


@planted_exchange
class LeavingCostsEverything(Exchange):
    """Whoever leaves pays for all that was asked for."""

    def client_left(self) -> None:
        if not self.over:
            usage = Usage(prompt_tokens=self.ask.prompt_bound, completion_tokens=self.ask.max_tokens)
            self._settle(usage if self.counted else None)


@planted_exchange
class PromptIsChargedWithoutAnAnswer(Exchange):
    """An engine that dies before its first token is paid for the prompt."""

    def engine_failed(self) -> None:
        if not self.over:
            self._settle(self.fair_usage())


@planted_exchange
class EngineGoesOn(Exchange):
    """The engine is not told that nobody listens."""

    def client_left(self) -> None:
        if not self.over:
            self.call = None
            super().client_left()


@planted_exchange
class EngineIsAlwaysBelieved(Exchange):
    """Whatever an engine says was used is billed."""

    def fair_usage(self) -> Usage:
        return self.usage or super().fair_usage()


@planted_exchange
class EngineIsNeverBelieved(Exchange):
    """Chunks are taken for tokens."""

    def fair_usage(self) -> Usage:
        usage, self.usage = self.usage, None
        fair = super().fair_usage()
        return fair if usage is None else msgspec.structs.replace(fair, prompt_tokens=usage.prompt_tokens)


@planted_exchange
class NoUsageIsFree(Exchange):
    """An engine that says nothing of usage works for free."""

    def fair_usage(self) -> Usage:
        return super().fair_usage() if self.usage is not None else Usage()


@planted_exchange
class SettlesTwice(Exchange):
    """A caller that leaves while the charge is written is charged again."""

    def client_left(self) -> None:
        self._settle(self.fair_usage() if self.counted else None)


@planted_exchange
class EndIsSeenAfterAFailedCommit(Exchange):
    """An answer looks complete though its charge was lost."""

    def settled(self, error: BaseException | None, *, complete: bool) -> None:
        super().settled(None, complete=complete)


class TwoAtATime(Desk):
    """A request id is looked for on disk only, so it can run twice at the same time."""

    def _answers_again(self, ask: Ask, client: Client) -> bool:
        self.running.discard(ask.key())
        return super()._answers_again(ask, client)


class NoUniqueIndex(Journal):
    """The disk takes every claim of a request id."""

    def _breaks_a_rule(self, item: Item) -> bool:
        return False


class TriesUntilItFits(Desk):
    """A request that the balance does not cover is admitted with a smaller hold."""

    def accept(self, ask: Ask, client: Client) -> Exchange | None:
        bound = ask.prompt_bound, ask.max_tokens
        try:
            self.bank.void(self.bank.hold(ask))
        except ApiError:
            ask.prompt_bound, ask.max_tokens = 0, 1
        exchange = super().accept(ask, client)
        ask.prompt_bound, ask.max_tokens = bound
        return exchange


plant("TwoAtATime", Parts(desk=TwoAtATime, journal=NoUniqueIndex))
plant("TriesUntilItFits", Parts(desk=TriesUntilItFits))
for broken in set(BROKEN_LEDGERS) - UNSEEN:
    plant(f"Ledger{broken.__name__}", Parts(bank=type("BankWith", (Bank,), {"ledger_type": broken})))


def _without_burns(bill: Bill) -> Bill:
    return Bill(**{name: getattr(bill, name) for name in Bill.__slots__} | {"burns": ()})


def _renamed(ask: Ask) -> Ask:
    again = Ask(**{name: getattr(ask, name) for name in Ask.__slots__})
    again.request_id = f"{ask.request_id} again"
    return again
