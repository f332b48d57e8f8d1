"""Accounts and API keys in the database.

Rule: a key's secret leaves this file once, when the key is made; afterwards it is only compared. Every change to a
key is announced to whoever remembers keys before the call that made it returns.
"""

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec

from openbigmodel.auth.api_keys import KeyKind, KnownKey, Principal, unix_ms
from openbigmodel.auth.master_key import MasterKey, MasterKeyError, create_master_key, read_master_key
from openbigmodel.credentials import ApiKey, new_key_id
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

MASTER_KEY_FILE = "master.key"

_MASTER_VERSION = 1
_FIRST_VERSION = 1

_ADD_MASTER_FINGERPRINT = QUERIES["add_master_fingerprint"]
_ANY_ACCOUNT = QUERIES["any_account"]
_DISABLE_KEY = QUERIES["disable_key"]
_FETCH_ACCOUNT = QUERIES["fetch_account"]
_FETCH_KEY = QUERIES["fetch_key"]
_FETCH_MASTER_FINGERPRINT = QUERIES["fetch_master_fingerprint"]
_INSERT_ACCOUNT = QUERIES["insert_account"]
_INSERT_KEY = QUERIES["insert_key"]
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


class AuthStore:
    """Accounts and keys. Reads are immediate; changes return when they are on disk.

    `folder` holds the master key; one is made for a database without keys. Raises MasterKeyError if keys exist and
    the master key is missing or another one, because then no key would work.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        now_ms: Callable[[], int] = unix_ms,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._listeners: list[Callable[[str], None]] = []
        self._master_key = _open_master_key(database, folder / MASTER_KEY_FILE, random_bytes)

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
            self._insert_key(connection, row)

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
            self._insert_key(
                connection, (key_id, account.id, "standard", "first key", account.created_ms, None)
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

    def _insert_key(self, connection: apsw.Connection, row: tuple[str | int | None, ...]) -> None:
        fingerprint = (_MASTER_VERSION, self._master_key.fingerprint(), self._now_ms())
        connection.execute(_ADD_MASTER_FINGERPRINT, fingerprint)
        connection.execute(_INSERT_KEY, row)

    def _new_account(self, name: str, *, operator: bool) -> Account:
        return Account(self._random_bytes(16).hex(), name, operator, self._now_ms())


def _insert_account(connection: apsw.Connection, account: Account) -> None:
    connection.execute(_INSERT_ACCOUNT, (account.id, account.name, int(account.operator), account.created_ms))


def _open_master_key(database: Database, path: Path, random_bytes: Callable[[int], bytes]) -> MasterKey:
    # A fingerprint is written with every key, so none means no keys.
    fingerprints = database.read(_FETCH_MASTER_FINGERPRINT, (_MASTER_VERSION,))
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
