"""What a repeated request id brings, through the whole pipeline: one charge, whatever else (reliability.md §4.2)."""

import asyncio
import json
from typing import Any

import pytest

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.engines.fake_script import Gate, Head, Reply, Stall, Step, error_answer
from openbigmodel.engines.profiles import LLAMA_SERVER as LLAMA_SERVER_PROFILE
from openbigmodel.limits import ModelLimits
from tests.unit.inference.pipeline_bench import Asked, Bench, run, until

# A fen for a token of the prompt, two for one of the answer, five for the call.
FEN = 10_000_000
PRICE = Price("", 3, (Band(input=FEN * 1_000_000, output=2 * FEN * 1_000_000),), per_call=5 * FEN)
BALANCE = 200_000 * FEN
MONEY: dict[str, Any] = {"price": PRICE, "balance": BALANCE}
REPLY = Reply(content=("one ", "two ", "three "))
BEGUN: list[Step] = [Head(), *REPLY.events()[:2]]
WHOLE = 5 + 7 + 2 * 3


def answers(request: Any) -> Any:
    return REPLY.stream() if request.json["stream"] else REPLY.body()


def twice(first: Asked, second: Asked) -> tuple[int, str, str | None]:
    return second.sink.status, second.sink.code, second.sink.headers.get("x-should-retry")


@pytest.mark.parametrize("stream", [True, False])
def test_the_same_id_while_it_runs_is_1231(stream: bool) -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask(stream=stream, request_id="mine")
        second = bench.ask(stream=stream, request_id="mine")

        assert twice(first, second) == (400, "1231", "false")
        assert json.loads(second.sink.body)["error"]["message"] == "You already have a request: mine"
        (await bench.engine_hears()).open_gate()
        await first.answered()
        assert len(bench.cashier.lines) == len(bench.engine.requests) == 1

    run(test, [Gate(), *(REPLY.stream() if stream else REPLY.body())], **MONEY)


def test_the_same_request_again_has_the_stored_reply_and_costs_nothing() -> None:
    async def test(bench: Bench) -> None:
        first = await bench.ask(request_id="mine").answered()
        again = bench.ask(request_id="mine")

        assert (again.exchange, again.sink.status, again.sink.body) == (None, 200, first.body)
        assert again.sink.headers["x-idempotent-replay"] == "true"
        assert "x-bigmodel-engine" not in again.sink.headers
        assert "x-idempotent-replay" not in first.headers
        assert len(bench.cashier.lines) == len(bench.engine.requests) == 1
        assert bench.cashier.ledger.balance("account") == BALANCE - WHOLE * FEN
        assert bench.records[1]["detail"] == "a stored reply"
        assert "completion_tokens" not in bench.records[1]
        assert bench.limits.total == 0

    run(test, REPLY.body(), **MONEY)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"stream": True}, {"stream": True}),
        ({"stream": False}, {"stream": True}),
        ({"stream": True}, {"stream": False}),
        ({"seed": 1}, {"seed": 2}),
        ({}, {"messages": [{"role": "user", "content": "something else"}]}),
    ],
)
def test_the_same_id_for_what_has_no_stored_reply_is_1231(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    async def test(bench: Bench) -> None:
        await bench.ask(request_id="mine", **first).answered()
        again = bench.ask(request_id="mine", **second)

        assert (again.sink.status, again.sink.code) == (400, "1231")
        assert again.sink.headers["x-should-retry"] == "false"
        assert len(bench.cashier.lines) == len(bench.engine.requests) == 1

    run(test, answers, **MONEY)


def test_an_id_belongs_to_a_caller_who_left_only_if_something_was_produced() -> None:
    async def leave_after(bench: Bench, number: int, tokens: int) -> None:
        asked = bench.ask(stream=True, request_id="mine")
        await bench.engine_hears(number)
        await until(lambda: asked.sink.delivered_tokens == tokens)
        asked.leave()
        await until(lambda: len(bench.records) > number)

    async def test(bench: Bench) -> None:
        await leave_after(bench, 0, 0)
        await leave_after(bench, 1, 2)
        assert bench.ask(stream=True, request_id="mine").sink.code == "1231"
        assert [line.source for line in bench.cashier.lines] == ["none", "counted"]

    run(test, [Stall()], [*BEGUN, Stall()], **MONEY)


def test_half_an_answer_is_no_stored_reply() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(request_id="mine")
        request = await bench.engine_hears()
        await until(lambda: request.tokens == 2)
        await asyncio.sleep(0.05)  # until the platform has read them too
        asked.leave()
        await until(lambda: bool(bench.records))
        assert bench.cashier.lines[0].usage.completion_tokens == 2
        assert bench.ask(request_id="mine").sink.code == "1231"

    run(test, [*BEGUN, Stall()], error_answer(404), profile=LLAMA_SERVER_PROFILE, **MONEY)


def test_a_refusal_before_the_engine_leaves_the_id_free() -> None:
    async def test(bench: Bench) -> None:
        assert bench.ask(request_id="mine", max_tokens=131_072).sink.code == "1113"
        assert (await bench.ask(request_id="mine", max_tokens=50).answered()).status == 200

    run(test, REPLY.body(), **MONEY)


def test_the_id_comes_before_the_limits() -> None:
    async def test(bench: Bench) -> None:
        first = await bench.ask(request_id="mine").answered()
        # The minute's one request is gone, and a stored reply does not need another.
        assert bench.ask(request_id="other").sink.code == "1303"
        assert bench.ask(request_id="mine").sink.body == first.body
        assert bench.ask(request_id="mine", seed=1).sink.code == "1231"

    run(test, REPLY.body(), limits_of={"*": ModelLimits(rpm=1)}, **MONEY)


def test_without_an_id_the_same_request_is_another_one() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(2):
            assert (await bench.ask(request_id=None).answered()).status == 200
        assert len(bench.cashier.lines) == 2

    run(test, REPLY.body(), REPLY.body(), **MONEY)
