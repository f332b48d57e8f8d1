"""The model ids of the platform and the facts about each, read from `catalog.toml`, which says what they mean."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

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

_FILE = Path(__file__).with_name("catalog.toml")


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the platform knows of a model id.

    `temperature` and `top_p` are None where the engine's own defaults hold. `coding` is the id that serves the
    model on the coding base, None when the plan does not include it (api.md §3.7).
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


class Catalog:
    """All models, in the order of the file."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def find(self, model_id: str) -> Model | None:
        """The model with this id, in any letter case (api.md §3.1)."""
        return self._models.get(model_id.lower())


def load_catalog(path: Path = _FILE) -> Catalog:
    """Read the file. Raises ValueError when it says something that a Model cannot hold, or an id twice."""
    models: dict[str, Model] = {}
    for family in tomllib.loads(path.read_text(encoding="utf-8"))["families"]:
        shared = {key: value for key, value in family.items() if key != "models"}
        for model_id, own in family["models"].items():
            if model_id in models or model_id != model_id.lower():
                raise ValueError(f"{model_id} must be written once, in small letters")
            models[model_id] = msgspec.convert({**shared, **own, "id": model_id}, Model)
    return Catalog(models)
