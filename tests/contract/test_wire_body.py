"""An answer in one piece, byte for byte (api.md §3.3), and what requests may ask for (api.md §3.1, §3.5, §3.7)."""

import json
import re
from typing import Any

import pytest

from tests.contract.live_server import LiveServer
from tests.contract.scripted_engine import ScriptedEngine
from tests.contract.test_wire_stream import WEATHER
from tests.contract.wire import BASES, CODING, GREETING, JSON_TYPE, PAAS, V1, chat, error_of, message, post

pytestmark = pytest.mark.timeout(180)
NUMBER = rb"\d+"
STRING = rb'"(?:[^"\\\x00-\x1f]|\\.)*"'
USAGE = rb'"usage":\{"completion_tokens":\d+,"completion_tokens_details":\{"reasoning_tokens":\d+\},"prompt_tokens":\d+,"prompt_tokens_details":\{"cached_tokens":\d+\},"total_tokens":\d+\}'
TAIL = (
    rb'"created":\d{10},"id":"(?P<id>\d{14}[0-9a-f]{16})","model":"[^"]+","object":"chat\.completion","request_id":"(?P<request_id>[^"]+)",'
    + USAGE
    + rb"\}"
)
WITH_REASONING = re.compile(
    rb'\{"choices":\[\{"finish_reason":"stop","index":0,"message":\{"content":'
    + STRING
    + rb',"reasoning_content":'
    + STRING
    + rb',"role":"assistant"\}\}\],'
    + TAIL
)
WITHOUT = re.compile(
    rb'\{"choices":\[\{"finish_reason":"(?:stop|length)","index":0,"message":\{"content":'
    + STRING
    + rb',"role":"assistant"\}\}\],'
    + TAIL
)
WITH_CALL = re.compile(
    rb'\{"choices":\[\{"finish_reason":"tool_calls","index":0,"message":\{"content":"","role":"assistant","tool_calls":'
    rb'\[\{"function":\{"arguments":'
    + STRING
    + rb',"name":"get_weather"\},"id":"call_-?\d{1,19}","index":0,"type":"function"\}\]\}\}\],'
    + TAIL
)
OFF = {"type": "disabled"}
ON = {"type": "enabled"}
PROMPTS = [
    "你好",
    "Hello!",
    "你是谁？",
    "北京今天天气怎么样？",
    "写一首关于春天的诗",
    "Explain recursion in two sentences.",
    "asdf qwer zxcv",
    "🙂",
]


@pytest.mark.parametrize("base", BASES)
def test_a_body_is_exactly_this(server: LiveServer, base: str) -> None:
    answer = chat(server, base=base)
    match = WITH_REASONING.fullmatch(answer.body)
    assert match, answer.body
    assert match["id"] == match["request_id"]
    assert answer.header("content-type") == JSON_TYPE
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("x-log-id") == match["id"].decode()
    assert answer.header("x-bigmodel-engine") == "glm-demo"
    usage = answer.json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_body_without_reasoning_has_no_such_key(server: LiveServer) -> None:
    answer = chat(server, thinking=OFF)
    assert WITHOUT.fullmatch(answer.body), answer.body
    assert answer.json["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_a_tool_call_carries_its_index(server: LiveServer) -> None:
    answer = chat(server, **WEATHER, thinking=OFF)
    assert WITH_CALL.fullmatch(answer.body), answer.body
    assert json.loads(message(answer)["tool_calls"][0]["function"]["arguments"]) == {"city": "北京"}


def test_text_is_not_escaped(server: LiveServer) -> None:
    answer = chat(server)
    assert message(answer)["content"].encode() in answer.body


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("text-id", "text-id"), (1795235525.26, "1795235525.26"), (123456789, "123456789")],
)
def test_the_request_id_comes_back_as_text(server: LiveServer, sent: object, echoed: str) -> None:
    body = chat(server, request_id=sent).json
    assert body["request_id"] == echoed
    assert body["id"] != echoed


@pytest.mark.parametrize(("model", "details"), [("glm-4.6", 2), ("glm-4.5-air", 1), ("glm-4-flash", 0)])
def test_usage_has_the_details_that_the_model_has(server: LiveServer, model: str, details: int) -> None:
    usage = chat(server, model=model).json["usage"]
    assert len([name for name in usage if name.endswith("_details")]) == details


@pytest.mark.parametrize("prompt", PROMPTS)
def test_thinking_without_max_tokens_reaches_visible_content(server: LiveServer, prompt: str) -> None:
    answer = chat(server, messages=[{"role": "user", "content": prompt}], thinking=ON)
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert message(answer)["content"].strip()
    assert message(answer)["reasoning_content"].strip()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_without_thinking_content_comes_within_32_tokens(server: LiveServer, prompt: str) -> None:
    answer = chat(server, messages=[{"role": "user", "content": prompt}], thinking=OFF, max_tokens=32)
    assert message(answer)["content"].strip()
    assert "reasoning_content" not in message(answer)
    assert not re.search(r"</?think>|<\|", message(answer)["content"])


def test_reasoning_counts_against_max_tokens(server: LiveServer) -> None:
    answer = chat(server, thinking=ON, max_tokens=2)
    assert answer.json["choices"][0]["finish_reason"] == "length"
    assert message(answer)["content"] == ""
    assert answer.json["usage"]["completion_tokens"] == 2


def test_max_completion_tokens_is_an_alias(server: LiveServer) -> None:
    assert chat(server, max_completion_tokens=2).json["usage"]["completion_tokens"] == 2
    # The older name wins where both are given.
    assert chat(server, max_tokens=3, max_completion_tokens=2).json["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stop", ["好", ["好"], ["never", "好"]], ids=str)
def test_a_stop_word_ends_the_answer_and_is_not_in_it(server: LiveServer, stop: object) -> None:
    whole = message(chat(server, do_sample=False, thinking=OFF))["content"]
    assert "好" in whole
    stopped = chat(server, do_sample=False, thinking=OFF, stop=stop)
    assert "好" not in message(stopped)["content"]
    assert stopped.json["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", ["", [""], []], ids=str)
def test_an_empty_stop_word_stops_nothing(server: LiveServer, stop: object) -> None:
    answer = post(server, {"model": "glm-4.6", "messages": GREETING, "thinking": OFF, "stop": stop})
    if answer.status == 400:
        assert error_of(answer)[0] == "1214"
    else:
        assert message(answer)["content"].strip()


def test_an_answer_without_words_at_the_end_leaks_no_tags(server: LiveServer) -> None:
    messages = [*GREETING, {"role": "assistant", "content": None}]
    answer = post(server, {"model": "glm-4.6", "messages": messages, "thinking": OFF})
    if answer.status == 200:
        assert "think>" not in message(answer)["content"]


def test_nulls_and_unknown_fields_are_no_matter(server: LiveServer) -> None:
    names = (
        "stream thinking reasoning_effort do_sample temperature top_p max_tokens max_completion_tokens stop tools "
        "tool_choice tool_stream response_format request_id user_id seed stream_options sensitive_word_check meta extra"
    )
    fields: dict[str, Any] = dict.fromkeys(names.split())
    chat(server, **fields, n=1, store=True, prompt_cache_key="x", logprobs=None, presence_penalty=0.5)


def test_parts_and_objects_are_taken_where_clients_send_them(server: LiveServer) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "北京"}},
    }
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "简短回答。"}]},
        {"role": "user", "content": [{"type": "text", "text": "北京"}, {"type": "text", "text": "天气？"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "晴", "tool_call_id": "call_1", "name": "get_weather"},
    ]
    assert message(chat(server, messages=messages, tools=WEATHER["tools"]))["content"]


def test_tool_choice_none_calls_nothing(server: LiveServer) -> None:
    answer = chat(server, **WEATHER, tool_choice="none", thinking=OFF)
    assert "tool_calls" not in message(answer)
    assert message(answer)["content"].strip()


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=str
)
def test_a_wanted_tool_is_called(server: LiveServer, choice: object) -> None:
    answer = chat(server, **WEATHER, tool_choice=choice, thinking=OFF)
    assert message(answer)["tool_calls"][0]["function"]["name"] == "get_weather"


def test_a_json_object_is_json(server: LiveServer) -> None:
    answer = chat(server, response_format={"type": "json_object"}, thinking=OFF, max_tokens=200)
    if answer.json["choices"][0]["finish_reason"] == "stop":
        assert isinstance(json.loads(message(answer)["content"]), dict)


@pytest.mark.parametrize(
    ("model", "base", "echoed"),
    [
        ("glm-4.6", PAAS, "glm-4.6"),
        ("glm-4.6", V1, "glm-4.6"),
        ("glm-4.6", CODING, "glm-5.3-flash"),
        ("glm-5.1", CODING, "glm-5.3"),
        ("GLM-4.6", PAAS, "GLM-4.6"),
        ("glm-4.5-flash", CODING, "glm-4.5-flash"),
    ],
)
def test_the_model_is_echoed_or_renamed(server: LiveServer, model: str, base: str, echoed: str) -> None:
    assert chat(server, base=base, model=model).json["model"] == echoed


def test_the_coding_base_lets_thinking_be_switched_off(server: LiveServer) -> None:
    body = {"model": "glm-5.3", "messages": GREETING, "thinking": OFF}
    assert error_of(post(server, body))[0] == "1210"
    answer = post(server, body, base=CODING)
    assert answer.status == 200
    assert answer.json["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.parametrize(
    ("base", "thinking", "cleared"),
    [
        (PAAS, ON, True),
        (PAAS, ON | {"clear_thinking": False}, False),
        (PAAS, {"clear_thinking": False}, False),
        (CODING, ON, False),
        (CODING, ON | {"clear_thinking": True}, True),
        (CODING, None, False),
    ],
)
def test_whether_reasoning_is_kept_is_told_to_the_engine(
    scripted: LiveServer, scripted_engine: ScriptedEngine, base: str, thinking: object, cleared: bool
) -> None:
    """An engine whose template is not told clears; so False must be said, True may be."""
    chat(scripted, base=base, messages=[{"role": "user", "content": "kept?"}], thinking=thinking)
    sent = scripted_engine.requests("kept?")[-1].json.get("chat_template_kwargs", {})
    assert sent.get("clear_thinking", True) is cleared


def test_the_reasoning_effort_is_told_to_the_engine(
    scripted: LiveServer, scripted_engine: ScriptedEngine
) -> None:
    for thinking in (ON, None):
        chat(
            scripted,
            model="glm-5.2",
            messages=[{"role": "user", "content": "effort?"}],
            thinking=thinking,
            reasoning_effort="medium",
        )
        sent = scripted_engine.requests("effort?")[-1].json.get("chat_template_kwargs", {})
        assert sent.get("reasoning_effort") == "high"
