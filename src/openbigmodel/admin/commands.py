"""All commands of the admin service, on the parts of a platform."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from openbigmodel.admin.accounts import AccountCommands, UserCommands
from openbigmodel.admin.credit import CreditCommands
from openbigmodel.admin.keys import KeyCommands
from openbigmodel.admin.known_models import KnownModels
from openbigmodel.admin.packs import PackCommands
from openbigmodel.admin.plans import PlanCommands
from openbigmodel.admin.prices import PriceCommands
from openbigmodel.admin.service import AdminService
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.plans import Plans
from openbigmodel.billing.price_book import PriceBook
from openbigmodel.db.connection import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """What the commands work on: of a running server its own, so that a change holds at once."""

    database: Database
    auth: AuthStore
    cashier: Cashier
    prices: PriceBook
    plans: Plans
    # Writes down when keys were last used; only a server uses any.
    note_used: Callable[[], Awaitable[None]] | None = None
    # The ids of the models that are served, and of those that the catalogue knows.
    routed: Callable[[], Iterable[str]] = tuple
    catalogued: Iterable[str] = ()
    # Yuan that new accounts are given.
    trial_credit: str = "0"
    # Whether the server's own settings are known; on a stopped folder they are if the file is named.
    settings_read: bool = True


def admin_service(parts: Parts, now_ms: Callable[[], int]) -> AdminService:
    """The service of a platform."""
    known = KnownModels(parts.catalogued, parts.routed, parts.prices.models)
    return AdminService(
        (
            *AccountCommands(parts.auth, parts.cashier, parts.trial_credit).commands(),
            *UserCommands(parts.auth).commands(),
            *KeyCommands(parts.auth, known, now_ms, parts.note_used).commands(),
            *CreditCommands(parts.auth, parts.cashier, parts.database).commands(),
            *PackCommands(parts.auth, parts.cashier, parts.database, known, now_ms).commands(),
            *PriceCommands(parts.prices, known, settings_read=parts.settings_read).commands(),
            *PlanCommands(parts.auth, parts.plans, now_ms).commands(),
        )
    )
