"""The platform itself with one planted bug each; the simulation must find all of them."""

from collections.abc import Callable
from typing import Any

import apsw

from openbigmodel.billing import plans as plans_module
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.entries import CashMove, Entry, Settlement
from openbigmodel.billing.ledger import Hold, Ledger
from openbigmodel.billing.plan_windows import credits_of
from openbigmodel.billing.plans import PlanHold, PlanRecord, Plans
from openbigmodel.billing.pricing import Price
from openbigmodel.billing.replies import Claimed, StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import CreditRates
from openbigmodel.db.queries import QUERIES
from openbigmodel.engines.outcome import Outcome
from openbigmodel.inference import exchange as exchange_module
from openbigmodel.inference import pipeline as pipeline_module
from openbigmodel.inference.admission import Admission
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.measurement import Measured, measured
from openbigmodel.limits import Limits, Place
from tests.simulation.bank import Done
from tests.simulation.cashier_world import CashierWorld
from tests.simulation.platform_world import PlatformWorld, WatchedCashier
from tests.simulation.requests import Log
from tests.simulation.world import Parts, World

PLANTS: dict[str, Callable[[int, Log], World]] = {}


def planted_cashier(cashier: type[Cashier]) -> type[Cashier]:
    kind = PlatformWorld if issubclass(cashier, WatchedCashier) else CashierWorld
    world = type(f"WorldOf{cashier.__name__}", (kind,), {"cashier_type": cashier})
    PLANTS[cashier.__name__] = lambda seed, log: world(seed, Parts(), log)
    return cashier


def planted_exchange(exchange: type[ChatExchange]) -> type[ChatExchange]:
    plant(exchange.__name__, pipeline_module, "ChatExchange", exchange)
    return exchange


def planted_measurement(measure: Callable[..., Measured]) -> Callable[..., Measured]:
    plant(measure.__name__, exchange_module, "measured", measure)
    return measure


def plant(bug: str, module: Any, name: str, replacement: Any) -> None:
    class Planted(PlatformWorld):
        def __init__(self, seed: int, parts: Parts, log: Log) -> None:
            super().__init__(seed, parts, log)
            self.healthy = getattr(module, name)
            setattr(module, name, replacement)

        def close(self) -> None:
            setattr(module, name, self.healthy)
            super().close()

    PLANTS[bug] = lambda seed, log: Planted(seed, Parts(), log)


# the cashier


@planted_cashier
class CashierTellsBeforeTheCommit(Cashier):
    """The end of an answer is sent while its charge is on its way to the disk."""

    def settle(
        self, hold: Hold | PlanHold, line: UsageLine, done: Done, reply: StoredReply | None = None
    ) -> UsageLine:
        line = super().settle(hold, line, lambda error: None, reply)
        done(None)
        return line


@planted_cashier
class CashierTakesUnknownForLost(Cashier):
    """After an error at the commit nobody looks."""

    def _look_up(self, entry: Entry, failure: BaseException | None) -> None:
        entry.lost()
        entry.tell(failure)


@planted_cashier
class CashierTakesUnknownForDone(Cashier):
    """After an error at the commit everybody is told that all is well."""

    def _look_up(self, entry: Entry, failure: BaseException | None) -> None:
        entry.stored()
        entry.tell(None)


@planted_cashier
class CashierWritesAgainWithoutLooking(Cashier):
    """After an error at the commit the same is written once more."""

    def _look_up(self, entry: Entry, failure: BaseException | None) -> None:
        self._put(entry)


@planted_cashier
class CashierGivesUpTheUnknown(Cashier):
    """What could not be looked up at once is never looked up."""

    async def tend(self) -> None:
        self._unknown.clear()
        await super().tend()


@planted_cashier
class CashierCreditsBeforeTheCommit(Cashier):
    """A top-up can be spent before it is on disk."""

    def _put(self, entry: Entry) -> None:
        super()._put(entry)
        if isinstance(entry, CashMove):
            entry.stored()


@planted_cashier
class CashierForgetsRequestIds(WatchedCashier):
    """A request id that was used is free again."""

    def find_request(self, account_id: str, request_id: str) -> StoredReply | Claimed | None:
        return None


def any_row_of_the_request_is_its_charge(self: Settlement, connection: apsw.Connection) -> bool:
    """The row that says that nobody pays is taken for the one that was charged, when it gets the same number."""
    row = connection.execute(QUERIES["usage_at"], (self._row,)).fetchone()
    return row is not None and row[0] == self.log_id


plant("AnyRowIsTheCharge", Settlement, "is_there", any_row_of_the_request_is_its_charge)


# plans, limits and prompts that turn out longer


def planted(owner: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(bug: Callable[..., Any]) -> Callable[..., Any]:
        plant(bug.__name__, owner, name, bug)
        return bug

    return decorate


_left = Plans._left
_hold_more = Admission.hold_more
_ledger_hold = Ledger.hold


@planted(Plans, "_left")
def the_week_has_no_end(self: Plans, standing: Any, plan: PlanRecord, at_ms: int) -> int:
    """Only what is left of the hours is looked at."""
    week, standing.week = standing.week, None
    try:
        return _left(self, standing, plan, at_ms)
    finally:
        standing.week = week


@planted(Plans, "_left")
def what_is_reserved_is_there_for_others(self: Plans, standing: Any, plan: PlanRecord, at_ms: int) -> int:
    """Requests under way are forgotten."""
    held, standing.held = standing.held, 0
    try:
        return _left(self, standing, plan, at_ms)
    finally:
        standing.held = held


@planted(plans_module, "credits_of")
def off_peak_costs_the_same(rates: CreditRates, usage: Usage, percent: int) -> int:
    """A request takes what it would at noon."""
    return credits_of(rates, usage, 100)


@planted(Plans, "take_back")
def credits_of_a_lost_row_are_gone(self: Plans, hold: PlanHold) -> None:
    """A row that was never written has used its credits all the same."""


@planted(Plans, "_restore")
def windows_are_new_after_a_start(self: Plans, *_: object) -> None:
    """What was used before a restart is forgotten."""


@planted(Admission, "hold_more")
def a_file_is_free_with_a_plan(self: Admission, prompt_tokens: int) -> None:
    """What a prompt has more is only held for where money is held."""
    if isinstance(self._hold, Hold):
        _hold_more(self, prompt_tokens)


@planted(Admission, "hold_more")
def a_file_is_held_for_twice(self: Admission, prompt_tokens: int) -> None:
    """A plan's first hold stays when the second is taken."""
    first = self._hold
    if isinstance(first, PlanHold):
        standing = first.standing
        standing.held += first.reserved
    _hold_more(self, prompt_tokens)


@planted(Admission, "hold_more")
def a_file_is_not_held_for(self: Admission, prompt_tokens: int) -> None:
    """What a prompt has more is believed, and not held for."""
    self.prompt_bound += prompt_tokens


@planted(Ledger, "hold")
def free_while_short_is_free_for_ever(
    self: Ledger, account: str, price: Price, model: str, prompt: int, completion: int, now_ms: int
) -> Hold:
    """Of a price whose lowest band is free, nothing is ever taken from a request that was short at first."""
    if not price.bound(prompt, completion):
        return Hold(None, 0, (), price, open=False)
    return _ledger_hold(self, account, price, model, prompt, completion, now_ms)


@planted(Limits, "take_back")
def who_is_refused_has_been_there(self: Limits, place: Place | None) -> None:
    """A request without money counts among those of the minute and of the day."""
    self.leave(place)


@planted(Limits, "_take_of_day")
def a_day_has_no_end(self: Limits, *_: object) -> None:
    """Requests of the day are not counted."""


# the way of a request


@planted_exchange
class EndIsDeliveredWhenTheChargeIsLost(ChatExchange):
    """A commit that failed makes no difference to the caller."""

    __slots__ = ()

    def _settled(self, failure: BaseException | None) -> None:
        super()._settled(None)


@planted_exchange
class NobodySettlesForWhoLeft(ChatExchange):
    """Settlement dies with the client's connection."""

    __slots__ = ()

    def client_left(self) -> None:
        if not self._over:
            self._stop(Outcome.LEFT)


@planted_exchange
class NobodyStopsTheEngine(ChatExchange):
    """A caller leaves, and the engine goes on."""

    __slots__ = ()

    def client_left(self) -> None:
        self._attempt.call = None
        super().client_left()


@planted_exchange
class LeavingAfterTheEndIsSettledAgain(ChatExchange):
    """A caller who leaves while the charge is written is charged again."""

    __slots__ = ()

    def client_left(self) -> None:
        self._over = False
        super().client_left()


@planted_measurement
def whatever_the_engine_says_is_billed(reader: EngineReader, *rest: Any) -> Measured:
    return Measured(reader.usage(), "engine")


@planted_measurement
def an_answer_without_usage_is_free(reader: EngineReader, *rest: Any) -> Measured:
    return measured(reader, *rest) if reader.measured else Measured(Usage(), "none")


@planted_measurement
def nothing_is_charged_like_something(reader: EngineReader, *rest: Any) -> Measured:
    found = measured(reader, *rest)
    return Measured(Usage(prompt_tokens=10), "counted") if found.source == "none" else found
