"""Engines and models as the file has them: kinds, profiles, keys, lists of engines and how they share the work."""

from pathlib import Path
from typing import get_args

import pytest

from openbigmodel.engines.profiles import PROFILES, RawFormat
from openbigmodel.settings import (
    GlmEngineSettings,
    ModelSettings,
    OpenAIEngineSettings,
    Settings,
    SettingsError,
    fields_of,
    load_settings,
)
from openbigmodel.settings.engine_fields import ENGINE_KINDS

TWO = """
[[engines]]
name = "a"
kind = "openai"
base_url = "http://a/v1"
[[engines]]
name = "b"
kind = "glm"
base_url = "https://b.example/api/paas/v4"
"""


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "b.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, flags={"data": folder}, environ={"A": "id-a.secret", "B": "id-b.secret"})


def model(folder: Path, line: str) -> ModelSettings:
    (found,) = loaded(folder, f"{TWO}[[models]]\nid = 'glm-4.6'\n{line}\n").models
    return found


def glm(folder: Path, line: str) -> GlmEngineSettings:
    (engine,) = loaded(
        folder,
        f"[[engines]]\nname = 'g'\nkind = 'glm'\nbase_url = 'https://b.example/api/paas/v4'\n{line}\n",
    ).engines
    assert isinstance(engine, GlmEngineSettings)
    return engine


def choices(name: str) -> set[str]:
    """The words that a setting of `openai` engines can have."""
    (field,) = [field for field in fields_of(OpenAIEngineSettings) if field.name == name]
    found = {choice for part in get_args(field.type) for choice in (part, *get_args(part), *_deeper(part))}
    return {choice for choice in found if isinstance(choice, str)}


def _deeper(part: object) -> list[object]:
    return [choice for inner in get_args(part) for choice in get_args(inner)]


def test_a_kind_is_told_by_its_tag() -> None:
    assert {kind: cls.__struct_config__.tag for kind, cls in ENGINE_KINDS.items()} == {
        kind: kind for kind in ENGINE_KINDS
    }


def test_every_profile_can_be_named_and_no_other() -> None:
    assert choices("profile") == {"auto", *PROFILES}


def test_every_raw_format_can_be_named_and_no_other() -> None:
    assert choices("parse") == set(get_args(RawFormat)) - {""}


def test_one_engine(tmp_path: Path) -> None:
    entry = model(tmp_path, "engine = 'a'")

    assert (entry.engine_names, entry.targets, entry.balance, entry.weights) == (
        ("a",),
        (None,),
        "failover",
        (),
    )


def test_several_engines_and_how_they_share(tmp_path: Path) -> None:
    entry = model(
        tmp_path, "engine = ['a', 'b']\ntarget = ['x', 'y']\nbalance = 'weighted'\nweights = [3, 1]"
    )

    assert (entry.engine_names, entry.targets) == (("a", "b"), ("x", "y"))
    assert (entry.balance, entry.weights) == ("weighted", (3, 1))
    assert model(tmp_path, "engine = ['a', 'b']\ntarget = 'x'").targets == ("x", "x")


def test_one_engine_may_answer_under_two_names(tmp_path: Path) -> None:
    assert model(tmp_path, "engine = ['a', 'a']\ntarget = ['x', 'y']").targets == ("x", "y")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("engine = ['a', 'c']", "engine: no engine is named c"),
        ("engine = ['a', 'a']", "engine names an engine twice"),
        ("engine = ['a', 3]", "engine must be a name, or a list of names"),
        ("engine = ['a', '']", "engine must be a name, or a list of names"),
        ("engine = ['a', 'b']\ntarget = ['x']", "target must be one name, or one for each engine"),
        ("engine = 'a'\ntarget = ['x', 'y']", "target must be one name, or one for each engine"),
        ("engine = ['a', 'b']\nbalance = 'weighted'", "weights and balance = weighted need each other"),
        ("engine = ['a', 'b']\nweights = [1, 2]", "weights and balance = weighted need each other"),
        (
            "engine = ['a', 'b']\nbalance = 'weighted'\nweights = [1]",
            "weights must be one number for each engine",
        ),
        ("engine = 'a'\nbalance = 'weighted'\nweights = [0]", "weights must be a whole number, 1 or more"),
        ("engine = 'a'\nbalance = 'random'", "balance must be one of failover, least-load, prefix, weighted"),
    ],
)
def test_lists_that_do_not_fit_together(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        model(tmp_path, line)


def test_keys_of_kind_glm(tmp_path: Path) -> None:
    assert glm(tmp_path, "").api_key.reveal() == ()
    assert glm(tmp_path, "api_key = 'id.secret'").api_key.reveal() == ("id.secret",)
    assert glm(tmp_path, "api_key = ['env:A', 'env:B']").api_key.reveal() == ("id-a.secret", "id-b.secret")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("api_key = [3]", "api_key must be text, or a list of texts"),
        ("api_key = ''", "api_key must be text, or a list of texts"),
        ("api_key = ['env:A', 'env:C']", "api_key: the environment variable C is not set"),
        ("auth = 'basic'", "auth must be one of key, jwt"),
        ("coding_base_url = 'b.example'", "coding_base_url must be a URL that begins with http"),
    ],
)
def test_mistakes_in_an_engine_of_kind_glm(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        glm(tmp_path, line)


def test_an_openai_engine_is_found_out_by_default(tmp_path: Path) -> None:
    first, _ = loaded(tmp_path, TWO).engines

    assert isinstance(first, OpenAIEngineSettings)
    assert (first.profile, first.parse, first.max_in_flight) == ("auto", None, None)
