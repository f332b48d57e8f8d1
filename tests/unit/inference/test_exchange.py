"""One request from body to settled answer, when all goes well and when it is refused."""

import asyncio
import json
from typing import Any

import pytest

from openbigmodel.engines.fake_script import (
    LLAMA_SERVER,
    VLLM,
    Data,
    Dialect,
    Gate,
    Head,
    Reply,
    error_answer,
    json_answer,
)
from openbigmodel.engines.profiles import LLAMA_SERVER as LLAMA_SERVER_PROFILE
from openbigmodel.inference import attempt as attempt_module
from openbigmodel.limits import ModelLimits
from tests.unit.inference.pipeline_bench import CODING, PAAS, Bench, run, until

REPLY = Reply(content=("Hello", ", ", "world"), reasoning=("let ", "me "))
WEATHER = Reply(
    content=(), calls=(("get_weather", ('{"city":', '"北京"}')), ("now", ())), finish_reason="tool_calls"
)
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {}}} for name in ("get_weather", "now")
]


@pytest.mark.parametrize("dialect", [VLLM, LLAMA_SERVER])
def test_a_stream(dialect: Dialect) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()

        assert sink.status == 200
        assert sink.headers["content-type"] == "text/event-stream;charset=UTF-8"
        assert sink.headers["x-bigmodel-engine"] == "fake"
        assert sink.text == "Hello, world"
        assert [delta["reasoning_content"] for delta in sink.deltas[:2]] == ["let ", "me "]
        assert sink.events[-1] == "[DONE]"
        assert ["finish_reason" in chunk["choices"][0] for chunk in sink.chunks] == [False] * 5 + [True]
        assert sink.chunks[-1]["usage"]["completion_tokens"] == 5
        assert sink.headers["x-log-id"] == sink.chunks[0]["id"] == bench.records[0]["id"]
        assert await bench.violations() == []

    run(test, Reply(content=REPLY.content, reasoning=REPLY.reasoning, dialect=dialect).stream())


def test_a_body() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(request_id="mine").answered()
        body = json.loads(sink.body)

        assert (sink.status, sink.ends) == (200, ["respond"])
        assert body["choices"][0]["message"] == {
            "content": "Hello, world",
            "reasoning_content": "let me ",
            "role": "assistant",
        }
        assert body["choices"][0]["finish_reason"] == "stop"
        assert (body["request_id"], body["usage"]["total_tokens"]) == ("mine", 12)
        assert await bench.violations() == []

    run(test, REPLY.body())


def test_a_body_put_together_from_a_stream() -> None:
    async def test(bench: Bench) -> None:
        body = json.loads((await bench.ask().answered()).body)
        request = await bench.engine_hears()

        assert request.json["stream"] is True
        assert body["choices"][0]["message"]["content"] == "Hello, world"
        assert await bench.violations() == []

    run(test, REPLY.stream(), profile=LLAMA_SERVER_PROFILE)


@pytest.mark.parametrize("tool_stream", [False, True])
def test_streamed_tool_calls(tool_stream: bool) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, tools=TOOLS, tool_stream=tool_stream).answered()
        calls = [call for delta in sink.deltas for call in delta.get("tool_calls", ())]
        arguments = {
            index: "".join(call["function"]["arguments"] for call in calls if call["index"] == index)
            for index in (0, 1)
        }

        assert arguments == {0: '{"city":"北京"}', 1: "{}"}
        assert len(calls) == (5 if tool_stream else 2)
        assert {call["function"]["name"] for call in calls} == {"get_weather", "now"}
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert await bench.violations(usage_is_true=not tool_stream) == []

    run(test, WEATHER.stream())


def test_tool_calls_in_a_body() -> None:
    async def test(bench: Bench) -> None:
        choice = json.loads((await bench.ask(tools=TOOLS).answered()).body)["choices"][0]

        assert [call["function"]["arguments"] for call in choice["message"]["tool_calls"]] == [
            '{"city":"北京"}',
            "{}",
        ]
        assert choice["finish_reason"] == "tool_calls"
        assert await bench.violations() == []

    run(test, WEATHER.body())


def test_what_is_written_down() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True, user_id="user", request_id="mine")
        request = await bench.engine_hears()
        bench.now_s += 2
        request.open_gate()
        await until(lambda: asked.sink.status == 200)
        bench.now_s += 3
        request.open_gate()
        await asked.answered()

        line = bench.cashier.lines[0]
        assert (line.account_id, line.api_key_id, line.model, line.engine) == (
            "account",
            "key",
            "glm-4.6",
            "fake",
        )
        assert (line.finish_reason, line.code, line.source, line.note) == ("stop", "", "engine", "")
        assert line.stream
        assert line.ended_ms - line.started_ms == 5000
        record = bench.records[0]
        assert (record["first_token_ms"], record["duration_ms"], record["stream"]) == (2000, 5000, True)
        assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 3)
        assert "hi" not in record.values() and "Hello" not in bench.log.getvalue()
        assert await bench.violations() == []

    reply = Reply()
    first, *others = reply.stream()
    run(test, [Gate(), first, *others[:2], Gate(), *others[2:]])


@pytest.mark.parametrize(
    ("request_id", "said"), [("mine", "mine"), (20260913, "20260913"), (1.5, "1.5"), ("编号-1", "编号-1")]
)
def test_request_ids_of_all_kinds(request_id: Any, said: str) -> None:
    async def test(bench: Bench) -> None:
        body = json.loads((await bench.ask(request_id=request_id).answered()).body)

        assert body["request_id"] == said
        assert body["id"] != said
        assert bench.cashier.lines[0].request_id == said
        assert bench.records[0]["request_id"] == said
        assert await bench.violations() == []

    run(test, Reply().body())


def test_without_a_request_id_the_platforms_own_is_used() -> None:
    async def test(bench: Bench) -> None:
        body = json.loads((await bench.ask(request_id=None).answered()).body)

        assert body["request_id"] == body["id"] == bench.cashier.lines[0].request_id
        assert "request_id" not in bench.records[0]

    run(test, Reply().body())


@pytest.mark.parametrize(
    ("base", "asked", "target", "answers"),
    [
        ("paas", "glm-4.7", "real-glm-4.7", "glm-4.7"),
        ("paas", "GLM-4.7", "real-glm-4.7", "GLM-4.7"),
        ("coding", "glm-4.7", "real-glm-5.3-flash", "glm-5.3-flash"),
        ("coding", "GLM-5.3-Flash", "real-glm-5.3-flash", "GLM-5.3-Flash"),
        ("coding", "glm-4-flash", "real-glm-4-flash", "glm-4-flash"),
    ],
)
def test_the_coding_base_renames_models(base: str, asked: str, target: str, answers: str) -> None:
    async def test(bench: Bench) -> None:
        surface = CODING if base == "coding" else PAAS
        body = json.loads((await bench.ask(model=asked, surface=surface).answered()).body)
        request = await bench.engine_hears()

        assert (request.json["model"], body["model"]) == (target, answers)
        assert bench.cashier.lines[0].model == target.removeprefix("real-")
        assert await bench.violations() == []

    run(test, Reply().body())


@pytest.mark.parametrize(
    ("body", "fields", "status", "code"),
    [
        (b"{", {}, 400, "1210"),
        (b"{}", {}, 400, "1213"),
        (None, {"model": "no-such-model"}, 400, "1211"),
        (None, {"messages": []}, 400, "1214"),
        (None, {"max_tokens": 0}, 400, "1210"),
        (None, {"model": "glm-5.3-flash", "thinking": {"type": "disabled"}}, 400, "1210"),
    ],
)
def test_a_bad_request_never_reaches_the_engine(
    body: bytes | None, fields: dict[str, Any], status: int, code: str
) -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(body=body, **fields)

        assert asked.exchange is None
        assert (asked.sink.status, asked.sink.code) == (status, code)
        assert bench.engine.requests == []
        assert bench.cashier.lines == []
        assert bench.records[0]["code"] == code
        assert await bench.violations() == []

    run(test)


def test_an_unknown_model_is_one_label_in_the_metrics() -> None:
    async def test(bench: Bench) -> None:
        bench.ask(model="made-up-1")
        bench.ask(model="made-up-2")

        assert (
            b'bigmodel_requests_total{code="1211",engine="",model="unknown",status="400"} 2.0'
            in bench.metrics.render()
        )

    run(test)


def test_one_more_than_the_platform_takes_is_1305() -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask(stream=True)
        second = bench.ask(stream=True)

        assert (second.sink.status, second.sink.code) == (429, "1305")
        assert (second.sink.headers["retry-after"], second.sink.headers["x-should-retry"]) == ("2", "true")
        (await bench.engine_hears()).open_gate()
        await first.answered()
        third = bench.ask(stream=True)
        assert (await third.answered()).status == 200
        assert await bench.violations(usage_is_true=False) == []

    run(test, [Gate(), *Reply().stream()], Reply().stream(), platform_limit=1)


def test_one_more_than_the_account_may_have_is_1302() -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask()
        second = bench.ask()
        other_model = bench.ask(model="glm-4.7")

        assert second.sink.code == "1302"
        for number in (0, 1):
            (await bench.engine_hears(number)).open_gate()
        await first.answered()
        assert (await other_model.answered()).status == 200
        assert await bench.violations(usage_is_true=False) == []

    run(
        test,
        [Gate(), *Reply().body()],
        [Gate(), *Reply().body()],
        limits_of={"*": ModelLimits(in_flight=1)},
    )


@pytest.mark.parametrize(
    ("engine_status", "status", "code"),
    [
        (400, 400, "1210"),
        (401, 500, "1234"),
        (403, 500, "1234"),
        (404, 500, "1234"),
        (413, 400, "1210"),
        (422, 400, "1210"),
        (429, 429, "1305"),
        (500, 500, "1234"),
        (503, 500, "1234"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_engines_refusal(stream: bool, engine_status: int, status: int, code: str) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=stream).answered()

        assert (sink.status, sink.code) == (status, code)
        # The operator reads what the engine said; the caller only if it is the caller's to mend.
        assert ("temperature is odd" in sink.body.decode()) == (code == "1210")
        assert f"engine answered {engine_status}" in bench.records[0]["detail"]
        line = bench.cashier.lines[0]
        assert (line.code, line.usage.completion_tokens, line.finish_reason) == (code, 0, "")
        assert await bench.violations() == []

    run(test, error_answer(engine_status, "temperature is odd"))


def test_an_engines_error_text_of_any_size_is_read_in_part() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert len(bench.records[0]["detail"]) < 1000
        assert await bench.violations() == []

    run(test, [Head(500), *[Data(b"x" * 10_000)] * 20, *Reply().stream()[-1:]])


def test_an_engines_body_beyond_all_measure_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_module, "MAX_ENGINE_BODY_BYTES", 10_000)

    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert await bench.violations() == []

    run(test, [Head(200, framing=10**9), Data(b"x" * 20_000), Gate()])


def test_a_prompt_that_is_too_long_is_1261() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.ask().answered()).code == "1261"

    run(test, error_answer(400, "This model's maximum context length is 4096 tokens"))


def test_a_slow_client_slows_the_engine() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        request = await bench.engine_hears()
        await until(lambda: asked.sink.status == 200)
        asked.started.pause()
        produced = -1
        while produced != request.tokens:  # until every buffer on the way is full
            produced = request.tokens
            await asyncio.sleep(0.1)
        assert request.tokens < 200
        # A deadline is for engines, not for clients.
        bench.now_s += 10_000
        asked.started.check_deadline(bench.now_s)
        asked.started.resume()
        sink = await asked.answered()

        assert sink.delivered_tokens == request.tokens == 200
        assert await bench.violations() == []

    run(test, Reply(content=("0" * 65_536,) * 200).stream())


def test_pausing_before_the_engine_is_connected() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        asked.started.pause()
        await asyncio.sleep(0.05)  # for whatever would come in spite of it
        assert asked.sink.status == 0
        asked.started.resume()
        assert (await asked.answered()).text == "Hello, world"
        assert await bench.violations() == []

    run(test, Reply().stream())


def test_many_at_once() -> None:
    async def test(bench: Bench) -> None:
        for number in range(50):
            bench.ask(stream=number % 2 == 0)
        for asked in bench.asked:
            assert (await asked.answered()).status == 200
        assert len({line.request_id for line in bench.cashier.lines}) == 50
        assert await bench.violations() == []

    def answer(request: Any) -> Any:
        return Reply().stream() if request.json["stream"] else Reply().body()

    run(test, *[answer] * 50)


def test_a_reply_without_anything_in_it_is_a_failure() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert "without a finish reason" in bench.records[0]["detail"]
        assert await bench.violations() == []

    run(test, json_answer(200, {"choices": []}))
