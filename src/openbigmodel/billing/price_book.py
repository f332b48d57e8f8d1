"""Which price holds for each model, and every version there ever was.

Rule: a request is charged by the Price object that it was admitted with, and that version is on disk before anybody
is charged by it. Stored versions never change; a new price is a new row. What the settings say wins over what an
operator set (`bigmodel prices set`), which wins over the catalogue; a model that none of them prices is free.

Owned by the event loop; `get` is what the hot path calls.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, get_args

import apsw
import msgspec

from openbigmodel.billing.money import NANO_PER_YUAN, format_yuan, parse_yuan
from openbigmodel.billing.pricing import FREE, Band, Price
from openbigmodel.catalog import Catalog
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES
from openbigmodel.settings import ModelPrice

Source = Literal["config", "operator", "catalog"]

_LATEST = QUERIES["list_latest_prices"]
_VERSIONS = QUERIES["list_price_versions"]
_NEXT_VERSION = QUERIES["next_price_version"]
_INSERT = QUERIES["insert_price"]

# Who wins, first to last.
_SOURCES: tuple[Source, ...] = get_args(Source)
# The body of an operator's row that takes an earlier one back.
_WITHDRAWN = "null"


class PriceEntry(msgspec.Struct, frozen=True):
    """A model's price and where it is from. `since_ms` is when this version was stored, 0 while it is not.

    `price` is None in a history where an operator took theirs back.
    """

    model: str
    source: Source
    price: Price | None
    since_ms: int

    @property
    def version(self) -> int:
        """The stored version, 0 while there is none."""
        return 0 if self.price is None else self.price.version


def price_of(model_id: str, terms: ModelPrice) -> Price:
    """A price as it is charged, from one as it is written. Raises ValueError for what cannot be a price."""
    return Price(
        model=model_id,
        bands=tuple(
            Band(
                input=parse_yuan(band.input),
                output=parse_yuan(band.output),
                cached=None if band.cached is None else parse_yuan(band.cached),
                input_from=band.input_from,
                output_from=band.output_from,
            )
            for band in terms.bands
        ),
        per_call=parse_yuan(terms.per_call),
        per_image=parse_yuan(terms.per_image),
        batch_percent=terms.batch_percent,
    )


def terms_of(price: Price) -> dict[str, object]:
    """A price as people write it: exact amounts in yuan as text; what is nothing or usual is left out."""
    terms: dict[str, object] = {}
    bands = [_band_terms(band) for band in price.bands]
    if len(bands) == 1:
        terms.update(bands[0])
    elif bands:
        terms["bands"] = bands
    for name, nano in (("per_call", price.per_call), ("per_image", price.per_image)):
        if nano:
            terms[name] = _short_yuan(nano)
    if price.batch_percent != FREE.batch_percent:
        terms["batch_percent"] = price.batch_percent
    return terms


def _band_terms(band: Band) -> dict[str, object]:
    starts = {"input_from": band.input_from, "output_from": band.output_from}
    amounts = {"input": band.input, "output": band.output, "cached": band.cached}
    return {name: start for name, start in starts.items() if start} | {
        name: _short_yuan(nano) for name, nano in amounts.items() if nano is not None
    }


def _short_yuan(nano: int) -> str:
    return format_yuan(nano).rstrip("0").rstrip(".") if nano % NANO_PER_YUAN else str(nano // NANO_PER_YUAN)


class PriceBook:
    """All prices. `configured` holds those of the settings by model id.

    Nothing is written before `save` or `set` is called: what is not stored yet has version 0.
    """

    def __init__(
        self,
        database: Database,
        catalog: Catalog | None,
        configured: Mapping[str, ModelPrice] | None = None,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._wanted: dict[str, dict[Source, Price]] = {}
        for model in catalog or ():
            if model.price is not None:
                self._wanted[model.id] = {"catalog": price_of(model.id, model.price)}
        for model_id, terms in (configured or {}).items():
            self._wanted.setdefault(model_id.lower(), {})["config"] = price_of(model_id.lower(), terms)
        self._stored: dict[tuple[str, Source], PriceEntry] = {}
        for version, model_id, source, body, created_ms in database.read(_LATEST):
            self._remember(_entry(version, model_id, source, body, created_ms))
        self._prices: dict[str, Price] = {}
        for model_id in self._wanted:
            self._refresh(model_id)

    def get(self, model_id: str) -> Price:
        """The price of a model; free if nobody has priced it. One look-up for an id in small letters."""
        price = self._prices.get(model_id)
        return price if price is not None else self._prices.get(model_id.lower(), FREE)

    async def save(self) -> int:
        """Store every price in force that is not stored yet, and return how many those were."""
        missing: list[tuple[Source, str, Price | None]] = []
        for model_id in self._wanted:
            source, price = self._in_force(model_id)
            if source is not None and price is not None and not price.version:
                missing.append((source, model_id, price))
        if missing:
            await self._store(missing)
        return len(missing)

    async def set(self, model_id: str, terms: ModelPrice) -> PriceEntry:
        """An operator's price for a model; returns what is in force now, which may be that of the settings.

        Raises ValueError for what cannot be a price.
        """
        price = price_of(model_id.lower(), terms)
        await self._store([("operator", price.model, price)])
        return self._entry_in_force(price.model)

    async def clear(self, model_id: str) -> PriceEntry | None:
        """Take an operator's price back; returns what is in force now, None if that is nothing.

        Raises ValueError if there was none to take back.
        """
        model = model_id.lower()
        if "operator" not in self._wanted.get(model, {}):
            raise ValueError(f"no price of {model_id} was set here, so none can be taken back")
        await self._store([("operator", model, None)])
        # What holds now may never have been stored: it was not in force before.
        await self.save()
        return self.find(model)

    def list(self) -> Sequence[PriceEntry]:
        """The price in force of every model that has one, by model id."""
        return [self._entry_in_force(model) for model in sorted(self._wanted) if self._wanted[model]]

    def models(self) -> AbstractSet[str]:
        """The ids of all models that have a price, or had one that was stored."""
        return self._wanted.keys() | {model for model, _ in self._stored}

    def find(self, model_id: str) -> PriceEntry | None:
        """The price in force of one model and where it is from; None if nobody has priced it."""
        return self._entry_in_force(model_id.lower()) if self._wanted.get(model_id.lower()) else None

    def history(self, model_id: str) -> Sequence[PriceEntry]:
        """Every stored version of a model's price, newest first."""
        return [_entry(*row) for row in self._database.read(_VERSIONS, (model_id.lower(),))]

    def _in_force(self, model_id: str) -> tuple[Source | None, Price | None]:
        wanted = self._wanted.get(model_id, {})
        for source in _SOURCES:
            if source in wanted:
                return source, wanted[source]
        return None, None

    def _entry_in_force(self, model_id: str) -> PriceEntry:
        source, price = self._in_force(model_id)
        assert source is not None
        stored = self._stored.get((model_id, source))
        since_ms = stored.since_ms if stored is not None and price == stored.price else 0
        return PriceEntry(model_id, source, price, since_ms)

    async def _store(self, rows: Sequence[tuple[Source, str, Price | None]]) -> None:
        """Write new versions in one transaction; they are in force once they are on disk."""
        created_ms = self._now_ms()

        def insert(connection: apsw.Connection) -> Sequence[PriceEntry]:
            entries = []
            for source, model, price in rows:
                ((version,),) = connection.execute(_NEXT_VERSION).fetchall()
                assert isinstance(version, int)
                numbered = None if price is None else msgspec.structs.replace(price, version=version)
                body = _WITHDRAWN if numbered is None else msgspec.json.encode(numbered).decode()
                connection.execute(_INSERT, (version, model, source, body, created_ms))
                entries.append(PriceEntry(model, source, numbered, created_ms))
            return entries

        for entry in await self._database.write(insert):
            self._remember(entry)
            self._refresh(entry.model)

    def _remember(self, entry: PriceEntry) -> None:
        """A stored version: of an operator it is the word that counts, of others the number for the same price."""
        self._stored[entry.model, entry.source] = entry
        if entry.source == "operator":
            wanted = self._wanted.setdefault(entry.model, {})
            wanted.pop("operator", None)
            if entry.price is not None:
                wanted["operator"] = entry.price

    def _refresh(self, model_id: str) -> None:
        """Look again at which price is in force, and under which number it is stored."""
        source, price = self._in_force(model_id)
        if source is None or price is None:
            self._prices.pop(model_id, None)
            return
        stored = self._stored.get((model_id, source))
        if stored is not None and stored.price is not None:
            numbered = msgspec.structs.replace(price, version=stored.version)
            if numbered == stored.price:
                price = self._wanted[model_id][source] = stored.price
        self._prices[model_id] = price


def _entry(version: int, model_id: str, source: Source, body: str, created_ms: int) -> PriceEntry:
    price = msgspec.json.decode(body, type=Price | None)
    if price is not None:
        price = msgspec.structs.replace(price, version=version)
    return PriceEntry(model_id, source, price, created_ms)
