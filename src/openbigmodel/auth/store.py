"""Accounts, their API keys and their users in the database.

Rule: a key's secret leaves this file once, when the key is made or revealed; afterwards it is only compared. Every
change to a key or an account is announced to whoever remembers it before the call that made it returns, and also
when that call was given up meanwhile: a change that is queued is made.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import apsw

from openbigmodel.auth.accounts import (
    Account,
    AccountState,
    FlaggedKey,
    KeyRecord,
    UnknownAccount,
    UnknownKey,
    account_of,
    check_choice,
    check_name,
    check_tier,
    columns_of,
    key_record_of,
    restrictions_of,
)
from openbigmodel.auth.api_keys import KeyKind, KnownKey, Principal, unix_ms
from openbigmodel.auth.master_key import (
    MASTER_VERSION,
    MasterKey,
    MasterKeyError,
    create_master_key,
    read_master_key,
)
from openbigmodel.auth.restrictions import read_restrictions
from openbigmodel.auth.users import UserStore
from openbigmodel.credentials import ApiKey, new_key_id
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

MASTER_KEY_FILE = "master.key"

_FIRST_VERSION = 1
# Of how many keys one write notes the last use; others may write in between.
_USED_BATCH = 500
_ACCOUNTS_PER_PAGE = 200
# Each has a secret to derive; to count them costs less.
_KEYS_PER_PAGE = 50
_COUNTED_AT_ONCE = 1000
# A year: what is to work longer is no overlap.
_OVERLAP_S_MAX = 366 * 24 * 3600

_ADD_MASTER_FINGERPRINT = QUERIES["add_master_fingerprint"]
_ANY_OPERATOR = QUERIES["any_operator"]
_COPY_KEY = QUERIES["copy_key"]
_DISABLE_KEY = QUERIES["disable_key"]
_FETCH_ACCOUNT = QUERIES["fetch_account"]
_FETCH_KEY = QUERIES["fetch_key"]
_FETCH_KEY_RECORD = QUERIES["fetch_key_record"]
_FETCH_MASTER_FINGERPRINT = QUERIES["fetch_master_fingerprint"]
_FLAG_LEAKED_KEY = QUERIES["flag_leaked_key"]
_INSERT_ACCOUNT = QUERIES["insert_account"]
_INSERT_KEY = QUERIES["insert_key"]
_LIST_ACCOUNTS = QUERIES["list_accounts"]
_LIST_KEYS = QUERIES["list_keys"]
_LIST_KEY_STATES = QUERIES["list_key_states"]
_MARK_KEY_TOLD = QUERIES["mark_key_told"]
_NOTE_KEY_USED = QUERIES["note_key_used"]
_RENAME_KEY = QUERIES["rename_key"]
_RETIRE_KEY = QUERIES["retire_key"]
_SET_KEY_EXPIRY = QUERIES["set_key_expiry"]
_SET_KEY_RESTRICTIONS = QUERIES["set_key_restrictions"]
_UPDATE_ACCOUNT = QUERIES["update_account"]

_Result = TypeVar("_Result")
Listener = Callable[[str], None]


class AuthStore(UserStore):
    """Accounts, keys and users. Reads are immediate; changes return when they are on disk.

    `folder` holds the master key; one is made for a database without keys. Raises MasterKeyError if keys exist and
    the master key is missing or another one, because then no key would work. Methods raise UnknownAccount,
    UnknownKey or UnknownUser for an id that there is not, and ValueError with a sentence for what cannot be done.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        now_ms: Callable[[], int] = unix_ms,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(database, now_ms, random_bytes)
        self._key_listeners: list[Listener] = []
        self._account_listeners: list[Listener] = []
        self._changes: set[asyncio.Task[Any]] = set()
        self._master_key = _open_master_key(database, folder / MASTER_KEY_FILE, random_bytes)

    def on_change(self, listener: Listener) -> None:
        """Calls `listener` with a key's id after each change to that key."""
        self._key_listeners.append(listener)

    def on_account_change(self, listener: Listener) -> None:
        """Calls `listener` with an account's id after each change to that account."""
        self._account_listeners.append(listener)

    # accounts

    async def add_account(self, account: Account) -> None:
        """Writes an account that was drafted."""
        await self._database.write(partial(insert_account, account=account))

    def draft_account(
        self, name: str, *, exempt: bool = False, tier: str = "V0", rotate_leaked: bool = False
    ) -> Account:
        """A new account that is yet to be written, for whoever writes something else in the same unit."""
        check_tier(tier)
        return Account(
            id=self._new_id(),
            name=check_name(name, "the name of an account"),
            operator=False,
            created_ms=self._now_ms(),
            exempt=exempt,
            tier=tier,
            rotate_leaked=rotate_leaked,
        )

    async def update_account(
        self,
        account_id: str,
        *,
        name: str | None = None,
        exempt: bool | None = None,
        tier: str | None = None,
        state: AccountState | None = None,
        rotate_leaked: bool | None = None,
    ) -> Account:
        """Changes what is given. A locked account's keys are refused with 1112 until it is active again."""
        if name is not None:
            name = check_name(name, "the name of an account")
        if tier is not None:
            check_tier(tier)
        if state is not None:
            check_choice(state, get_args(AccountState), "the state")
        row = (account_id, name, exempt, tier, state, rotate_leaked)

        def update(connection: apsw.Connection) -> Account:
            connection.execute(_UPDATE_ACCOUNT, row)
            return _fetch_account(connection, account_id)

        return await self._change(update, self._account_listeners, account_id)

    def find_account(self, account_id: str) -> Account | None:
        """One account; None if there is none with this id."""
        rows = self._database.read(_FETCH_ACCOUNT, (account_id,))
        return account_of(rows[0]) if rows else None

    def list_accounts(self) -> list[Account]:
        """All accounts, oldest first; for who can wait for all of them."""
        return [account for page in self.pages_of_accounts() for account in page]

    def pages_of_accounts(self) -> Iterator[list[Account]]:
        """All accounts, oldest first, so many at a time as are read in a millisecond."""
        created_ms, account_id = -1, ""
        while rows := self._database.read(_LIST_ACCOUNTS, (created_ms, account_id, _ACCOUNTS_PER_PAGE)):
            page = [account_of(row) for row in rows]
            yield page
            created_ms, account_id = page[-1].created_ms, page[-1].id

    async def ensure_operator(self, name: str = "operator") -> ApiKey | None:
        """Makes the operator's account and its first key, and tells it; None if there is an operator already."""
        account = Account(self._new_id(), name, operator=True, created_ms=self._now_ms(), exempt=True)
        key_id = new_key_id(self._random_bytes)
        row = (key_id, account.id, "standard", "first key", account.created_ms, None, None, None, None)

        def insert_first(connection: apsw.Connection) -> bool:
            if connection.execute(_ANY_OPERATOR).fetchall():
                return False
            insert_account(connection, account)
            self._insert_key(connection, row)
            return True

        if not await self._database.write(insert_first):
            return None
        return self._api_key(key_id)

    # keys

    async def create_key(
        self,
        account_id: str,
        name: str,
        *,
        kind: KeyKind = "standard",
        models: Iterable[str] | None = None,
        endpoints: Iterable[str] | None = None,
        networks: Iterable[str] | None = None,
        expires_ms: int | None = None,
    ) -> ApiKey:
        """A new key; the only time its secret is told.

        `models`, `endpoints` (see restrictions.ENDPOINT_NAMES) and `networks` are all that it may use; None is no
        restriction.
        """
        check_choice(kind, get_args(KeyKind), "the kind of a key")
        columns = columns_of(read_restrictions(models, endpoints, networks))
        key_id = new_key_id(self._random_bytes)
        name = check_name(name, "the name of a key")
        row = (key_id, account_id, kind, name, self._now_ms(), expires_ms, *columns)

        def insert(connection: apsw.Connection) -> None:
            _fetch_account(connection, account_id)
            self._insert_key(connection, row)

        await self._database.write(insert)
        return self._api_key(key_id)

    async def rename_key(self, key_id: str, name: str) -> KeyRecord:
        """Gives a key another name."""
        return await self._update_key(_RENAME_KEY, key_id, check_name(name, "the name of a key"))

    async def restrict_key(
        self,
        key_id: str,
        *,
        models: Iterable[str] | None = None,
        endpoints: Iterable[str] | None = None,
        networks: Iterable[str] | None = None,
    ) -> KeyRecord:
        """Says anew all that a key may be used for, as in `create_key`."""
        columns = columns_of(read_restrictions(models, endpoints, networks))
        return await self._update_key(_SET_KEY_RESTRICTIONS, key_id, *columns)

    async def set_key_expiry(self, key_id: str, expires_ms: int | None) -> KeyRecord:
        """Has a key end at another time, Unix milliseconds; None: never."""
        return await self._update_key(_SET_KEY_EXPIRY, key_id, expires_ms)

    async def disable_key(self, key_id: str) -> bool:
        """Takes a key out of use, for good. False if there is no such active key."""

        def disable(connection: apsw.Connection) -> bool:
            connection.execute(_DISABLE_KEY, (key_id,))
            return connection.changes() == 1

        return await self._change(disable, self._key_listeners, key_id)

    async def rotate_key(self, key_id: str, *, overlap_s: int) -> ApiKey:
        """A new key that may do what the old one may, and ends when that would have; its secret is told once.

        The old one still works for `overlap_s` seconds. Raises ValueError for a key that no longer works or was
        rotated before.
        """
        if not 0 <= overlap_s <= _OVERLAP_S_MAX:
            raise ValueError(f"the overlap must be 0 to {_OVERLAP_S_MAX} seconds")
        successor = new_key_id(self._random_bytes)

        def rotate(connection: apsw.Connection) -> None:
            record = self._fetch_record(connection, key_id)
            self._check_working(record)
            if record.rotated_to is not None:
                raise ValueError(f"key {key_id} was rotated before, to {record.rotated_to}")
            self._replace(connection, key_id, successor, overlap_s, told=True)

        await self._change(rotate, self._key_listeners, key_id)
        return self._api_key(successor)

    async def flag_leaked(self, key_id: str, *, overlap_s: int) -> FlaggedKey | None:
        """Notes that a key was seen where no key belongs; None if that was noted before and nothing is left to do.

        If the account wants it, the key is replaced and ends after `overlap_s` seconds, also if the account has only
        come to want it since the key was noted; nobody is told the secret of the new one before somebody asks for it
        with `reveal_key`.
        """
        successor = new_key_id(self._random_bytes)

        def flag(connection: apsw.Connection) -> FlaggedKey | None:
            record = self._fetch_record(connection, key_id)
            connection.execute(_FLAG_LEAKED_KEY, (key_id, self._now_ms()))
            noted_before = connection.changes() == 0
            account = _fetch_account(connection, record.account_id)
            rotating = account.rotate_leaked and self._works(record)
            if rotating and record.rotated_to is None:
                self._replace(connection, key_id, successor, overlap_s, told=False)
                return FlaggedKey(key_id, account.id, successor)
            if noted_before:
                return None
            if not rotating:
                return FlaggedKey(key_id, account.id, record.rotated_to)
            # It has a successor already, and only ends sooner.
            ends_ms = self._now_ms() + overlap_s * 1000
            connection.execute(_RETIRE_KEY, (key_id, record.rotated_to, ends_ms))
            return FlaggedKey(key_id, account.id, record.rotated_to)

        return await self._change(flag, self._key_listeners, key_id)

    async def reveal_key(self, key_id: str) -> ApiKey:
        """Tells the secret of a key that the platform made on its own: once, as with every other key."""

        def reveal(connection: apsw.Connection) -> None:
            connection.execute(_MARK_KEY_TOLD, (key_id,))
            if connection.changes() == 0:
                self._fetch_record(connection, key_id)
                raise ValueError(f"the secret of key {key_id} has been told; rotate the key to get another")

        await self._database.write(reveal)
        return self._api_key(key_id)

    async def note_used(self, used: Mapping[str, int]) -> None:
        """Writes down when keys were last used: key id to Unix milliseconds. Ids that there are not don't matter."""
        rows = list(used.items())
        for start in range(0, len(rows), _USED_BATCH):
            await self._database.write(partial(_note_used, rows=rows[start : start + _USED_BATCH]))

    def find_key(self, key_id: str) -> KnownKey | None:
        """Looks a key up for the Authenticator."""
        rows = self._database.read(_FETCH_KEY, (key_id,))
        if not rows:
            # The work that a known key takes, so that time does not tell which ids exist.
            self._master_key.secret(key_id, _FIRST_VERSION)
            return None
        account_id, kind, version, state, expires_ms, models, endpoints, networks, *rest = rows[0]
        leaked_ms, rotated_to, operator, exempt, tier, account_state, rotate_leaked = rest
        to_rotate = rotate_leaked and rotated_to is None and _works(state, expires_ms, self._now_ms())
        return KnownKey(
            principal=Principal(
                account_id,
                key_id,
                kind,
                operator=bool(operator),
                exempt=bool(exempt),
                tier=tier,
                restrictions=restrictions_of(models, endpoints, networks),
            ),
            secret=self._master_key.secret(key_id, version),
            active=state == "active",
            expires_ms=expires_ms,
            locked=account_state == "locked",
            leaked=leaked_ms is not None and not to_rotate,
        )

    def find_key_record(self, key_id: str) -> KeyRecord | None:
        """One key as a list shows it; None if there is none with this id."""
        rows = self._database.read(_FETCH_KEY_RECORD, (key_id,))
        return self._record(rows[0]) if rows else None

    def list_keys(self, account_id: str) -> list[KeyRecord]:
        """The keys of one account, oldest first; for who can wait for all of them."""
        return [key for page in self.pages_of_keys(account_id) for key in page]

    def pages_of_keys(self, account_id: str) -> Iterator[list[KeyRecord]]:
        """The same, so many at a time as are read in a millisecond."""
        created_ms, key_id = -1, ""
        while rows := self._database.read(_LIST_KEYS, (account_id, created_ms, key_id, _KEYS_PER_PAGE)):
            page = [self._record(row) for row in rows]
            yield page
            created_ms, key_id = page[-1].created_ms, page[-1].id

    async def count_working_keys(self, account_id: str) -> int:
        """How many keys of an account can be used; others have their turn meanwhile."""
        count, created_ms, key_id = 0, -1, ""
        while rows := self._database.read(
            _LIST_KEY_STATES, (account_id, created_ms, key_id, _COUNTED_AT_ONCE)
        ):
            now_ms = self._now_ms()
            count += sum(_works(state, expires_ms, now_ms) for _, _, state, expires_ms in rows)
            created_ms, key_id, _, _ = rows[-1]
            await asyncio.sleep(0)
        return count

    # how changes are made

    async def _change(
        self, work: Callable[[apsw.Connection], _Result], listeners: list[Listener], changed_id: str
    ) -> _Result:
        """Makes a change and announces it, even if the caller is cancelled meanwhile: the change is made anyway."""

        async def change() -> _Result:
            try:
                return await self._database.write(work)
            finally:
                # Also after an error, which may leave open whether the change is on disk.
                for listener in listeners:
                    listener(changed_id)

        task = asyncio.create_task(change())
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _update_key(self, query: str, key_id: str, *values: str | int | None) -> KeyRecord:
        def update(connection: apsw.Connection) -> KeyRecord:
            connection.execute(query, (key_id, *values))
            return self._fetch_record(connection, key_id)

        return await self._change(update, self._key_listeners, key_id)

    def _replace(
        self, connection: apsw.Connection, key_id: str, successor: str, overlap_s: int, *, told: bool
    ) -> None:
        now_ms = self._now_ms()
        connection.execute(_COPY_KEY, (key_id, successor, now_ms, told))
        connection.execute(_RETIRE_KEY, (key_id, successor, now_ms + overlap_s * 1000))

    def _works(self, record: KeyRecord) -> bool:
        return _works(record.state, record.expires_ms, self._now_ms())

    def _check_working(self, record: KeyRecord) -> None:
        if not self._works(record):
            raise ValueError(f"key {record.id} is disabled or has expired; create a new one")

    def _fetch_record(self, connection: apsw.Connection, key_id: str) -> KeyRecord:
        rows = connection.execute(_FETCH_KEY_RECORD, (key_id,)).fetchall()
        if not rows:
            raise UnknownKey(key_id)
        return self._record(rows[0])

    def _record(self, row: tuple[Any, ...]) -> KeyRecord:
        key_id, version = row[0], row[3]
        return key_record_of(row, self._master_key.secret(key_id, version))

    def _api_key(self, key_id: str) -> ApiKey:
        return ApiKey(key_id, self._master_key.secret(key_id, _FIRST_VERSION))

    def _insert_key(self, connection: apsw.Connection, row: tuple[str | int | None, ...]) -> None:
        fingerprint = (MASTER_VERSION, self._master_key.fingerprint(), self._now_ms())
        connection.execute(_ADD_MASTER_FINGERPRINT, fingerprint)
        connection.execute(_INSERT_KEY, row)


def insert_account(connection: apsw.Connection, account: Account) -> None:
    """Writes a new account; nobody knows it before."""
    connection.execute(
        _INSERT_ACCOUNT,
        (
            account.id,
            account.name,
            account.operator,
            account.created_ms,
            account.exempt,
            account.tier,
            account.rotate_leaked,
        ),
    )


def _fetch_account(connection: apsw.Connection, account_id: str) -> Account:
    rows = connection.execute(_FETCH_ACCOUNT, (account_id,)).fetchall()
    if not rows:
        raise UnknownAccount(account_id)
    return account_of(rows[0])


def _works(state: str, expires_ms: int | None, now_ms: int) -> bool:
    return state == "active" and (expires_ms is None or now_ms < expires_ms)


def _note_used(connection: apsw.Connection, rows: list[tuple[str, int]]) -> None:
    connection.executemany(_NOTE_KEY_USED, rows)


def _open_master_key(database: Database, path: Path, random_bytes: Callable[[int], bytes]) -> MasterKey:
    # A fingerprint is written with every key, so none means no keys.
    fingerprints = database.read(_FETCH_MASTER_FINGERPRINT, (MASTER_VERSION,))
    master_key = read_master_key(path)
    if master_key is None:
        if fingerprints:
            raise MasterKeyError(
                f"The master key {path} is missing, and without it none of the API keys in the database works. "
                "Restore it from a backup."
            )
        return create_master_key(path, random_bytes)
    if fingerprints and fingerprints[0][0] != master_key.fingerprint():
        raise MasterKeyError(
            f"The master key {path} belongs to another database: none of the API keys in this one would work. "
            "Restore the one that was backed up with this database."
        )
    return master_key
