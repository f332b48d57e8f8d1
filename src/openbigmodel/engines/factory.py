"""Builds engines and routes from the settings; without a configuration, try-out mode."""

from functools import partial
from importlib import resources
from pathlib import Path
from typing import Protocol, get_args

import msgspec

from openbigmodel.catalog import Catalog, Model
from openbigmodel.engines.embedded import EmbeddedEngine
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from openbigmodel.engines.registry import Engine, Registry, Route
from openbigmodel.engines.remote import RemoteEngine, endpoint_of
from openbigmodel.engines.translate import GLM, LLAMA_SERVER, OPENAI, VLLM, Profile
from openbigmodel.engines.weights import Hubs, HuggingFace, ModelScope, Progress, resolve_weights
from openbigmodel.schemas.chat import ReasoningEffort
from openbigmodel.settings import (
    DownloadSettings,
    EngineSettings,
    GlmEngineSettings,
    LlamaCppEngineSettings,
    ModelSettings,
    OpenAIEngineSettings,
    Settings,
)

DEMO_MODEL_ID = "glm-demo"
_DEMO_CONTEXT_TOKENS = 4096
_DEMO_SLOTS = 4
# The demo model's answers are a sentence or two; a bound on a run that went astray.
_DEMO_MAX_OUTPUT_TOKENS = 512

# Of an embedded model when the settings name no bound.
_MAX_OUTPUT_TOKENS = 4096
_PROFILES = {profile.name: profile for profile in (OPENAI, LLAMA_SERVER, VLLM)}
_ALL_EFFORTS = {effort: effort for effort in get_args(ReasoningEffort)}


class EngineConfigError(Exception):
    """The configuration of engines and models does not fit together; the text names the entry."""


def demo_model_path() -> Path:
    """The GGUF file that ships with the package."""
    return Path(str(resources.files("openbigmodel.engines"))) / "demo" / "glm-demo.gguf"


class Reporter(Protocol):
    """Hears what engines do when no request is there to tell it."""

    def engine_state(self, engine: str, state: str, reason: str) -> None:
        """An engine's state has changed."""

    def download(self, engine: str, progress: Progress) -> None:
        """A part of a model's file has arrived."""


def build_registry(settings: Settings, models_dir: Path, reporter: Reporter, catalog: Catalog) -> Registry:
    """All engines and routes. Nothing is started or downloaded yet. Raises EngineConfigError."""
    if settings.try_out:
        return _try_out(catalog, reporter, settings)
    engines: dict[str, Engine] = {}
    for entry in settings.engines:
        if isinstance(entry, LlamaCppEngineSettings):
            engines[entry.name] = _embedded(entry, settings.downloads, models_dir, reporter)
        else:
            engines[entry.name] = _remote(entry)
    return Registry(
        engines.values(), {model.id: _route(model, settings, engines, catalog) for model in settings.models}
    )


def _try_out(catalog: Catalog, reporter: Reporter, settings: Settings) -> Registry:
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

    report = partial(reporter.engine_state, DEMO_MODEL_ID)

    async def prepare() -> Supervisor:
        return Supervisor(DEMO_MODEL_ID, spec, on_state=report)

    engine = EmbeddedEngine(DEMO_MODEL_ID, profile, prepare, report)
    demo = msgspec.structs.replace(_model(DEMO_MODEL_ID, catalog), listed=True)
    others = [model for model in catalog if model.kind == "chat" and model.id != DEMO_MODEL_ID]
    models = [demo, *(_limited(model, settings) for model in others)]
    return Registry([engine], {model.id: Route(model, engine, DEMO_MODEL_ID) for model in models})


def _embedded(
    entry: LlamaCppEngineSettings, downloads: DownloadSettings, models_dir: Path, reporter: Reporter
) -> Engine:
    hubs = Hubs(
        hf=HuggingFace(endpoint=downloads.hf_endpoint, credential=downloads.hf_token.reveal()),
        modelscope=ModelScope(
            endpoint=downloads.modelscope_endpoint, credential=downloads.modelscope_token.reveal()
        ),
    )
    report = partial(reporter.engine_state, entry.name)
    fetch = partial(
        resolve_weights, models_dir=models_dir, hubs=hubs, progress=partial(reporter.download, entry.name)
    )

    async def prepare() -> Supervisor:
        spec = LlamaCppSpec(
            path=await fetch(entry.model),
            context_tokens=entry.context_tokens,
            slots=entry.slots,
            threads=entry.threads,
            max_output=entry.max_output or _MAX_OUTPUT_TOKENS,
            chat_template=entry.chat_template,
        )
        return Supervisor(entry.name, spec, on_state=report)

    return EmbeddedEngine(entry.name, _with_output_limit(LLAMA_SERVER, entry), prepare, report)


def _remote(entry: OpenAIEngineSettings | GlmEngineSettings) -> Engine:
    try:
        endpoint = endpoint_of(entry.base_url, entry.api_key.reveal())
    except ValueError as error:
        raise EngineConfigError(f"engine {entry.name}: {error}") from error
    profile = _PROFILES[entry.profile] if isinstance(entry, OpenAIEngineSettings) else GLM
    return RemoteEngine(entry.name, endpoint, _with_output_limit(profile, entry))


def _with_output_limit(profile: Profile, entry: EngineSettings) -> Profile:
    return (
        msgspec.structs.replace(profile, max_output_tokens=entry.max_output) if entry.max_output else profile
    )


def _model(model_id: str, catalog: Catalog) -> Model:
    """The catalogue's facts; of a model that it does not have, nothing is assumed that would hide anything."""
    return catalog.find(model_id) or Model(
        id=model_id,
        thinking="dynamic",
        efforts=_ALL_EFFORTS,
        cached_tokens=True,
        reasoning_tokens="always",
        listed=True,
    )


def _limited(model: Model, settings: Settings) -> Model:
    """bigmodel.cn's limits are for bigmodel.cn, unless somebody wants them here."""
    return model if settings.server.catalog_limits else msgspec.structs.replace(model, limits={})


def _route(entry: ModelSettings, settings: Settings, engines: dict[str, Engine], catalog: Catalog) -> Route:
    engine = engines.get(entry.engine)
    if engine is None:
        raise EngineConfigError(f"model {entry.id}: there is no engine named {entry.engine}")
    # What an operator has configured is on the list, whatever bigmodel.cn does.
    model = msgspec.structs.replace(_limited(_model(entry.id, catalog), settings), listed=True)
    if entry.limits is not None:
        model = msgspec.structs.replace(model, limits=entry.limits)
    if entry.max_tokens is not None:
        model = msgspec.structs.replace(
            model,
            max_tokens=entry.max_tokens,
            default_max_tokens=min(model.default_max_tokens, entry.max_tokens),
        )
    configured = next(each for each in settings.engines if each.name == engine.name)
    asked_for = configured.model if isinstance(configured, OpenAIEngineSettings) else None
    return Route(model, engine, entry.target or asked_for or entry.id)
