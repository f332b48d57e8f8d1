"""Ledgers with one planted bug each. A harness that judges ledgers must find every one of them."""

from collections.abc import Callable
from typing import Any

import msgspec

from openbigmodel.billing.ledger import Charge, Hold, Ledger, Pack
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.usage import Usage

BROKEN_LEDGERS: list[type[Ledger]] = []


def planted(ledger: type[Ledger]) -> type[Ledger]:
    BROKEN_LEDGERS.append(ledger)
    return ledger


@planted
class ChecksThenTakesLater(Ledger):
    """Looks at the balance, awaits something, and only then takes from it."""

    def __init__(self) -> None:
        super().__init__()
        self.late: Callable[[], None] = lambda: None

    def hold(self, account_id: str, price: Price, *rest: Any) -> Hold:
        self.late()
        hold = super().hold(account_id, price, *rest)
        account = hold.account
        if account is not None and hold.cash:
            account.balance += hold.cash

            def take() -> None:
                account.balance -= hold.cash
                self.late = lambda: None

            self.late = take
        return hold

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        self.late()
        return super().post(hold, usage, now_ms)

    def void(self, hold: Hold) -> None:
        self.late()
        super().void(hold)


@planted
class KeepsTheRest(Ledger):
    """A post takes the whole hold."""

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        charge = super().post(hold, usage, now_ms)
        if hold.account is not None:
            hold.account.balance -= hold.cash - charge.nano
        return charge


@planted
class ForgetsTheRest(Ledger):
    """A post gives nothing back, and the rest stays held for ever."""

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        charge = super().post(hold, usage, now_ms)
        if hold.account is not None:
            hold.account.balance -= hold.cash - charge.nano
            hold.account.held += hold.cash - charge.nano
        return charge


@planted
class RoundsTwice(Ledger):
    """Prompt and completion are rounded one by one."""

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        charge = super().post(hold, usage, now_ms)
        account = hold.account
        if account is None or charge.burns or charge.overage:
            return charge
        prompt = msgspec.structs.replace(usage, completion_tokens=0, reasoning_tokens=0)
        completion = Usage(completion_tokens=usage.completion_tokens)
        once = msgspec.structs.replace(hold.price, per_call=0)
        nano = min(hold.cash, hold.price.charge(prompt) + once.charge(completion))
        account.balance += charge.nano - nano
        hold.charge = Charge(nano)
        return hold.charge


@planted
class RoundsDown(Ledger):
    """A hold is rounded to the nearest nano instead of up."""

    def hold(self, account_id: str, price: Price, *rest: Any) -> Hold:
        hold = super().hold(account_id, price, *rest)
        account = hold.account
        if account is not None and hold.cash and not hold.packs:
            _, prompt_tokens, completion_tokens, _ = rest
            nearest = price.charge(Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens))
            if nearest == hold.cash - 1:
                account.balance += 1
                account.held -= 1
                hold.cash -= 1
        return hold


@planted
class BurnsLatestFirst(Ledger):
    """The pack that ends last is used first."""

    def hold(self, account_id: str, *rest: Any) -> Hold:
        account = self._accounts.get(account_id)
        if account is not None:
            account.packs.sort(key=Pack.order, reverse=True)
        return super().hold(account_id, *rest)


@planted
class TakesCashBeforePacks(Ledger):
    """Packs pay only when the balance does not suffice."""

    def hold(self, account_id: str, *rest: Any) -> Hold:
        account = self._accounts.get(account_id)
        if account is None or not account.packs:
            return super().hold(account_id, *rest)
        packs, account.packs = account.packs, []
        price, _, prompt, completion, _ = rest
        enough = price.bound(prompt, completion) <= account.balance
        try:
            if enough:
                return super().hold(account_id, *rest)
        finally:
            account.packs = packs
        return super().hold(account_id, *rest)


@planted
class VoidForgetsPacks(Ledger):
    """A void returns the money and keeps the tokens."""

    def void(self, hold: Hold) -> None:
        super().void(hold)
        for pack, amount in hold.packs:
            pack.left -= amount


@planted
class ChargesBeyondTheHold(Ledger):
    """What an engine reports is charged, whatever was held."""

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        charge = super().post(hold, usage, now_ms)
        if hold.account is None or not charge.overage:
            return charge
        hold.account.balance -= charge.overage
        hold.charge = Charge(charge.nano + charge.overage, charge.burns)
        return hold.charge


@planted
class ChargesTodaysPrice(Ledger):
    """The price at the end of the request counts, not the one it was admitted at."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: Price | None = None

    def hold(self, account_id: str, price: Price, *rest: Any) -> Hold:
        self.latest = price
        return super().hold(account_id, price, *rest)

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        if hold.account is not None and self.latest is not None:
            hold.price = self.latest
        return super().post(hold, usage, now_ms)


@planted
class PacksPayForEveryModel(Ledger):
    """The scope of a pack is not looked at."""

    def grant(self, pack: Pack) -> None:
        super().grant(msgspec.structs.replace(pack, models=None))


@planted
class PacksLastAMillisecondLonger(Ledger):
    """The end of a pack belongs to it."""

    def _see_ends(self, now_ms: int) -> None:
        for pack in self._packs.values():
            pack.to_ms += 1
        super()._see_ends(now_ms)
        for pack in self._packs.values():
            pack.to_ms -= 1

    def hold(self, account_id: str, price: Price, model_id: str, *rest: Any) -> Hold:
        prompt, completion, now_ms = rest
        return super().hold(account_id, price, model_id, prompt, completion, now_ms - 1)


@planted
class ClockStepsRevivePacks(Ledger):
    """Time is what the clock says, even if it said something later before."""

    def _see_ends(self, now_ms: int) -> None:
        for pack in [pack for pack in self._ended if pack.to_ms > now_ms]:
            self._ended.remove(pack)
            self._shelve(pack)
        super()._see_ends(now_ms)


@planted
class WritesOffWhatIsHeld(Ledger):
    """A pack that ends loses what requests under way still need."""

    def expire_packs(self, now_ms: int) -> list[Pack]:
        for pack in self._packs.values():
            if pack.to_ms <= now_ms:
                pack.left += pack.held
                pack.held = 0
        return super().expire_packs(now_ms)


@planted
class WritesOffTwice(Ledger):
    """What was written off is told again the next time."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Pack] = []

    def expire_packs(self, now_ms: int) -> list[Pack]:
        again, self.told = self.told, super().expire_packs(now_ms)
        return [*self.told, *again]


@planted
class TakesBackMoneyOnly(Ledger):
    """A post whose commit failed returns its money, not its packs."""

    def take_back(self, hold: Hold) -> None:
        if hold.charge is not None:
            hold.charge = Charge(hold.charge.nano)
        super().take_back(hold)


@planted
class CallsPayTwice(Ledger):
    """A request that a call pays for is charged besides."""

    def post(self, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        charge = super().post(hold, usage, now_ms)
        if hold.account is None or not any(burn.unit == "calls" for burn in charge.burns):
            return charge
        nano = min(hold.account.balance, hold.price.charge(usage))
        hold.account.balance -= nano
        hold.charge = Charge(nano, charge.burns)
        return hold.charge


@planted
class CachedTokensCostInFull(Ledger):
    """The price of cached tokens is forgotten."""

    def hold(self, account_id: str, price: Price, *rest: Any) -> Hold:
        bands = tuple(msgspec.structs.replace(band, cached=None) for band in price.bands)
        return super().hold(account_id, msgspec.structs.replace(price, bands=bands), *rest)


@planted
class TheFirstBandIsForAll(Ledger):
    """Longer prompts cost what short ones do."""

    def hold(self, account_id: str, price: Price, *rest: Any) -> Hold:
        short: tuple[Band, ...] = price.bands[:1]
        return super().hold(account_id, msgspec.structs.replace(price, bands=short), *rest)


@planted
class EndsTwice(Ledger):
    """The second end of a hold is carried out like the first."""

    def _end(self, hold: Hold) -> None:
        self._holds.discard(hold)


@planted
class HoldIsLost(Ledger):
    """Every void forgets to close the hold."""

    def void(self, hold: Hold) -> None:
        super().void(hold)
        self._holds.add(hold)
