"""The model ids of the platform and the facts about each, read from `catalog.toml`, which says what they mean.

Rule: an operator's own file has the same grammar and says only what is to be otherwise: fact by fact, by model id. Any
mistake in it is refused, with a sentence that names the file and the fact.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from openbigmodel.settings import ModelLimits, ModelPrice, SettingsError, read_limits, read_price

__all__ = [
    "Catalog",
    "CatalogError",
    "CodingPlan",
    "CreditRates",
    "MediaLimits",
    "Model",
    "ModelLimits",
    "ModelPrice",
    "PlanLevel",
    "display_name",
    "load_catalog",
]

Kind = Literal[
    "chat",
    "embedding",
    "rerank",
    "image",
    "video",
    "speech",
    "voice",
    "transcription",
    "ocr",
    "moderation",
    "realtime",
]
Input = Literal["text", "image", "video", "file", "audio"]
ThinkingMode = Literal["none", "dynamic", "always", "in_content"]
Whole = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Hour = Annotated[int, Meta(ge=0, le=24)]

MICRO = 1_000_000

_FILE = Path(__file__).with_name("catalog.toml")
# Credits are stated for so many tokens.
_CREDIT_TOKENS = 10_000
_DEFAULT_MAX_TOKENS = 16384

# Of an account that nobody has limited.
_NO_LIMITS = ModelLimits()

_Read = TypeVar("_Read")


class CreditRates(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a token costs on the Coding Plan, in millionths of a credit (api.md §9.3)."""

    input: int
    cached: int
    output: int


_FREE_RATES = CreditRates(input=0, cached=0, output=0)


class CatalogError(SettingsError):
    """The catalogue cannot be used; the text is for the person who wrote it."""


class MediaLimits(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """How many images, videos and files one request may have, and how large each may be (api.md §3.1).

    `image_side` is in pixels, of width and of height. `base64`: whether images and videos may come in the request
    itself. `video_seconds` is 0 where only the size counts.
    """

    images: Whole = 50
    image_mb: Whole = 5
    image_side: Whole = 6000
    image_formats: tuple[str, ...] = ("image/png", "image/jpeg")
    base64: bool = True
    videos: Whole = 50
    video_mb: Whole = 200
    video_seconds: Whole = 0
    files: Whole = 50
    file_mb: Whole = 50


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the platform knows of a model id.

    `temperature` and `top_p` are None where the engine's own defaults hold. `coding` is the id that serves the
    model on the coding base, None when the plan does not include it (api.md §3.7). `price` is bigmodel.cn's, None
    where it is not known; `limits` by tier, for each or with `*` for the others. `credits` is None for a model that a
    Coding Plan does not pay for.
    """

    id: str
    kind: Kind = "chat"
    owned_by: str = "z-ai"
    inputs: tuple[Input, ...] = ("text",)
    context_tokens: Positive = 131072
    max_tokens: Positive = 131072
    default_max_tokens: Positive = _DEFAULT_MAX_TOKENS
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    thinking: ThinkingMode = "none"
    efforts: Mapping[str, str] = {}
    cached_tokens: bool = False
    reasoning_tokens: Literal["never", "thinking", "always"] = "never"
    listed: bool = False
    created: Whole = 0
    coding: str | None = None
    stream_only: bool = False
    free: bool = False
    price: ModelPrice | None = None
    limits: Mapping[str, ModelLimits] = {}
    credits: CreditRates | None = None
    media: MediaLimits = MediaLimits()

    def limits_for(self, tier: str) -> ModelLimits:
        """What an account of this tier may do with the model."""
        return self.limits.get(tier) or self.limits.get("*") or _NO_LIMITS


class PlanLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a Coding Plan gives, in millionths of a credit: in one window of hours, and in a week."""

    hours: Positive
    week: Positive


class CodingPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of the Coding Plan (api.md §9.3).

    Outside the peak, which is from `peak_from_hour` to `peak_to_hour` in UTC+8 on `peak_days` (1 is Monday),
    `off_peak_percent` of the credits are taken.
    """

    levels: Mapping[str, PlanLevel]
    window_hours: Positive
    off_peak_percent: Percent
    peak_days: tuple[Annotated[int, Meta(ge=1, le=7)], ...]
    peak_from_hour: Hour
    peak_to_hour: Hour


class Catalog:
    """All models, in the order of the file, and the Coding Plan."""

    def __init__(self, models: Mapping[str, Model], plan: CodingPlan) -> None:
        self._models = models
        self.plan = plan

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def find(self, model_id: str) -> Model | None:
        """The model with this id, in any letter case (api.md §3.1)."""
        return self._models.get(model_id.lower())


def load_catalog(own: Path | None = None) -> Catalog:
    """The shipped catalogue, with what the operator's `own` file says instead. Raises CatalogError."""
    shipped = _read(_FILE)
    if own is None:
        return _build(_FILE, shipped.models, shipped.plan)
    said = _read(own)
    models = dict(shipped.models)
    for model_id, facts in said.models.items():
        models[model_id] = _merged(models.get(model_id, {}), facts)
    levels = {**shipped.plan["levels"], **said.plan.get("levels", {})}
    if unknown := levels.keys() - shipped.plan["levels"].keys():
        raise CatalogError(
            f"{own}: coding_plan.levels.{min(unknown)}: a plan is one of {', '.join(shipped.plan['levels'])}"
        )
    return _build(own, models, {**shipped.plan, **said.plan, "levels": levels})


def display_name(model_id: str) -> str:
    """A GLM model's id as bigmodel.cn shows it: glm-5.3-flash → GLM-5.3-Flash; others as they are."""
    first, *rest = model_id.split("-")
    if first != "glm":
        return model_id
    return "-".join(["GLM", *(part.capitalize() if part.isalpha() else part.upper() for part in rest)])


class _File(msgspec.Struct):
    """What a file says: facts by model id, with those of its family, and of the Coding Plan; none is checked yet."""

    models: dict[str, dict[str, Any]]
    plan: dict[str, Any]


def _read(path: Path) -> _File:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path}: is not TOML: {error}") from error
    try:
        return _facts(raw)
    except ValueError as error:
        raise CatalogError(f"{path}: {error}") from error


def _facts(raw: dict[str, Any]) -> _File:
    _check_names(raw, ("families", "coding_plan"), "")
    families, plan = raw.get("families", []), _table(raw.get("coding_plan", {}), "coding_plan")
    if not isinstance(families, list):
        raise ValueError("families must be written [[families]], once for each")  # noqa: TRY004  what people wrote
    _check_names(plan, CodingPlan.__struct_fields__, "coding_plan.")
    _table(plan.get("levels", {}), "coding_plan.levels")
    models: dict[str, dict[str, Any]] = {}
    known = tuple(name for name in Model.__struct_fields__ if name != "id")
    for number, family in enumerate(families, 1):
        where = f"[[families]] number {number}"
        _check_names(_table(family, where), (*known, "models"), f"{where}: ")
        shared = {name: value for name, value in family.items() if name != "models"}
        for model_id, own in _table(family.get("models", {}), f"{where}: models").items():
            if model_id in models or model_id != model_id.lower():
                raise ValueError(f"{model_id} must be written once, in small letters")
            _check_names(_table(own, model_id), known, f"{model_id}.")
            models[model_id] = {**shared, **own}
    return _File(models, plan)


def _merged(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about a model.

    A price ends that it is free, and the other way round; a lower cap takes the default along.
    """
    facts = {**shipped, **own}
    if "price" in own and "free" not in own:
        facts.pop("free", None)
    if own.get("free") and "price" not in own:
        facts.pop("price", None)
    cap, default = own.get("max_tokens"), facts.get("default_max_tokens", _DEFAULT_MAX_TOKENS)
    if isinstance(cap, int) and isinstance(default, int) and "default_max_tokens" not in own:
        facts["default_max_tokens"] = min(cap, default)
    return facts


def _build(path: Path, facts: Mapping[str, dict[str, Any]], plan: dict[str, Any]) -> Catalog:
    """`path` is the file that mistakes are in. Raises CatalogError."""
    try:
        models = {model_id: _model(model_id, dict(known)) for model_id, known in facts.items()}
        for model in models.values():
            if model.coding is not None and model.coding not in models:
                raise ValueError(
                    f"{model.id}.coding names {model.coding}, which is no model of the catalogue"
                )
        return Catalog(models, _plan(plan))
    except ValueError as error:
        raise CatalogError(f"{path}: {error}") from error


def _model(model_id: str, facts: dict[str, Any]) -> Model:
    price, limits, credit_rates = (facts.pop(name, None) for name in ("price", "limits", "credits"))
    model = _convert({**facts, "id": model_id}, Model, model_id)
    if model.free and price is not None:
        raise ValueError(f"{model_id} cannot be free and have a price")
    if model.default_max_tokens > model.max_tokens:
        raise ValueError(f"{model_id}.default_max_tokens must not be more than max_tokens")
    return msgspec.structs.replace(
        model,
        price=ModelPrice() if model.free else _said(price, _catalog_price, f"{model_id}.price"),
        limits=_said(limits, read_limits, f"{model_id}.limits") or {},
        credits=_credits(credit_rates, f"{model_id}.credits") or (_FREE_RATES if model.free else None),
    )


def _said(raw: object, read: Callable[[object], _Read], where: str) -> _Read | None:
    """Whatever has a grammar of its own, which says what is wrong without saying where."""
    if raw is None:
        return None
    try:
        return read(raw)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _catalog_price(raw: object) -> ModelPrice:
    return read_price(raw, catalog=True)


def _credits(raw: object, where: str) -> CreditRates | None:
    """Credits for 10,000 tokens into millionths for one; a float stands for the shortest text that means it."""
    if raw is None:
        return None
    rates: dict[str, object] = {}
    for key, value in _table(raw, where).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{where}.{key} must be a number")  # noqa: TRY004  what people wrote
        micro = Decimal(repr(value)) * MICRO / _CREDIT_TOKENS
        if not micro.is_finite() or micro < 0 or micro != int(micro):
            raise ValueError(f"{where}.{key} must not be negative, and has at most two decimal places")
        rates[key] = int(micro)
    return _convert(rates, CreditRates, where)


def _plan(raw: dict[str, Any]) -> CodingPlan:
    plan = _convert({**raw, "levels": {}}, CodingPlan, "coding_plan")
    levels = {}
    for name, given in raw["levels"].items():
        level = _convert(given, PlanLevel, f"coding_plan.levels.{name}")
        levels[name] = PlanLevel(hours=level.hours * MICRO, week=level.week * MICRO)
    return msgspec.structs.replace(plan, levels=levels)


def _table(raw: object, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{where} must be a table")  # noqa: TRY004  what people wrote
    return raw


def _check_names(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = tuple(known)
    for name in table:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
            raise ValueError(f"{where}{name} is nothing that a catalogue says; {hint}")


def _convert(raw: object, wanted: type[_Read], where: str) -> _Read:
    try:
        return msgspec.convert(raw, wanted)
    except msgspec.ValidationError as error:
        what, _, place = str(error).replace("`", "").partition(" - at $")
        raise ValueError(f"{where}{place}: {what[:1].lower()}{what[1:]}") from error
