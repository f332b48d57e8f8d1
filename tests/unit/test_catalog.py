import shutil
from pathlib import Path

import pytest

from openbigmodel import catalog as shipped_catalog
from openbigmodel.billing.price_book import price_of, terms_of
from openbigmodel.catalog import (
    MICRO,
    Catalog,
    CatalogError,
    CreditRates,
    MediaLimits,
    Model,
    PlanLevel,
    display_name,
    load_catalog,
)
from openbigmodel.settings import ModelLimits, ModelPrice


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
    ("text", "sentence"),
    [
        (
            '[[families]]\nkind = "chat"\n[families.models]\n"GLM-1" = {}\n',
            "GLM-1 must be written once, in small",
        ),
        (
            '[[families]]\n[families.models]\n"a" = {}\n[[families]]\n[families.models]\n"a" = {}\n',
            "a must be written once",
        ),
        ('[[families]]\nkind = "poem"\n[families.models]\n"a" = {}\n', "a.kind: invalid enum value 'poem'"),
        (
            '[[families]]\ncolour = "red"\n[families.models]\n"a" = {}\n',
            r"\[\[families\]\] number 1: colour is nothing that a catalogue says; known are kind",
        ),
        ('[[families]]\n[families.models]\n"a" = 3\n', "a must be a table"),
        ("families = [3]\n", r"\[\[families\]\] number 1 must be a table"),
        ("[[families]]\nmodels = 3\n", r"number 1: models must be a table"),
        ("families = 3\n", r"families must be written \[\[families\]\]"),
        (
            "[models]\n",
            "catalog.toml: models is nothing that a catalogue says; known are families, coding_plan",
        ),
        ("coding_plan = 3\n", "coding_plan must be a table"),
        ("[coding_plan]\nlevels = 3\n", "coding_plan.levels must be a table"),
        ("[coding_plan]\nwindow_hour = 3\n", r"coding_plan.window_hour .* did you mean window_hours\?"),
        ("[coding_plan]\npeak_to_hour = 25\n", "coding_plan.peak_to_hour: expected int <= 24"),
        (
            "[coding_plan.levels]\nmega = { hours = 1, week = 2 }\n",
            "levels.mega: a plan is one of lite, pro, max",
        ),
        ("[coding_plan.levels]\nlite = { hours = 1 }\n", "levels.lite: object missing required field week"),
        ("[[families]", "catalog.toml: is not TOML"),
    ],
)
def test_a_file_with_a_mistake_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(text)
    with pytest.raises(CatalogError, match=sentence):
        load_catalog(file)


# The table of api.md §12.1: input, output and cached (none: as input), from so many tokens on (input, output).
FLAT = {
    "glm-5.3 glm-5.2": "8 28 2",
    "glm-5.3-flash": "0.8 2.8 0.23",
    "glm-5.3-flashx": "2 7 0.57",
    "glm-4.7-flashx": "0.5 3 0.1",
    "glm-4-plus": "5 5 2.5",
    "glm-4-air-250414": "0.5 0.5 0.25",
    "glm-4-airx": "10 10",
    "glm-4-long": "1 1 0.5",
    "glm-4-flashx-250414": "0.1 0.1 0.05",
    "glm-4-assistant": "5 5",
    "glm-4.1v-thinking-flashx": "2 2",
    "embedding-3": "0.5 0",
}
BANDS = {
    "glm-5.1": {(0, 0): "6 24 1.3", (32000, 0): "8 28 2"},
    "glm-5-turbo glm-5v-turbo": {(0, 0): "5 22 1.2", (32000, 0): "7 26 1.8"},
    "glm-5": {(0, 0): "4 18 1", (32000, 0): "6 22 1.5"},
    "glm-4.7": {(0, 0): "2 8 0.4", (0, 200): "3 14 0.6", (32000, 0): "4 16 0.8"},
    "glm-4.5-air": {(0, 0): "0.8 2 0.16", (0, 200): "0.8 6 0.16", (32000, 0): "1.2 8 0.24"},
    "glm-4.6v": {(0, 0): "1 3 0.2", (32000, 0): "2 6 0.4"},
    "glm-4.6v-flashx": {(0, 0): "0.15 1.5 0.03", (32000, 0): "0.3 3 0.03"},
    "glm-4.5v": {(0, 0): "2 6 0.4", (32000, 0): "4 12 0.8"},
}
FREE = (
    "glm-4.7-flash glm-4.5-flash glm-4-flash-250414 glm-4.6v-flash glm-4.1v-thinking-flash glm-4v-flash "
    "cogview-3-flash cogvideox-flash"
)


def test_prices_are_those_of_the_page(catalog: Catalog) -> None:
    wanted = {ids: {(0, 0): amounts} for ids, amounts in FLAT.items()} | BANDS
    for ids, bands in wanted.items():
        for model_id in ids.split():
            price = find(catalog, model_id).price
            assert price is not None
            found = {
                (band.input_from, band.output_from): " ".join(
                    part for part in (band.input, band.output, band.cached) if part is not None
                )
                for band in price.bands
            }
            assert found == bands, model_id


def test_free_models_have_the_price_nothing(catalog: Catalog) -> None:
    assert {model_id for model_id in FREE.split() if find(catalog, model_id).free} == set(FREE.split())
    assert all(model.price == ModelPrice() for model in catalog if model.free)


def test_every_price_is_exact(catalog: Catalog) -> None:
    # Read as a float, 0.57 must still be 570,000,000 nano-yuan, and come out as it was written.
    for model in catalog:
        if model.price is None:
            continue
        price = price_of(model.id, model.price)
        assert price.free == model.free, model.id
        written = [[band.input, band.output, band.cached] for band in model.price.bands]
        terms = terms_of(price)
        bands = terms.get("bands", [terms] if price.bands else [])
        assert isinstance(bands, list)
        assert [[band.get(key) for key in ("input", "output", "cached")] for band in bands] == written
    flashx = find(catalog, "glm-5.3-flashx").price
    assert flashx is not None
    assert price_of("m", flashx).bands[0].cached == 570_000_000


def test_a_batch_is_half_price(catalog: Catalog) -> None:
    assert {model.price.batch_percent for model in catalog if model.price} == {50}


def test_every_chat_model_but_one_has_a_price(catalog: Catalog) -> None:
    assert [model.id for model in chat(catalog) if model.price is None] == ["autoglm-phone"]


def test_pictures_and_films_cost_by_the_piece(catalog: Catalog) -> None:
    image, film = find(catalog, "glm-image").price, find(catalog, "cogvideox-3").price
    assert image is not None
    assert film is not None
    assert (image.per_image, film.per_call, image.bands) == ("0.1", "1", ())


def test_limits_are_known_for_the_lowest_tier_and_hold_for_all(catalog: Catalog) -> None:
    assert find(catalog, "glm-5.3").limits["V0"] == ModelLimits(in_flight=1)
    assert find(catalog, "glm-5.2").limits["V0"] == ModelLimits(in_flight=10)
    # Until those of the others are known, who spends more is not let in without any.
    for model in catalog:
        assert set(model.limits) in ({"V0", "V1", "V2", "V3"}, set())
        assert len(set(model.limits.values())) <= 1


def test_the_coding_plan(catalog: Catalog) -> None:
    plan = catalog.plan
    assert plan.levels == {
        "lite": PlanLevel(2000 * MICRO, 10000 * MICRO),
        "pro": PlanLevel(12000 * MICRO, 60000 * MICRO),
        "max": PlanLevel(28000 * MICRO, 140000 * MICRO),
    }
    assert (plan.window_hours, plan.off_peak_percent) == (5, 50)
    assert (plan.peak_days, plan.peak_from_hour, plan.peak_to_hour) == ((1, 2, 3, 4, 5), 14, 18)


def test_what_models_cost_on_the_coding_plan(catalog: Catalog) -> None:
    # 10,000 tokens cost 6.9 credits: one costs 690 millionths.
    assert find(catalog, "glm-5.3").credits == CreditRates(input=690, cached=170, output=2400)
    assert find(catalog, "glm-5.3-flash").credits == CreditRates(input=230, cached=56, output=800)
    assert find(catalog, "glm-4.7-flash").credits == CreditRates(0, 0, 0)
    for model in catalog:
        if model.coding is not None:
            assert model.credits or find(catalog, model.coding).credits is not None, model.id


FAMILY = '[[families]]\n[families.models]\n"a" = {}\n'.replace("{}", "{ %s }")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("price = { input = 1 }", "a.price.output is missing"),
        ("free = true, price = { per_call = 1 }", "a cannot be free and have a price"),
        ("limits = { rpm = -1 }", "a.limits.rpm must be a whole number"),
        ("credits = { input = 0.001, cached = 1, output = 1 }", "a.credits.input must not be negative"),
        ('credits = { input = "1", cached = 1, output = 1 }', "a.credits.input must be a number"),
        ("credits = 3", "a.credits must be a table"),
        ("credits = { input = nan, cached = 1, output = 1 }", "a.credits.input must not be negative"),
        ("credits = { input = 1, cached = 1 }", "a.credits: object missing required field output"),
        ("contxt_tokens = 1", r"a.contxt_tokens is nothing .* did you mean context_tokens\?"),
        ("context_tokens = 0", "a.context_tokens: expected int >= 1"),
        ("max_tokens = 5, default_max_tokens = 6", "a.default_max_tokens must not be more than max_tokens"),
        ('coding = "gml"', "a.coding names gml, which is no model of the catalogue"),
        ("media = { image = 3 }", "a.media: object contains unknown field image"),
        ("credits = { input = -1, cached = 1, output = 1 }", "a.credits.input must not be negative"),
    ],
)
def test_prices_limits_and_credits_with_a_mistake_are_refused(
    facts: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(FAMILY % facts)
    with pytest.raises(CatalogError, match=message):
        load_catalog(file)


def test_media_are_limited_as_the_documents_say(catalog: Catalog) -> None:
    for model_id in ("glm-5.3-flash", "glm-5v-turbo", "glm-4.6v", "glm-4.5v"):
        assert find(catalog, model_id).media == MediaLimits(
            images=50, image_mb=5, image_side=6000, files=50, file_mb=50
        )
    older = find(catalog, "glm-4v-plus-0111").media
    assert (older.images, older.video_mb, older.video_seconds, older.base64) == (5, 20, 30, True)
    smallest = find(catalog, "glm-4v-flash").media
    assert (smallest.images, smallest.base64) == (1, False)


OWN = """
[[families]]
kind = "chat"
context_tokens = 8192

[families.models]
"glm-4.6" = { max_tokens = 512, temperature = 0.2, coding = "glm-5.3" }
"glm-4.7-flash" = { price = { input = 1, output = 2 } }
"glm-5.3" = { free = true }
"house" = { limits = { rpm = 6 }, credits = { input = 1, cached = 0.5, output = 2 } }

[coding_plan]
window_hours = 3

[coding_plan.levels]
lite = { hours = 1, week = 2 }
"""


def test_a_file_of_ones_own_says_only_what_is_otherwise(catalog: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    own = load_catalog(file)
    changed, shipped = find(own, "glm-4.6"), find(catalog, "glm-4.6")
    assert (changed.context_tokens, changed.max_tokens, changed.default_max_tokens) == (8192, 512, 512)
    assert (changed.temperature, changed.coding) == (0.2, "glm-5.3")
    assert (changed.price, changed.thinking, changed.created) == (
        shipped.price,
        shipped.thinking,
        shipped.created,
    )
    # What has a price is no longer free, and what is free has none.
    assert not find(own, "glm-4.7-flash").free
    assert (find(own, "glm-5.3").free, find(own, "glm-5.3").price) == (True, ModelPrice())
    house = find(own, "house")
    assert house.limits == {"*": ModelLimits(rpm=6)}
    assert house.credits == CreditRates(input=100, cached=50, output=200)
    assert (own.plan.window_hours, own.plan.off_peak_percent) == (3, catalog.plan.off_peak_percent)
    assert own.plan.levels == {**catalog.plan.levels, "lite": PlanLevel(hours=MICRO, week=2 * MICRO)}
    others = {model.id for model in catalog} - {"glm-4.6", "glm-4.7-flash", "glm-5.3"}
    assert all(own.find(model_id) == catalog.find(model_id) for model_id in others)
    assert {model.id for model in own} - {model.id for model in catalog} == {"house"}


def test_a_copy_of_the_shipped_file_changes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    shutil.copy(Path(shipped_catalog.__file__).with_name("catalog.toml"), file)
    assert list(load_catalog(file)) == list(catalog)
    assert load_catalog(file).plan == catalog.plan


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.toml: cannot be read: No such file"):
        load_catalog(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(CatalogError, match=r"latin\.toml: is not UTF-8 text"):
        load_catalog(tmp_path / "latin.toml")


def test_names_are_those_of_the_console() -> None:
    names = {
        "glm-5.3": "GLM-5.3",
        "glm-5.3-flash": "GLM-5.3-Flash",
        "glm-4.5-air": "GLM-4.5-Air",
        "glm-5v-turbo": "GLM-5V-Turbo",
        "glm-4v-flash": "GLM-4V-Flash",
        "glm-4-flash-250414": "GLM-4-Flash-250414",
        "house-model": "house-model",
    }
    assert {model_id: display_name(model_id) for model_id in names} == names
