"""Data folders with something in them, as a stopped server leaves them."""

import asyncio
from pathlib import Path

from openbigmodel.auth.store import AuthStore
from openbigmodel.db.connection import Database
from tests.unit.auth.store_bench import create_account


def make_folder(folder: Path, name: str = "team") -> str:
    """A data folder with one account and one key; the key."""

    async def fill() -> str:
        database = Database.open(folder / "bigmodel.db")
        try:
            auth = AuthStore(database, folder)
            account = await create_account(auth, name)
            return str(await auth.create_key(account.id, "first"))
        finally:
            database.close()

    folder.mkdir(parents=True)
    return asyncio.run(fill())


def account_names(folder: Path) -> list[str]:
    """Who is in a data folder."""

    async def read() -> list[str]:
        database = Database.open(folder / "bigmodel.db")
        try:
            return [account.name for account in AuthStore(database, folder).list_accounts()]
        finally:
            database.close()

    return asyncio.run(read())
