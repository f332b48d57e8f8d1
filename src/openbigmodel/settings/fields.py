"""Every setting: its type, its bounds, its default and its help; `loader.py` fills them.

The help in each field is the only copy: `--help` and the settings reference are made from it. Everything is
frozen. Secrets are wrapped, and nothing that prints a setting shows them. Engines and models have a file of their own.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from openbigmodel.settings.engine_fields import EngineSettings, ModelSettings
from openbigmodel.settings.values import (
    CheckSeconds,
    Count,
    DrainSeconds,
    Level,
    MediaMegabytes,
    MediaTasks,
    NetworkText,
    PortNumber,
    RoomMegabytes,
    Secret,
    Section,
    Text,
    described,
)


class ServerSettings(Section, frozen=True, kw_only=True):
    """Where the server listens, and how much it takes on."""

    host: Annotated[
        Text,
        described("Address to listen on. 0.0.0.0 or :: opens the server to the network."),
    ] = "127.0.0.1"
    port: Annotated[PortNumber, described("TCP port to listen on; 0 takes any that is free.")] = 8000
    tls_cert: Annotated[
        Path | None,
        described("Certificate chain in PEM form; with tls_key the server speaks HTTPS."),
    ] = None
    tls_key: Annotated[
        Path | None,
        described("Private key in PEM form that belongs to tls_cert."),
    ] = None
    language: Annotated[
        Literal["zh", "en"],
        described("Language of error messages for callers that send no Accept-Language."),
    ] = "zh"
    log_format: Annotated[
        Literal["auto", "text", "json"],
        described(
            "Form of log lines on stderr; auto is text on a terminal and json elsewhere.",
        ),
    ] = "auto"
    max_in_flight: Annotated[
        Count,
        described(
            "Requests under way at once, all accounts together; one more is refused with 1305.",
        ),
    ] = 4096
    unfinished_mb: Annotated[
        RoomMegabytes,
        described(
            "MiB of memory for request bodies that have come in part, all together; one account gets no more than a "
            "third of what the others leave free, and beyond it is refused with 1305.",
        ),
    ] = 512
    trusted_proxies: Annotated[
        tuple[NetworkText, ...],
        described(
            "Networks and addresses of reverse proxies, whose X-Forwarded-For is believed where an API key is "
            "restricted to addresses; in the environment, separated by commas.",
        ),
    ] = ()
    drain_s: Annotated[
        DrainSeconds,
        described(
            "Seconds, at most 60, that requests under way get to finish when the server is told to stop.",
        ),
    ] = 5
    catalog_limits: Annotated[
        bool,
        described(
            "Whether accounts have bigmodel.cn's own limits on requests in flight, as in the model catalog, for "
            "models that have no limits here.",
        ),
    ] = False
    catalog: Annotated[
        Path | None,
        described(
            "File (TOML) with what is to be other than in the model catalog that comes with this release: prices, "
            "limits, caps, further models. See docs/configuration.md.",
        ),
    ] = None
    trial_credit: Annotated[
        str,
        described(
            "Yuan that a new account is given to try the platform with, as a number or text; accounts create --credit "
            "says otherwise for one.",
        ),
    ] = "0"


class DownloadSettings(Section, frozen=True, kw_only=True):
    """Where model files named hf:… and modelscope:… come from."""

    hf_endpoint: Annotated[
        str, described("Hugging Face, or a mirror that speaks its API.", env="HF_ENDPOINT")
    ] = "https://huggingface.co"
    hf_token: Annotated[
        Secret,
        described("Access token for gated repositories, or env:NAME.", env="HF_TOKEN"),
    ] = Secret("")
    modelscope_endpoint: Annotated[
        str,
        described("ModelScope, or a mirror that speaks its API.", env="MODELSCOPE_ENDPOINT"),
    ] = "https://www.modelscope.cn"
    modelscope_token: Annotated[
        Secret,
        described("Access token for private repositories, or env:NAME.", env="MODELSCOPE_API_TOKEN"),
    ] = Secret("")


class ModerationSettings(Section, frozen=True, kw_only=True):
    """What callers may not send and models not say; off unless word_list or checker_url is set."""

    word_list: Annotated[
        Path | None,
        described("Text file with a word or phrase a line, read at the start; see docs/moderation.md."),
    ] = None
    checker_url: Annotated[
        str,
        described("URL of a service that is asked about each text; see docs/moderation.md."),
    ] = ""
    checker_key: Annotated[
        Secret,
        described("Credential for the checker, sent as a bearer token, best as env:NAME."),
    ] = Secret("")
    checker_timeout_s: Annotated[
        CheckSeconds,
        described(
            "Seconds, at most 60, that the checker may take for an answer, waiting for its turn included."
        ),
    ] = 3
    checker_concurrency: Annotated[Count, described("Questions that the checker is asked at once.")] = 16
    checker_on_failure: Annotated[
        Literal["block", "pass"],
        described("What becomes of a text about which the checker gives no answer."),
    ] = "block"
    applies_to: Annotated[
        Literal["both", "input", "output"],
        described("Whether what callers send, what models answer, or both is judged."),
    ] = "both"
    block_level: Annotated[
        Level,
        described(
            "Words of this level and more severe ones block, 0 being the most severe and 3 the least; the others are "
            "reported in content_filter."
        ),
    ] = 3
    may_disable: Annotated[
        tuple[Text, ...],
        described(
            "Ids of accounts whose requests may switch moderation off with sensitive_word_check, * for all; the "
            "operator's own may always."
        ),
    ] = ()

    @property
    def on(self) -> bool:
        """Whether anything is judged at all."""
        return self.word_list is not None or bool(self.checker_url)


class MediaSettings(Section, frozen=True, kw_only=True):
    """Images, videos and files in requests, and what may be fetched for callers; see docs/media.md."""

    allow_urls: Annotated[
        bool,
        described(
            "Whether URLs of callers are fetched; without, they have to send what they mean as base64."
        ),
    ] = True
    allowed_hosts: Annotated[
        tuple[Text, ...],
        described(
            "Hosts from which alone something is fetched, *.example.com for all below one. Default: any public one."
        ),
    ] = ()
    ports: Annotated[
        tuple[PortNumber, ...], described("Ports of URLs that are fetched; others are refused.")
    ] = (
        80,
        443,
    )
    allow_private: Annotated[
        tuple[NetworkText, ...],
        described(
            "Networks and addresses that may be fetched from although they are not public, for callers who are all "
            "trusted with what is in there."
        ),
    ] = ()
    max_mb: Annotated[
        MediaMegabytes,
        described("Largest image, video or file in MiB, at most 200; what the model allows counts as well."),
    ] = 20
    fetch_s: Annotated[
        CheckSeconds, described("Seconds, at most 60, that one URL may take, redirects included.")
    ] = 10
    concurrency: Annotated[
        MediaTasks,
        described(
            "Images, videos and files fetched at once, at most 128, and as many read that came with requests; each has "
            "a process of its own."
        ),
    ] = 16
    held_mb: Annotated[
        RoomMegabytes,
        described(
            "MiB of memory for what was fetched, or read from files, of all requests under way; one account gets no more "
            "than a third of what the others leave free, and beyond it is refused with 1305."
        ),
    ] = 1024


class Settings(Section, frozen=True, kw_only=True):
    """All of them. `config` is the file they came from, None without one."""

    data: Annotated[
        Path,
        described(
            "Folder with everything the server stores; one server at a time owns it. "
            "Default: bigmodel under $XDG_DATA_HOME or ~/.local/share.",
        ),
    ]
    config: Path | None = None
    server: ServerSettings = ServerSettings()
    downloads: DownloadSettings = DownloadSettings()
    moderation: ModerationSettings = ModerationSettings()
    media: MediaSettings = MediaSettings()
    engines: tuple[EngineSettings, ...] = ()
    models: tuple[ModelSettings, ...] = ()

    @property
    def serves_nothing(self) -> bool:
        """Engines, and no model that asks them: most often a half-written file."""
        return bool(self.engines) and not self.models

    @property
    def try_out(self) -> bool:
        """No engine is configured: the demo model answers for every model id, and says so."""
        return not self.engines


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
