"""What a ledger must say, in the plainest words: the judge of the real one.

Nothing is kept but what happened: what came in, what was charged, which holds are open. Every balance is added up
anew from that, and money is counted token by token, in fractions.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.usage import Usage


@dataclass(eq=False)
class ReferencePack:
    id: str
    account_id: str
    unit: str
    models: frozenset[str] | None
    from_ms: int
    to_ms: int
    amount: int  # granted, less what was burned and written off
    ended: bool = False


@dataclass(eq=False)
class ReferenceHold:
    account_id: str
    price: Price
    cash: int
    shares: list[tuple[ReferencePack, int]]
    nano: int = 0
    burns: list[tuple[ReferencePack, int]] = field(default_factory=list)


def round_half_up(amount: Fraction) -> int:
    return math.floor(amount + Fraction(1, 2))


def tariff(price: Price, prompt: int, completion: int) -> Band:
    within = [band for band in price.bands if band.input_from <= prompt and band.output_from <= completion]
    return max(within, key=lambda band: (band.input_from, band.output_from), default=Band(0, 0))


def cost(price: Price, tokens: list[int], *, call: bool = True) -> Fraction:
    return (Fraction(sum(tokens), 1_000_000) + price.per_call * call) * price.percent / 100


class ReferenceLedger:
    def __init__(self) -> None:
        self.money: dict[str, int] = {}  # came in, less what was charged
        self.packs: list[ReferencePack] = []
        self.open: list[ReferenceHold] = []

    def balance(self, account_id: str) -> int:
        return self.money.get(account_id, 0) - self.held(account_id)

    def held(self, account_id: str) -> int:
        return sum(hold.cash for hold in self.open if hold.account_id == account_id)

    def pack_held(self, pack: ReferencePack) -> int:
        return sum(amount for hold in self.open for each, amount in hold.shares if each is pack)

    def pack_left(self, pack: ReferencePack) -> int:
        return pack.amount - self.pack_held(pack)

    def see_ends(self, now_ms: int) -> None:
        """What was seen to have ended stays so, even if the clock is set back."""
        for pack in self.packs:
            pack.ended = pack.ended or pack.to_ms <= now_ms

    def usable(self, account_id: str, model_id: str, now_ms: int) -> list[ReferencePack]:
        return sorted(
            (
                pack
                for pack in self.packs
                if pack.account_id == account_id
                and pack.from_ms <= now_ms
                and not pack.ended
                and (pack.models is None or model_id.lower() in pack.models)
                and self.pack_left(pack)
            ),
            key=lambda pack: (pack.to_ms, pack.from_ms, pack.id),
        )

    def hold(
        self, account_id: str, price: Price, model_id: str, prompt: int, completion: int, now_ms: int
    ) -> ReferenceHold | None:
        """None: refused."""
        reached = [
            band for band in price.bands if band.input_from <= prompt and band.output_from <= completion
        ]
        wholes = [
            [max(band.input, band.cached or 0)] * prompt + [band.output] * completion for band in reached
        ] or [[0] * (prompt + completion)]
        if max(cost(price, whole) for whole in wholes) == 0:
            # Within these bounds nothing costs anything; beyond them it may.
            hold = ReferenceHold(account_id, price, 0, [])
            if any(band.input or band.output or band.cached for band in price.bands) or price.per_call:
                self.open.append(hold)
            return hold
        if any(pack.account_id == account_id and not pack.ended for pack in self.packs):
            self.see_ends(now_ms)
        shares, covered = [], 0
        for pack in self.usable(account_id, model_id, now_ms):
            share = 1 if pack.unit == "calls" else min(self.pack_left(pack), prompt + completion - covered)
            if share:
                shares.append((pack, share))
            if pack.unit == "calls":
                break
            covered += share
        called = any(pack.unit == "calls" for pack, _ in shares)
        cash = 0 if called else max(math.ceil(cost(price, whole[covered:])) for whole in wholes)
        if cash > self.balance(account_id):
            return None
        hold = ReferenceHold(account_id, price, cash, shares)
        self.open.append(hold)
        return hold

    def post(self, hold: ReferenceHold, usage: Usage, now_ms: int) -> int:
        """Returns what went beyond the hold."""
        if hold not in self.open:
            return 0
        if hold.shares:
            self.see_ends(now_ms)
        band = tariff(hold.price, usage.prompt_tokens, usage.completion_tokens)
        tokens = [band.input] * (usage.prompt_tokens - usage.cached_tokens)
        tokens += [band.input if band.cached is None else band.cached] * usage.cached_tokens
        tokens += [band.output] * usage.completion_tokens
        call = True
        for pack, share in hold.shares:
            amount = (
                min(share, len(tokens)) if pack.unit == "tokens" else int(bool(tokens or hold.price.per_call))
            )
            if amount:
                hold.burns.append((pack, amount))
                pack.amount -= amount
            if pack.unit == "calls":
                tokens, call = [], False
            else:
                del tokens[:amount]
        due = round_half_up(cost(hold.price, tokens, call=call))
        hold.nano = min(due, hold.cash)
        self.money[hold.account_id] = self.money.get(hold.account_id, 0) - hold.nano
        self.void(hold)
        return due - hold.nano

    def void(self, hold: ReferenceHold) -> None:
        if hold in self.open:
            self.open.remove(hold)

    def take_back(self, hold: ReferenceHold) -> None:
        self.money[hold.account_id] = self.money.get(hold.account_id, 0) + hold.nano
        for pack, amount in hold.burns:
            pack.amount += amount

    def expire(self, now_ms: int) -> dict[str, int]:
        """What is written off, by pack."""
        self.see_ends(now_ms)
        gone = {pack: self.pack_left(pack) for pack in self.packs if pack.ended}
        for pack, left in gone.items():
            pack.amount -= left
        return {pack.id: left for pack, left in gone.items() if left}
