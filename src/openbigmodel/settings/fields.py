"""Every setting: its type, its bounds, its default and its help; `loader.py` fills them.

The help in each field is the only copy: `--help` and the settings reference are made from it. Everything is
frozen. Secrets are wrapped, and nothing that prints a setting shows them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from openbigmodel.settings.terms import ModelLimits, ModelPrice

PortNumber = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
# Service managers kill what has not ended after 90 s.
DrainSeconds = Annotated[int, Meta(ge=0, le=60)]
CheckSeconds = Annotated[int, Meta(ge=1, le=60)]
Level = Annotated[int, Meta(ge=0, le=3)]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

DOWNLOAD_PREFIXES = ("hf:", "modelscope:")


class SettingsError(Exception):
    """The settings cannot be used; the text is for the person who wrote them."""


class Secret:
    """A credential. `reveal()` is the only way to its text, so a log line or a traceback cannot leak it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)" if self._text else "Secret()"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _help(text: str, *, env: str | None = None) -> Meta:
    """A field's help, and the environment variable that sets it where that does not follow from its name."""
    return Meta(description=text, extra=None if env is None else {"env": env})


class ModelFile(str):
    """A model's file: an absolute path, or `hf:OWNER/REPO/FILE` or `modelscope:OWNER/REPO/FILE`."""

    __slots__ = ()

    @property
    def path(self) -> Path | None:
        """None if it must be downloaded."""
        return None if self.startswith(DOWNLOAD_PREFIXES) else Path(self)


class NetworkText(str):
    """A network such as 10.0.0.0/8, or a single address."""

    __slots__ = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the settings file."""


class ServerSettings(Section, frozen=True, kw_only=True):
    """Where the server listens, and how much it takes on."""

    host: Annotated[
        Text,
        _help("Address to listen on. 0.0.0.0 or :: opens the server to the network."),
    ] = "127.0.0.1"
    port: Annotated[PortNumber, _help("TCP port to listen on; 0 takes any that is free.")] = 8000
    tls_cert: Annotated[
        Path | None,
        _help("Certificate chain in PEM form; with tls_key the server speaks HTTPS."),
    ] = None
    tls_key: Annotated[
        Path | None,
        _help("Private key in PEM form that belongs to tls_cert."),
    ] = None
    language: Annotated[
        Literal["zh", "en"],
        _help("Language of error messages for callers that send no Accept-Language."),
    ] = "zh"
    log_format: Annotated[
        Literal["auto", "text", "json"],
        _help(
            "Form of log lines on stderr; auto is text on a terminal and json elsewhere.",
        ),
    ] = "auto"
    max_in_flight: Annotated[
        Count,
        _help(
            "Requests under way at once, all accounts together; one more is refused with 1305.",
        ),
    ] = 4096
    trusted_proxies: Annotated[
        tuple[NetworkText, ...],
        _help(
            "Networks and addresses of reverse proxies, whose X-Forwarded-For is believed where an API key is "
            "restricted to addresses; in the environment, separated by commas.",
        ),
    ] = ()
    drain_s: Annotated[
        DrainSeconds,
        _help(
            "Seconds, at most 60, that requests under way get to finish when the server is told to stop.",
        ),
    ] = 5
    catalog_limits: Annotated[
        bool,
        _help(
            "Whether accounts have bigmodel.cn's own limits on requests in flight, as in the model catalog, for "
            "models that have no limits here.",
        ),
    ] = False


class DownloadSettings(Section, frozen=True, kw_only=True):
    """Where model files named hf:… and modelscope:… come from."""

    hf_endpoint: Annotated[
        str, _help("Hugging Face, or a mirror that speaks its API.", env="HF_ENDPOINT")
    ] = "https://huggingface.co"
    hf_token: Annotated[
        Secret,
        _help("Access token for gated repositories, or env:NAME.", env="HF_TOKEN"),
    ] = Secret("")
    modelscope_endpoint: Annotated[
        str,
        _help("ModelScope, or a mirror that speaks its API.", env="MODELSCOPE_ENDPOINT"),
    ] = "https://www.modelscope.cn"
    modelscope_token: Annotated[
        Secret,
        _help("Access token for private repositories, or env:NAME.", env="MODELSCOPE_API_TOKEN"),
    ] = Secret("")


class ModerationSettings(Section, frozen=True, kw_only=True):
    """What callers may not send and models not say; off unless word_list or checker_url is set."""

    word_list: Annotated[
        Path | None,
        _help("Text file with a word or phrase a line, read at the start; see docs/moderation.md."),
    ] = None
    checker_url: Annotated[
        str,
        _help("URL of a service that is asked about each text; see docs/moderation.md."),
    ] = ""
    checker_key: Annotated[
        Secret,
        _help("Credential for the checker, sent as a bearer token, best as env:NAME."),
    ] = Secret("")
    checker_timeout_s: Annotated[
        CheckSeconds,
        _help("Seconds, at most 60, that the checker may take for an answer, waiting for its turn included."),
    ] = 3
    checker_concurrency: Annotated[Count, _help("Questions that the checker is asked at once.")] = 16
    checker_on_failure: Annotated[
        Literal["block", "pass"],
        _help("What becomes of a text about which the checker gives no answer."),
    ] = "block"
    applies_to: Annotated[
        Literal["both", "input", "output"],
        _help("Whether what callers send, what models answer, or both is judged."),
    ] = "both"
    block_level: Annotated[
        Level,
        _help(
            "Words of this level and more severe ones block, 0 being the most severe and 3 the least; the others are "
            "reported in content_filter."
        ),
    ] = 3
    may_disable: Annotated[
        tuple[Text, ...],
        _help(
            "Ids of accounts whose requests may switch moderation off with sensitive_word_check, * for all; the "
            "operator's own may always."
        ),
    ] = ()

    @property
    def on(self) -> bool:
        """Whether anything is judged at all."""
        return self.word_list is not None or bool(self.checker_url)


class _Engine(Section, frozen=True, kw_only=True, tag_field="kind"):
    name: Annotated[Name, _help("The name that models refer to; unique.")]
    max_output: Annotated[
        Count | None,
        _help(
            "Most tokens that one answer may have here. Default: 4096 built in, elsewhere the model's own cap."
        ),
    ] = None

    @property
    def kind(self) -> str:
        """`llamacpp`, `openai` or `glm`."""
        return str(self.__struct_config__.tag)


class LlamaCppEngineSettings(_Engine, frozen=True, kw_only=True, tag="llamacpp"):
    """The built-in engine: a GGUF file in a worker process of this server."""

    model: Annotated[
        ModelFile,
        _help(
            "GGUF file, hf:OWNER/REPO/FILE or modelscope:OWNER/REPO/FILE; of a split model, the first part."
        ),
    ]
    chat_template: Annotated[
        Path | None, _help("Jinja file that replaces the chat template in the GGUF.")
    ] = None
    context_tokens: Annotated[
        Count,
        _help("Longest prompt and answer together, of one request; the model's own training length caps it."),
    ] = 8192
    slots: Annotated[Count, _help("Requests answered at once; each takes memory for its context.")] = 4
    threads: Annotated[Count | None, _help("CPU threads. Default: one less than this process may use.")] = (
        None
    )


class _RemoteEngine(_Engine, frozen=True, kw_only=True):
    base_url: Annotated[str, _help("URL before /chat/completions, such as http://10.0.0.5:8000/v1.")]
    api_key: Annotated[
        Secret,
        _help("Credential to send, best as env:NAME, which reads the environment variable NAME."),
    ] = Secret("")


class OpenAIEngineSettings(_RemoteEngine, frozen=True, kw_only=True, tag="openai"):
    """A server that speaks the OpenAI API: vLLM, SGLang, llama-server, Ollama, Ray Serve …"""

    model: Annotated[
        Text | None,
        _help("Model name to ask for where a [[models]] entry gives no target."),
    ] = None
    profile: Annotated[
        Literal["openai", "llama-server", "vllm"],
        _help(
            "Which server it is: llama-server has ways of its own; vllm counts as it goes, so that an answer that "
            "breaks off is billed to the token; openai fits all others."
        ),
    ] = "openai"


class GlmEngineSettings(_RemoteEngine, frozen=True, kw_only=True, tag="glm"):
    """bigmodel.cn, api.z.ai or another Open BigModel."""


EngineSettings = LlamaCppEngineSettings | OpenAIEngineSettings | GlmEngineSettings


class ModelSettings(Section, frozen=True, kw_only=True):
    """A model id that callers may ask for, and the engines that answer."""

    id: Annotated[Text, _help("The id in requests; letter case does not matter.")]
    engine: Annotated[Name, _help("Name of the engine that answers.")]
    target: Annotated[Text | None, _help("The model's name on the engine. Default: the id.")] = None
    max_tokens: Annotated[
        Count | None, _help("Most tokens an answer may have. Default: as in the model catalog.")
    ] = None
    price: Annotated[
        ModelPrice | None,
        _help(
            "Yuan per million tokens, as numbers or text: { input, output, cached }. By length: { bands = [{ input_from, "
            "output_from, input, output, cached }] }. Also per_call, per_image and batch_percent. Default: as in the "
            "model catalog; free for a model that it does not have."
        ),
    ] = None
    limits: Annotated[
        Mapping[str, ModelLimits] | None,
        _help(
            "What one account may ask of the model: { in_flight, rpm, tpm, daily }, 0 for no limit; or one such table "
            "for each tier, V0 to V3, and * for all others. Default: none, see server.catalog_limits."
        ),
    ] = None


class Settings(Section, frozen=True, kw_only=True):
    """All of them. `config` is the file they came from, None without one."""

    data: Annotated[
        Path,
        _help(
            "Folder with everything the server stores; one server at a time owns it. "
            "Default: bigmodel under $XDG_DATA_HOME or ~/.local/share.",
        ),
    ]
    config: Path | None = None
    server: ServerSettings = ServerSettings()
    downloads: DownloadSettings = DownloadSettings()
    moderation: ModerationSettings = ModerationSettings()
    engines: tuple[EngineSettings, ...] = ()
    models: tuple[ModelSettings, ...] = ()

    @property
    def try_out(self) -> bool:
        """No engine is configured: the demo model answers for every model id, and says so."""
        return not self.engines


ENGINE_KINDS: Mapping[str, type[EngineSettings]] = {
    "llamacpp": LlamaCppEngineSettings,
    "openai": OpenAIEngineSettings,
    "glm": GlmEngineSettings,
}


class Field(msgspec.Struct, frozen=True):
    """One setting as people meet it. `env` is None where only the file can set it."""

    name: str
    type: Any
    help: str
    env: str | None
    default: object
    required: bool


def fields_of(section: type[msgspec.Struct]) -> list[Field]:
    """The settings of a section, in the order of the source."""
    hints = get_type_hints(section, include_extras=True)
    found = []
    for field in msgspec.structs.fields(section):
        metas = [meta for meta in getattr(hints[field.name], "__metadata__", ()) if isinstance(meta, Meta)]
        texts = [meta for meta in metas if meta.description]
        if not texts:
            continue
        env = (texts[-1].extra or {}).get("env")
        if section in (ServerSettings, Settings):
            env = f"BIGMODEL_{field.name.upper()}"
        found.append(
            Field(
                name=field.name,
                type=field.type,
                help=str(texts[-1].description),
                env=env,
                default=field.default,
                required=field.required,
            )
        )
    return found
