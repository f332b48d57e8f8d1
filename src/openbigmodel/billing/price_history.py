"""Every version of every price, as old usage rows name them; read once each, because a version never changes."""

from typing import Any

import apsw
import msgspec

from openbigmodel.billing.pricing import FREE, Price
from openbigmodel.billing.usage import Usage
from openbigmodel.db.queries import QUERIES

_FETCH_PRICE_BODY = QUERIES["fetch_price_body"]


class PriceHistory:
    """The prices in the database of one connection; for the thread that uses it."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[int, int], Price] = {}

    def get(self, version: int, batch: int) -> Price:
        """A version, with the discount of a batch if `batch` is 1. Version 0, which was never stored, costs nothing."""
        price = self._known.get((version, batch))
        if price is None:
            rows: list[tuple[Any, ...]] = self._connection.execute(_FETCH_PRICE_BODY, (version,)).fetchall()
            if not rows:
                return FREE
            price = msgspec.structs.replace(msgspec.json.decode(rows[0][0], type=Price), version=version)
            price = self._known[version, batch] = price.for_batch() if batch else price
        return price

    def saved(
        self,
        version: int,
        batch: int,
        prompt_tokens: int,
        cached_tokens: int,
        completion_tokens: int,
        owed: int,
    ) -> int:
        """Nano-yuan that packs covered of a request: its price less `owed`, what they left to charge."""
        usage = Usage(prompt_tokens, cached_tokens, completion_tokens)
        return max(0, self.get(version, batch).charge(usage) - owed)

    def define_function(self) -> None:
        """Lets queries on the connection use `saved_by_packs`.

        Once each: to do it again has all statements compiled again.
        """

        def saved_by_packs(*columns: Any) -> int:
            return self.saved(*columns)

        self._connection.create_scalar_function("saved_by_packs", saved_by_packs, 6, deterministic=True)
