"""Admin commands about accounts and the people who sign in to them."""

import asyncio
from collections.abc import Iterator

import msgspec

from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.admin.service import Arguments, Command
from openbigmodel.auth.accounts import (
    Account,
    AccountState,
    KeyRecord,
    Role,
    UnknownAccount,
    User,
    UserState,
)
from openbigmodel.auth.store import AuthStore, insert_account
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.money import format_yuan, parse_yuan
from openbigmodel.billing.periods import moment_name

_TRIAL_MEMO = "trial credit"


class CreateAccount(Arguments):
    """`credit`: yuan to try the platform with; None: as the settings have it."""

    name: str
    exempt: bool = False
    tier: str = "V0"
    rotate_leaked: bool = False
    credit: str | None = None


class ListAccounts(Arguments):
    pass


class ShowAccount(Arguments):
    account: str


class UpdateAccount(Arguments):
    """What is None stays as it is."""

    account: str
    name: str | None = None
    state: AccountState | None = None
    exempt: bool | None = None
    tier: str | None = None
    rotate_leaked: bool | None = None


class AddUser(Arguments):
    """`account` None: one who runs the platform."""

    email: str
    account: str | None = None
    role: Role = "member"
    name: str = ""


class ListUsers(Arguments):
    account: str | None = None


class UpdateUser(Arguments):
    user: str
    role: Role | None = None
    state: UserState | None = None


class RemoveUser(Arguments):
    user: str


class AccountCommands:
    """Accounts, with what they have."""

    def __init__(self, auth: AuthStore, cashier: Cashier, trial_credit: str = "0") -> None:
        """`trial_credit`: yuan for new accounts of which nothing else is said."""
        self._auth = auth
        self._cashier = cashier
        self._trial_nano = parse_yuan(trial_credit)

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("accounts.create", CreateAccount, self.create)
        yield Command("accounts.list", ListAccounts, self.list, reads=True)
        yield Command("accounts.show", ShowAccount, self.show, reads=True)
        yield Command("accounts.update", UpdateAccount, self.update)

    async def create(self, wanted: CreateAccount) -> Answer:
        """The new account's id, and what it was given, if anything."""
        # Before anything is made.
        nano = self._trial_nano if wanted.credit is None else parse_yuan(wanted.credit)
        account = self._auth.draft_account(
            wanted.name, exempt=wanted.exempt, tier=wanted.tier, rotate_leaked=wanted.rotate_leaked
        )
        if not nano:
            await self._auth.add_account(account)
            return {"id": account.id}
        # One unit: an account that was promised something is never there without it.
        await self._cashier.give(
            account.id, nano, _TRIAL_MEMO, lambda connection, _: insert_account(connection, account)
        )
        return {"id": account.id, "credit": format_yuan(nano)}

    async def list(self, wanted: ListAccounts) -> Answer:
        """All of them, oldest first."""
        facts = []
        for page in self._auth.pages_of_accounts():
            facts += [self._facts(account) for account in page]
            # Requests are served by the same loop.
            await asyncio.sleep(0)
        return {"accounts": facts}

    async def show(self, wanted: ShowAccount) -> Answer:
        """One, with the number of its keys and users."""
        account = find_account(self._auth, wanted.account)
        return self._facts(account) | {
            "keys": await self._auth.count_working_keys(account.id),
            "users": self._auth.count_users(account.id),
        }

    async def update(self, wanted: UpdateAccount) -> Answer:
        """The account as it is now."""
        changes = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not None}
        changes.pop("account")
        if not changes:
            raise AdminError("bad_arguments", "Say what shall be changed.")
        return self._facts(await self._auth.update_account(wanted.account, **changes))

    def _facts(self, account: Account) -> Answer:
        balance, held = self._cashier.balance(account.id)
        return {
            "id": account.id,
            "name": account.name,
            "state": account.state,
            "operator": account.operator,
            "exempt": account.exempt,
            "tier": account.tier,
            "rotate_leaked": account.rotate_leaked,
            "created": moment_name(account.created_ms),
            "balance": format_yuan(balance),
            "held": format_yuan(held),
        }


class UserCommands:
    """People."""

    def __init__(self, auth: AuthStore) -> None:
        self._auth = auth

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("users.add", AddUser, self.add)
        yield Command("users.list", ListUsers, self.list, reads=True)
        yield Command("users.update", UpdateUser, self.update)
        yield Command("users.remove", RemoveUser, self.remove)

    async def add(self, wanted: AddUser) -> Answer:
        """The new user."""
        return _user_facts(
            await self._auth.add_user(wanted.email, wanted.role, account_id=wanted.account, name=wanted.name)
        )

    async def list(self, wanted: ListUsers) -> Answer:
        """Those of an account, or all, oldest first."""
        if wanted.account is not None:
            find_account(self._auth, wanted.account)
        facts: list[Answer] = []
        for page in self._auth.pages_of_users(wanted.account):
            facts += map(_user_facts, page)
            # As for accounts.
            await asyncio.sleep(0)
        return {"users": facts}

    async def update(self, wanted: UpdateUser) -> Answer:
        """The user as it is now."""
        if wanted.role is None and wanted.state is None:
            raise AdminError("bad_arguments", "Say what shall be changed.")
        return _user_facts(await self._auth.update_user(wanted.user, role=wanted.role, state=wanted.state))

    async def remove(self, wanted: RemoveUser) -> Answer:
        """Who was removed."""
        await self._auth.remove_user(wanted.user)
        return {"id": wanted.user, "state": "removed"}


def find_account(auth: AuthStore, account_id: str) -> Account:
    """Raises UnknownAccount."""
    account = auth.find_account(account_id)
    if account is None:
        raise UnknownAccount(account_id)
    return account


def key_state(key: KeyRecord, now_ms: int) -> str:
    """`active`, `disabled`, or `expired`, as whoever uses the key will find it."""
    ended = key.expires_ms is not None and key.expires_ms <= now_ms
    return "expired" if ended and key.state == "active" else key.state


def _user_facts(user: User) -> Answer:
    return {
        "id": user.id,
        "account": user.account_id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "state": user.state,
        "created": moment_name(user.created_ms),
    }
