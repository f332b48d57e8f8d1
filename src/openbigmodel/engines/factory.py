"""Builds engines and routes from the settings; without a configuration, try-out mode."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import get_args

import msgspec

from openbigmodel.catalog import Catalog, Model
from openbigmodel.engines.embedded import EmbeddedEngine
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.llamacpp import LlamaCppEngine, LlamaCppSpec
from openbigmodel.engines.registry import Engine, Registry, Route
from openbigmodel.engines.remote import RemoteEngine, endpoint_of
from openbigmodel.engines.translate import GLM, LLAMA_SERVER, OPENAI, Profile
from openbigmodel.schemas.chat import ReasoningEffort
from openbigmodel.settings import EngineSettings, LlamaCppEngineSettings, ModelSettings, OpenAIEngineSettings, Settings

DEMO_MODEL_ID = "glm-demo"
_DEMO_CONTEXT_TOKENS = 16_384
_DEMO_SLOTS = 4
# The demo model's answers are a sentence or two; a bound on a run that went astray.
_DEMO_MAX_OUTPUT_TOKENS = 512

_ALL_EFFORTS = {effort: effort for effort in get_args(ReasoningEffort)}

Event = Callable[[str], None]


class EngineConfigError(Exception):
    """The configuration of engines and models does not fit together; the text names the entry."""


def demo_model_path() -> Path:
    """The GGUF file that ships with the package."""
    return Path(str(resources.files("openbigmodel.engines"))) / "demo" / "glm-demo.gguf"


def build_registry(settings: Settings, models_dir: Path, event: Event, catalog: Catalog) -> Registry:
    """All engines and routes. Nothing is started or downloaded yet. Raises EngineConfigError."""
    if settings.try_out:
        return _try_out(catalog)
    engines: dict[str, Engine] = {}
    for entry in settings.engines:
        engines[entry.name] = _engine(entry)
    routes = {model.id: _route(model, engines, catalog) for model in settings.models}
    return Registry(engines.values(), routes)


def _try_out(catalog: Catalog) -> Registry:
    """One demo model that answers for every chat model that bigmodel.cn has."""
    profile = msgspec.structs.replace(
        LLAMA_SERVER, greedy_by_default=True, max_output_tokens=_DEMO_MAX_OUTPUT_TOKENS
    )
    spec = LlamaCppSpec(
        path=demo_model_path(),
        context_tokens=_DEMO_CONTEXT_TOKENS,
        slots=_DEMO_SLOTS,
        max_output=_DEMO_MAX_OUTPUT_TOKENS,
    )
    engine = EmbeddedEngine(LlamaCppEngine(DEMO_MODEL_ID, spec), profile)
    models = [_model(DEMO_MODEL_ID, catalog), *(model for model in catalog if model.kind == "chat")]
    return Registry([engine], {model.id: Route(model, engine, DEMO_MODEL_ID) for model in models})


def _engine(entry: EngineSettings) -> Engine:
    if isinstance(entry, LlamaCppEngineSettings):
        spec = LlamaCppSpec(
            path=Path(entry.model),
            context_tokens=entry.context_tokens or LlamaCppSpec.context_tokens,
            slots=entry.slots or LlamaCppSpec.slots,
            threads=entry.threads,
            max_output=entry.max_output or LlamaCppSpec.max_output,
            chat_template=entry.chat_template,
            mmproj=Path(entry.mmproj) if entry.mmproj else None,
        )
        return EmbeddedEngine(LlamaCppEngine(entry.name, spec), _with_output_limit(LLAMA_SERVER, entry))
    try:
        endpoint: Endpoint = endpoint_of(entry.base_url, entry.api_key.reveal())
    except ValueError as error:
        raise EngineConfigError(f"engine {entry.name}: {error}") from error
    profile = OPENAI if isinstance(entry, OpenAIEngineSettings) else GLM
    return RemoteEngine(entry.name, endpoint, _with_output_limit(profile, entry))


def _with_output_limit(profile: Profile, entry: EngineSettings) -> Profile:
    return msgspec.structs.replace(profile, max_output_tokens=entry.max_output) if entry.max_output else profile


def _model(model_id: str, catalog: Catalog) -> Model:
    """The catalogue's facts; of a model that it does not have, nothing is assumed that would hide anything."""
    return catalog.find(model_id) or Model(
        id=model_id, thinking="dynamic", efforts=_ALL_EFFORTS, cached_tokens=True, reasoning_tokens="always", listed=True
    )


def _route(entry: ModelSettings, engines: dict[str, Engine], catalog: Catalog) -> Route:
    engine = engines.get(entry.engine[0])
    if engine is None:
        raise EngineConfigError(f"model {entry.id}: there is no engine named {entry.engine[0]}")
    model = _model(entry.id, catalog)
    if entry.max_tokens is not None:
        model = msgspec.structs.replace(
            model,
            max_tokens=entry.max_tokens,
            default_max_tokens=min(model.default_max_tokens, entry.max_tokens),
        )
    return Route(model, engine, entry.target or entry.id)
