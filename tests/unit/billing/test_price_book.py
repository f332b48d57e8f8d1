"""Prices with versions, on a real database."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from openbigmodel.billing.price_book import PriceBook, price_of, terms_of
from openbigmodel.billing.pricing import FREE, Band, Price
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Catalog, load_catalog
from openbigmodel.db.connection import Database, DatabaseClosed
from openbigmodel.settings import ModelPrice, PriceBand, read_price

YUAN = 1_000_000_000
CATALOG = load_catalog()
FIVE = read_price({"input": 5, "output": 5})
NINE = read_price({"input": 9, "output": 9})
ROWS = "SELECT version, model, source FROM prices ORDER BY version"


class Bench:
    """A database file, opened again for each life of the server."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.db"
        self.time = itertools.count(1000)

    def life(self, test: Callable[[Database], Awaitable[None]]) -> None:
        async def main() -> None:
            database = Database.open(self.path)
            try:
                await test(database)
            finally:
                database.close()

        asyncio.run(main())

    def book(self, database: Database, catalog: Catalog | None = None, **configured: ModelPrice) -> PriceBook:
        return PriceBook(database, catalog, configured, now_ms=lambda: next(self.time))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_catalogue_prices_what_nobody_else_does(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, CATALOG, own=FIVE)
        assert await book.save() == len([model for model in CATALOG if model.price]) + 1
        assert await book.save() == 0

        price = book.get("glm-5.3")
        assert price.bands == (Band(8 * YUAN, 28 * YUAN, 2 * YUAN),)
        assert book.get("GLM-5.3") is price
        assert book.get("glm-4.7-flash").free
        assert book.get("own").bands == (Band(5 * YUAN, 5 * YUAN),)
        # Every version is its own, and none is 0.
        versions = [entry.version for entry in book.list()]
        assert sorted(versions) == list(range(1, len(versions) + 1))

    bench.life(test)


def test_a_model_without_a_price_is_free(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, CATALOG)
        await book.save()
        assert book.get("house-model") is FREE
        assert book.get("glm-tts") is FREE
        assert book.find("house-model") is None
        assert book.history("house-model") == []

    bench.life(test)


def test_settings_beat_the_operator_who_beats_the_catalogue(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, CATALOG, **{"GLM-5.3": NINE})
        await book.save()
        entry = await book.set("GLM-5.3", FIVE)
        assert (entry.source, entry.model) == ("config", "glm-5.3")
        assert book.get("glm-5.3").bands[0].input == 9 * YUAN

        entry = await book.set("glm-5.2", FIVE)
        assert (entry.source, entry.version) == ("operator", book.get("glm-5.2").version)
        assert book.get("glm-5.2").bands[0].input == 5 * YUAN

    bench.life(test)

    async def without_that_setting(database: Database) -> None:
        book = bench.book(database, CATALOG)
        await book.save()
        assert book.get("glm-5.3").bands[0].input == 5 * YUAN
        found = book.find("glm-5.3")
        assert found is not None
        assert found.source == "operator"

    bench.life(without_that_setting)


def test_a_price_that_has_not_changed_keeps_its_version(bench: Bench) -> None:
    versions: list[list[int]] = []

    async def test(database: Database) -> None:
        book = bench.book(database, CATALOG, own=FIVE)
        await book.save()
        versions.append([entry.version for entry in book.list()])

    bench.life(test)
    bench.life(test)
    assert versions[0] == versions[1]


def test_a_changed_setting_is_a_new_version_and_old_ones_stay(bench: Bench) -> None:
    for configured in (FIVE, NINE, FIVE):

        async def test(database: Database, configured: ModelPrice = configured) -> None:
            await bench.book(database, own=configured).save()

        bench.life(test)

    async def look(database: Database) -> None:
        history = bench.book(database, own=FIVE).history("OWN")
        assert [(entry.version, entry.price and entry.price.bands[0].input) for entry in history] == [
            (3, 5 * YUAN),
            (2, 9 * YUAN),
            (1, 5 * YUAN),
        ]
        assert [entry.since_ms for entry in history] == [1002, 1001, 1000]

    bench.life(look)


def test_a_request_keeps_the_price_that_it_was_admitted_with(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, own=FIVE)
        await book.set("mine", FIVE)
        held = book.get("mine")
        await book.set("mine", NINE)
        usage = Usage(prompt_tokens=1_000_000)
        assert (held.charge(usage), book.get("mine").charge(usage)) == (5 * YUAN, 9 * YUAN)
        assert held.version != book.get("mine").version

    bench.life(test)


def test_an_operator_can_take_a_price_back(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, CATALOG)
        await book.set("glm-5.3", FIVE)
        await book.set("mine", FIVE)
        with pytest.raises(ValueError, match=r"no price of glm-4\.6 was set here"):
            await book.clear("glm-4.6")

        assert await book.clear("mine") is None
        assert book.get("mine") is FREE
        entry = await book.clear("GLM-5.3")
        assert entry is not None
        assert entry.source == "catalog"
        # What holds now is on disk, too.
        assert entry.version > 0
        assert [entry.price is None for entry in book.history("glm-5.3")] == [False, True, False]

    bench.life(test)

    async def later(database: Database) -> None:
        book = bench.book(database, CATALOG)
        assert book.get("mine") is FREE
        assert book.get("glm-5.3").bands[0].input == 8 * YUAN
        assert "mine" not in [entry.model for entry in book.list()]

    bench.life(later)


def test_nothing_is_written_by_looking(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, CATALOG, own=FIVE)
        assert book.get("own").version == 0
        assert book.list()
        assert book.history("own") == []
        assert database.read(ROWS) == []

    bench.life(test)


def test_a_price_counts_only_once_it_is_on_disk(bench: Bench) -> None:
    async def test(database: Database) -> None:
        book = bench.book(database, own=FIVE)
        await book.save()
        database.close()
        with pytest.raises(DatabaseClosed):
            await book.set("mine", NINE)
        assert book.get("mine") is FREE

    bench.life(test)


def test_stored_bodies_are_prices_with_their_version(bench: Bench) -> None:
    async def test(database: Database) -> None:
        await bench.book(database).set("mine", NINE)
        ((body,),) = database.read("SELECT body FROM prices")
        assert msgspec.json.decode(body, type=Price) == Price("mine", 1, (Band(9 * YUAN, 9 * YUAN),))

    bench.life(test)


def test_a_price_as_people_write_it_and_back() -> None:
    for raw in (
        {"input": "10", "output": "10.5", "cached": "2"},
        {
            "bands": [
                {"input": "1", "output": "2"},
                {"input_from": 32000, "input": "0", "output": "0.000000001"},
            ]
        },
        {"input": "0", "output": "0", "per_call": "0.01", "per_image": "100", "batch_percent": 30},
        {"per_image": "0.06"},
    ):
        assert terms_of(price_of("m", read_price(raw, catalog=True))) == raw
    assert terms_of(FREE) == {}


def test_terms_that_cannot_be_a_price_are_refused(bench: Bench) -> None:
    async def test(database: Database) -> None:
        with pytest.raises(ValueError, match="amount in yuan"):
            await bench.book(database).set("mine", ModelPrice(bands=(PriceBand("x", "1"),)))
        assert database.read(ROWS) == []

    bench.life(test)
