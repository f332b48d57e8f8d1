import contextlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.settings import (
    GlmEngineSettings,
    LlamaCppEngineSettings,
    ModelLimits,
    ModelPrice,
    OpenAIEngineSettings,
    PriceBand,
    Secret,
    Settings,
    SettingsError,
    load_settings,
)

HOME = {"HOME": "/home/li"}

WHOLE_FILE = """
data = "state"

[server]
host = "0.0.0.0"
port = 9000
tls_cert = "tls/cert.pem"
tls_key = "/etc/tls/key.pem"
language = "en"
log_format = "json"
max_in_flight = 100
drain_s = 0

[downloads]
hf_endpoint = "https://mirror.example"
hf_token = "env:MY_TOKEN"

[[engines]]
name = "local"
kind = "llamacpp"
model = "models/a.gguf"
chat_template = "~/a.jinja"
context_tokens = 4096
slots = 2
threads = 3

[[engines]]
name = "gpu"
kind = "openai"
base_url = "http://10.0.0.5:8000/v1"
max_output = 1000

[[engines]]
name = "cloud"
kind = "glm"
base_url = "https://open.bigmodel.cn/api/paas/v4"
api_key = "env:ZHIPU_API_KEY"

[[models]]
id = "GLM-4.6"
engine = "gpu"
target = "zai-org/GLM-4.6"
max_tokens = 2000

[[models]]
id = "glm-4.7"
engine = "cloud"
"""


def load(text: str, folder: Path, environ: Mapping[str, str] = HOME, **flags: object) -> Settings:
    file = folder / "bigmodel.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(
        file, flags={name.replace("__", "."): value for name, value in flags.items()}, environ=environ
    )


def complaint(text: str, folder: Path, environ: Mapping[str, str] = HOME, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, folder, environ, **flags)
    return str(caught.value).replace(str(folder / "bigmodel.toml"), "FILE")


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings(environ=HOME)
    assert settings.config is None
    assert settings.try_out
    assert settings.data == Path("/home/li/.local/share/bigmodel")
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert not settings.downloads.hf_token


def test_every_setting_can_be_read_from_a_file(tmp_path: Path) -> None:
    settings = load(WHOLE_FILE, tmp_path, {**HOME, "MY_TOKEN": "t0", "ZHIPU_API_KEY": "id.secret"})
    assert settings.config == tmp_path / "bigmodel.toml"
    assert settings.data == tmp_path / "state"
    server = settings.server
    assert (server.host, server.port, server.language, server.log_format) == ("0.0.0.0", 9000, "en", "json")
    assert (server.tls_cert, server.tls_key) == (tmp_path / "tls/cert.pem", Path("/etc/tls/key.pem"))
    assert (server.max_in_flight, server.drain_s) == (100, 0)
    assert settings.downloads.hf_endpoint == "https://mirror.example"
    assert settings.downloads.hf_token == Secret("t0")
    local, gpu, cloud = settings.engines
    assert isinstance(local, LlamaCppEngineSettings)
    assert local.model.path == tmp_path / "models/a.gguf"
    assert local.chat_template == Path("/home/li/a.jinja")
    assert (local.context_tokens, local.slots, local.threads, local.max_output) == (4096, 2, 3, None)
    assert isinstance(gpu, OpenAIEngineSettings)
    assert (gpu.base_url, gpu.max_output, gpu.api_key) == ("http://10.0.0.5:8000/v1", 1000, Secret(""))
    assert isinstance(cloud, GlmEngineSettings)
    assert cloud.api_key.reveal() == ("id.secret",)
    first, second = settings.models
    assert (first.id, first.engine, first.target, first.max_tokens) == (
        "GLM-4.6",
        "gpu",
        "zai-org/GLM-4.6",
        2000,
    )
    assert second.engine == "cloud"


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    environ = {**HOME, "BIGMODEL_PORT": "9002", "BIGMODEL_HOST": "10.0.0.2", "BIGMODEL_DATA": "/env"}
    settings = load(
        "[server]\nport = 9001\ndrain_s = 1\n", tmp_path, environ, server__port=9003, server__host=None
    )
    assert (settings.server.port, settings.server.host, settings.server.drain_s) == (9003, "10.0.0.2", 1)
    assert settings.data == Path("/env")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[server]\nport = 9001\n")
    settings = load_settings(environ={**HOME, "BIGMODEL_CONFIG": str(tmp_path / "a.toml")})
    assert settings.server.port == 9001


def test_trusted_proxies_are_networks(tmp_path: Path) -> None:
    assert load("", tmp_path).server.trusted_proxies == ()
    text = "[server]\ntrusted_proxies = ['10.0.0.0/8', ' ::1 ']"
    assert load(text, tmp_path).server.trusted_proxies == ("10.0.0.0/8", "::1/128")
    environ = {**HOME, "BIGMODEL_TRUSTED_PROXIES": "192.0.2.1, 10.0.0.0/8"}
    assert load(text, tmp_path, environ).server.trusted_proxies == ("192.0.2.1/32", "10.0.0.0/8")
    environ["BIGMODEL_TRUSTED_PROXIES"] = "localhost"
    assert complaint("", tmp_path, environ).startswith(
        "BIGMODEL_TRUSTED_PROXIES: 'localhost' does not appear"
    )


def test_empty_variables_count_as_not_set() -> None:
    settings = load_settings(environ={**HOME, "BIGMODEL_PORT": "", "BIGMODEL_CONFIG": "", "HF_TOKEN": ""})
    assert settings.server.port == 8000


def test_what_kubernetes_sets_for_a_service_named_bigmodel_does_no_harm() -> None:
    environ = {
        **HOME,
        "BIGMODEL_PORT": "tcp://10.96.0.9:80",
        "BIGMODEL_SERVICE_HOST": "10.96.0.9",
        "BIGMODEL_SERVICE_PORT": "80",
        "BIGMODEL_PORT_80_TCP": "tcp://10.96.0.9:80",
        "BIGMODEL_PORT_80_TCP_ADDR": "10.96.0.9",
        "BIGMODEL_KEY": "id.secret",
        "BIGMODEL_API_KEY": "id.secret",
        "BIGMODEL_BASE_URL": "http://10.96.0.9",
    }
    assert load_settings(environ=environ).server.port == 8000


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/h"}, "/h/.local/share/bigmodel"),
        ({"HOME": "/h", "XDG_DATA_HOME": "/x"}, "/x/bigmodel"),
        ({"HOME": "/h", "XDG_DATA_HOME": "relative is ignored"}, "/h/.local/share/bigmodel"),
        ({}, str(Path.home() / ".local/share/bigmodel")),
    ],
    ids=["home", "xdg", "relative", "nothing"],
)
def test_the_data_folder_has_a_place_of_its_own(environ: dict[str, str], folder: str) -> None:
    assert load_settings(environ=environ).data == Path(folder)


def test_a_user_without_a_home_must_choose_a_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    assert load_settings(flags={"data": "/d"}, environ={}).data == Path("/d")
    with pytest.raises(SettingsError, match="--data"):
        load_settings(environ={})


def test_a_relative_path_outside_the_file_is_relative_to_the_current_folder(tmp_path: Path) -> None:
    assert load("", tmp_path, data=Path("d")).data == Path.cwd() / "d"
    assert load("", tmp_path, {**HOME, "BIGMODEL_DATA": "~/d"}).data == Path("/home/li/d")
    assert load('data = "~"', tmp_path).data == Path("/home/li")


ENGINE = '[[engines]]\nname = "gpu"\nkind = "openai"\nbase_url = "http://g/v1"\n'
MODEL = ENGINE + '[[models]]\nid = "glm-4.6"\n'


MISTAKES = [
    ("port = ", "FILE: is not TOML: Invalid value (at end of document)"),
    (
        "prot = 1",
        "FILE: prot is not a setting; known are data, server, downloads, moderation, media, engines, models",
    ),
    ("serve = 1", "FILE: serve is not a setting; did you mean server?"),
    (
        "config = 'x'",
        "FILE: config is not a setting; known are data, server, downloads, moderation, media, engines, models",
    ),
    ("server = 1", "FILE: server must be a table"),
    ("[server]\nprot = 1", "FILE: server.prot is not a setting; did you mean port?"),
    ("[server]\nport = '8000'", "FILE: server.port must be a whole number"),
    ("[server]\nport = 8000.5", "FILE: server.port must be a whole number"),
    ("[server]\nport = true", "FILE: server.port must be a whole number"),
    ("[server]\nport = -1", "FILE: server.port must be a whole number, 0 or more"),
    ("[server]\nport = 65536", "FILE: server.port must be a whole number, 65535 or less"),
    ("[server]\ndrain_s = -1", "FILE: server.drain_s must be a whole number, 0 or more"),
    ("[server]\ndrain_s = 61", "FILE: server.drain_s must be a whole number, 60 or less"),
    ("[server]\nhost = ''", "FILE: server.host must not be empty"),
    ("[server]\ntrusted_proxies = '::1'", "FILE: server.trusted_proxies must be a list"),
    ("[server]\ntrusted_proxies = [1]", "FILE: server.trusted_proxies must be text"),
    (
        "[server]\ntrusted_proxies = ['::1', 'proxy']",
        "FILE: server.trusted_proxies: 'proxy' does not appear to be an IPv4 or IPv6 network",
    ),
    (
        "[server]\ntrusted_proxies = ['10.0.0.1/8']",
        "FILE: server.trusted_proxies: 10.0.0.1/8 has host bits set",
    ),
    ("[server]\nhost = 1", "FILE: server.host must be text"),
    ("[server]\nlog_format = 'xml'", "FILE: server.log_format must be one of auto, text, json"),
    ("[server]\ntls_cert = 5", "FILE: server.tls_cert must be text"),
    ("[server]\ntls_cert = ''", "FILE: server.tls_cert must be text"),
    ("[server]\ntls_cert = 'c'", "FILE: server.tls_cert needs tls_key too"),
    ("[server]\ntls_key = 'c'", "FILE: server.tls_key needs tls_cert too"),
    (
        "[downloads]\nhf_endpoint = 'mirror'",
        "FILE: downloads.hf_endpoint must be a URL that begins with http:// or https://",
    ),
    (
        "[downloads]\nhf_token = 'env:NOT_SET'",
        "FILE: downloads.hf_token: the environment variable NOT_SET is not set",
    ),
    ("engines = 1", "FILE: engines must be written [[engines]], once for each"),
    ("[engines]\nname = 'a'", "FILE: engines must be written [[engines]], once for each"),
    ("engines = [1]", "FILE: [[engines]] number 1: kind must be one of llamacpp, openai, glm"),
    ("[[engines]]\nname = 'a'", 'FILE: [[engines]] "a": kind must be one of llamacpp, openai, glm'),
    (
        "[[engines]]\nname = 'a'\nkind = ['glm']",
        'FILE: [[engines]] "a": kind must be one of llamacpp, openai, glm',
    ),
    (
        "[[engines]]\nkind = 'glm'\nbase_url = 'http://a'",
        "FILE: [[engines]] number 1: name is missing. The name that models refer to; unique.",
    ),
    (
        "[[engines]]\nname = 'a b'\nkind = 'glm'",
        'FILE: [[engines]] "a b": name may hold letters, digits, dot, dash and underscore only',
    ),
    (
        "[[engines]]\nname = '" + "a" * 65 + "'\nkind = 'glm'",
        f'FILE: [[engines]] "{"a" * 65}": name must not be longer than 64',
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'llamacpp'\nmodel = 'm'\nbase_url = 'http://a'",
        (
            'FILE: [[engines]] "a": base_url is not a setting; known are name, max_output, model, '
            "chat_template, context_tokens, slots, threads"
        ),
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'llamacpp'\nmodel = 'https://a.example/GLM.gguf'",
        'FILE: [[engines]] "a": model must be a path, hf:… or modelscope:…',
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'llamacpp'\nmodel = 'hf:GLM.gguf'",
        'FILE: [[engines]] "a": model must look like hf:OWNER/REPO/FILE',
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'a.example/v4'",
        'FILE: [[engines]] "a": base_url must be a URL that begins with http:// or https://',
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'http://a.example:65536/v4'",
        'FILE: [[engines]] "a": base_url has a host or a port that cannot be',
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'http://[::1/v4'",
        'FILE: [[engines]] "a": base_url has a host or a port that cannot be',
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'http://a.example:0/v4'",
        'FILE: [[engines]] "a": base_url must have a port from 1 to 65535',
    ),
    (
        "[downloads]\nmodelscope_endpoint = 'https://mirror.example:x'",
        "FILE: downloads.modelscope_endpoint has a host or a port that cannot be",
    ),
    (
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'https://me:pass@a.example/v4'",
        'FILE: [[engines]] "a": base_url must not contain a credential; use api_key',
    ),
    (ENGINE + ENGINE, 'FILE: [[engines]] "gpu": name is used twice'),
    (
        ENGINE + "profile = 'tgi'",
        'FILE: [[engines]] "gpu": profile must be one of auto, openai, vllm, sglang, llama-server, ollama, ray, lmdeploy, tensorrt-llm',
    ),
    ("models = [1]", "FILE: [[models]] number 1 must be a table"),
    (
        MODEL,
        (
            'FILE: [[models]] "glm-4.6": engine is missing. Name of the engine that answers, or a list of engines.'
        ),
    ),
    (MODEL + "engine = []", 'FILE: [[models]] "glm-4.6": engine must be a name, or a list of names'),
    (MODEL + "engine = 3", 'FILE: [[models]] "glm-4.6": engine must be a name, or a list of names'),
    (
        MODEL + "engine = 'cpu'",
        'FILE: [[models]] "glm-4.6": engine: no engine is named cpu; did you mean gpu?',
    ),
    (
        MODEL + "engine = 'other'",
        'FILE: [[models]] "glm-4.6": engine: no engine is named other; give it an [[engines]] entry.',
    ),
    (
        MODEL + "engine = 'gpu'\n[[models]]\nid = 'GLM-4.6'\nengine = 'gpu'",
        'FILE: [[models]] "GLM-4.6": id is used twice',
    ),
    (
        ENGINE + '[[models]]\nid = "a"\nengine = "gpu"\nmax_tokens = 5\ndefault_max_tokens = 6\n',
        'FILE: [[models]] "a": default_max_tokens must not be more than max_tokens',
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_in_a_file_are_named(text: str, message: str, tmp_path: Path) -> None:
    assert complaint(text, tmp_path) == message


def test_mistakes_outside_a_file_are_named_by_variable_or_flag(tmp_path: Path) -> None:
    assert complaint("", tmp_path, {**HOME, "BIGMODEL_PORT": "x"}) == "BIGMODEL_PORT must be a whole number"
    assert complaint("", tmp_path, server__port=70000) == "--port must be a whole number, 65535 or less"
    assert complaint("", tmp_path, server__tls_cert=Path("c")) == "--tls-cert needs tls_key too"
    assert (
        complaint("", tmp_path, {**HOME, "BIGMODEL_PROT": "1"})
        == "BIGMODEL_PROT is not a setting; did you mean BIGMODEL_PORT?"
    )
    assert (
        complaint("", tmp_path, {**HOME, "BIGMODEL_DATA_DIR": "/d"})
        == "BIGMODEL_DATA_DIR is not a setting; did you mean BIGMODEL_DATA?"
    )
    assert (
        complaint("", tmp_path, {**HOME, "HF_ENDPOINT": "x"})
        == "HF_ENDPOINT must be a URL that begins with http:// or https://"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, content, reason in [
        ("missing.toml", None, "cannot be read: No such file or directory"),
        ("binary.toml", b"\xff\xfe", "is not UTF-8 text"),
    ]:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsError) as caught:
            load_settings(tmp_path / name, environ=HOME)
        assert str(caught.value) == f"{tmp_path / name}: {reason}"


def test_no_complaint_quotes_a_secret(tmp_path: Path) -> None:
    texts = [
        "[downloads]\nhf_token = ['hunter2']",
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'http://u:hunter2@h'\napi_key = 'hunter2'",
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'hunter2'\napi_key = { key = 'hunter2' }",
        "[[engines]]\nname = 'a'\nkind = 'glm'\nbase_url = 'http://me:hunter2'",
    ]
    for text in texts:
        assert "hunter2" not in complaint(text, tmp_path)


_SCALAR = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_FLAT = st.lists(_SCALAR, max_size=3) | st.dictionaries(st.text(max_size=8), _SCALAR, max_size=3)
_ANY = _SCALAR | _FLAT
JSON_LIKE = _ANY | st.lists(_ANY, max_size=3) | st.dictionaries(st.text(max_size=8), _ANY, max_size=3)
KEYS = st.sampled_from(
    [
        "data",
        "server",
        "port",
        "host",
        "engines",
        "models",
        "name",
        "kind",
        "model",
        "engine",
        "id",
        "x",
    ]
)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    escaped = "".join(char if char.isalnum() else f"\\U{ord(char):08X}" for char in str(value))
    return f'"{escaped}"'


@given(st.dictionaries(KEYS, JSON_LIKE | st.dictionaries(KEYS, JSON_LIKE), max_size=4))
def test_whatever_a_file_says_it_is_settings_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, object]
) -> None:
    text = "\n".join(f"{_toml(key)} = {_toml(value)}" for key, value in table.items())
    with contextlib.suppress(SettingsError):
        load(text, tmp_path_factory.mktemp("s"))


TERMS = (
    MODEL
    + """engine = "gpu"
price = { input = 10.0, output = "10", cached = 2.0 }
limits = { in_flight = 100, rpm = 600, tpm = 0 }

[[models]]
id = "mine"
engine = "gpu"
limits = { V0 = { rpm = 6 }, "*" = {} }
"""
)


def test_models_have_prices_and_limits(tmp_path: Path) -> None:
    first, second = load(TERMS, tmp_path).models
    assert first.price == ModelPrice(bands=(PriceBand("10.0", "10", "2.0"),))
    assert first.limits == {"*": ModelLimits(in_flight=100, rpm=600)}
    assert second.price is None
    assert second.limits == {"V0": ModelLimits(rpm=6), "*": ModelLimits()}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("price = 3", "price must be a table such as { input = …, output = … }"),
        ("price = { input = 1 }", "price.output is missing: yuan per million tokens"),
        ("limits = { rpm = -1 }", "limits.rpm must be a whole number, 0 or more (0: no limit)"),
    ],
)
def test_mistakes_in_prices_and_limits_are_named(line: str, message: str, tmp_path: Path) -> None:
    assert complaint(MODEL + "engine = 'gpu'\n" + line, tmp_path) == f'FILE: [[models]] "glm-4.6": {message}'


@pytest.mark.parametrize(("text", "on"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_a_switch_in_the_environment(text: str, on: bool) -> None:
    assert load_settings(environ={**HOME, "BIGMODEL_CATALOG_LIMITS": text}).server.catalog_limits is on


def test_a_switch_that_is_neither_on_nor_off(tmp_path: Path) -> None:
    environ = {**HOME, "BIGMODEL_CATALOG_LIMITS": "yes"}
    assert complaint("", tmp_path, environ) == "BIGMODEL_CATALOG_LIMITS must be true or false"
    assert (
        complaint("[server]\ncatalog_limits = 1", tmp_path)
        == "FILE: server.catalog_limits must be true or false"
    )


def test_trial_credit_is_an_exact_amount(tmp_path: Path) -> None:
    assert load("", tmp_path).server.trial_credit == "0"
    for written, text in (("5", "5"), ("0.1", "0.1"), ('"2.50"', "2.50")):
        assert load(f"[server]\ntrial_credit = {written}\n", tmp_path).server.trial_credit == text
    assert load("", tmp_path, {**HOME, "BIGMODEL_TRIAL_CREDIT": "1.5"}).server.trial_credit == "1.5"
    for wrong in ("-1", '"five"', "true", "0.0000000001", "1000000001"):
        with pytest.raises(
            SettingsError, match=r"server\.trial_credit must be an amount in yuan such as 12 or 0\.8"
        ):
            load(f"[server]\ntrial_credit = {wrong}\n", tmp_path)


def test_a_catalogue_is_named_relative_to_the_file(tmp_path: Path) -> None:
    assert load("", tmp_path).server.catalog is None
    assert load('[server]\ncatalog = "own.toml"\n', tmp_path).server.catalog == tmp_path / "own.toml"
