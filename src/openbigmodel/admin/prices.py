"""Admin commands about prices: what holds for each model, an operator's own price, and every version there was."""

from collections.abc import Iterator, Sequence
from typing import Any

from openbigmodel.admin.known_models import KnownModels, with_warning
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.admin.service import Arguments, Command
from openbigmodel.billing.periods import moment_name
from openbigmodel.billing.price_book import PriceBook, PriceEntry, terms_of
from openbigmodel.settings import read_price


class ListPrices(Arguments):
    pass


class SetPrice(Arguments):
    """`price` as in `[[models]]` of a settings file."""

    model: str
    price: dict[str, Any]


class OneModel(Arguments):
    model: str


class PriceCommands:
    """The price book."""

    def __init__(self, prices: PriceBook, known: KnownModels, *, settings_read: bool = True) -> None:
        """`settings_read`: the prices of the server's settings are among `prices`."""
        self._prices = prices
        self._known = known
        self._settings_read = settings_read

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("prices.list", ListPrices, self.list, reads=True)
        yield Command("prices.set", SetPrice, self.set)
        yield Command("prices.clear", OneModel, self.clear)
        yield Command("prices.history", OneModel, self.history, reads=True)

    async def list(self, wanted: ListPrices) -> Answer:
        """What holds now, by model id."""
        return {"prices": [_facts(entry) for entry in self._prices.list()]}

    async def set(self, wanted: SetPrice) -> Answer:
        """What holds now: `in_force` is false if the settings file has a price of its own, which wins.

        It is null where one had a price before and nobody says whether the server will read it again.
        """
        if not wanted.model.strip():
            raise AdminError("bad_value", "A price is for a model; name it.")
        try:
            terms = read_price(wanted.price)
        except ValueError as error:
            raise AdminError("bad_value", f"price{error}.") from error
        history = self._prices.history(wanted.model)
        unread = self._unread(history)
        # Before it has a price, by which it will be known.
        warning = unread or self._known.warning([wanted.model])
        entry = await self._prices.set(wanted.model, terms)
        in_force = None if unread else entry.source == "operator"
        return with_warning(_facts(entry) | {"in_force": in_force}, warning)

    async def clear(self, wanted: OneModel) -> Answer:
        """What holds now that the operator's price is taken back; `price` is null if that is nothing."""
        history = self._prices.history(wanted.model)
        last = next((entry for entry in history if entry.source == "operator"), None)
        if last is None or last.price is None:
            raise AdminError("not_found", f"No operator's price holds for {wanted.model}.")
        await self._prices.clear(wanted.model)
        entry = self._prices.find(wanted.model)
        now = {"model": last.model, "price": None} if entry is None else _facts(entry)
        return with_warning(now, self._unread(history))

    async def history(self, wanted: OneModel) -> Answer:
        """Every version, newest first. `price` is null where an operator took theirs back."""
        entries = self._prices.history(wanted.model)
        held, unread = self._prices.find(wanted.model), self._unread(entries)
        version = 0 if held is None or unread else held.version
        versions = [_facts(entry) | {"in_force": 0 < entry.version == version} for entry in entries]
        return with_warning({"model": wanted.model.lower(), "versions": versions}, unread)

    def _unread(self, history: Sequence[PriceEntry]) -> str:
        """A sentence if a settings file that was not read may have the last word on a model."""
        last = next((entry for entry in history if entry.source == "config"), None)
        if self._settings_read or last is None:
            return ""
        return (
            f"A settings file had a price for {last.model}, version {last.version}, and wins again if the server "
            "starts with it. Which price is in force is known with --config FILE, or from the running server."
        )


def _facts(entry: PriceEntry) -> Answer:
    return {
        "model": entry.model,
        "version": entry.version or None,
        "source": entry.source,
        # Yuan per million tokens, exact decimal text.
        "price": None if entry.price is None else terms_of(entry.price),
        "since": moment_name(entry.since_ms) if entry.since_ms else None,
    }
