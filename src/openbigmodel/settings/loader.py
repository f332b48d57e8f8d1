"""Reads the settings; the only reader of the environment in the package.

A value comes from, last one wins: default, TOML file, environment, command line. All of it is checked before
anything starts: an unknown key, a wrong type or an impossible combination is a `SettingsError`, one sentence
that names file and key, and never quotes a value that may be a secret.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from openbigmodel.settings.engine_fields import (
    ENGINE_KINDS,
    EngineSettings,
    GlmEngineSettings,
    ModelSettings,
    OpenAIEngineSettings,
)
from openbigmodel.settings.fields import (
    DownloadSettings,
    Field,
    MediaSettings,
    ModerationSettings,
    ServerSettings,
    Settings,
    fields_of,
)
from openbigmodel.settings.terms import read_amount, read_limits, read_price
from openbigmodel.settings.values import (
    DOWNLOAD_PREFIXES,
    ModelFile,
    NetworkText,
    Secret,
    Secrets,
    Section,
    SettingsError,
)

_PREFIX = "BIGMODEL_"
_CONFIG = "BIGMODEL_CONFIG"

_SectionT = TypeVar("_SectionT", bound=Section)


def _one_or_more(value: object) -> str | tuple[str, ...]:
    """A name, or a list of them. ValueError carries the rest of a sentence that begins with the setting."""
    each = value if isinstance(value, list) else [value]
    names = tuple(name for name in each if isinstance(name, str) and name)
    if not names or len(names) != len(each):
        raise ValueError(" must be a name, or a list of names")
    return names if isinstance(value, list) else names[0]


# Values with a grammar of their own.
_OWN_GRAMMAR: Mapping[str, Callable[[object], object]] = {
    "price": read_price,
    "limits": read_limits,
    "engine": _one_or_more,
    "target": _one_or_more,
    "trial_credit": read_amount,
}


def load_settings(
    config: Path | None = None,
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    need_secrets: bool = True,
) -> Settings:
    """Read and check everything; raises SettingsError.

    `flags` holds command-line values by dotted name (`server.port`, `data`); None means not given. Relative
    paths in the file are relative to the file, others to the current folder. Without `need_secrets`, an `env:NAME`
    whose variable is not set is an empty secret: whoever gives an admin command need not have the server's environment.
    """
    environ = os.environ if environ is None else environ
    if config is None and environ.get(_CONFIG):
        config = Path(environ[_CONFIG])
    loader = _Loader(config, environ, need_secrets=need_secrets)
    loader.overlay_environment()
    loader.overlay_flags(flags or {})
    return loader.load()


class _Loader:
    """One reading of the settings: the raw table, and where each value in it came from."""

    def __init__(self, config: Path | None, environ: Mapping[str, str], *, need_secrets: bool) -> None:
        self._environ = environ
        self._need_secrets = need_secrets
        self._config = None if config is None else config.absolute()
        self._table = {} if config is None else _read_toml(config)
        self._labels: dict[str, str] = {}  # dotted name -> the variable or flag that set it

    def overlay_environment(self) -> None:
        sections = (("", Settings), ("server.", ServerSettings), ("downloads.", DownloadSettings))
        known: dict[str, tuple[str, Field]] = {
            field.env: (prefix + field.name, field)
            for prefix, cls in sections
            for field in fields_of(cls)
            if field.env
        }
        for variable, text in self._environ.items():
            if variable in known and text:
                name, field = known[variable]
                # Kubernetes sets BIGMODEL_PORT=tcp://… in every pod beside a service named bigmodel.
                if not text.startswith("tcp://"):
                    self._overlay(name, _from_text(text, field.default), variable)
            elif variable.startswith(_PREFIX) and variable not in known and variable != _CONFIG:
                self._judge_unknown(
                    variable, [name for name in (*known, _CONFIG) if name.startswith(_PREFIX)]
                )

    @staticmethod
    def _judge_unknown(variable: str, known: list[str]) -> None:
        """A slip of the keyboard is an error; a variable of somebody else's (BIGMODEL_KEY) is not."""
        endings = [name.removeprefix(_PREFIX) for name in known]
        close = difflib.get_close_matches(variable.removeprefix(_PREFIX), endings, n=1, cutoff=0.65)
        if close:
            raise SettingsError(f"{variable} is not a setting; did you mean {_PREFIX}{close[0]}?")

    def overlay_flags(self, flags: Mapping[str, object]) -> None:
        for name, value in flags.items():
            if value is not None:
                flag = "--" + name.rpartition(".")[2].replace("_", "-")
                self._overlay(name, str(value) if isinstance(value, Path) else value, flag)

    def _overlay(self, name: str, value: object, label: str) -> None:
        section, _, key = name.rpartition(".")
        table = self._table.setdefault(section, {}) if section else self._table
        if isinstance(table, dict):  # if it is not, load() says so
            table[key] = value
            self._labels[name] = label

    def load(self) -> Settings:
        engines = tuple(self._engine(*entry) for entry in self._entries("engines", "name"))
        models = tuple(self._section(ModelSettings, *entry) for entry in self._entries("models", "id"))
        server = self._section(ServerSettings, self._table.get("server", {}), "server.")
        downloads = self._section(DownloadSettings, self._table.get("downloads", {}), "downloads.")
        media = self._section(MediaSettings, self._table.get("media", {}), "media.")
        moderation = self._section(ModerationSettings, self._table.get("moderation", {}), "moderation.")
        sections = ("server", "downloads", "moderation", "media", "engines", "models")
        rest = {key: value for key, value in self._table.items() if key not in sections}
        if "data" not in rest:
            rest["data"] = str(self._default_data())
        top = self._section(Settings, rest, "", also_known=sections)
        settings = msgspec.structs.replace(
            top,
            config=self._config,
            server=server,
            downloads=downloads,
            moderation=moderation,
            media=media,
            engines=engines,
            models=models,
        )
        self._check(settings)
        return settings

    def _entries(self, name: str, key: str) -> list[tuple[object, str]]:
        """Each table of an array of tables, with the words that lead to it in a message."""
        entries = self._table.get(name, [])
        if not isinstance(entries, list):
            raise SettingsError(f"{self._label(name)} must be written [[{name}]], once for each")
        found = []
        for number, entry in enumerate(entries, start=1):
            called = entry.get(key) if isinstance(entry, dict) else None
            found.append((entry, f'[[{name}]] "{called}": ' if called else f"[[{name}]] number {number}: "))
        return found

    def _engine(self, entry: object, where: str) -> EngineSettings:
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(kind, str) or kind not in ENGINE_KINDS:
            raise SettingsError(f"{self._label(where + 'kind')} must be one of {', '.join(ENGINE_KINDS)}")
        rest = {key: value for key, value in entry.items() if key != "kind"}
        return self._section(ENGINE_KINDS[kind], rest, where)

    def _section(
        self, cls: type[_SectionT], table: object, where: str, also_known: tuple[str, ...] = ()
    ) -> _SectionT:
        if not isinstance(table, dict):
            raise SettingsError(f"{self._label(where.rstrip('.: '))} must be a table")
        fields = {field.name: field for field in fields_of(cls)}
        for key in table:
            if key not in fields:
                close = difflib.get_close_matches(key, (*fields, *also_known), n=1)
                hint = (
                    f"did you mean {close[0]}?" if close else f"known are {', '.join((*fields, *also_known))}"
                )
                raise SettingsError(f"{self._label(where + key)} is not a setting; {hint}")
        values: dict[str, object] = {}
        for name, field in fields.items():
            if name in table:
                values[name] = self._value(field, table[name], where + name)
            elif field.required:
                raise SettingsError(f"{self._label(where + name)} is missing. {field.help}")
        return cls(**values)

    def _value(self, field: Field, value: object, name: str) -> object:
        read = _OWN_GRAMMAR.get(field.name)
        if read is not None:
            try:
                return read(value)
            except ValueError as error:
                raise SettingsError(f"{self._label(name)}{error}") from error
        try:
            return msgspec.convert(
                value, field.type, dec_hook=lambda wanted, raw: self._own_type(wanted, raw, name)
            )
        except msgspec.ValidationError as error:
            raise SettingsError(f"{self._label(name)} {_explain(str(error), field.type)}") from error

    def _own_type(self, wanted: type, raw: object, name: str) -> object:
        """The types that TOML lacks; all of them are written as text."""
        if wanted is Secrets:
            return Secrets(
                *(self._secret_text(text, name) for text in (raw if isinstance(raw, list) else [raw]))
            )
        if not isinstance(raw, str) or not raw:
            raise SettingsError(f"{self._label(name)} must be text")
        if wanted is Secret:
            return self._secret(raw, name)
        if wanted is NetworkText:
            return self._network(raw, name)
        base = Path.cwd() if self._config is None or name in self._labels else self._config.parent
        if wanted is ModelFile:
            return self._model_file(raw, base, name)
        assert wanted is Path, wanted
        return self._path(raw, base)

    def _model_file(self, raw: str, base: Path, name: str) -> ModelFile:
        if not re.match(r"[A-Za-z][A-Za-z0-9+-]+:", raw):
            return ModelFile(self._path(raw, base))
        if not raw.startswith(DOWNLOAD_PREFIXES):
            raise SettingsError(f"{self._label(name)} must be a path, hf:… or modelscope:…")
        if not re.fullmatch(r"\w+:[^/\s]+/[^/\s]+/\S.*", raw):
            raise SettingsError(f"{self._label(name)} must look like {raw.partition(':')[0]}:OWNER/REPO/FILE")
        return ModelFile(raw)

    def _network(self, raw: str, name: str) -> NetworkText:
        try:
            return NetworkText(ipaddress.ip_network(raw.strip()))
        except ValueError as error:
            raise SettingsError(f"{self._label(name)}: {error}") from error

    def _secret_text(self, raw: object, name: str) -> Secret:
        if not isinstance(raw, str) or not raw:
            raise SettingsError(f"{self._label(name)} must be text, or a list of texts")
        return self._secret(raw, name)

    def _secret(self, raw: str, name: str) -> Secret:
        scheme, colon, variable = raw.partition(":")
        if not colon or scheme != "env":
            return Secret(raw)
        if not self._environ.get(variable):
            if not self._need_secrets:
                return Secret("")
            raise SettingsError(f"{self._label(name)}: the environment variable {variable} is not set")
        return Secret(self._environ[variable])

    def _path(self, text: str, base: Path) -> Path:
        if text == "~" or text.startswith("~/"):
            return self._home() / text[2:]
        return base / text

    def _home(self) -> Path:
        home = self._environ.get("HOME")
        try:
            return Path(home) if home else Path.home()
        except RuntimeError as error:
            raise SettingsError("this user has no home folder; choose a data folder with --data") from error

    def _default_data(self) -> Path:
        shared = self._environ.get("XDG_DATA_HOME", "")
        return (Path(shared) if shared.startswith("/") else self._home() / ".local/share") / "bigmodel"

    def _label(self, name: str) -> str:
        """How a message calls a value: the variable or flag that set it, else file and key."""
        if name in self._labels or self._config is None:
            return self._labels.get(name, name)
        return f"{self._config}: {name}"

    def _check(self, settings: Settings) -> None:
        """What no single value shows."""
        server = settings.server
        if (server.tls_cert is None) != (server.tls_key is None):
            given, wanted = ("tls_cert", "tls_key") if server.tls_cert else ("tls_key", "tls_cert")
            raise SettingsError(f"{self._label('server.' + given)} needs {wanted} too")
        for name in ("hf_endpoint", "modelscope_endpoint"):
            self._check_url(getattr(settings.downloads, name), "downloads." + name)
        self._check_moderation(settings.moderation)
        names: list[str] = []
        for engine in settings.engines:
            where = f'[[engines]] "{engine.name}": '
            if engine.name in names:
                raise SettingsError(f"{self._label(where + 'name')} is used twice")
            names.append(engine.name)
            if isinstance(engine, OpenAIEngineSettings | GlmEngineSettings):
                self._check_url(engine.base_url, where + "base_url")
            if isinstance(engine, GlmEngineSettings) and engine.coding_base_url:
                self._check_url(engine.coding_base_url, where + "coding_base_url")
        self._check_models(settings.models, names)

    def _check_moderation(self, moderation: ModerationSettings) -> None:
        if moderation.checker_url:
            self._check_url(moderation.checker_url, "moderation.checker_url", "checker_key")
        elif moderation.checker_key:
            raise SettingsError(f"{self._label('moderation.checker_key')} needs checker_url too")

    def _check_models(self, models: tuple[ModelSettings, ...], engine_names: list[str]) -> None:
        seen: set[str] = set()
        for model in models:
            where = f'[[models]] "{model.id}": '
            if model.id.lower() in seen:
                raise SettingsError(f"{self._label(where + 'id')} is used twice")
            seen.add(model.id.lower())
            for name in model.engine_names:
                if name not in engine_names:
                    close = difflib.get_close_matches(name, engine_names, n=1)
                    hint = f"did you mean {close[0]}?" if close else "give it an [[engines]] entry."
                    raise SettingsError(f"{self._label(where + 'engine')}: no engine is named {name}; {hint}")
            if model.max_tokens and (model.default_max_tokens or 0) > model.max_tokens:
                raise SettingsError(
                    f"{self._label(where + 'default_max_tokens')} must not be more than max_tokens"
                )
            self._check_balance(model, where)

    def _check_balance(self, model: ModelSettings, where: str) -> None:
        """Lists that belong together."""
        count = len(model.engine_names)
        if (
            len(set(model.engine_names)) < count
            and len(set(zip(model.engine_names, model.targets, strict=False))) < count
        ):
            raise SettingsError(f"{self._label(where + 'engine')} names an engine twice")
        if len(model.targets) != count:
            raise SettingsError(f"{self._label(where + 'target')} must be one name, or one for each engine")
        if (model.balance == "weighted") != bool(model.weights):
            raise SettingsError(f"{self._label(where + 'weights')} and balance = weighted need each other")
        if model.weights and len(model.weights) != count:
            raise SettingsError(f"{self._label(where + 'weights')} must be one number for each engine")

    def _check_url(self, url: str, name: str, credential: str = "api_key") -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Without a cause: its text quotes the URL, in which a password may stand where a port belongs.
            raise SettingsError(f"{self._label(name)} has a host or a port that cannot be") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"{self._label(name)} must be a URL that begins with http:// or https://")
        if port == 0:
            raise SettingsError(f"{self._label(name)} must have a port from 1 to 65535")
        if parts.username or parts.password:
            raise SettingsError(f"{self._label(name)} must not contain a credential; use {credential}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error


def _from_text(text: str, default: object) -> object:
    """An environment variable's text as TOML would have given it."""
    if isinstance(default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    if isinstance(default, int) and re.fullmatch(r"\s*[0-9]{1,18}\s*", text):
        return int(text)
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",")]
    return text


_WORDS = {"int": "a whole number", "str": "text", "bool": "true or false", "array": "a list"}


def _explain(message: str, annotation: object) -> str:
    """The sentence of msgspec in the words of a TOML file; it never quotes the value, which may be a secret."""
    choices = [
        choice for part in get_args(annotation) for choice in get_args(part) if get_origin(part) is Literal
    ]
    if choices:
        return f"must be one of {', '.join(map(str, choices))}"
    match = re.match(r"Expected `(\w+)[^`]*`(.*)", message)
    if match is None:
        return "must be a number" if "decimal" in message else f"is not valid: {message}"
    what = _WORDS.get(match[1], match[1])
    if " matching " in match[2]:
        return "may hold letters, digits, dot, dash and underscore only"
    bound = re.match(r" (?:of length )?(>=|<=) (\d+)", match[2])
    if bound is None:
        return f"must be {what}"
    if " of length " in match[2]:
        return "must not be empty" if bound[1] == ">=" else f"must not be longer than {bound[2]}"
    return f"must be {what}, {bound[2]} or {'more' if bound[1] == '>=' else 'less'}"
