"""The model ids of the platform and the facts about each, read from `catalog.toml`, which says what they mean."""

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from openbigmodel.settings import ModelLimits, ModelPrice, read_limits, read_price

__all__ = [
    "Catalog",
    "CodingPlan",
    "CreditRates",
    "MediaLimits",
    "Model",
    "ModelLimits",
    "ModelPrice",
    "PlanLevel",
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

MICRO = 1_000_000

_FILE = Path(__file__).with_name("catalog.toml")
# Credits are stated for so many tokens.
_CREDIT_TOKENS = 10_000


class CreditRates(msgspec.Struct, frozen=True, gc=False):
    """What a token costs on the Coding Plan, in millionths of a credit (api.md §9.3)."""

    input: int
    cached: int
    output: int


_FREE_RATES = CreditRates(input=0, cached=0, output=0)


class MediaLimits(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """How many images, videos and files one request may have, and how large each may be (api.md §3.1).

    `image_side` is in pixels, of width and of height. `base64`: whether images and videos may come in the request
    itself. `video_seconds` is 0 where only the size counts.
    """

    images: int = 50
    image_mb: int = 5
    image_side: int = 6000
    image_formats: tuple[str, ...] = ("image/png", "image/jpeg")
    base64: bool = True
    videos: int = 50
    video_mb: int = 200
    video_seconds: int = 0
    files: int = 50
    file_mb: int = 50


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the platform knows of a model id.

    `temperature` and `top_p` are None where the engine's own defaults hold. `coding` is the id that serves the
    model on the coding base, None when the plan does not include it (api.md §3.7). `price` is bigmodel.cn's, None
    where it is not known; `limits` by tier, `*` for every tier that it does not name. `credits` is None for a model
    that a Coding Plan does not pay for.
    """

    id: str
    kind: Kind = "chat"
    owned_by: str = "z-ai"
    inputs: tuple[Input, ...] = ("text",)
    context_tokens: int = 131072
    max_tokens: int = 131072
    default_max_tokens: int = 16384
    temperature: float | None = None
    top_p: float | None = None
    thinking: ThinkingMode = "none"
    efforts: Mapping[str, str] = {}
    cached_tokens: bool = False
    reasoning_tokens: Literal["never", "thinking", "always"] = "never"
    listed: bool = False
    created: int = 0
    coding: str | None = None
    stream_only: bool = False
    free: bool = False
    price: ModelPrice | None = None
    limits: Mapping[str, ModelLimits] = {}
    credits: CreditRates | None = None
    media: MediaLimits = MediaLimits()


class PlanLevel(msgspec.Struct, frozen=True):
    """What a Coding Plan gives, in millionths of a credit: in one window of hours, and in a week."""

    hours: int
    week: int


class CodingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of the Coding Plan (api.md §9.3).

    Outside the peak, which is from `peak_from_hour` to `peak_to_hour` in UTC+8 on `peak_days` (1 is Monday),
    `off_peak_percent` of the credits are taken.
    """

    levels: Mapping[str, PlanLevel]
    window_hours: int
    off_peak_percent: int
    peak_days: tuple[int, ...]
    peak_from_hour: int
    peak_to_hour: int


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


def load_catalog(path: Path = _FILE) -> Catalog:
    """Read the file. Raises ValueError when it says something that a Model cannot hold, or an id twice."""
    file = tomllib.loads(path.read_text(encoding="utf-8"))
    models: dict[str, Model] = {}
    for family in file["families"]:
        shared = {key: value for key, value in family.items() if key != "models"}
        for model_id, own in family["models"].items():
            if model_id in models or model_id != model_id.lower():
                raise ValueError(f"{model_id} must be written once, in small letters")
            models[model_id] = _model(model_id, {**shared, **own})
    return Catalog(models, _plan(file["coding_plan"]))


def _model(model_id: str, facts: dict[str, Any]) -> Model:
    price, limits, credit_rates = (facts.pop(key, None) for key in ("price", "limits", "credits"))
    model = msgspec.convert({**facts, "id": model_id}, Model)
    if model.free and price is not None:
        raise ValueError(f"{model_id} cannot be free and have a price")
    try:
        return msgspec.structs.replace(
            model,
            price=ModelPrice() if model.free else None if price is None else read_price(price, catalog=True),
            limits={} if limits is None else read_limits(limits),
            credits=_credits(credit_rates) if credit_rates else _FREE_RATES if model.free else None,
        )
    except ValueError as error:
        raise ValueError(f"{model_id}: {error}") from error


def _credits(raw: dict[str, float]) -> CreditRates:
    """Credits for 10,000 tokens into millionths for one; a float stands for the shortest text that means it."""
    rates: dict[str, int] = {}
    for key, value in raw.items():
        micro = Decimal(repr(value)) * MICRO / _CREDIT_TOKENS
        if micro < 0 or micro != int(micro):
            raise ValueError(f"credits.{key} must not be negative, and has at most two decimal places")
        rates[key] = int(micro)
    return msgspec.convert(rates, CreditRates)


def _plan(raw: dict[str, Any]) -> CodingPlan:
    levels = {
        name: PlanLevel(hours=level["hours"] * MICRO, week=level["week"] * MICRO)
        for name, level in raw.pop("levels").items()
    }
    return msgspec.structs.replace(msgspec.convert({**raw, "levels": {}}, CodingPlan), levels=levels)
