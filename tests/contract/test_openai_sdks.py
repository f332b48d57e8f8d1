"""OpenAI's SDKs for Python, waiting and asynchronous, and for Node: what only they do."""

import json
from collections.abc import Callable

import pytest

from tests.contract.client_runs import NODE_OPENAI, OPENAI, OPENAI_ASYNC, OPENAI_SDKS, ClientKind, ClientRun

pytestmark = pytest.mark.timeout(600)
CLASSES = {
    "wrong-key": "AuthenticationError",
    "wrong-key-stream": "AuthenticationError",
    "expired-jwt": "AuthenticationError",
    "unknown-model": "BadRequestError",
    "bad-parameter": "BadRequestError",
    "only-system": "BadRequestError",
    "unknown-model-shown": "NotFoundError",
    "busy": "RateLimitError",
}


@pytest.fixture(params=OPENAI_SDKS, ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest, run_of: Callable[[ClientKind], ClientRun]) -> ClientRun:
    return run_of(request.param)


@pytest.mark.parametrize("scenario", CLASSES)
def test_errors_have_the_sdk_s_classes_and_our_text(client: ClientRun, scenario: str) -> None:
    raised = client.raised(scenario)
    assert raised["type"] == CLASSES[scenario]
    assert json.loads(raised["body"])["error"]["message"] in raised["text"]


def test_models_are_listed(client: ClientRun) -> None:
    models = {model["id"]: model for model in client.value("models")}
    assert {"glm-4.6", "glm-4.5-air", "glm-4.7"} <= set(models)
    for model in models.values():
        assert model["object"] == "model"
        assert model["owned_by"]
        assert isinstance(model["created"], int)


def test_one_model_is_shown(client: ClientRun) -> None:
    model = client.value("model")
    assert (model["id"], model["object"]) == ("glm-4.6", "model")


def test_the_stream_helper_puts_an_answer_and_a_call_together(client: ClientRun) -> None:
    answer, called = client.value("stream-helper")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["content"].strip()
    assert called["choices"][0]["finish_reason"] == "tool_calls"
    (call,) = called["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "北京"}
    assert called["usage"]["total_tokens"] > 0


def test_include_usage_changes_nothing(client: ClientRun) -> None:
    seen = client.value("include-usage")
    assert (seen["usages"], seen["finishes"], seen["finish_reason"]) == (1, 1, "stop")


@pytest.mark.parametrize("client", [OPENAI, OPENAI_ASYNC], ids=lambda kind: kind.name, indirect=True)
def test_max_completion_tokens_is_an_alias(client: ClientRun) -> None:
    seen = client.value("completion-tokens")
    assert seen["finish_reason"] == "length"
    assert seen["usage"]["completion_tokens"] == 2


def test_node_s_tool_runner_goes_all_the_way(run_of: Callable[[ClientKind], ClientRun]) -> None:
    value = run_of(NODE_OPENAI).value("tool-runner")
    assert value["asked"][0] == {"city": "北京"}
    assert value["content"].strip()


def test_requests_at_once_are_all_answered(run_of: Callable[[ClientKind], ClientRun]) -> None:
    seen = run_of(OPENAI_ASYNC).value("at-once")
    assert len({one["id"] for one in seen}) == 8
    assert all(one["finish_reason"] == "stop" and one["content"] for one in seen)
