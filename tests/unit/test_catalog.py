from pathlib import Path

import msgspec
import pytest

from openbigmodel.catalog import Catalog, Model, load_catalog


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def chat(catalog: Catalog) -> list[Model]:
    return [model for model in catalog if model.kind == "chat"]


def find(catalog: Catalog, model_id: str) -> Model:
    model = catalog.find(model_id)
    assert model is not None, model_id
    return model


def test_letter_case_does_not_matter(catalog: Catalog) -> None:
    assert catalog.find("GLM-4.6") is catalog.find("glm-4.6")
    assert find(catalog, "GLM-4.5-Flash").id == "glm-4.5-flash"
    assert catalog.find("glm-9") is None


@pytest.mark.parametrize(
    ("cap", "ids"),
    [
        (
            131072,
            (
                "glm-4.5 glm-4.6 glm-4.7 glm-4.7-flash glm-4.7-flashx glm-5 glm-5.1 glm-5.2 glm-5.3 glm-5.3-flash "
                "glm-5.3-flashx glm-5-turbo glm-5v-turbo"
            ),
        ),
        (98304, "glm-4.5-air glm-4.5-airx glm-4.5-flash"),
        (32768, "glm-4.6v glm-4.6v-flash glm-4.6v-flashx codegeex-4"),
        (
            16384,
            "glm-4.5v glm-4.1v-thinking-flash glm-4.1v-thinking-flashx glm-4-flash-250414 glm-4-flashx-250414",
        ),
        (8192, "glm-4v-plus-0111"),
        (4096, "glm-4-voice charglm-4 emohaa"),
        (4095, "glm-4-long glm-4-plus glm-4-air glm-4-airx glm-4-flash glm-4-flashx"),
        (2048, "autoglm-phone"),
        (1024, "glm-4v-flash"),
    ],
)
def test_caps_of_max_tokens_are_those_that_the_gateway_prints(catalog: Catalog, cap: int, ids: str) -> None:
    assert {model_id: find(catalog, model_id).max_tokens for model_id in ids.split()} == dict.fromkeys(
        ids.split(), cap
    )


def test_what_models_lists_is_what_the_gateway_listed_with_its_dates(catalog: Catalog) -> None:
    # api.md §4.1; free and vision models are not in that list.
    assert {model.id: model.created for model in catalog if model.listed} == {
        "glm-4.5": 1753632000,
        "glm-4.5-air": 1753632000,
        "glm-4.6": 1759276800,
        "glm-4.7": 1766332800,
        "glm-5": 1770739200,
        "glm-5-turbo": 1773504000,
        "glm-5.1": 1774620000,
        "glm-5.2": 1781625600,
        "glm-5.3": 1786636800,
        "glm-5.3-flash": 1786636800,
        "glm-5.3-flashx": 1786636800,
    }


@pytest.mark.parametrize(
    ("mode", "ids"),
    [
        ("always", "glm-5.3 glm-5.3-flash glm-5.3-flashx"),
        (
            "dynamic",
            "glm-5.2 glm-5.1 glm-5 glm-5-turbo glm-5v-turbo glm-4.7 glm-4.7-flash glm-4.6 glm-4.5 glm-4.5v glm-4.6v",
        ),
        ("in_content", "glm-4.1v-thinking-flash glm-4.1v-thinking-flashx"),
        ("none", "glm-4-plus glm-4-flash-250414 glm-4 charglm-4 codegeex-4 glm-4v-flash"),
    ],
)
def test_thinking_follows_the_table(catalog: Catalog, mode: str, ids: str) -> None:
    assert {find(catalog, model_id).thinking for model_id in ids.split()} == {mode}


def test_reasoning_effort_is_mapped_on_5_2_and_strict_on_5_3(catalog: Catalog) -> None:
    assert find(catalog, "glm-5.3").efforts == {"low": "low", "high": "high", "max": "max"}
    efforts = find(catalog, "glm-5.2").efforts
    assert (efforts["low"], efforts["medium"], efforts["xhigh"], efforts["none"]) == (
        "high",
        "high",
        "max",
        "none",
    )
    assert {model.id for model in catalog if model.efforts} == {
        "glm-5.2",
        "glm-5.3",
        "glm-5.3-flash",
        "glm-5.3-flashx",
    }


def test_usage_has_the_details_that_the_gateway_gives(catalog: Catalog) -> None:
    assert find(catalog, "glm-4.7").cached_tokens
    assert not find(catalog, "glm-4-plus").cached_tokens
    assert not find(catalog, "glm-4.1v-thinking-flash").cached_tokens
    assert find(catalog, "glm-4.7-flash").reasoning_tokens == "always"
    assert find(catalog, "glm-5").reasoning_tokens == "thinking"
    assert find(catalog, "glm-4.5-air").reasoning_tokens == "never"


def test_the_coding_base_maps_models_as_observed(catalog: Catalog) -> None:
    renamed = {model.id: model.coding for model in catalog if model.coding and model.coding != model.id}
    assert renamed == {
        "glm-5.2": "glm-5.3",
        "glm-5.1": "glm-5.3",
        "glm-5-turbo": "glm-5.3-flash",
        "glm-4.7": "glm-5.3-flash",
        "glm-4.6": "glm-5.3-flash",
        "glm-4.5-air": "glm-5.3-flash",
    }
    unchanged = {model.id for model in catalog if model.coding == model.id}
    assert {"glm-4.6v", "glm-5v-turbo", "glm-4.5-flash"} <= unchanged
    assert find(catalog, "glm-5").coding is None


def test_coding_names_lead_to_models_on_the_coding_base(catalog: Catalog) -> None:
    for model in catalog:
        if model.coding is not None:
            assert find(catalog, model.coding).coding == model.coding, model.id


def test_numbers_agree_with_each_other(catalog: Catalog) -> None:
    for model in chat(catalog):
        assert 1 <= model.default_max_tokens <= model.max_tokens <= model.context_tokens, model.id
        assert model.inputs[0] == "text", model.id
        assert model.temperature is None or 0.0 <= model.temperature <= 1.0, model.id
        assert model.top_p is None or 0.01 <= model.top_p <= 1.0, model.id
        assert model.cached_tokens or model.reasoning_tokens == "never", model.id


def test_the_same_facts_cannot_be_changed(catalog: Catalog) -> None:
    with pytest.raises(AttributeError):
        find(catalog, "glm-4.6").free = True  # type: ignore[misc]


def test_only_the_demo_model_is_our_own(catalog: Catalog) -> None:
    assert [model.id for model in catalog if model.owned_by != "z-ai"] == ["glm-demo"]


@pytest.mark.parametrize(
    "text",
    [
        '[[families]]\nkind = "chat"\n[families.models]\n"GLM-1" = {}\n',
        '[[families]]\n[families.models]\n"a" = {}\n[[families]]\n[families.models]\n"a" = {}\n',
        '[[families]]\nkind = "poem"\n[families.models]\n"a" = {}\n',
        '[[families]]\ncolour = "red"\n[families.models]\n"a" = {}\n',
    ],
    ids=["capitals", "twice", "kind", "unknown fact"],
)
def test_a_file_with_a_mistake_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(text)
    with pytest.raises((ValueError, msgspec.ValidationError)):
        load_catalog(file)
