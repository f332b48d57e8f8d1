"""The admin service on a folder that no server uses: opened under its lock, and closed again after one command."""

import asyncio
from collections.abc import Mapping

from openbigmodel.admin.commands import Parts, admin_service
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.auth.api_keys import unix_ms
from openbigmodel.auth.master_key import MasterKeyError
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.plans import Plans
from openbigmodel.billing.price_book import PriceBook
from openbigmodel.catalog import load_catalog
from openbigmodel.db.connection import Database, DatabaseError
from openbigmodel.db.data_folder import DATABASE_FILE, DataFolder
from openbigmodel.db.migrations import DatabaseTooNew
from openbigmodel.ids import IdSource
from openbigmodel.settings import Settings


def ask_folder(
    folder: DataFolder, settings: Settings, command: str, arguments: Mapping[str, object]
) -> Answer:
    """Carry out a command on an open folder. Raises AdminError, CatalogError; what was changed is on disk."""
    return asyncio.run(_ask(folder, settings, command, arguments))


async def _ask(
    folder: DataFolder, settings: Settings, command: str, arguments: Mapping[str, object]
) -> Answer:
    try:
        database = Database.open(folder.path / DATABASE_FILE)
    except (DatabaseError, DatabaseTooNew) as error:
        raise AdminError("database", str(error)) from error
    try:
        parts = _parts(folder, settings, database)
        return await admin_service(parts, unix_ms).perform(command, arguments)
    except MasterKeyError as error:
        raise AdminError("master_key", str(error)) from error
    except DatabaseError as error:
        raise AdminError("database", str(error)) from error
    finally:
        database.close()
        # The callbacks of what was queued.
        await asyncio.sleep(0)


def _parts(folder: DataFolder, settings: Settings, database: Database) -> Parts:
    catalog = load_catalog(settings.server.catalog)
    configured = {model.id: model.price for model in settings.models if model.price is not None}
    prices = PriceBook(database, catalog, configured, now_ms=unix_ms)
    plans = Plans(database, catalog, now_ms=unix_ms)
    return Parts(
        database=database,
        auth=AuthStore(database, folder.path),
        cashier=Cashier(database, prices, plans, now_ms=unix_ms, new_id=IdSource().request_id),
        prices=prices,
        plans=plans,
        routed=lambda: (model.id for model in settings.models),
        catalogued=[model.id for model in catalog],
        trial_credit=settings.server.trial_credit,
        settings_read=settings.config is not None,
    )
