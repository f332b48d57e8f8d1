"""From settings to engines and routes; nothing is started."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.catalog import load_catalog
from openbigmodel.engines.embedded import EmbeddedEngine
from openbigmodel.engines.factory import DEMO_MODEL_ID, EngineConfigError, build_registry, demo_model_path
from openbigmodel.engines.llamacpp import Supervisor
from openbigmodel.engines.profiles import OPENAI
from openbigmodel.engines.registry import Registry
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.weights import Progress, WeightsError
from openbigmodel.settings import ModelLimits, Settings, load_settings

CATALOG = load_catalog()


class Silent:
    def engine_state(self, engine: str, state: str, reason: str) -> None:
        raise AssertionError("nothing is started")

    def engine_remark(self, engine: str, text: str) -> None:
        raise AssertionError("nothing is asked")

    def download(self, engine: str, progress: Progress) -> None:
        raise AssertionError("nothing is downloaded")


def settings_of(folder: Path, text: str) -> Settings:
    path = folder / "bigmodel.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, flags={"data": str(folder / "data")}, environ={})


def registry_of(folder: Path, text: str) -> Registry:
    return build_registry(settings_of(folder, text), folder / "models", Silent(), CATALOG)


def pool_endpoint(engine: Any) -> Any:
    assert isinstance(engine, RemoteEngine)
    return engine._pool._endpoint


def test_without_engines_the_demo_model_answers_for_all(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, "")
    (engine,) = registry.engines

    assert isinstance(engine, EmbeddedEngine)
    assert (engine.name, engine.state) == (DEMO_MODEL_ID, "stopped")
    assert engine.profile.greedy_by_default and engine.profile.max_output_tokens
    chat = {model.id for model in CATALOG if model.kind == "chat"}
    assert {model.id for model in registry.models()} == {DEMO_MODEL_ID, *chat}
    for model_id in ("glm-4.6", "GLM-5.3", DEMO_MODEL_ID):
        route = registry.route(model_id)
        assert route is not None
        (target,) = route.targets
        assert target.engine is engine and target.name == DEMO_MODEL_ID
    assert registry.route("embedding-3") is None
    assert demo_model_path().is_file()


ENGINES = """
[[engines]]
name = "gpu"
kind = "openai"
base_url = "http://10.0.0.5:8000/v1"
api_key = "secret"

[[engines]]
name = "small"
kind = "openai"
profile = "llama-server"
base_url = "http://10.0.0.6:8080/v1"
model = "small-one"
max_output = 100

[[engines]]
name = "cloud"
kind = "glm"
base_url = "https://open.bigmodel.cn/api/paas/v4"

[[engines]]
name = "local"
kind = "llamacpp"
model = "no-such.gguf"
max_output = 200

[[models]]
id = "glm-4.6"
engine = "gpu"
target = "zai-org/GLM-4.6"
max_tokens = 1000

[[models]]
id = "my-own"
engine = "gpu"

[[models]]
id = "glm-4.5-air"
engine = "small"

[[models]]
id = "glm-5.3"
engine = "cloud"

[[models]]
id = "glm-4-flash"
engine = "local"
"""


def test_engines_of_all_kinds(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, ENGINES)
    gpu, small, cloud, local = registry.engines

    assert [engine.profile.name for engine in registry.engines] == [
        "openai",
        "llama-server",
        "glm",
        "llama-server",
    ]
    assert [engine.profile.max_output_tokens for engine in registry.engines] == [None, 100, None, 200]
    assert pool_endpoint(gpu).url == "http://10.0.0.5:8000/v1"
    assert pool_endpoint(gpu).api_key == "secret"
    assert pool_endpoint(cloud).tls
    assert isinstance(small, RemoteEngine) and isinstance(local, EmbeddedEngine)


def test_models_and_their_names_on_the_engine(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, ENGINES)
    routes = {model.id: registry.route(model.id) for model in registry.models()}

    assert {
        model_id: route and (route.targets[0].engine.name, route.targets[0].name)
        for model_id, route in routes.items()
    } == {
        "glm-4.6": ("gpu", "zai-org/GLM-4.6"),
        "my-own": ("gpu", "my-own"),
        "glm-4.5-air": ("small", "small-one"),
        "glm-5.3": ("cloud", "glm-5.3"),
        "glm-4-flash": ("local", "glm-4-flash"),
    }
    assert registry.route("glm-4.7") is None


def test_what_is_known_of_a_model(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, ENGINES)
    known, own = registry.route("glm-4.6"), registry.route("my-own")
    assert known is not None and own is not None

    assert (known.model.max_tokens, known.model.default_max_tokens) == (1000, 1000)
    own_terms = ENGINES.replace(
        "max_tokens = 1000", "max_tokens = 1000\ndefault_max_tokens = 300\ncontext_tokens = 4096"
    )
    again = registry_of(tmp_path, own_terms).route("glm-4.6")
    assert again is not None
    assert (again.model.default_max_tokens, again.model.context_tokens) == (300, 4096)
    unbounded = registry_of(
        tmp_path, ENGINES.replace("max_tokens = 1000", "default_max_tokens = 999999")
    ).route("glm-4.6")
    assert unbounded is not None
    assert unbounded.model.default_max_tokens == unbounded.model.max_tokens == 131072
    # Of a model that nobody has heard of, nothing is held back.
    assert (own.model.thinking, own.model.reasoning_tokens, own.model.cached_tokens) == (
        "dynamic",
        "always",
        True,
    )
    assert own.model.efforts["high"] == "high"


LIMITED = ENGINES.replace(
    'id = "my-own"', 'id = "my-own"\nlimits = { rpm = 6 }\nprice = { input = 1, output = 1 }'
)


def limits_of(registry: Registry, model_id: str) -> dict[str, ModelLimits]:
    route = registry.route(model_id)
    assert route is not None
    return dict(route.model.limits)


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, LIMITED)
    assert limits_of(registry, "my-own") == {"*": ModelLimits(rpm=6)}
    # bigmodel.cn's are for bigmodel.cn.
    assert limits_of(registry, "glm-4.6") == {}
    assert limits_of(registry_of(tmp_path, ""), "glm-4.6") == {}


def test_the_catalogue_has_limits_for_those_who_want_them(tmp_path: Path) -> None:
    wanted = "[server]\ncatalog_limits = true\n"
    registry = registry_of(tmp_path, wanted + LIMITED)
    assert set(limits_of(registry, "glm-4.6").values()) == {ModelLimits(in_flight=3)}
    assert limits_of(registry, "my-own") == {"*": ModelLimits(rpm=6)}
    assert limits_of(registry_of(tmp_path, wanted), "glm-5.3")["V3"] == ModelLimits(in_flight=1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[[engines]]\nname = "a"\nkind = "openai"\nbase_url = "http://"\n[[models]]\nid = "m"\nengine = "a"\n',
            "engine a: not an http",
        ),
        (
            '[[engines]]\nname = "a"\nkind = "glm"\nbase_url = "http://h/v1"\n[[models]]\nid = "m"\nengine = "b"\n',
            "model m: there is no engine named b",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    # Some of it the settings refuse already.
    with pytest.raises(Exception, match=sentence.split(":", maxsplit=1)[0][-1]) as caught:
        registry_of(tmp_path, text)
    assert isinstance(caught.value, EngineConfigError) or type(caught.value).__name__ == "SettingsError"


def test_a_model_file_is_looked_for_when_the_engine_starts(tmp_path: Path) -> None:
    local = registry_of(tmp_path, ENGINES).engines[3]
    assert isinstance(local, EmbeddedEngine)

    with pytest.raises(WeightsError):
        asyncio.run(local._prepare())  # type: ignore[arg-type]


def test_a_model_file_that_is_there(tmp_path: Path) -> None:
    local = registry_of(tmp_path, ENGINES).engines[3]
    assert isinstance(local, EmbeddedEngine)
    (tmp_path / "no-such.gguf").write_bytes(b"GGUF")
    worker: Any = asyncio.run(local._prepare())  # type: ignore[arg-type]

    assert isinstance(worker, Supervisor)
    assert (worker.name, worker.spec.path, worker.spec.max_output) == (
        "local",
        tmp_path / "no-such.gguf",
        200,
    )


class Heard(Silent):
    def __init__(self) -> None:
        self.states: list[str] = []

    def engine_state(self, engine: str, state: str, reason: str) -> None:
        self.states.append(f"{engine} {state}")


def test_the_least_that_an_embedded_engine_needs_makes_one_that_starts(tmp_path: Path) -> None:
    heard = Heard()
    text = f"""
[[engines]]
name = "local"
kind = "llamacpp"
model = "{demo_model_path()}"

[[models]]
id = "glm-4.7-flash"
engine = "local"
"""

    async def start_and_stop() -> str:
        registry = build_registry(settings_of(tmp_path, text), tmp_path / "models", heard, CATALOG)
        (engine,) = registry.engines
        await engine.start()
        try:
            return engine.state
        finally:
            await registry.stop()

    assert asyncio.run(start_and_stop()) == "ready"
    assert heard.states == ["local starting", "local ready", "local stopped"]


SHARED = """
[[engines]]
name = "one"
kind = "openai"
profile = "vllm"
base_url = "http://10.0.0.5:8000/v1"
model = "served"
parse = "glm47"
max_output = 9
max_in_flight = 3

[[engines]]
name = "found"
kind = "openai"
base_url = "http://10.0.0.6:8000/v1"

[[engines]]
name = "cloud"
kind = "glm"
base_url = "https://open.bigmodel.cn/api/paas/v4"
api_key = ["a.secret", "b.secret"]
auth = "jwt"

[[models]]
id = "glm-4.6"
engine = ["one", "found", "cloud"]
balance = "weighted"
weights = [3, 2, 1]

[[models]]
id = "glm-4.7"
engine = ["found", "cloud"]
target = ["x", "y"]
balance = "prefix"
"""


def test_a_model_may_have_several_engines(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, SHARED)
    weighted, prefix = registry.route("glm-4.6"), registry.route("glm-4.7")
    assert weighted is not None and prefix is not None

    assert [(target.engine.name, target.name, target.weight) for target in weighted.targets] == [
        ("one", "served", 3),
        ("found", "glm-4.6", 2),
        ("cloud", "glm-4.6", 1),
    ]
    assert [(target.engine.name, target.name) for target in prefix.targets] == [
        ("found", "x"),
        ("cloud", "y"),
    ]
    assert (weighted.balance, prefix.balance) == ("weighted", "prefix")


def remote(registry: Registry, place: int) -> RemoteEngine:
    engine = registry.engines[place]
    assert isinstance(engine, RemoteEngine)
    return engine


def test_a_named_profile_has_what_the_settings_say(tmp_path: Path) -> None:
    one = remote(registry_of(tmp_path, SHARED), 0)

    assert (one.profile.name, one.profile.parse, one.profile.max_output_tokens) == ("vllm", "glm47", 9)
    assert (one.max_in_flight, one.state, one.kind) == (3, "starting", "openai")


def test_an_engine_that_is_to_be_found_out_is_strict_until_then(tmp_path: Path) -> None:
    found = remote(registry_of(tmp_path, SHARED), 1)

    assert found.profile == OPENAI
    assert found._prober is not None and found._prober._identify


def test_keys_of_another_platform_and_its_base_for_plans(tmp_path: Path) -> None:
    cloud: Any = remote(registry_of(tmp_path, SHARED), 2)

    assert (cloud.kind, cloud.keys) == ("glm", ("a.secret", "b.secret"))
    assert pool_endpoint(cloud).api_key == "a.secret"
    assert cloud._plan_pool._endpoint.url == "https://open.bigmodel.cn:443/api/coding/paas/v4"
    assert "secret" not in cloud._signer.bearer("a.secret") == cloud._prober._bearer("a.secret")


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        ('base_url = "https://h/api/coding/paas/v4"', ""),
        ('base_url = "https://h/v1"', ""),
        ('base_url = "https://h/v1"\ncoding_base_url = "https://h/coding/v1"', "https://h:443/coding/v1"),
    ],
)
def test_a_base_for_plans_is_only_where_it_can_be_known(tmp_path: Path, line: str, plan: str) -> None:
    text = f'[[engines]]\nname = "c"\nkind = "glm"\n{line}\napi_key = "a.b"\n'
    cloud: Any = remote(registry_of(tmp_path, text), 0)

    assert (cloud._plan_pool._endpoint.url if cloud._plan_pool else "") == plan
    assert (cloud._prober._keys, cloud._prober._plans) == (("a.b",), bool(plan))
