"""A request to an upstream that speaks GLM itself: passed on as it is, settled and charged as any other."""

import json
from typing import Any

import pytest

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    DONE,
    Close,
    Data,
    End,
    Gate,
    Head,
    Reset,
    Step,
    event,
    json_answer,
)
from openbigmodel.engines.profiles import GLM
from tests.unit.inference.glm_upstream import upstream_chunk
from tests.unit.inference.pipeline_bench import CODING, Bench, run, until

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 2, "unheard_of": 2**60 + 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
SEARCH = [{"title": "t", "link": "l", "refer": "ref_1"}]
TOKENS = [
    upstream_chunk({"role": "assistant", "reasoning_content": "r"}),
    upstream_chunk({"role": "assistant", "content": "a"}, web_search=SEARCH),
    upstream_chunk({"role": "assistant", "content": "b"}),
]
FINAL = upstream_chunk({"role": "assistant", "content": ""}, "stop", usage=USAGE, content_filter=[])
BODY = {
    "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "ab", "role": "assistant"}}],
    "created": 7,
    "id": "2026",
    "model": "glm-4.7",
    "request_id": "2026",
    "unheard_of": 2**70,
    "usage": USAGE,
}

PRICE = Price("", 3, (Band(input=10**13, output=10**13),))


def events(*chunks: dict[str, Any], tokens: int = 1) -> list[Step]:
    return [event(chunk, tokens=tokens) for chunk in chunks]


def stream(*chunks: dict[str, Any]) -> list[Step]:
    return [Head(), *events(*TOKENS, *chunks), *events(FINAL, tokens=0), DONE, End()]


def as_ours(value: dict[str, Any], log_id: str, request_id: str = "mine") -> dict[str, Any]:
    ours = {"id": log_id, "request_id": request_id, "model": "GLM-4.6"}
    return {name: ours.get(name, member) for name, member in value.items()}


def test_a_stream_is_the_upstreams() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True, model="GLM-4.6", request_id="mine", unheard_of=[2**70])
        sink = await asked.answered()
        request = await bench.engine_hears()

        assert sink.chunks == [as_ours(chunk, sink.headers["x-log-id"]) for chunk in (*TOKENS, FINAL)]
        assert sink.events[-1] == "[DONE]"
        assert request.json == {
            "model": "real-glm-4.6",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "request_id": "mine",
            "unheard_of": [2**70],
        }
        usage = bench.cashier.lines[0].usage
        assert (usage.prompt_tokens, usage.cached_tokens) == (7, 2)
        assert (usage.completion_tokens, usage.reasoning_tokens, usage.measured) == (3, 1, True)
        assert bench.cashier.lines[0].finish_reason == "stop"
        assert await bench.violations() == []

    run(test, stream(), profile=GLM)


def test_a_body_is_the_upstreams() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(model="GLM-4.6", request_id="mine").answered()

        assert json.loads(sink.body) == as_ours(BODY, sink.headers["x-log-id"])
        assert "stream" not in (await bench.engine_hears()).json
        assert bench.cashier.lines[0].usage.completion_tokens == 3
        assert await bench.violations() == []

    run(test, json_answer(200, BODY, tokens=3), profile=GLM)


def test_the_upstreams_end_is_seen_when_its_usage_is_durable() -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.held = True
        asked = bench.ask(stream=True)
        await until(lambda: bench.cashier.waiting == 1)

        assert all("finish_reason" not in chunk["choices"][0] for chunk in asked.sink.chunks)
        assert not any("usage" in chunk for chunk in asked.sink.chunks)
        bench.cashier.commit()
        assert (await asked.answered()).chunks[-1]["usage"] == USAGE
        assert await bench.violations() == []

    run(test, stream(), profile=GLM)


def test_an_answer_whose_usage_is_lost_does_not_look_complete() -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.error = OSError("no space left")
        sink = await bench.ask(stream=True).answered()

        assert sink.ends in (["abort"], ["respond"])
        assert b"finish_reason" not in sink.body and b"[DONE]" not in sink.body

    run(test, stream(), profile=GLM)


@pytest.mark.parametrize("last", [[Reset()], [Close()], [DONE, End()], events({"error": {"code": "1234"}})])
def test_an_upstream_that_dies_in_mid_stream(last: list[Step]) -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: len(asked.sink.body) > 0)
        (await bench.engine_hears()).open_gate()
        sink = await asked.answered()

        assert len(sink.chunks) == 4
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert sink.chunks[-1]["usage"]["completion_tokens"] == 3
        assert sink.chunks[-1]["created"] == TOKENS[0]["created"]
        assert sink.events[-1] == "[DONE]"
        assert bench.cashier.lines[0].finish_reason == "network_error"
        assert await bench.violations() == []

    run(test, [Head(), *events(*TOKENS), Gate(), *last], profile=GLM)


ROLE = upstream_chunk({"role": "assistant", "content": ""})


@pytest.mark.parametrize("last", [[Reset()], [Close()], [DONE, End()], events({"error": {"code": "1234"}})])
def test_an_upstream_that_dies_after_a_role_alone_is_replaced_by_another(last: list[Step]) -> None:
    async def test(bench: Bench) -> None:
        async with FakeEngine() as other:
            other.play([Head(), *events(ROLE, tokens=0), *stream()[1:]])
            bench = Bench(bench.engine, profile=GLM, others=[other])
            asked = bench.ask(stream=True, model="GLM-4.6", request_id="mine")
            request = await bench.engine_hears()
            await until(lambda: asked.started._attempt.reader.done is False and asked.started._silence.heard)
            assert not asked.sink.body
            request.open_gate()
            sink = await asked.answered()

            log_id = sink.headers["x-log-id"]
            assert sink.chunks == [as_ours(chunk, log_id) for chunk in (ROLE, *TOKENS, FINAL)]
            assert sink.events[-1] == "[DONE]"
            assert (len(bench.engine.requests), len(other.requests)) == (1, 1)
            assert await bench.violations() == []

    run(test, [Head(), *events(ROLE, tokens=0), Gate(), *last], profile=GLM)


@pytest.mark.parametrize("last", [[], events(upstream_chunk({"content": ""}, "network_error"), tokens=0)])
def test_an_upstream_that_dies_before_it_says_anything_is_an_error(last: list[Step]) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert await bench.violations() == []

    run(test, [Head(), *last, DONE, End()], profile=GLM)


def test_an_upstreams_own_word_that_it_has_failed_is_passed_on() -> None:
    final = upstream_chunk({"role": "assistant", "content": ""}, "network_error", usage=USAGE)

    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, model="GLM-4.6", request_id="mine").answered()

        assert sink.chunks[-1] == as_ours(final, sink.headers["x-log-id"])
        assert bench.cashier.lines[0].finish_reason == "network_error"
        assert await bench.violations() == []

    run(test, [Head(), *events(*TOKENS), *events(final, tokens=0), DONE, End()], profile=GLM)


def test_an_upstream_that_goes_on_and_on_is_stopped() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, max_tokens=5).answered()

        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert bench.cashier.lines[0].usage.completion_tokens == 5
        assert await bench.violations(usage_is_true=False) == []

    run(test, [Head(), *events(*TOKENS * 20), Gate()], profile=GLM, price=PRICE, balance=10**18)


def test_a_caller_who_leaves_stops_the_upstream() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: len(asked.sink.body) > 0)
        asked.leave()

        assert await bench.violations() == []
        assert bench.cashier.lines[0].finish_reason == "client_left"
        assert bench.cashier.lines[0].usage.completion_tokens == 3

    run(test, [Head(), *events(*TOKENS), Gate()], profile=GLM)


def test_the_coding_base_tells_the_upstream_to_keep_reasoning() -> None:
    async def test(bench: Bench) -> None:
        await bench.ask(surface=CODING, thinking={"type": "enabled", "budget": 1}).answered()

        assert (await bench.engine_hears()).json["thinking"] == {
            "type": "enabled",
            "budget": 1,
            "clear_thinking": False,
        }

    run(test, json_answer(200, BODY, tokens=3), profile=GLM)


def test_a_request_that_cannot_be_passed_on_leaves_nothing_taken() -> None:
    async def test(bench: Bench) -> None:
        body = b'{"model":"glm-4.6","messages":[{"role":"user","content":"hi"}],"request_id":"mine","\xff":1}'
        asked = bench.ask(request_id="mine", body=body)

        assert (asked.sink.status, asked.sink.code) == (400, "1210")
        assert bench.engine.requests == []
        for load in bench.pipeline.router._loads.values():
            assert load.in_flight == 0

    run(test, profile=GLM)


def test_heartbeats_are_not_passed_on() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()

        assert b"ping" not in sink.body
        assert await bench.violations() == []

    run(test, [Head(), Data(b": ping\n\n"), *stream()[1:]], profile=GLM)


@pytest.mark.parametrize("code", ["1301", "1302", "1113"])
@pytest.mark.parametrize("enveloped", [True, False])
def test_an_error_after_the_head_is_told_as_one_before_it(code: str, enveloped: bool) -> None:
    """Nobody has seen anything yet, so it need not be a stream that breaks off."""
    said = {"code": code, "message": "words of the upstream"}

    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert sink.code == code
        assert sink.status == (400 if code == "1301" else 429)
        assert len(bench.engine.requests) == 1
        assert [line.charge for line in bench.cashier.lines] == [0]
        assert await bench.violations() == []

    run(test, [Head(), *events({"error": said} if enveloped else said, tokens=0), Close()], profile=GLM)
