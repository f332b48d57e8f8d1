"""Profiles are data that fits together."""

import msgspec
import pytest

from openbigmodel.engines.profiles import EMBEDDED, GLM, LLAMA_SERVER, OPENAI, PROFILES, SAMPLERS, Profile


def test_the_profiles_that_settings_can_name() -> None:
    assert list(PROFILES) == [
        "openai",
        "vllm",
        "sglang",
        "llama-server",
        "ollama",
        "ray",
        "lmdeploy",
        "tensorrt-llm",
    ]
    assert all(profile.name == name for name, profile in PROFILES.items())


def test_what_nobody_knows_gets_the_least() -> None:
    assert Profile(name="openai") == OPENAI
    assert not (OPENAI.extras or OPENAI.running_usage or OPENAI.prompt_counter or OPENAI.raw_fields)


def test_the_built_in_engine_is_llama_server_without_eyes() -> None:
    assert not EMBEDDED.media
    assert msgspec.structs.replace(EMBEDDED, media=LLAMA_SERVER.media) == LLAMA_SERVER


@pytest.mark.parametrize("profile", [*PROFILES.values(), GLM], ids=[*PROFILES, "glm"])
def test_a_profile_fits_together(profile: Profile) -> None:
    assert set(profile.extras) <= set(SAMPLERS)
    assert profile.speaks_glm == (profile is GLM)
    # The switch by effort needs a word for "do not".
    assert (profile.thinking != "effort") or "none" in profile.efforts
    # Counters in chunks and running counts are two ways to the same.
    assert not (profile.counts_in_chunks and profile.running_usage)
    assert "image_url" in profile.media
    assert not profile.parse and profile.max_output_tokens is None and profile.context_tokens is None
