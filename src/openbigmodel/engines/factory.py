"""Builds engines and routes from the settings; without a configuration, try-out mode."""

from functools import partial
from importlib import resources
from pathlib import Path
from typing import Protocol, get_args

import msgspec

from openbigmodel.catalog import Catalog, Model
from openbigmodel.engines.embedded import EmbeddedEngine
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from openbigmodel.engines.probing import Prober
from openbigmodel.engines.profiles import EMBEDDED, GLM, OPENAI, PROFILES, Profile
from openbigmodel.engines.registry import Engine, Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine, endpoint_of
from openbigmodel.engines.signer import Signer
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
_PAAS, _CODING = "/api/paas/", "/api/coding/paas/"
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

    def engine_remark(self, engine: str, text: str) -> None:
        """There is something that an operator should know of an engine; its state is the same."""

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
            engines[entry.name] = _remote(entry, reporter)
    routes = {model.id: _route(model, settings, engines, catalog) for model in settings.models}
    bounds = {
        entry.name: entry.max_in_flight
        for entry in settings.engines
        if not isinstance(entry, LlamaCppEngineSettings) and entry.max_in_flight is not None
    }
    return Registry(engines.values(), routes, bounds)


def _try_out(catalog: Catalog, reporter: Reporter, settings: Settings) -> Registry:
    """One demo model that answers for every chat model that bigmodel.cn has."""
    profile = msgspec.structs.replace(
        EMBEDDED, greedy_by_default=True, max_output_tokens=_DEMO_MAX_OUTPUT_TOKENS
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
    return Registry([engine], {model.id: Route(model, (Target(engine, DEMO_MODEL_ID),)) for model in models})


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

    return EmbeddedEngine(entry.name, _fitted(EMBEDDED, entry=entry), prepare, report)


def _remote(entry: OpenAIEngineSettings | GlmEngineSettings, reporter: Reporter) -> Engine:
    keys = entry.api_key.reveal()
    keys = keys if isinstance(keys, tuple) else (keys,)
    endpoint = _endpoint(entry, entry.base_url, *keys[:1])
    fit = partial(_fitted, entry=entry)
    report = partial(reporter.engine_state, entry.name)
    remark = partial(reporter.engine_remark, entry.name)
    if isinstance(entry, OpenAIEngineSettings):
        return RemoteEngine(
            entry.name,
            endpoint,
            PROFILES.get(entry.profile, OPENAI),
            prober=Prober(endpoint, identify=entry.profile == "auto"),
            report=report,
            fit=fit,
            max_in_flight=entry.max_in_flight,
        )
    plan = _coding_base(entry)
    signer = Signer() if entry.auth == "jwt" else None
    return RemoteEngine(
        entry.name,
        endpoint,
        GLM,
        prober=Prober(
            endpoint,
            identify=False,
            keys=keys,
            plans=bool(plan),
            bearer=signer.bearer if signer else str,
        ),
        report=report,
        remark=remark,
        fit=fit,
        keys=keys,
        plan_endpoint=_endpoint(entry, plan) if plan else None,
        signer=signer,
        max_in_flight=entry.max_in_flight,
    )


def _endpoint(entry: OpenAIEngineSettings | GlmEngineSettings, base_url: str, key: str = "") -> Endpoint:
    try:
        return endpoint_of(base_url, key)
    except ValueError as error:
        raise EngineConfigError(f"engine {entry.name}: {error}") from error


def _coding_base(entry: GlmEngineSettings) -> str:
    """Where keys of a Coding Plan go; empty if there is no such base beside the other one."""
    if entry.coding_base_url or _PAAS not in entry.base_url:
        return entry.coding_base_url
    return entry.base_url.replace(_PAAS, _CODING)


def _fitted(profile: Profile, *, entry: EngineSettings) -> Profile:
    """A profile with what the settings say of this one engine."""
    if entry.max_output:
        profile = msgspec.structs.replace(profile, max_output_tokens=entry.max_output)
    if not isinstance(entry, LlamaCppEngineSettings):
        profile = msgspec.structs.replace(
            profile, first_token_s=entry.first_token_s, between_tokens_s=entry.between_tokens_s
        )
    if isinstance(entry, OpenAIEngineSettings) and entry.parse:
        profile = msgspec.structs.replace(profile, parse=entry.parse)
    return profile


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
    # What an operator has configured is on the list, whatever bigmodel.cn does.
    model = msgspec.structs.replace(_limited(_model(entry.id, catalog), settings), listed=True)
    if entry.limits is not None:
        model = msgspec.structs.replace(model, limits=entry.limits)
    max_tokens = entry.max_tokens or model.max_tokens
    model = msgspec.structs.replace(
        model,
        max_tokens=max_tokens,
        default_max_tokens=min(entry.default_max_tokens or model.default_max_tokens, max_tokens),
        context_tokens=entry.context_tokens or model.context_tokens,
    )
    if entry.inputs:
        model = msgspec.structs.replace(model, inputs=entry.inputs)
    weights = entry.weights or (1,) * len(entry.engine_names)
    targets = [
        _target(entry, name, target, weight, settings, engines)
        for name, target, weight in zip(entry.engine_names, entry.targets, weights, strict=True)
    ]
    return Route(model, tuple(targets), entry.balance)


def _target(
    entry: ModelSettings,
    name: str,
    target: str | None,
    weight: int,
    settings: Settings,
    engines: dict[str, Engine],
) -> Target:
    engine = engines.get(name)
    if engine is None:
        raise EngineConfigError(f"model {entry.id}: there is no engine named {name}")
    configured = next(each for each in settings.engines if each.name == name)
    asked_for = configured.model if isinstance(configured, OpenAIEngineSettings) else None
    return Target(engine, target or asked_for or entry.id, weight)
