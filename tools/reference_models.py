"""The reference page about models: what the catalogue knows of each, its price, its limits."""

from collections.abc import Callable, Iterable, Iterator

from openbigmodel.catalog import Model, load_catalog

Table = Callable[[Iterable[str], Iterable[Iterable[str]]], str]


def models_page(made: str, table: Table) -> str:
    """The page; `made` says what it is made from, `table` draws a table from its head and rows."""
    models = list(load_catalog())
    chat = [model for model in models if model.kind == "chat"]
    rows = [
        [
            f"`{model.id}`",
            f"{model.context_tokens:,}",
            f"{model.max_tokens:,}",
            f"{model.default_max_tokens:,}",
            "" if model.temperature is None else f"{model.temperature:g}",
            "" if model.top_p is None else f"{model.top_p:g}",
            model.thinking,
            f"`{model.coding}`" if model.coding else "",
            _notes(model),
        ]
        for model in chat
    ]
    kinds: dict[str, list[str]] = {}
    for model in models:
        if model.kind != "chat":
            kinds.setdefault(model.kind, []).append(f"`{model.id}`")
    head = [
        "id",
        "context",
        "`max_tokens` up to",
        "without it",
        "temperature",
        "top_p",
        "thinking",
        "on the coding base",
        "",
    ]
    return f"""# Models

{made}
What the platform knows of bigmodel.cn's model ids. Who answers for an id is another matter: without a settings file
the demo model does for all of the first table, with one it is what `[[models]]` says, and an id that nobody serves is
refused with 1211. An id may be written in any letter case. A model of yours need not be in here at all.

**Tokens** are the model's own. *Context* is prompt and answer together, as documented for bigmodel.cn; the engine
behind the id decides what really fits.

**Thinking:** *dynamic* can be switched off with `thinking: {{"type": "disabled"}}`; *always* refuses that (1210) except on
the coding base; *in_content* reasons inside the answer; *none* has no reasoning.

{table(head, rows)}
## Prices

bigmodel.cn's of autumn 2026, in yuan per million tokens unless it says otherwise. They hold for a model that the settings
file gives no other price and for which no other was set with `bigmodel prices set`. *From* is the length in tokens, of
the prompt or of the answer, from which a line counts. Tokens in the engine's cache cost what *cached* says, or as much
as others. A batch is half price.

{table(["id", "from", "input", "output", "cached", "otherwise"], _price_rows(models))}
Not listed and not free above: the price is not known here, and the model free until you set one.

## Requests in flight

Of one account at bigmodel.cn and z.ai, as their consoles showed them in 2026 for the lowest tier, V0. What the others have
is not known, so these hold for all tiers; but here only with `server.catalog_limits = true`, and not for models that have
`limits` in the settings file.

{table(["in flight", "ids"], _limit_rows(models))}
## Known, but not served yet

Endpoints for these come with later releases.

{table(["kind", "ids"], [[kind, ", ".join(ids)] for kind, ids in kinds.items()])}"""


def _price_rows(models: Iterable[Model]) -> Iterator[list[str]]:
    """A line for each band of each price."""
    for model in models:
        price = model.price
        if price is None or model.free:
            continue
        pieces = [("a call", price.per_call), ("an image", price.per_image)]
        otherwise = ", ".join(f"{amount} {what}" for what, amount in pieces if amount != "0")
        if not price.bands:
            yield [f"`{model.id}`", "", "", "", "", otherwise]
        for band in price.bands:
            starts = [("input", band.input_from), ("output", band.output_from)]
            start = ", ".join(f"{what} {tokens:,}" for what, tokens in starts if tokens)
            yield [f"`{model.id}`", start, band.input, band.output, band.cached or "", otherwise]


def _limit_rows(models: Iterable[Model]) -> Iterator[list[str]]:
    """The models by how many requests may be in flight."""
    by_limit: dict[int, list[str]] = {}
    for model in models:
        if model.limits:
            assert len(set(model.limits.values())) == 1, model.id
            by_limit.setdefault(model.limits["V0"].in_flight, []).append(f"`{model.id}`")
    for in_flight in sorted(by_limit):
        yield [str(in_flight), ", ".join(by_limit[in_flight])]


def _notes(model: Model) -> str:
    notes = ["free on bigmodel.cn"] if model.free and model.owned_by != "openbigmodel" else []
    notes += ["stream only"] if model.stream_only else []
    notes += ["the model in the package"] if model.owned_by == "openbigmodel" else []
    return ", ".join(notes)
