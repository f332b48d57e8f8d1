"""Admin commands about money that comes and goes besides requests: top-ups, gifts, corrections, refunds.

Rule: amounts are text in yuan, exact to the nano-yuan, on the way in and on the way out.
"""

from collections.abc import Iterator

from openbigmodel.admin.accounts import find_account
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.admin.references import do_once, repeated
from openbigmodel.admin.service import Arguments, Command
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.chain import UsageColumns
from openbigmodel.billing.entries import Beside
from openbigmodel.billing.money import format_yuan, parse_yuan
from openbigmodel.billing.periods import moment_name
from openbigmodel.billing.store import CUSTOMERS_FROM
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

ACTIONS_MAX = 1000

_LIST_ACTIONS = QUERIES["list_cash_actions"]
_CHARGED = QUERIES["charged_usage"]
_MEMO_CHARACTERS_MAX = 500


class AddCredit(Arguments):
    """`gift`: nobody paid it. With a `reference` it is done once, however often it is asked for."""

    account: str
    yuan: str
    memo: str = ""
    gift: bool = False
    reference: str | None = None


class AdjustCredit(Arguments):
    """`yuan` may be negative. `reference`: as of AddCredit."""

    account: str
    yuan: str
    memo: str = ""
    reference: str | None = None


class Refund(Arguments):
    """`yuan` None: all that was charged and is not refunded yet."""

    request: str
    yuan: str | None = None
    memo: str = ""


class ListCredit(Arguments):
    account: str
    limit: int = ACTIONS_MAX


class CreditCommands:
    """The cash of accounts."""

    def __init__(self, auth: AuthStore, cashier: Cashier, database: Database) -> None:
        self._auth = auth
        self._cashier = cashier
        self._database = database

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("credit.add", AddCredit, self.add)
        yield Command("credit.adjust", AdjustCredit, self.adjust)
        yield Command("credit.refund", Refund, self.refund)
        yield Command("credit.list", ListCredit, self.list, reads=True)

    async def add(self, wanted: AddCredit) -> Answer:
        """What the account has now; that it was `repeated`, if this was done before under its reference."""
        account = find_account(self._auth, wanted.account)
        nano, memo = _more_than_nothing(parse_yuan(wanted.yuan)), check_memo(wanted.memo)
        kind = "gift" if wanted.gift else "topup"
        add = self._cashier.give if wanted.gift else self._cashier.top_up

        async def act(beside: Beside | None) -> None:
            await add(account.id, nano, memo, beside)

        content = {"kind": kind, "nano": nano, "memo": memo}
        found = await do_once(self._database, account.id, wanted.reference, content, act)
        return self._standing(account.id, nano) | repeated(found)

    async def adjust(self, wanted: AdjustCredit) -> Answer:
        """What the account has now, as of `add`; what requests under way hold cannot be taken."""
        account = find_account(self._auth, wanted.account)
        nano, memo = _more_than_nothing(parse_yuan(wanted.yuan.removeprefix("-"))), check_memo(wanted.memo)
        nano = -nano if wanted.yuan.startswith("-") else nano

        async def act(beside: Beside | None) -> None:
            self._check_enough(account.id, -nano)
            await self._cashier.adjust(account.id, nano, memo, beside)

        content = {"kind": "adjust", "nano": nano, "memo": memo}
        found = await do_once(self._database, account.id, wanted.reference, content, act)
        return self._standing(account.id, nano) | repeated(found)

    async def refund(self, wanted: Refund) -> Answer:
        """What was given back, and what the account has now."""
        nano = None if wanted.yuan is None else _more_than_nothing(parse_yuan(wanted.yuan))
        charged = self._database.read(_CHARGED, (wanted.request,))
        if not charged:
            raise AdminError("not_found", f"No request {wanted.request} was charged.")
        refund = await self._cashier.refund(wanted.request, nano, check_memo(wanted.memo))
        packs = [{"id": burn.pack_id, "unit": burn.unit, "amount": burn.amount} for burn in refund.burns]
        _, *usage = charged[0]
        account_id = UsageColumns._make(usage).account_id
        return self._standing(account_id, refund.nano) | {"request": wanted.request, "packs": packs}

    async def list(self, wanted: ListCredit) -> Answer:
        """The newest changes, newest first."""
        account = find_account(self._auth, wanted.account)
        rows = self._database.read(_LIST_ACTIONS, (account.id, max(1, min(wanted.limit, ACTIONS_MAX))))
        return {"account": account.id, "actions": [_action(*row) for row in rows]}

    def _check_enough(self, account_id: str, nano: int) -> None:
        balance, held = self._cashier.balance(account_id)
        if nano > balance:
            besides = f"; requests under way hold {format_yuan(held)} besides" if held else ""
            raise AdminError("not_enough", f"The balance is {format_yuan(balance)} yuan{besides}.")

    def _standing(self, account_id: str, nano: int) -> Answer:
        balance, held = self._cashier.balance(account_id)
        return {
            "account": account_id,
            "yuan": format_yuan(nano),
            "balance": format_yuan(balance),
            "held": format_yuan(held),
        }


def check_memo(text: str) -> str:
    """A note that is kept for ever with a posting. Raises AdminError for one that would not show in a list."""
    if len(text) > _MEMO_CHARACTERS_MAX or not (text.isprintable() or not text):
        raise AdminError(
            "bad_value",
            f"A memo is one line of at most {_MEMO_CHARACTERS_MAX} characters that can be printed.",
        )
    return text


def _more_than_nothing(nano: int) -> int:
    if nano == 0:
        raise AdminError("bad_value", "An amount is more than nothing.")
    return nano


def _action(
    seq: int,
    at_ms: int,
    kind: str,
    debit: int,
    amount: int,
    balance: int,
    action: str,
    memo: str,
    request: str,
) -> Answer:
    # From the platform's books it comes.
    signed = amount if debit < CUSTOMERS_FROM else -amount
    return {
        "posting": seq,
        "time": moment_name(at_ms),
        "kind": kind,
        "yuan": format_yuan(signed),
        # With what was held at that moment: a hold is no posting.
        "balance_after": format_yuan(balance),
        "action": action,
        "request": request or None,
        "memo": memo,
    }
