from pathlib import Path
from typing import Any

import msgspec
import pytest

from openbigmodel.settings import (
    DownloadSettings,
    GlmEngineSettings,
    LlamaCppEngineSettings,
    ModelFile,
    ModelSettings,
    ModerationSettings,
    OpenAIEngineSettings,
    Secret,
    Secrets,
    ServerSettings,
    Settings,
    fields_of,
)
from openbigmodel.settings.engine_fields import ENGINE_KINDS

SECTIONS: list[type[msgspec.Struct]] = [
    Settings,
    ServerSettings,
    DownloadSettings,
    ModerationSettings,
    *ENGINE_KINDS.values(),
    ModelSettings,
]


@pytest.mark.parametrize("show", [repr, str, "{}".format])
def test_nothing_that_prints_a_secret_shows_it(show: Any) -> None:
    engine = GlmEngineSettings(
        name="cloud", base_url="https://x.example/v4", api_key=Secrets(Secret("id.hunter2"))
    )
    settings = Settings(
        data=Path("/d"), engines=(engine,), downloads=DownloadSettings(hf_token=Secret("hunter2"))
    )
    assert "hunter2" not in show(settings)
    assert "hunter2" not in show(engine.api_key)
    assert engine.api_key.reveal() == ("id.hunter2",)


def test_settings_cannot_be_changed() -> None:
    settings = Settings(data=Path("/d"))
    with pytest.raises(AttributeError):
        settings.data = Path("/e")  # type: ignore[misc]


def test_try_out_mode_ends_with_the_first_engine() -> None:
    engine = OpenAIEngineSettings(name="gpu", base_url="http://g:1/v1")
    assert Settings(data=Path("/d")).try_out
    assert not Settings(data=Path("/d"), engines=(engine,)).try_out


def test_moderation_is_on_with_either_of_its_means() -> None:
    assert not ModerationSettings(block_level=0).on
    assert ModerationSettings(word_list=Path("/w")).on
    assert ModerationSettings(checker_url="http://c/").on


def test_an_engine_knows_its_kind() -> None:
    assert LlamaCppEngineSettings(name="a", model=ModelFile("/m")).kind == "llamacpp"
    assert {kind: cls.__struct_config__.tag for kind, cls in ENGINE_KINDS.items()} == {
        k: k for k in ENGINE_KINDS
    }


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_has_help(section: type[msgspec.Struct]) -> None:
    names = {field.name for field in msgspec.structs.fields(section)}
    if section is Settings:
        names = {"data"}  # the rest are sections, and where the settings came from
    assert {field.name for field in fields_of(section)} == names
    for field in fields_of(section):
        assert field.help.endswith((".", "…")), field.name


def test_environment_variables_are_named_after_their_setting_or_as_everybody_knows_them() -> None:
    names = {field.env for section in SECTIONS for field in fields_of(section) if field.env}
    assert {"BIGMODEL_DATA", "BIGMODEL_HOST", "BIGMODEL_DRAIN_S", "HF_ENDPOINT", "HF_TOKEN"} <= names
    assert all(field.env is None for cls in ENGINE_KINDS.values() for field in fields_of(cls))
