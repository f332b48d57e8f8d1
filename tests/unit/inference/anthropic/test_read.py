"""A Messages request in GLM's words: what has a counterpart gets there, what has none does no harm."""

import hashlib
import json
from typing import Any

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request, read_messages
from tests.unit.inference.anthropic.messages_bench import CATALOG, asked, body, dialect, glm

THINK = {"type": "enabled", "budget_tokens": 4096}
ALWAYS = "glm-5.3"


def test_the_least() -> None:
    assert glm(model="glm-4-air") == {
        "model": "glm-4-air",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 100,
    }


def test_the_json_says_what_the_request_says() -> None:
    request = asked(
        stream=True,
        system="s",
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["END"],
        thinking=THINK,
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        metadata={"user_id": "somebody"},
    )
    read = read_chat_request(request.body)
    said = request.request
    assert bytes(read.messages) == bytes(said.messages)
    read.messages = said.messages
    assert read == said
    assert (said.temperature, said.top_p, said.top_k, said.stop) == (0.5, 0.9, 40, ["END"])
    assert (said.stream, said.tool_stream, said.tool_choice) == (True, True, "required")
    assert said.response_format is not None and said.response_format.type == "json_schema"
    assert said.response_format.json_schema == {
        "name": "output",
        "schema": {"type": "object"},
        "strict": True,
    }


def test_the_older_place_of_a_schema() -> None:
    found = glm(output_format={"type": "json_schema", "schema": {"type": "array"}})
    assert found["response_format"]["json_schema"]["schema"] == {"type": "array"}


def test_what_is_read_is_sound() -> None:
    request = asked(system="s", thinking=THINK, tools=[{"name": "f", "input_schema": {}}])
    model = CATALOG["glm-4.6"]
    read_messages(request.request, model)
    assert check_chat_request(request.request, model, Surface(prefix="")).thinking is True


def test_plain_messages_reach_an_engine_without_being_read_again() -> None:
    assert read_messages(asked(system="s").request, CATALOG["glm-4.6"]) is None


def test_max_tokens_must_be_said() -> None:
    with pytest.raises(ApiError) as refused:
        asked(max_tokens=None)
    assert (refused.value.code, refused.value.field) == ("1213", "max_tokens")
    assert dialect().read_to_count(body(max_tokens=None)).request.max_tokens is None


def test_more_tokens_than_the_model_has_are_all_that_it_has() -> None:
    assert glm(model=ALWAYS, max_tokens=10_000_000)["max_tokens"] == CATALOG[ALWAYS].max_tokens
    assert glm(model="unknown", max_tokens=10_000_000)["max_tokens"] == 10_000_000
    assert glm(max_tokens=0)["max_tokens"] == 0


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        ("glm-4.6", None, "disabled"),
        ("glm-4.6", {"type": "disabled"}, "disabled"),
        ("glm-4.6", {"type": "between_tools"}, "disabled"),
        ("glm-4.6", THINK, "enabled"),
        ("glm-4.6", {"type": "adaptive"}, "enabled"),
        (ALWAYS, None, None),
        (ALWAYS, {"type": "disabled"}, None),
        (ALWAYS, THINK, "enabled"),
        ("glm-4-air", None, None),
        ("glm-4-air", THINK, None),
    ],
)
def test_thinking(model: str, thinking: Any, expected: str | None) -> None:
    found = glm(model=model, thinking=thinking)
    assert found.get("thinking") == (None if expected is None else {"type": expected})


def test_on_a_plan_every_model_can_be_told_not_to_think() -> None:
    for thinking in (None, {"type": "disabled"}):
        assert glm(model=ALWAYS, thinking=thinking, thinking_optional=True)["thinking"] == {
            "type": "disabled"
        }


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "expected"),
    [
        (ALWAYS, None, None, "low"),
        (ALWAYS, None, "max", "max"),
        (ALWAYS, THINK, None, None),
        (ALWAYS, THINK, "medium", "high"),
        (ALWAYS, THINK, "xhigh", "max"),
        (ALWAYS, THINK, "low", "low"),
        ("glm-5.2", THINK, "medium", "medium"),
        ("glm-4.6", THINK, "medium", "medium"),
        ("unknown", None, "medium", "medium"),
    ],
)
def test_effort(model: str, thinking: Any, effort: str | None, expected: str | None) -> None:
    found = glm(model=model, thinking=thinking, output_config={"effort": effort})
    assert found.get("reasoning_effort") == expected


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, "nothing"),
        ({"type": "disabled"}, "nothing"),
        (THINK, "text"),
        ({"type": "adaptive"}, "text"),
        ({"type": "adaptive", "display": "summarized"}, "text"),
        ({"type": "enabled", "display": "omitted"}, "sign"),
    ],
)
def test_what_of_it_is_shown(thinking: Any, shown: str) -> None:
    assert asked(thinking=thinking).extra.thinking == shown


@pytest.mark.parametrize(("top_p", "expected"), [(0, 0.01), (0.005, 0.01), (0.5, 0.5), (1, 1.0), (-1, -1.0)])
def test_top_p_begins_where_glms_does(top_p: float, expected: float) -> None:
    assert glm(top_p=top_p)["top_p"] == expected


@pytest.mark.parametrize(
    ("user_id", "kept"),
    [("somebody", True), ("a" * 128, True), ("a" * 129, False), ("a" * 400, False), ("a" * 5, False)],
)
def test_who_uses_the_program(user_id: str, kept: bool) -> None:
    expected = user_id if kept else hashlib.sha256(user_id.encode()).hexdigest()
    assert glm(metadata={"user_id": user_id})["user_id"] == expected


@pytest.mark.parametrize("metadata", [None, {}, {"user_id": None}, {"user_id": ""}])
def test_nobody_in_particular_uses_it(metadata: Any) -> None:
    assert "user_id" not in glm(metadata=metadata)


def test_claude_codes_own_id_is_longer_than_glms() -> None:
    user_id = "user_" + "a" * 64 + "_account_" + "b" * 36 + "_session_" + "c" * 36
    assert len(glm(metadata={"user_id": user_id})["user_id"]) == 64


def test_the_size_of_a_prompt_has_its_tools_in_it() -> None:
    tools = [{"name": "f", "description": "d" * 1000, "input_schema": {}}]
    assert asked(tools=tools).extra.prompt_bytes > 1000


def test_choices_are_told_to_the_writer() -> None:
    wishes = asked(
        tool_choice={"type": "auto", "disable_parallel_tool_use": True}, stop_sequences=["END"]
    ).extra
    assert (wishes.one_call, wishes.stop_sequences) == (True, ("END",))


def test_nothing_is_sent_that_the_caller_did_not_say() -> None:
    found = json.loads(asked(model="glm-4-air", stream=False).body)
    assert set(found) == {"model", "messages", "max_tokens"}
    assert json.loads(asked(model="glm-4-air", stream=True).body)["stream"] is True
