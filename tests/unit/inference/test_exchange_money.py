"""What each ending costs, and what a repeated request id brings: through the whole pipeline, with the real ledger."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.store import UsageLine
from openbigmodel.catalog import load_catalog
from openbigmodel.engines.fake_script import (
    DONE,
    LLAMA_SERVER,
    Close,
    Data,
    End,
    Gate,
    Head,
    Reply,
    Reset,
    Stall,
    Step,
    error_answer,
    event,
    json_answer,
)
from openbigmodel.engines.profiles import GLM, OPENAI, VLLM
from openbigmodel.engines.profiles import LLAMA_SERVER as LLAMA_SERVER_PROFILE
from openbigmodel.inference import pipeline as pipeline_module
from openbigmodel.inference import prompt_count
from tests.unit.inference.pipeline_bench import Bench, run, until

# A fen for a token of the prompt, two for one of the answer, five for the call.
FEN = 10_000_000
PRICE = Price("", 3, (Band(input=FEN * 1_000_000, output=2 * FEN * 1_000_000),), per_call=5 * FEN)
BALANCE = 200_000 * FEN
MONEY: dict[str, Any] = {"price": PRICE, "balance": BALANCE}

REPLY = Reply(content=("one ", "two ", "three "))
TOKENS = REPLY.events()
FINISH, USAGE = REPLY.finish()
BEGUN: list[Step] = [Head(), *TOKENS[:2]]
WHOLE = 5 + 7 + 2 * 3


def fen(line: UsageLine) -> float:
    return line.charge / FEN


async def left(bench: Bench, stream: bool, *, after_tokens: int = 2) -> UsageLine:
    """What is written down when the client leaves after so many tokens."""
    asked = bench.ask(stream=stream, max_tokens=50)
    request = await bench.engine_hears()
    await until(lambda: request.tokens >= after_tokens)
    if stream and after_tokens:
        await until(lambda: asked.sink.delivered_tokens == after_tokens)
    else:
        await asyncio.sleep(0.05)  # until the platform has read them too
    asked.leave()
    await until(lambda: bool(bench.records))
    assert await bench.violations() == []
    return bench.cashier.lines[0]


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_answer_costs_what_it_used(stream: bool) -> None:
    async def test(bench: Bench) -> None:
        await bench.ask(stream=stream, max_tokens=50).answered()
        line = bench.cashier.lines[0]

        assert (fen(line), line.source, line.note) == (WHOLE, "engine", "")
        assert bench.cashier.ledger.balance("account") == BALANCE - WHOLE * FEN
        assert await bench.violations() == []

    run(test, REPLY.stream() if stream else REPLY.body(), **MONEY)


REFUSED: dict[str, list[Step]] = {
    "an error before anything": error_answer(500),
    "the prompt is too long": error_answer(400, "maximum context length"),
    "dead at once": [Reset()],
    "dead after the head": [Head(), Close()],
    "nonsense": [Head(), event([1]), End()],
    "no finish reason": [Head(), DONE, End()],
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_an_error_costs_nothing_and_may_be_tried_again(name: str, stream: bool) -> None:
    async def test(bench: Bench) -> None:
        first = await bench.ask(stream=stream, request_id="mine").answered()
        assert first.status >= 400
        line = bench.cashier.lines[0]
        assert (line.charge, line.usage.completion_tokens, line.source) == (0, 0, "none")
        assert bench.cashier.ledger.balance("account") == BALANCE
        bench.engine.play(REPLY.stream() if stream else REPLY.body())
        assert (await bench.ask(stream=stream, request_id="mine").answered()).status == 200
        assert fen(bench.cashier.lines[1]) == WHOLE

    run(test, REFUSED[name], **MONEY)


def test_a_broken_body_costs_nothing_though_the_engine_worked() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(max_tokens=50).answered()

        assert sink.status == 500
        assert (bench.cashier.lines[0].charge, bench.cashier.lines[0].source) == (0, "none")
        assert await bench.violations() == []

    run(test, [*BEGUN, Close()], profile=LLAMA_SERVER_PROFILE, **MONEY)


@pytest.mark.parametrize("last", [Close(), Reset(), event({"error": "out"}), DONE])
def test_an_engine_that_dies_is_paid_for_what_was_delivered(last: Step) -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True, max_tokens=50)
        await until(lambda: asked.sink.delivered_tokens == 2)
        (await bench.engine_hears()).open_gate()
        sink = await asked.answered()
        line = bench.cashier.lines[0]

        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert (line.usage.completion_tokens, line.source, line.note) == (2, "counted", "prompt estimated")
        assert fen(line) == 5 + line.usage.prompt_tokens + 4
        assert sink.chunks[-1]["usage"]["prompt_tokens"] == line.usage.prompt_tokens
        assert await bench.violations() == []

    run(test, [*BEGUN, Gate(), last, *([End()] if last == DONE else [])], **MONEY)


def test_an_engine_that_counts_on_its_way_is_paid_to_the_token() -> None:
    reply = Reply(content=("one ", "two ", "three "), dialect=LLAMA_SERVER)

    async def test(bench: Bench) -> None:
        line = await left(bench, stream=True)
        assert (line.usage.prompt_tokens, line.usage.completion_tokens) == (7, 2)
        assert (line.source, line.note, fen(line)) == ("engine", "", 5 + 7 + 4)

    run(test, [Head(), *reply.events()[:2], Stall()], profile=LLAMA_SERVER_PROFILE, **MONEY)


@pytest.mark.parametrize("stream", [True, False])
def test_vllm_is_asked_to_count_on_its_way(stream: bool) -> None:
    running = [
        event(
            {
                "choices": [{"index": 0, "delta": {"content": "x"}}],
                "usage": {"prompt_tokens": 7, "completion_tokens": count},
            },
            tokens=count - before,
        )
        # Several tokens in one event: their number, not the events', is what was produced.
        for before, count in ((0, 1), (1, 4))
    ]

    async def test(bench: Bench) -> None:
        line = await left(bench, stream=True, after_tokens=0)
        asked = bench.engine.requests[0].json
        assert asked["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
        assert (line.usage.prompt_tokens, line.usage.completion_tokens) == (7, 4)
        assert (line.source, line.note, fen(line)) == ("engine", "", 5 + 7 + 8)

    run(test, [Head(), *running, Stall()], profile=VLLM, **MONEY)


def test_a_caller_of_a_whole_body_who_leaves_pays_for_nothing_that_nobody_has_seen() -> None:
    async def test(bench: Bench) -> None:
        line = await left(bench, stream=False, after_tokens=0)
        assert (line.charge, line.source, line.note) == (0, "none", "nothing was produced")

    run(test, [Stall()], profile=OPENAI, **MONEY)


def test_a_caller_of_a_whole_body_who_leaves_pays_for_what_was_produced() -> None:
    async def test(bench: Bench) -> None:
        line = await left(bench, stream=False)
        assert line.usage.completion_tokens == 2
        assert fen(line) == 5 + line.usage.prompt_tokens + 4

    run(test, [*BEGUN, Stall()], error_answer(404), profile=LLAMA_SERVER_PROFILE, **MONEY)


# the prompt that nobody counted


COUNT_OF_LLAMA_SERVER = json_answer(200, {"input_tokens": 9})


def test_the_tokenizer_is_asked_when_the_caller_has_left() -> None:
    async def test(bench: Bench) -> None:
        line = await left(bench, stream=True)
        assert (line.usage.prompt_tokens, line.note) == (9, "prompt counted by the engine's tokenizer")
        assert bench.engine.requests[1].json == bench.engine.requests[0].json
        assert fen(line) == 5 + 9 + 4

    run(test, [*BEGUN, Stall()], COUNT_OF_LLAMA_SERVER, profile=LLAMA_SERVER_PROFILE, **MONEY)


@pytest.mark.parametrize("steps", [error_answer(404), [Close()], [Stall()]])
def test_without_its_answer_the_prompt_is_estimated(
    steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_count, "COUNT_TIMEOUT_S", 0.2)

    async def test(bench: Bench) -> None:
        line = await left(bench, stream=True)
        assert 1 <= line.usage.prompt_tokens < 60
        assert line.note == "prompt estimated"

    run(test, [*BEGUN, Stall()], steps, profile=LLAMA_SERVER_PROFILE, **MONEY)


def test_the_engine_is_stopped_before_it_is_asked() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: asked.sink.delivered_tokens == 2)
        asked.leave()
        await until(lambda: bench.engine.requests[0].left_s is not None)
        question = await bench.engine_hears(1)
        assert not bench.cashier.lines
        assert bench.limits.total == 1
        asked.started.client_left()  # a second time changes nothing
        asked.started.check_deadline(bench.now_s + 10_000)
        question.open_gate()
        await until(lambda: bool(bench.records))
        assert bench.cashier.lines[0].usage.prompt_tokens == 9
        assert await bench.violations() == []

    run(test, [*BEGUN, Stall()], [Gate(), *COUNT_OF_LLAMA_SERVER], profile=LLAMA_SERVER_PROFILE, **MONEY)


def test_a_platform_that_stops_waits_for_no_tokenizer() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: asked.sink.delivered_tokens == 2)
        asked.leave()
        await bench.engine_hears(1)
        bench.pipeline.cut_all()
        assert bench.cashier.lines[0].note == "prompt estimated"
        await until(lambda: bool(bench.records))
        assert await bench.violations() == []

    run(test, [*BEGUN, Stall()], [Stall()], profile=LLAMA_SERVER_PROFILE, **MONEY)


@pytest.mark.parametrize("profile", [LLAMA_SERVER_PROFILE, VLLM])
def test_no_answer_ever_waits_for_a_tokenizer(profile: Any) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert sink.status == 200
        assert len(bench.engine.requests) == 1
        assert bench.cashier.lines[0].note == "prompt estimated"

    run(test, [Head(), *TOKENS, FINISH, DONE, End()], profile=profile, **MONEY)


# engines that lie


@pytest.mark.parametrize(
    ("said", "charged", "note"),
    [
        (2, 3, "the engine reported 2 completion tokens, 3 were delivered"),
        (9, 6, "the engine reported 9 completion tokens, 6 were the most it was asked for"),
        # No count at all.
        (-5, 3, ""),
        (10**15, 6, "the engine reported 1000000000 completion tokens, 6 were the most it was asked for"),
    ],
)
def test_an_engine_that_contradicts_its_answer_is_not_believed(said: int, charged: int, note: str) -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": said}})

    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, max_tokens=6).answered()
        line = bench.cashier.lines[0]

        assert sink.chunks[-1]["usage"]["completion_tokens"] == line.usage.completion_tokens == charged
        assert (fen(line), line.note) == (5 + 7 + 2 * charged, note)

    run(test, [Head(), *TOKENS, FINISH, usage, DONE, End()], **MONEY)


def test_an_engine_that_goes_on_and_on_is_stopped_at_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "_SWEEP_INTERVAL_S", 0.01)

    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True, max_tokens=5)
        sink = await asked.answered()
        line = bench.cashier.lines[0]

        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert (line.usage.completion_tokens, line.source) == (5, "counted")
        assert "9 completion tokens, 5 were the most" in line.note
        assert bench.cashier.ledger.held("account") == 0

    # Nine tokens, and it would not stop there.
    run(test, [Head(), *Reply(content=("word ",) * 9).events(), Stall()], **MONEY)


def test_an_engine_that_runs_away_is_stopped_at_once() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, max_tokens=5).answered()
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert bench.cashier.lines[0].usage.completion_tokens == 5

    # No sweep is needed for it.
    run(test, [Head(), *Reply(content=("word ",) * 60).events(), Stall()], **MONEY)


def test_where_nothing_is_at_stake_an_engine_may_go_on() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True, max_tokens=5)
        request = await bench.engine_hears()
        await until(lambda: asked.sink.delivered_tokens == 9)
        asked.started.check_deadline(bench.now_s)
        request.open_gate()
        assert (await asked.answered()).chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert bench.cashier.lines[0].usage.completion_tokens == 9

    many = Reply(content=("word ",) * 9)
    run(test, [Head(), *many.events(), Gate(), *many.finish(), DONE, End()])


# money that is not there


def test_too_little_money_is_1113_before_any_engine_is_asked() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(max_tokens=131_072)

        assert (asked.sink.status, asked.sink.code, asked.exchange) == (429, "1113", None)
        assert asked.sink.headers["x-should-retry"] == "false"
        assert "retry-after" not in asked.sink.headers
        assert (bench.engine.requests, bench.cashier.lines) == ([], [])
        assert await bench.violations() == []

    run(test, **MONEY)


def test_a_charge_that_could_not_be_stored_is_taken_back() -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.error = OSError("no space left")
        sink = await bench.ask(request_id="mine").answered()

        assert (sink.status, sink.code) == (500, "1230")
        assert bench.cashier.ledger.balance("account") == BALANCE
        assert await bench.violations() == []
        bench.cashier.error = None
        bench.engine.play(REPLY.body())
        assert (await bench.ask(request_id="mine").answered()).status == 200

    run(test, REPLY.body(), **MONEY)


def test_the_hold_is_for_the_most_that_the_request_may_cost() -> None:
    async def test(bench: Bench) -> None:
        content = "长城" * 40
        asked = bench.ask(max_tokens=300, messages=[{"role": "user", "content": content}])
        request = await bench.engine_hears()
        raw = len(json.dumps([{"role": "user", "content": content}]))
        assert bench.cashier.ledger.held("account") / FEN == 5 + (raw + 64) + 2 * 300
        request.open_gate()
        await asked.answered()
        assert await bench.violations() == []

    run(test, [Gate(), *REPLY.body()], **MONEY)


@pytest.mark.parametrize(
    ("fields", "bound"),
    [({"max_tokens": 300}, 300), ({"max_tokens": 9000}, 4096), ({}, 4096)],
)
def test_an_engines_own_cap_bounds_the_hold(fields: dict[str, Any], bound: int) -> None:
    profile = msgspec.structs.replace(OPENAI, max_output_tokens=4096)
    price = Price("", 3, (Band(input=0, output=FEN * 1_000_000),))

    async def test(bench: Bench) -> None:
        asked = bench.ask(**fields)
        request = await bench.engine_hears()
        assert request.json["max_tokens"] == bound
        assert bench.cashier.ledger.held("account") / FEN == bound
        request.open_gate()
        await asked.answered()

    run(test, [Gate(), *REPLY.body()], profile=profile, price=price, balance=BALANCE)


def test_a_body_that_ends_with_junk_costs_what_it_says() -> None:
    whole = b"".join(step.data for step in REPLY.stream() if isinstance(step, Data))

    async def test(bench: Bench) -> None:
        assert (await bench.ask(stream=True).answered()).status == 200
        assert fen(bench.cashier.lines[0]) == WHOLE

    run(test, [Head(), Data(whole + b"junk", 3), Stall()], **MONEY)


def test_a_body_without_a_bound_is_watched_and_stopped_where_nobody_pays_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that is not told its bound might give a body of any length, and only the start of it is held for."""
    monkeypatch.setattr(pipeline_module, "_SWEEP_INTERVAL_S", 0.01)

    async def test(bench: Bench) -> None:
        route = bench.pipeline.registry.route("glm-4.6")
        assert route is not None
        asked = bench.ask(max_tokens=None)
        sink = await asked.answered()
        sent = bench.engine.requests[0].json
        assert sent["stream"] is True
        assert "max_tokens" not in sent
        body = json.loads(sink.body)
        assert body["choices"][0]["finish_reason"] == "length"
        bound = route.model.default_max_tokens
        assert body["usage"]["completion_tokens"] == bound
        assert body["choices"][0]["message"]["content"].startswith("word word ")
        assert [fen(line) for line in bench.cashier.lines] == [5 + line_prompt(bench) + 2 * bound]
        assert await bench.violations(usage_is_true=False) == []

    def line_prompt(bench: Bench) -> int:
        return bench.cashier.lines[0].usage.prompt_tokens

    model = load_catalog().find("glm-4.6")
    assert model is not None
    word = Reply(content=("word ",)).events()[0]
    assert isinstance(word, Data)
    count = model.default_max_tokens + 100
    run(test, [Head(), Data(word.data * count, count), Stall()], **MONEY)


@pytest.mark.parametrize(("asked", "profile"), [({"max_tokens": 9}, OPENAI), ({"max_tokens": None}, GLM)])
def test_what_is_bounded_or_passed_on_is_asked_for_as_the_caller_wants_it(
    asked: dict[str, Any], profile: Any
) -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.ask(**asked).answered()).status == 200
        assert not bench.engine.requests[0].json.get("stream")
        assert await bench.violations() == []

    run(test, REPLY.body(), profile=profile, **MONEY)
