"""What each kind of engine is asked, field by field, and what it is never told."""

from typing import Any

import msgspec
import pytest

from openbigmodel.engines.profiles import (
    LLAMA_SERVER,
    LMDEPLOY,
    OLLAMA,
    OPENAI,
    PROFILES,
    SGLANG,
    TENSORRT_LLM,
    VLLM,
    Profile,
)
from openbigmodel.schemas.chat import ChatRequest
from tests.unit.engines.asked import TOOLS, USER, asked


def test_the_least() -> None:
    body = asked()

    assert body.pop("model") == "target"
    assert body.pop("messages") == [USER]
    assert body.pop("stream") is False
    assert set(body) <= {"temperature", "top_p"}


@pytest.mark.parametrize(
    "field", ["n", "logit_bias", "priority", "stream_options", "chat_template", "user_id", "request_id"]
)
def test_fields_that_callers_cannot_steer_an_engine_with(field: str) -> None:
    fields: dict[str, Any] = {field: 3 if field != "user_id" else "someone"}
    assert field not in asked(**fields)


def test_a_callers_say_about_the_usage_is_overruled() -> None:
    assert asked(stream=True, stream_options={"include_usage": False})["stream_options"] == {
        "include_usage": True
    }


def test_vllm_is_asked_to_count_as_it_goes() -> None:
    assert asked(VLLM, stream=True)["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }
    assert "stream_options" not in asked(VLLM)


def test_llama_server_always_streams_and_counts() -> None:
    body = asked(LLAMA_SERVER)

    assert (body["stream"], body["timings_per_token"], body["return_progress"]) == (True, True, True)
    assert body["stream_options"] == {"include_usage": True}
    assert "timings_per_token" not in asked(OPENAI, stream=True)


def test_max_tokens() -> None:
    limited = msgspec.structs.replace(LLAMA_SERVER, max_output_tokens=512)

    assert "max_tokens" not in asked()
    assert asked(max_tokens=100)["max_tokens"] == 100
    assert asked(max_completion_tokens=100)["max_tokens"] == 100
    assert asked(limited)["max_tokens"] == 512
    assert asked(limited, max_tokens=100)["max_tokens"] == 100
    assert asked(limited, max_tokens=4000)["max_tokens"] == 512


def test_sampling() -> None:
    greedy = msgspec.structs.replace(OPENAI, greedy_by_default=True)

    assert asked(temperature=0.3, top_p=0.5) | {"temperature": 0.3, "top_p": 0.5} == asked(
        temperature=0.3, top_p=0.5
    )
    assert asked(do_sample=False, top_p=0.5)["temperature"] == 0.0
    assert "top_p" not in asked(do_sample=False, top_p=0.5)
    assert asked(greedy)["temperature"] == 0.0
    assert "top_p" not in asked(greedy)
    assert asked(greedy, temperature=0.3)["temperature"] == 0.3
    assert asked(greedy, top_p=0.5)["top_p"] == 0.5


def test_stops_and_seed() -> None:
    assert asked(stop="x")["stop"] in ("x", ["x"])
    assert asked(stop=["x", "y"])["stop"] == ["x", "y"]
    assert "stop" not in asked()
    assert asked(seed=0)["seed"] == 0


@pytest.mark.parametrize(
    ("profile", "model", "fields", "arguments"),
    [
        (OPENAI, "glm-4-flash", {}, None),
        (OPENAI, "glm-4.6", {}, None),
        (LLAMA_SERVER, "glm-4.6", {}, {"enable_thinking": True}),
        (LLAMA_SERVER, "glm-4-flash", {}, {"enable_thinking": False}),
        (OPENAI, "glm-4.6", {"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        (
            OPENAI,
            "glm-4.6",
            {"thinking": {"type": "enabled", "clear_thinking": False}},
            {"enable_thinking": True, "clear_thinking": False},
        ),
        (
            OPENAI,
            "glm-5.3",
            {"reasoning_effort": "low"},
            {"enable_thinking": True, "clear_thinking": True, "reasoning_effort": "low"},
        ),
    ],
)
def test_thinking(
    profile: Profile, model: str, fields: dict[str, Any], arguments: dict[str, Any] | None
) -> None:
    assert asked(profile, model, **fields).get("chat_template_kwargs") == arguments


@pytest.mark.parametrize(
    ("profile", "fields", "switches"),
    [
        (OLLAMA, {"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        (OLLAMA, {"thinking": {"type": "enabled"}}, {"reasoning_effort": "high"}),
        (OLLAMA, {}, {}),
        (
            SGLANG,
            {"thinking": {"type": "disabled"}},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        (
            LMDEPLOY,
            {"thinking": {"type": "disabled"}},
            {"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": False}},
        ),
        (
            TENSORRT_LLM,
            {"thinking": {"type": "enabled", "clear_thinking": False}},
            {"chat_template_kwargs": {"enable_thinking": True}},
        ),
    ],
)
def test_each_engine_has_its_own_switch_for_thinking(
    profile: Profile, fields: dict[str, Any], switches: dict[str, Any]
) -> None:
    body = asked(profile, "glm-4.6", **fields)
    names = {"reasoning_effort", "enable_thinking", "chat_template_kwargs", "thinking", "reasoning"}

    assert {name: value for name, value in body.items() if name in names} == switches


@pytest.mark.parametrize(
    ("profile", "effort", "said"),
    [
        (SGLANG, "max", {"reasoning_effort": "max"}),
        (VLLM, "max", {"chat_template_kwargs": {"reasoning_effort": "max"}}),
        # It knows four words, and no more than "high".
        (OLLAMA, "max", {"reasoning_effort": "high"}),
        (OLLAMA, "low", {"reasoning_effort": "low"}),
    ],
)
def test_the_reasoning_effort_goes_where_the_engine_looks_for_it(
    profile: Profile, effort: str, said: dict[str, Any]
) -> None:
    body = asked(profile, "glm-5.3", reasoning_effort=effort)

    assert body.get("reasoning_effort") == said.get("reasoning_effort")
    inner = body.get("chat_template_kwargs", {}).get("reasoning_effort")
    assert inner == said.get("chat_template_kwargs", {}).get("reasoning_effort")


def test_a_limit_beyond_the_engines_context_is_none() -> None:
    known = msgspec.structs.replace(VLLM, context_tokens=1000)
    always = msgspec.structs.replace(known, max_output_tokens=2000)

    assert asked(known, max_tokens=999)["max_tokens"] == 999
    assert "max_tokens" not in asked(known, max_tokens=1000)
    assert "max_tokens" not in asked(always, max_tokens=3000)
    assert asked(always, max_tokens=10)["max_tokens"] == 10


EXTRAS: dict[str, Any] = {
    "top_k": 40,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
def test_extras_pass_where_the_profile_lists_them(profile: Profile) -> None:
    body = asked(profile, **EXTRAS)

    assert {name: body[name] for name in EXTRAS if name in body} == {
        name: EXTRAS[name] for name in profile.extras
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", -1),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_k", True),
        ("top_k", "40"),
        ("top_k", None),
        ("min_p", 2),
        ("min_p", {"a": 1}),
        ("repetition_penalty", 0),
        ("repetition_penalty", [1]),
        ("presence_penalty", 3),
        ("frequency_penalty", False),
    ],
)
def test_an_extra_that_makes_no_sense_is_left_out_like_an_unknown_field(name: str, value: Any) -> None:
    assert name not in asked(VLLM, **{name: value})


@pytest.mark.parametrize(
    ("profile", "raw"),
    [
        (LLAMA_SERVER, {"reasoning_format": "none"}),
        (VLLM, {"skip_special_tokens": False, "tool_choice": "none"}),
        (SGLANG, {"skip_special_tokens": False, "separate_reasoning": False}),
        (OPENAI, {}),
    ],
)
def test_an_engine_that_shall_return_raw_text_is_told_so(profile: Profile, raw: dict[str, Any]) -> None:
    parsed = msgspec.structs.replace(profile, parse="glm47")
    names = {*raw, "skip_special_tokens", "separate_reasoning", "reasoning_format"}

    def said(body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name in names}

    assert said(asked(parsed, tools=TOOLS)) == raw
    # A call that is forced would come as the engine's JSON.
    assert said(asked(parsed, tools=TOOLS, tool_choice="required")) == raw
    assert "tool_choice" not in asked(parsed)
    assert said(asked(profile, tools=TOOLS)) == {}


# Every field of a GLM request (api.md §3.1), with a value that means something.
SAMPLES: dict[str, Any] = {
    "model": "glm-4.6",
    "messages": [USER],
    "stream": True,
    "thinking": {"type": "enabled", "clear_thinking": False},
    "reasoning_effort": "high",
    "do_sample": False,
    "temperature": 0.5,
    "top_p": 0.5,
    "max_tokens": 10,
    "max_completion_tokens": 10,
    "stop": ["x"],
    "tools": TOOLS,
    "tool_choice": "required",
    "tool_stream": True,
    "response_format": {"type": "json_object"},
    "request_id": "request-1",
    "user_id": "user-1",
    "sensitive_word_check": {"type": "ALL", "status": "DISABLE"},
    "seed": 1,
    **EXTRAS,
    # Not of ChatRequest: what GLM has for other models, and what OpenAI's clients send.
    "meta": {"user_info": "me"},
    "extra": {"target": {}},
    "watermark_enabled": True,
    "n": 2,
    "logprobs": True,
    "stream_options": {"include_usage": False},
    "store": True,
    "prompt_cache_key": "k",
    "parallel_tool_calls": False,
    "chat_template": "{{ secret }}",
    "priority": 9,
    "user": "someone",
    "metadata": {"a": "b"},
}
_USAGE = {"stream_options"}
_COUNTERS = {"timings_per_token", "return_progress"}
_ARGUMENTS = {"chat_template_kwargs"}
# Field → the engine's fields that it makes or changes, beside those of the profiles that differ.
TABLE: dict[str, dict[str, set[str]]] = {
    "model": {"": set()},
    "messages": {"": set()},
    "stream": {"": {"stream", *_USAGE}, "llama-server": set()},
    "thinking": {
        "": _ARGUMENTS,
        "ollama": {"reasoning_effort"},
        "lmdeploy": {"enable_thinking", *_ARGUMENTS},
    },
    "do_sample": {"": {"temperature", "top_p"}},
    "temperature": {"": {"temperature"}},
    "top_p": {"": {"top_p"}},
    "max_tokens": {"": {"max_tokens"}},
    "max_completion_tokens": {"": {"max_tokens"}},
    "stop": {"": {"stop"}},
    "tools": {"": {"tools"}},
    "response_format": {"": {"response_format"}},
    "seed": {"": {"seed"}},
    **{
        name: {"": set(), **{p.name: {name} for p in PROFILES.values() if name in p.extras}}
        for name in EXTRAS
    },
}


def changed(profile: Profile, field: str) -> set[str]:
    base = {"model": "glm-4.6"}
    without, having = asked(profile, **base), asked(profile, **{**base, field: SAMPLES[field]})
    return {
        name
        for name in without.keys() | having.keys()
        if without.get(name, "absent") != having.get(name, "absent")
    }


def test_no_field_of_a_request_is_forgotten() -> None:
    assert {field.name for field in msgspec.structs.fields(ChatRequest)} <= set(SAMPLES)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
@pytest.mark.parametrize("field", SAMPLES)
def test_what_becomes_of_each_field_on_each_engine(field: str, profile: Profile) -> None:
    row = TABLE.get(field, {"": set()})

    assert changed(profile, field) == row.get(profile.name, row[""])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
def test_all_fields_at_once_bring_nothing_that_none_of_them_brings(profile: Profile) -> None:
    known = {"model", "messages", "stream", "temperature", *_USAGE}
    known |= {name for field in SAMPLES for name in changed(profile, field)}
    known |= {"tool_choice", "reasoning_effort"} if profile.forces_calls else {"reasoning_effort"}
    known |= _COUNTERS if profile.counts_in_chunks else set()

    sent = set(asked(profile, **SAMPLES))
    assert sent <= known | ({"chat_template_kwargs"} if profile.thinking_always_said else set())
