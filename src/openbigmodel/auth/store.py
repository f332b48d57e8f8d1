"""Accounts and API keys in the database.

Rule: a key's secret leaves this file once, when the key is made; afterwards it is only compared. Every change to a
key is announced to whoever remembers keys before the call that made it returns.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import apsw
import msgspec

from openbigmodel.auth.api_keys import KeyKind, KnownKey, Principal, unix_ms
from openbigmodel.auth.master_key import MasterKey, MasterKeyError, create_master_key, read_master_key
from openbigmodel.credentials import ApiKey, new_key_id
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

_MASTER_VERSION = 1
_FIRST_VERSION = 1

_ANY_ACCOUNT = QUERIES["any_account"]
_ANY_KEY = QUERIES["any_key"]
_DISABLE_KEY = QUERIES["disable_key"]
_FETCH_ACCOUNT = QUERIES["fetch_account"]
_FETCH_KEY = QUERIES["fetch_key"]
_FETCH_MASTER_FINGERPRINT = QUERIES["fetch_master_fingerprint"]
_INSERT_ACCOUNT = QUERIES["insert_account"]
_INSERT_KEY = QUERIES["insert_key"]
_SET_MASTER_FINGERPRINT = QUERIES["set_master_fingerprint"]
_LIST_ACCOUNTS = QUERIES["list_accounts"]
_LIST_KEYS = QUERIES["list_keys"]


class Account(msgspec.Struct, frozen=True):
    """Who owns keys, limits and money. `operator`: the platform's own account."""

    id: str
    name: str
    operator: bool
    created_ms: int


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as a list shows it: everything but the secret."""

    id: str
    account_id: str
    kind: KeyKind
    version: int
    name: str
    state: str
    created_ms: int
    last_used_ms: int | None
    expires_ms: int | None


class UnknownAccount(LookupError):  # noqa: N818 - it names the state.
    """There is no account with this id."""


class KeyStore:
    """Accounts and keys. Reads are immediate; changes return when they are on disk."""

    def __init__(
        self,
        database: Database,
        master_key: MasterKey,
        *,
        now_ms: Callable[[], int] = unix_ms,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database = database
        self._master_key = master_key
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._listeners: list[Callable[[str], None]] = []

    @classmethod
    async def open(
        cls,
        database: Database,
        master_key_path: Path,
        *,
        now_ms: Callable[[], int] = unix_ms,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> Self:
        """Reads the master key, or makes one for a database without keys.

        Raises MasterKeyError if keys exist and the master key is missing or another one: no key would work.
        """
        master_key = read_master_key(master_key_path)
        if master_key is None:
            if database.read(_ANY_KEY):
                raise MasterKeyError(
                    f"The master key {master_key_path} is missing, and without it none of the API keys in the database "
                    "works. Restore it from a backup."
                )
            master_key = create_master_key(master_key_path, random_bytes)
        await _check_fingerprint(database, master_key, master_key_path, now_ms())
        return cls(database, master_key, now_ms=now_ms, random_bytes=random_bytes)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Calls `listener` with a key's id after each change to that key."""
        self._listeners.append(listener)

    async def create_account(self, name: str) -> Account:
        """A new account without keys."""
        account = self._new_account(name, operator=False)
        await self._database.write(lambda connection: _insert_account(connection, account))
        return account

    async def create_key(
        self, account_id: str, name: str, *, kind: KeyKind = "standard", expires_ms: int | None = None
    ) -> ApiKey:
        """A new key; the only time its secret is told. Raises UnknownAccount."""
        key_id = new_key_id(self._random_bytes)
        row = (key_id, account_id, kind, name, self._now_ms(), expires_ms)

        def insert(connection: apsw.Connection) -> None:
            if not connection.execute(_FETCH_ACCOUNT, (account_id,)).fetchall():
                raise UnknownAccount(account_id)
            connection.execute(_INSERT_KEY, row)

        await self._database.write(insert)
        return ApiKey(key_id, self._master_key.secret(key_id, _FIRST_VERSION))

    async def ensure_operator(self, name: str = "operator") -> ApiKey | None:
        """On an empty database, makes the operator's account and its first key, and tells it; None otherwise."""
        account = self._new_account(name, operator=True)
        key_id = new_key_id(self._random_bytes)

        def insert_first(connection: apsw.Connection) -> bool:
            if connection.execute(_ANY_ACCOUNT).fetchall():
                return False
            _insert_account(connection, account)
            connection.execute(
                _INSERT_KEY, (key_id, account.id, "standard", "first key", account.created_ms, None)
            )
            return True

        if not await self._database.write(insert_first):
            return None
        return ApiKey(key_id, self._master_key.secret(key_id, _FIRST_VERSION))

    async def disable_key(self, key_id: str) -> bool:
        """Takes a key out of use, for good. False if there is no such active key."""

        def disable(connection: apsw.Connection) -> bool:
            connection.execute(_DISABLE_KEY, (key_id,))
            return connection.changes() == 1

        changed = await self._database.write(disable)
        if changed:
            for listener in self._listeners:
                listener(key_id)
        return changed

    def find_key(self, key_id: str) -> KnownKey | None:
        """Looks a key up for the Authenticator."""
        rows = self._database.read(_FETCH_KEY, (key_id,))
        if not rows:
            # The work that a known key takes, so that time does not tell which ids exist.
            self._master_key.secret(key_id, _FIRST_VERSION)
            return None
        account_id, kind, version, state, expires_ms, operator = rows[0]
        return KnownKey(
            principal=Principal(account_id, key_id, kind, bool(operator)),
            secret=self._master_key.secret(key_id, version),
            active=state == "active",
            expires_ms=expires_ms,
        )

    def list_accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        rows = self._database.read(_LIST_ACCOUNTS)
        return [
            Account(account_id, name, bool(operator), created_ms)
            for account_id, name, operator, created_ms in rows
        ]

    def list_keys(self, account_id: str) -> list[KeyRecord]:
        """The keys of one account, oldest first."""
        return [KeyRecord(*row) for row in self._database.read(_LIST_KEYS, (account_id,))]

    def _new_account(self, name: str, *, operator: bool) -> Account:
        return Account(self._random_bytes(16).hex(), name, operator, self._now_ms())


def _insert_account(connection: apsw.Connection, account: Account) -> None:
    connection.execute(_INSERT_ACCOUNT, (account.id, account.name, int(account.operator), account.created_ms))


async def _check_fingerprint(database: Database, master_key: MasterKey, path: Path, now_ms: int) -> None:
    rows = database.read(_FETCH_MASTER_FINGERPRINT, (_MASTER_VERSION,))
    if rows and rows[0][0] == master_key.fingerprint():
        return
    if rows and database.read(_ANY_KEY):
        raise MasterKeyError(
            f"The master key {path} belongs to another database: none of the API keys in this one would work. "
            "Restore the one that was backed up with this database."
        )
    row = (_MASTER_VERSION, master_key.fingerprint(), now_ms)
    await database.write(lambda connection: connection.execute(_SET_MASTER_FINGERPRINT, row))
