"""zai-sdk and zhipuai: what only the official SDKs do."""

from collections.abc import Callable

import pytest

from tests.contract.client_runs import GLM_SDKS, ZAI, ClientKind, ClientRun
from tests.contract.scripted_engine import ScriptedEngine

pytestmark = pytest.mark.timeout(600)
CLASSES = {
    "wrong-key": "APIAuthenticationError",
    "wrong-key-stream": "APIAuthenticationError",
    "expired-jwt": "APIAuthenticationError",
    "unknown-model": "APIRequestFailedError",
    "bad-parameter": "APIRequestFailedError",
    "only-system": "APIRequestFailedError",
    "busy": "APIReachLimitError",
}


@pytest.fixture(params=GLM_SDKS, ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest, run_of: Callable[[ClientKind], ClientRun]) -> ClientRun:
    return run_of(request.param)


@pytest.mark.parametrize("scenario", CLASSES)
def test_errors_have_the_sdk_s_classes(client: ClientRun, scenario: str) -> None:
    assert client.raised(scenario)["type"] == CLASSES[scenario]


def test_errors_are_told_in_the_client_s_language(client: ClientRun) -> None:
    message = "Authentication Failed" if client.kind == ZAI else "身份验证失败。"
    assert message in client.raised("wrong-key")["text"]


def test_the_sdk_s_own_jwt_is_taken(client: ClientRun) -> None:
    value = client.value("jwt-mode")
    assert value["first"]["content"] and value["again"]["content"]
    assert [line["status"] for line in client.requests("jwt-mode")] == [200, 200]


def test_a_request_id_comes_back(client: ClientRun) -> None:
    seen = client.value("text-request-id")
    assert seen["request_id"] == "contract-" + client.kind.argument
    assert seen["id"] != seen["request_id"]


@pytest.mark.parametrize("scenario", ["everything-set", "greedy"])
def test_all_documented_parameters_are_taken(client: ClientRun, scenario: str) -> None:
    assert client.value(scenario)["content"]


def test_the_sdk_retries_what_may_pass(client: ClientRun, scripted_engine: ScriptedEngine) -> None:
    client.raised("busy")
    # One request and two retries, for each client that has been here.
    assert len(scripted_engine.requests("busy")) >= 3
