"""What every client can do, unchanged but for base URL and key: the same scenarios, the same expectations."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tests.contract.client_runs import ALL, GLM_SDKS, OPENAI_SDKS, REQUESTS, ClientKind, ClientRun
from tests.contract.live_server import LiveServer
from tests.contract.scripted_engine import SEPARATORS, ScriptedEngine

# The first test of a client waits for its environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)
Seen = dict[str, Any]
REQUEST_ID = re.compile(r"\d{14}[0-9a-f]{16}")
CALL_ID = re.compile(r"call_-?\d+")


@pytest.fixture(params=ALL, ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest, run_of: Callable[[ClientKind], ClientRun]) -> ClientRun:
    """The run of each client in turn."""
    return run_of(request.param)


# What a client has no way to do, or does in no way of its own.
LACKS = {
    "langchain": {
        "tool-stream",
        "jwt",
        "float-request-id",
        "separators",
        "broken-stream",
        "busy",
        "no-header",
    },
    "requests": {"broken-stream", "busy"},
    "fetch": {"broken-stream", "busy", "no-header"},
    **{kind.name: {"no-header"} for kind in (*GLM_SDKS, *OPENAI_SDKS)},
}


def having(what: str) -> list[ParameterSet]:
    """The clients that can do something."""
    return [pytest.param(kind, id=kind.name) for kind in ALL if what not in LACKS[kind.name]]


def check_usage(usage: dict[str, Any]) -> None:
    assert usage["prompt_tokens"] > 0 and usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] <= usage["completion_tokens"]


def check_answer(client: ClientRun, seen: Seen, *, finish_reason: str = "stop") -> None:
    """What holds for every complete answer."""
    assert seen["finish_reason"] == finish_reason
    check_usage(seen["usage"])
    for tag in ("<think>", "</think>", "<tool_call>", "<|", "[gMASK]"):
        assert tag not in (seen["content"] or "")
        assert tag not in (seen.get("reasoning") or "")
    if client.kind.shows_ids:
        assert seen["model"] == "glm-4.6"
    if finish_reason == "stop":
        assert seen["content"].strip()
        assert seen["tool_calls"] == []


def check_whole(client: ClientRun, seen: Seen, *, finish_reason: str = "stop") -> None:
    check_answer(client, seen, finish_reason=finish_reason)
    if client.kind.shows_ids:
        assert REQUEST_ID.fullmatch(seen["id"])
        assert seen["request_id"] == seen["id"]


def check_stream(client: ClientRun, seen: Seen, *, finish_reason: str = "stop") -> None:
    check_answer(client, seen, finish_reason=finish_reason)
    if client.kind.shows_ids:
        assert seen["finishes"] == 1 and seen["usages"] == 1
        assert len(seen["ids"]) == 1 and REQUEST_ID.fullmatch(seen["ids"][0])
    assert seen["chunks"] > 1


def check_call(client: ClientRun, seen: Seen, arguments: dict[str, str]) -> None:
    (call,) = seen["tool_calls"]
    assert CALL_ID.fullmatch(call["id"])
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == arguments
    if client.kind.shows_ids:
        assert call["type"] == "function"


def test_a_greeting(client: ClientRun) -> None:
    check_whole(client, client.value("greeting"))


def test_a_streamed_greeting(client: ClientRun) -> None:
    check_stream(client, client.value("greeting-stream"))


@pytest.mark.parametrize("scenario", ["thinking", "thinking-stream"])
def test_thinking_on_shows_reasoning_and_an_answer(client: ClientRun, scenario: str) -> None:
    seen = client.value(scenario)
    check_answer(client, seen)
    assert seen["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    if client.kind.shows_reasoning:
        assert seen["reasoning"].strip()


@pytest.mark.parametrize("scenario", ["no-thinking", "no-thinking-stream"])
def test_thinking_off_answers_within_32_tokens(client: ClientRun, scenario: str) -> None:
    seen = client.value(scenario)
    # The answer itself may be longer.
    check_answer(client, {**seen, "finish_reason": "stop"})
    assert seen["finish_reason"] in {"stop", "length"}
    assert seen["usage"]["completion_tokens"] <= 32
    assert seen["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    assert not seen.get("reasoning")


@pytest.mark.parametrize(("scenario", "check"), [("turns", check_whole), ("turns-stream", check_stream)])
def test_an_answer_can_be_sent_back(client: ClientRun, scenario: str, check: Callable[..., None]) -> None:
    for seen in client.value(scenario):
        check(client, seen)


def test_a_tool_is_called_and_its_result_used(client: ClientRun) -> None:
    called, answered = client.value("tools")
    check_whole(client, called, finish_reason="tool_calls")
    check_call(client, called, {"city": "北京"})
    check_whole(client, answered)


def test_a_tool_is_called_in_english_without_thinking(client: ClientRun) -> None:
    called, answered = client.value("tools-en")
    check_whole(client, called, finish_reason="tool_calls")
    check_call(client, called, {"city": "Paris"})
    assert not called.get("reasoning")
    check_whole(client, answered)


def test_a_streamed_tool_call_comes_in_one_piece(client: ClientRun) -> None:
    called, answered = client.value("tools-stream")
    check_stream(client, called, finish_reason="tool_calls")
    check_call(client, called, {"city": "北京"})
    if client.kind.shows_ids:
        assert called["fragments"] == 1
    check_stream(client, answered)


@pytest.mark.parametrize("client", having("tool-stream"), indirect=True)
@pytest.mark.parametrize(("scenario", "city"), [("tool-stream", "北京"), ("tool-stream-en", "Paris")])
def test_tool_stream_sends_arguments_in_fragments(client: ClientRun, scenario: str, city: str) -> None:
    called, answered = client.value(scenario)
    check_stream(client, called, finish_reason="tool_calls")
    check_call(client, called, {"city": city})
    assert called["fragments"] > 1
    check_stream(client, answered)


def test_every_call_is_one_request(client: ClientRun) -> None:
    counts = {"greeting": 1, "greeting-stream": 1, "turns": 2, "tools": 2, "tools-stream": 2}
    for scenario, count in counts.items():
        lines = client.requests(scenario)
        assert [line["status"] for line in lines] == [200] * count
        assert all(line["path"] == client.kind.base_url + "/chat/completions" for line in lines)


MISTAKES = [
    ("wrong-key", 401, "1000"),
    ("wrong-key-stream", 401, "1000"),
    ("unknown-model", 400, "1211"),
    ("unknown-model-stream", 400, "1211"),
    ("bad-parameter", 400, "1210"),
    ("only-system", 400, "1214"),
    ("expired-jwt", 401, "1003"),
    ("no-header", 401, "1001"),
]
LACKED_FOR = {"expired-jwt": "jwt", "no-header": "no-header"}
# Their ways to read a stream look at its content type before its status.
STATUS_UNSEEN = {("langchain", "wrong-key-stream"), ("langchain", "unknown-model-stream")}


@pytest.mark.parametrize(
    ("client", "scenario", "status", "code"),
    [
        pytest.param(kind, scenario, status, code, id=f"{kind.name}-{scenario}")
        for scenario, status, code in MISTAKES
        for kind in ALL
        if LACKED_FOR.get(scenario) not in LACKS[kind.name]
    ],
    indirect=["client"],
)
def test_a_mistake_is_told_once(client: ClientRun, scenario: str, status: int, code: str) -> None:
    raised = client.raised(scenario)
    if (client.kind.name, scenario) in STATUS_UNSEEN:
        assert raised["type"] == "SSEError"
    else:
        assert raised["status"] == status
        error = json.loads(raised["body"])["error"]
        assert error["code"] == code and error["message"]
    # A permanent error is not worth a retry: the server saw this request once.
    assert [(line["status"], line["code"]) for line in client.requests(scenario)] == [(status, code)]


@pytest.mark.parametrize("client", having("jwt"), indirect=True)
def test_a_jwt_is_taken_where_the_key_belongs(client: ClientRun) -> None:
    check_whole(client, client.value("day-jwt"))


@pytest.mark.parametrize("client", having("float-request-id"), indirect=True)
def test_a_request_id_may_be_a_float(client: ClientRun) -> None:
    seen = client.value("float-request-id")
    assert re.fullmatch(r"[0-9]{13}\.(5|25)", seen["request_id"])
    assert REQUEST_ID.fullmatch(seen["id"])
    assert [line["request_id"] for line in client.requests("float-request-id")] == [seen["request_id"]]


def test_a_client_that_leaves_stops_the_engine(client: ClientRun, scripted_engine: ScriptedEngine) -> None:
    value = client.value("cancelled")
    assert value["read"] == ["0 ", "1 ", "2 "]
    left_s = [request.left_s for request in scripted_engine.requests("count") if request.left_s is not None]
    # The promise is a second; the rest is for a busy machine. The engine may even know before the client does.
    assert min(abs(one_s - value["left_s"]) for one_s in left_s) < 2


def test_every_departure_is_logged(
    scripted: LiveServer, scripted_engine: ScriptedEngine, run_of: Callable[[ClientKind], ClientRun]
) -> None:
    run_of(REQUESTS)
    line = scripted.logged(lambda line: line.get("client_left") is True)
    assert (line["status"], line["stream"]) == (200, True)
    assert line["completion_tokens"] >= 3
    assert all(request.over for request in scripted_engine.requests("count"))


@pytest.mark.parametrize("client", having("separators"), indirect=True)
def test_unicode_line_separators_arrive(client: ClientRun) -> None:
    seen = client.value("separators")
    assert seen["content"] == SEPARATORS
    assert seen["reasoning"] == SEPARATORS
    (call,) = seen["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"text": SEPARATORS}


@pytest.mark.parametrize("client", having("broken-stream"), indirect=True)
def test_an_engine_that_dies_ends_the_stream_properly(client: ClientRun) -> None:
    seen = client.value("broken-stream")
    assert seen["content"] == "half an answer"
    assert (seen["finish_reason"], seen["finishes"], seen["usages"]) == ("network_error", 1, 1)


@pytest.mark.parametrize("client", having("busy"), indirect=True)
def test_a_busy_engine_is_worth_a_retry(client: ClientRun) -> None:
    raised = client.raised("busy")
    assert raised["status"] == 429
    assert json.loads(raised["body"])["error"]["code"] == "1305"
