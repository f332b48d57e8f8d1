"""Packs: prepaid tokens or calls for some models and some time; which of them pay for a request, and with how much.

Rule: packs are used in one order, whatever they are: earliest end first, then earliest start, then id. A reservation
takes the most that a request may need, a burn takes what it did need, in the same order. What is reserved is in
`held`, everything else that is not used up in `left`; neither is ever negative.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

Unit = Literal["tokens", "calls"]


class Pack(msgspec.Struct):
    """Prepaid usage of one account, valid from `from_ms` until just before `to_ms` (Unix milliseconds).

    `models` are ids in lower case, None for every model. `left` can be reserved; `held` is, by requests under way.
    Both are in `unit`. `gift`: it was not paid for.
    """

    id: str
    account_id: str
    unit: Unit
    models: frozenset[str] | None
    gift: bool
    from_ms: int
    to_ms: int
    left: int
    held: int = 0

    def order(self) -> tuple[int, int, str]:
        """Packs are used by this, smallest first."""
        return (self.to_ms, self.from_ms, self.id)

    def pays_for(self, model_id: str, now_ms: int) -> bool:
        """Whether it can pay for something of a request to this model (in lower case) now."""
        return (
            self.left > 0
            and self.from_ms <= now_ms < self.to_ms
            and (self.models is None or model_id in self.models)
        )


class Burn(msgspec.Struct, frozen=True, gc=False):
    """What a request took out of a pack."""

    pack_id: str
    unit: Unit
    amount: int


Reservation = tuple[Pack, int]


class Choice(msgspec.Struct, frozen=True):
    """Which packs shall pay for a request, in order. `tokens` of it are covered; all of it if `whole`."""

    shares: tuple[Reservation, ...]
    tokens: int
    whole: bool


def choose(packs: Sequence[Pack], model_id: str, tokens: int, now_ms: int) -> Choice:
    """Choose among `packs`, which are in order, for a request of at most `tokens`; changes nothing.

    A call covers all that the packs before it do not, so nothing is looked for behind it.
    """
    shares: list[Reservation] = []
    missing = tokens
    for pack in packs:
        if not pack.pays_for(model_id, now_ms):
            continue
        if pack.unit == "calls":
            shares.append((pack, 1))
            return Choice(tuple(shares), tokens, whole=True)
        if missing:
            amount = min(pack.left, missing)
            shares.append((pack, amount))
            missing -= amount
    return Choice(tuple(shares), tokens - missing, whole=False)


def reserve(shares: Sequence[Reservation]) -> None:
    """Take what a choice says from what is left."""
    for pack, amount in shares:
        assert 0 < amount <= pack.left
        pack.left -= amount
        pack.held += amount


def release(shares: Sequence[Reservation]) -> None:
    """Give everything reserved back."""
    for pack, amount in shares:
        assert 0 < amount <= pack.held
        pack.held -= amount
        pack.left += amount


def burn(shares: Sequence[Reservation], tokens: int, per_call: int) -> tuple[tuple[Burn, ...], int, bool]:
    """Use up what a request of `tokens` needs, give the rest of the reservation back.

    A call is used up if the packs before it leave tokens or a price per call to be paid. Returns the burns, how many
    tokens they cover, and whether a call covers everything.
    """
    release(shares)
    burns: list[Burn] = []
    missing, whole = tokens, False
    for pack, reserved in shares:
        if pack.unit == "tokens":
            amount = min(reserved, missing)
            missing -= amount
        else:
            whole = bool(missing or per_call)
            amount = int(whole)
        if amount:
            pack.left -= amount
            burns.append(Burn(pack.id, pack.unit, amount))
    return tuple(burns), tokens - missing, whole
