"""OpenAI's Python SDK on the Responses API of the live server: unchanged but for base URL and key."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client_runs import ClientKind, ClientRun
from tests.contract.scripted_engine import SEPARATORS, ScriptedEngine

pytestmark = pytest.mark.timeout(600)
RESPONSES = ClientKind("openai-responses", "openai-langchain", "responses_client.py", base_url="/api/v1")
RESPONSE_ID = re.compile(r"resp_\d{14}[0-9a-f]{16}")
CALL_ID = re.compile(r"call_[0-9a-f]{24}")
Seen = dict[str, Any]


@pytest.fixture
def client(run_of: Callable[[ClientKind], ClientRun]) -> ClientRun:
    return run_of(RESPONSES)


def kinds(response: Seen) -> list[str]:
    return [item["type"] for item in response["output"]]


def check(response: Seen, status: str = "completed") -> None:
    """What holds for every response."""
    assert RESPONSE_ID.fullmatch(response["id"])
    assert (response["object"], response["status"], response["model"]) == ("response", status, "glm-4.6")
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert usage["output_tokens_details"]["reasoning_tokens"] <= usage["output_tokens"]
    for item in response["output"]:
        if "content" in item:
            assert all(tag not in str(item["content"]) for tag in ("<think>", "<tool_call>", "<|"))


def check_events(events: list[Seen], end: str = "response.completed") -> None:
    """The numbers have no gap, and what was told in pieces is what was told at the end."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    types = [event["type"] for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert types[-1] == end
    texts: dict[tuple[str, str], str] = {}
    for event in events:
        what, _, kind = event["type"].rpartition(".")
        if kind == "delta":
            key = (event["item_id"], what)
            texts[key] = texts.get(key, "") + event["delta"]
        elif (event.get("item_id"), what) in texts and kind == "done":
            whole = event.get("text") or event.get("arguments")
            assert texts[event["item_id"], what] == whole
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [item["id"] for item in done] == [item["id"] for item in events[-1]["response"]["output"]]


def test_an_answer(client: ClientRun) -> None:
    response = client.value("create")
    check(response)
    assert kinds(response) == ["reasoning", "message"]
    assert response["output_text"].strip()
    assert response["output"][0]["content"][0]["type"] == "reasoning_text"
    assert response["error"] is response["incomplete_details"] is None


def test_what_was_asked_is_told(client: ClientRun) -> None:
    response = client.value("instructions")
    check(response)
    assert (response["instructions"], response["metadata"]) == ("你是一个有用的助手。", {"a": "b"})


def test_a_stream(client: ClientRun) -> None:
    seen = client.value("stream")
    check_events(seen["events"])
    check(seen["response"])
    assert kinds(seen["response"]) == ["reasoning", "message"]
    deltas = [event for event in seen["events"] if event["type"] == "response.output_text.delta"]
    assert deltas and all(event["logprobs"] == [] for event in deltas)


def test_the_stream_helper_puts_an_answer_and_a_call_together(client: ClientRun) -> None:
    answer, called = client.value("stream-helper"), client.value("stream-helper-tools")
    check(answer)
    assert answer["output_text"].strip()
    assert answer["kinds"][-1] == called["kinds"][-1] == "response.completed"
    (call,) = [item for item in called["output"] if item["type"] == "function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "北京"})


def test_streamed_arguments(client: ClientRun) -> None:
    seen = client.value("stream-tools")
    check_events(seen["events"])
    (call,) = [item for item in seen["response"]["output"] if item["type"] == "function_call"]
    assert CALL_ID.fullmatch(call["call_id"]) and call["id"] == "fc_" + call["call_id"]
    assert json.loads(call["arguments"]) == {"city": "北京"}


@pytest.mark.parametrize("scenario", ["tools", "stored-tools"])
def test_a_tool_s_result_goes_back(client: ClientRun, scenario: str) -> None:
    called, answered = client.value(scenario)
    assert kinds(called)[-1] == "function_call"
    check(answered)
    assert answered["output_text"].strip()
    assert ("21" in answered["output_text"]) or ("晴" in answered["output_text"])


def test_a_conversation_is_remembered(client: ClientRun) -> None:
    first, second, third = client.value("talk")
    assert second["previous_response_id"] == first["id"]
    assert third["previous_response_id"] == second["id"]
    assert "小明" in second["output_text"]
    assert third["usage"]["input_tokens"] > second["usage"]["input_tokens"] > first["usage"]["input_tokens"]


def test_a_stored_response_can_be_had_again(client: ClientRun) -> None:
    seen = client.value("kept")
    assert seen["again"] == seen["response"]
    assert [item["content"][0]["text"] for item in seen["forwards"]] == ["0", "1", "2", "你好"]
    assert seen["backwards"] == seen["forwards"][::-1]
    assert seen["gone"]["code"] == "not_found"
    assert seen["response"]["metadata"] == {"a": "b"}


def test_a_stored_stream_can_be_had_at_once(client: ClientRun) -> None:
    told, again = client.value("kept-stream")
    assert again == told


def test_an_answer_that_was_cut(client: ClientRun) -> None:
    response = client.value("cut")
    check(response, "incomplete")
    assert response["incomplete_details"]["reason"] == "max_output_tokens"
    assert response["usage"]["output_tokens"] == 2


def test_structured_answers(client: ClientRun, scripted_engine: ScriptedEngine) -> None:
    check(client.value("json-object"))
    assert re.match(r'\{\s*"city"\s*:\s*"', client.value("structured"))
    client.raised("structured-asked")  # The engine says "fine", which is no city.
    wanted = scripted_engine.requests("schema")[-1].json["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["schema"]["properties"] == {"city": {"title": "City", "type": "string"}}


def test_requests_at_once_are_all_answered(client: ClientRun) -> None:
    assert len(set(client.value("at-once"))) == 8


def test_two_calls_in_a_stream(client: ClientRun) -> None:
    seen = client.value("two-calls")
    check_events(seen["events"])
    calls = [item for item in seen["response"]["output"] if item["type"] == "function_call"]
    assert [(call["name"], call["arguments"]) for call in calls] == [
        ("get_weather", '{"city": "北京"}'),
        ("get_time", "{}"),
    ]
    assert len({call["call_id"] for call in calls}) == 2


def test_separators_are_part_of_the_text(client: ClientRun) -> None:
    seen = client.value("separators")
    check_events(seen["events"])
    texts = [item["content"][0]["text"] for item in seen["response"]["output"] if "content" in item]
    assert texts == [SEPARATORS, SEPARATORS]


def test_an_engine_s_death_is_a_failed_response(client: ClientRun) -> None:
    seen = client.value("broken-stream")
    *events, error = seen["events"]
    check_events(events, "response.failed")
    assert (error["type"], error["code"]) == ("error", "server_error")
    assert seen["response"]["error"]["code"] == "server_error"
    assert seen["response"]["output"][0]["content"][0]["text"] == "half an answer"


@pytest.mark.parametrize(
    ("scenario", "kind", "code", "param"),
    [
        ("wrong-key", "AuthenticationError", "authentication_error", None),
        ("unknown-model", "BadRequestError", "model_not_found", None),
        ("bad-item", "BadRequestError", "invalid_request", "input[1].type"),
        ("unknown-previous", "BadRequestError", "invalid_request", "previous_response_id"),
        ("busy", "RateLimitError", "overloaded", None),
    ],
)
def test_errors_have_the_sdk_s_classes_and_our_words(
    client: ClientRun, scenario: str, kind: str, code: str, param: str | None
) -> None:
    raised = client.raised(scenario)
    error = json.loads(raised["body"])["error"]
    assert (raised["type"], raised["code"], error["type"], error["param"]) == (kind, code, code, param)


def test_a_bad_parameter_has_the_caller_s_name(client: ClientRun) -> None:
    raised = client.raised("bad-parameter")
    assert raised["type"] == "BadRequestError"
    assert "max_output_tokens" in raised["text"]
