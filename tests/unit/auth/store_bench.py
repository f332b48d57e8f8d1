"""A store on a database of its own, with a clock that a test sets."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from openbigmodel.auth.accounts import Account
from openbigmodel.auth.api_keys import Authenticator
from openbigmodel.auth.store import AuthStore
from openbigmodel.credentials import ApiKey
from openbigmodel.db.connection import Database
from openbigmodel.errors import ApiError

NOW_MS = 1_795_000_000_000


class StoreBench:
    """Store, clock and Authenticator; `told` and `accounts_told` are the changes that were announced."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.now_ms = NOW_MS
        self.database = database
        self.store = AuthStore(database, folder, now_ms=lambda: self.now_ms)
        self.authenticator = Authenticator(self.store, now_ms=lambda: self.now_ms)
        self.told: list[str] = []
        self.accounts_told: list[str] = []
        self.store.on_change(self.told.append)
        self.store.on_account_change(self.accounts_told.append)

    def code(self, key: ApiKey) -> str | None:
        """Why a key is refused; None if it works."""
        try:
            self.authenticator.authenticate(f"Bearer {key}".encode())
        except ApiError as error:
            return error.code
        return None


async def create_account(
    store: AuthStore, name: str, *, tier: str = "V0", rotate_leaked: bool = False
) -> Account:
    """A new account without keys, on disk."""
    account = store.draft_account(name, tier=tier, rotate_leaked=rotate_leaked)
    await store.add_account(account)
    return account


def run(folder: Path, scenario: Callable[[StoreBench], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database.open(folder / "x.db")
        try:
            await scenario(StoreBench(database, folder))
        finally:
            database.close()

    asyncio.run(main())
