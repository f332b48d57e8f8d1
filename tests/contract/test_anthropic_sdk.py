"""Anthropic's SDK and Claude Code's requests work as they are, with nothing but the base URL changed."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import environments
from tests.contract.client_runs import ANTHROPIC, SCRIPTS, ClientKind, ClientRun
from tests.contract.live_server import LiveServer
from tests.contract.scripted_engine import SEPARATORS, ScriptedEngine
from tests.integration.command_line import CommandLine
from tests.integration.fake_engine_thread import fake_engine

# The first test waits for the SDK's environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def run(run_of: Callable[[ClientKind], ClientRun]) -> ClientRun:
    return run_of(ANTHROPIC)


def texts(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["content"]]


def prompt_tokens(usage: dict[str, Any]) -> int:
    total: int = (
        usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    )
    return total


def test_a_message(run: ClientRun) -> None:
    message = run.value("create")
    (line,) = run.requests("create")
    assert message["id"] == f"msg_{line['id']}"
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "glm-4.6")
    assert kinds(message) == ["text"] and texts(message).strip()
    assert message["stop_reason"] == "end_turn"
    usage = message["usage"]
    assert prompt_tokens(usage) == line["prompt_tokens"] > 0
    assert usage["output_tokens"] == line["completion_tokens"]


def test_messages_at_once(run: ClientRun) -> None:
    assert len({message["id"] for message in run.value("at-once")}) == 4


@pytest.mark.parametrize("credential", ["day-jwt", "api-key"])
def test_every_form_of_a_credential(run: ClientRun, credential: str) -> None:
    assert run.value(credential)["type"] == "message"


@pytest.mark.parametrize("headers", ["x-api-key", "both-alike"])
def test_keys_in_the_header_of_other_releases(run: ClientRun, headers: str) -> None:
    answer = run.value(headers)
    assert (answer["status"], answer["body"]["type"]) == (200, "message")


def test_two_different_keys_are_refused(run: ClientRun) -> None:
    answer = run.value("both-different")
    assert (answer["status"], answer["body"]["error"]["type"]) == (401, "authentication_error")


def test_thinking_is_a_block_of_its_own(run: ClientRun) -> None:
    message = run.value("thinking")
    assert kinds(message) == ["thinking", "text"]
    assert message["content"][0]["thinking"] and message["content"][0]["signature"]
    assert (
        0 < message["usage"]["output_tokens_details"]["thinking_tokens"] < message["usage"]["output_tokens"]
    )


def test_the_stream_puts_together_the_same(run: ClientRun) -> None:
    streamed = run.value("thinking-stream")
    message, whole = streamed["message"], run.value("thinking")
    assert kinds(message) == ["thinking", "text"]
    for block in message["content"] + whole["content"]:
        block.pop("signature", None)
    assert message["content"] == whole["content"]
    assert message["stop_reason"] == "end_turn"
    assert {"thinking", "signature", "text"} <= set(streamed["kinds"])
    assert streamed["kinds"][-2:] == ["message_delta", "message_stop"]


def test_the_first_event_already_has_the_prompts_tokens(run: ClientRun) -> None:
    events = run.value("raw-events")
    assert events[0]["type"] == "message_start"
    assert prompt_tokens(events[0]["message"]["usage"]) == prompt_tokens(events[-2]["usage"]) > 0
    assert [event["type"] for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]


def test_an_answer_that_was_cut_short(run: ClientRun) -> None:
    message = run.value("cut-short")
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 2)


def test_a_tool_loop_with_thinking(run: ClientRun) -> None:
    turns = run.value("tool-loop")
    first, second = turns["first"], turns["second"]
    assert first["stop_reason"] == "tool_use"
    (call,) = (block for block in first["content"] if block["type"] == "tool_use")
    assert (call["name"], call["input"]) == ("get_weather", {"city": "北京"})
    assert call["id"].startswith("call_")
    assert second["stop_reason"] == "end_turn" and "21" in texts(second)


def test_a_streamed_call(run: ClientRun) -> None:
    streamed = run.value("tool-stream")
    message = streamed["message"]
    assert message["stop_reason"] == "tool_use"
    assert message["content"][-1]["input"] == {"city": "北京"}
    assert streamed["kinds"].count("input_json") > 1, "the arguments came as they were written"


def test_the_sdks_own_tool_loop(run: ClientRun) -> None:
    value = run.value("tool-runner")
    assert value["asked"][0] == "北京"
    assert texts(value["message"]).strip()


def test_two_calls_of_which_one_has_no_arguments(run: ClientRun) -> None:
    message = run.value("scripted-calls")["message"]
    assert kinds(message) == ["thinking", "text", "tool_use", "tool_use"]
    assert [block["input"] for block in message["content"][2:]] == [{"city": "北京"}, {}]
    assert message["stop_reason"] == "tool_use"


def test_line_separators_arrive(run: ClientRun) -> None:
    thinking, text, call = run.value("separators")["message"]["content"]
    assert thinking["thinking"] == text["text"] == call["input"]["text"] == SEPARATORS


def test_an_engine_that_dies_is_an_error_and_no_short_answer(run: ClientRun) -> None:
    raised = run.raised("die")
    assert "APIStatusError" in raised["types"]
    assert "api_error" in raised["text"] and "1234" in raised["text"]


def test_too_much_work_is_told_from_too_many_questions_and_asked_again(
    run: ClientRun, scripted: LiveServer
) -> None:
    raised = run.raised("busy")
    assert (raised["type"], raised["status"]) == ("OverloadedError", 529)
    attempts = [line for line in scripted.log if line.get("status") == 529]
    assert len(attempts) == 2


def test_a_prompt_that_is_too_long_is_called_so(run: ClientRun) -> None:
    raised = run.raised("too-long")
    assert raised["status"] == 400 and "prompt is too long" in raised["text"]


def test_a_request_of_claude_code(run: ClientRun, scripted_engine: ScriptedEngine) -> None:
    message = run.value("claude-code")
    assert (texts(message), message["stop_reason"]) == ("fine", "end_turn")
    question = "<system-reminder>Note.</system-reminder>\n\nas claude code"
    (asked,) = (request.json for request in scripted_engine.requests(question))
    assert asked["messages"][0]["content"].startswith("You are Claude Code.\n\nRules.")
    assert len(asked["tools"]) == 20
    names = [tool["function"]["name"] for tool in asked["tools"]]
    assert len(set(names)) == 20 and max(len(name) for name in names) <= 64
    assert asked["chat_template_kwargs"]["enable_thinking"] is True


def test_tokens_are_counted(run: ClientRun) -> None:
    # What the tool loop's first prompt had, but for its text.
    assert 40 <= run.value("count")["input_tokens"] <= 120
    assert 300 <= run.value("count-estimated")["input_tokens"] <= 600


def test_models(run: ClientRun) -> None:
    models = run.value("models")
    assert "glm-4.6" in {model["id"] for model in models}
    assert all(model["type"] == "model" and model["display_name"] for model in models)
    assert run.value("model")["id"] == "glm-4.6"
    raised = run.raised("no-model")
    assert (raised["type"], raised["status"]) == ("NotFoundError", 404)


@pytest.mark.parametrize("scenario", ["wrong-key", "wrong-key-stream", "wrong-key-models", "wrong-key-count"])
def test_a_wrong_key(run: ClientRun, scenario: str) -> None:
    raised = run.raised(scenario)
    assert (raised["type"], raised["status"]) == ("AuthenticationError", 401)
    body = json.loads(raised["body"])
    assert (body["type"], body["error"]["code"]) == ("error", "1000")
    (line,) = run.requests(scenario)
    assert body["request_id"] == line["id"]


@pytest.mark.parametrize(
    ("scenario", "code", "named"),
    [
        ("unknown-model", "1211", ""),
        ("no-max-tokens", "1213", "max_tokens"),
        ("bad-block", "1213", "messages.0.content.1.text"),
        ("bad-temperature", "1214", "temperature"),
        ("bad-image", "1210", "messages.0.content.1"),
    ],
)
def test_a_mistake_is_told_once_and_by_name(run: ClientRun, scenario: str, code: str, named: str) -> None:
    raised = run.raised(scenario)
    assert (raised["type"], raised["status"]) == ("BadRequestError", 400)
    error = json.loads(raised["body"])["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["message"].startswith(f"[{code}][") and named in error["message"]
    assert len(run.requests(scenario)) == 1


PRICED = """
[[engines]]
name = "fake"
kind = "openai"
base_url = "{base_url}"

[[models]]
id = "priced"
engine = "fake"
target = "fake-echo"
price = {{ input = 10.0, output = 10.0 }}

[[models]]
id = "once-a-day"
engine = "fake"
target = "fake-echo"
limits = {{ daily = 1 }}
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, dict[str, Any]]]:
    """A server for somebody without money, and how their requests went."""
    folder = tmp_path_factory.mktemp("anthropic")
    with fake_engine() as engine:
        config = folder / "bigmodel.toml"
        config.write_text(PRICED.format(base_url=engine.engine.endpoint.url))
        live = LiveServer(folder / "data", config=config)
        bigmodel = CommandLine(folder / "data")
        account = bigmodel("accounts", "create", "poor")["id"]
        poor = bigmodel("keys", "create", "--account", account)["key"]
        yield live, _asked(live, poor, folder)
        live.stop()


def _asked(live: LiveServer, key: str, folder: Path) -> dict[str, Any]:
    base = {"key": key, "base_url": live.root + "/api/anthropic"}
    cases = [
        {**base, "name": "no money", "model": "priced"},
        {**base, "name": "first", "model": "once-a-day"},
        {**base, "name": "too many", "model": "once-a-day"},
    ]
    python = environments.python_of(ANTHROPIC.environment)
    process = subprocess.run(
        [str(python), str(SCRIPTS / "anthropic_refused.py"), json.dumps(cases)],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    outcomes: dict[str, Any] = json.loads(process.stdout)
    return outcomes


@pytest.mark.parametrize(("name", "code"), [("no money", "1113"), ("too many", "1304")])
def test_what_cannot_pass_is_sent_once(
    refusals: tuple[LiveServer, dict[str, Any]], name: str, code: str
) -> None:
    live, outcomes = refusals
    raised = outcomes[name]
    assert (raised["type"], raised["status"]) == ("RateLimitError", 429)
    error = json.loads(raised["body"])["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", code)
    assert outcomes["first"] == {}
    live.logged(lambda line: line.get("code") == code)
    assert len([line for line in live.log if line.get("code") == code]) == 1
