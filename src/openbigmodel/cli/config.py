"""`bigmodel config`: checks a settings file before a server depends on it, and writes the settings reference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import typer

from openbigmodel.catalog import CatalogError, load_catalog
from openbigmodel.cli.tables import show_note
from openbigmodel.engines.gguf import GgufError, read_header
from openbigmodel.moderation.words import WordListError, read_word_list
from openbigmodel.settings import (
    DownloadSettings,
    Field,
    GlmEngineSettings,
    LlamaCppEngineSettings,
    MediaSettings,
    ModelSettings,
    ModerationSettings,
    OpenAIEngineSettings,
    ServerSettings,
    Settings,
    SettingsError,
    fields_of,
    load_settings,
)

SERVES_NOTHING_EN = "there are [[engines]] but no [[models]], so no model can be asked for."
SERVES_NOTHING_ZH = "配置了 [[engines]]，但没有 [[models]]，因此没有可调用的模型。"

cli = typer.Typer(help="Check a settings file, or list all settings.")

_SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("At the top", Settings),
    ("[server]", ServerSettings),
    ("[downloads]", DownloadSettings),
    ("[moderation]", ModerationSettings),
    ("[media]", MediaSettings),
    ('[[engines]] kind = "llamacpp"', LlamaCppEngineSettings),
    ('[[engines]] kind = "openai"', OpenAIEngineSettings),
    ('[[engines]] kind = "glm"', GlmEngineSettings),
    ("[[models]]", ModelSettings),
)

_INTRODUCTION = """\
# Settings

Made by `make docs` from the fields in `src/openbigmodel/settings/fields.py`; do not edit.

A value comes from, last one wins: its default, the settings file (`--config FILE` or `BIGMODEL_CONFIG`, TOML), the
environment, the command line. An unknown key is an error. A relative path in the file is relative to the file,
any other to the current folder. `bigmodel config check FILE` checks a file.
"""


@cli.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="Settings file (TOML).", metavar="FILE")],
) -> int:
    """Check a settings file and the files that it names."""
    settings = load_settings(file)
    unusable = unusable_files(settings)
    if unusable:
        raise SettingsError("; ".join(unusable))
    print(f"{file}: in order; {len(settings.engines)} engine(s), {len(settings.models)} model(s)")
    if settings.serves_nothing:
        show_note(f"{file}: {SERVES_NOTHING_EN}")
    return 0


@cli.command("reference")
def reference() -> int:
    """Print all settings as Markdown."""
    print(settings_reference(), end="")
    return 0


def unusable_files(settings: Settings) -> list[str]:
    """A sentence for each file that the settings name and that is not there, or is not what it should be."""
    named: list[tuple[str, Path | None]] = [
        ("server.tls_cert", settings.server.tls_cert),
        ("server.tls_key", settings.server.tls_key),
    ]
    for engine in settings.engines:
        if isinstance(engine, LlamaCppEngineSettings):
            where = f'[[engines]] "{engine.name}": '
            named += [
                (where + "model", engine.model.path),
                (where + "chat_template", engine.chat_template),
            ]
    found = [f"{name}: there is no file {path}" for name, path in named if path and not path.is_file()]
    for name, path in named:
        if path and name.endswith("model") and path.is_file():
            try:
                read_header(path)
            except GgufError as error:
                found.append(f"{name}: {error}")
    if settings.server.catalog is not None:
        try:
            load_catalog(settings.server.catalog)
        except CatalogError as error:
            found.append(f"server.catalog: {error}")
    if settings.moderation.word_list is not None:
        try:
            read_word_list(settings.moderation.word_list)
        except WordListError as error:
            found.append(f"moderation.word_list: {error}")
    return found


def settings_reference() -> str:
    """Every setting, as docs/reference/settings.md has it."""
    parts = [_INTRODUCTION]
    for title, section in _SECTIONS:
        doc = "" if section is Settings else (section.__doc__ or "").strip() + "\n\n"
        rows = [
            f"| `{field.name}` | {_type(field.type)} | {_default(field)} "
            f"| {f'`{field.env}`' if field.env else ''} | {_cell(field.help)} |"
            for field in fields_of(section)
        ]
        table = "\n".join(
            ["| name | value | default | environment | meaning |", "|---|---|---|---|---|", *rows]
        )
        parts.append(f"\n## {title.replace('[', chr(92) + '[')}\n\n{doc}{table}\n")
    return "".join(parts)


def _type(annotation: Any) -> str:
    """The type in the words of a TOML file."""
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(bare))
    names = {
        "int": "number",
        "bool": "true or false",
        "Path": "path",
        "ModelFile": "path or download",
        "tuple": "list",
        "ModelPrice": "table",
        "Mapping": "table",
    }
    return names.get(bare.__name__, "text")


def _bare(annotation: Any) -> Any:
    """The type inside `Annotated[… | None, …]`."""
    while get_origin(annotation) not in (None, tuple, Literal, Mapping):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _default(field: Field) -> str:
    if field.required and field.env is None:
        return "required"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, tuple):
        return ", ".join(f"`{part}`" for part in field.default)
    # Whatever else there is (nothing, an empty secret) is told in the help.
    return f"`{field.default}`" if isinstance(field.default, str | int) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
