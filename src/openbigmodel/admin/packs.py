"""Admin commands about resource packs: tokens or calls, bought or given, for some models and some time."""

from collections.abc import Callable, Iterator

import msgspec

from openbigmodel.admin.accounts import find_account
from openbigmodel.admin.credit import check_memo
from openbigmodel.admin.known_models import KnownModels, with_warning
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.admin.references import do_once, repeated
from openbigmodel.admin.service import Arguments, Command
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.entries import PACK_PREFIX, Beside, pack_of_row
from openbigmodel.billing.packs import Pack, Unit
from openbigmodel.billing.periods import moment_name, parse_end, parse_moment
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

# Far beyond any use; sums of packs stay within the 64 bits of the database.
_AMOUNT_MAX = 1_000_000_000_000_000
_FETCH_PACK = QUERIES["fetch_pack"]
_LIST_PACKS = QUERIES["list_packs_of_account"]


class GrantPack(Arguments):
    """Either tokens or calls. `models` None: for every model; `from_` None: from now on.

    With a `reference` it is granted once, however often it is asked for.
    """

    account: str
    to: str
    tokens: int | None = None
    calls: int | None = None
    models: tuple[str, ...] | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    gift: bool = False
    memo: str = ""
    reference: str | None = None


class ListPacks(Arguments):
    account: str


class PackCommands:
    """The packs of accounts."""

    def __init__(
        self,
        auth: AuthStore,
        cashier: Cashier,
        database: Database,
        known: KnownModels,
        now_ms: Callable[[], int],
    ) -> None:
        self._known = known
        self._auth = auth
        self._cashier = cashier
        self._database = database
        self._now_ms = now_ms

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("packs.grant", GrantPack, self.grant)
        yield Command("packs.list", ListPacks, self.list, reads=True)

    async def grant(self, wanted: GrantPack) -> Answer:
        """The new pack; or, `repeated`, the one that was granted before under its reference."""
        account = find_account(self._auth, wanted.account)
        unit, amount = _size(wanted)
        models = None if wanted.models is None else frozenset(model.lower() for model in wanted.models)
        if models is not None and not models:
            raise AdminError(
                "bad_value", "A pack for no model would be of no use; without models it is for all."
            )
        from_ms = None if wanted.from_ is None else parse_moment(wanted.from_)
        to_ms, memo = parse_end(wanted.to), check_memo(wanted.memo)
        granted: list[Pack] = []

        async def act(beside: Beside | None) -> None:
            granted.append(
                await self._cashier.grant_pack(
                    account.id,
                    unit=unit,
                    amount=amount,
                    models=models,
                    gift=wanted.gift,
                    from_ms=self._now_ms() if from_ms is None else from_ms,
                    to_ms=to_ms,
                    memo=memo,
                    beside=beside,
                )
            )

        content = {
            "kind": "pack_grant",
            unit: amount,
            "models": None if models is None else sorted(models),
            "gift": wanted.gift,
            "from_ms": from_ms,
            "to_ms": to_ms,
            "memo": memo,
        }
        found = await do_once(self._database, account.id, wanted.reference, content, act)
        if found is None:
            pack = granted[0]
        else:
            row = self._database.read(_FETCH_PACK, (found.book.removeprefix(PACK_PREFIX),))[0]
            pack = pack_of_row(row, amount)
        answer: Answer = {
            "id": pack.id,
            "account": account.id,
            unit: amount,
            "from": moment_name(pack.from_ms),
            "to": moment_name(pack.to_ms),
        }
        return with_warning(answer | repeated(found), self._known.warning(wanted.models))

    async def list(self, wanted: ListPacks) -> Answer:
        """All there ever were, those that end first first; that is the order in which they are used."""
        account = find_account(self._auth, wanted.account)
        now_ms = self._now_ms()
        rows = self._database.read(_LIST_PACKS, (account.id,))
        return {"account": account.id, "packs": [_facts(now_ms, *row) for row in rows]}


def _size(wanted: GrantPack) -> tuple[Unit, int]:
    if (wanted.tokens is None) == (wanted.calls is None):
        raise AdminError("bad_arguments", "A pack has either tokens or calls: give one of the two.")
    amount = wanted.calls if wanted.tokens is None else wanted.tokens
    assert amount is not None
    if amount < 1:
        raise AdminError("bad_value", "A pack has at least one token or call.")
    if amount > _AMOUNT_MAX:
        raise AdminError("bad_value", f"A pack has at most {_AMOUNT_MAX} tokens or calls.")
    return "calls" if wanted.tokens is None else "tokens", amount


def _facts(
    now_ms: int,
    pack_id: str,
    unit: str,
    amount: int,
    models: str | None,
    gift: int,
    from_ms: int,
    to_ms: int,
    created_ms: int,
    left: int | None,
) -> Answer:
    if now_ms >= to_ms:
        state = "expired"
    elif not left:
        state = "used_up"
    else:
        state = "valid" if now_ms >= from_ms else "future"
    return {
        "id": pack_id,
        "unit": unit,
        "amount": amount,
        "left": left or 0,
        "models": None if models is None else msgspec.json.decode(models),
        "gift": bool(gift),
        "state": state,
        "from": moment_name(from_ms),
        "to": moment_name(to_ms),
        "created": moment_name(created_ms),
    }
