"""Moderation by a checker, through the whole pipeline: fast, slow or down, and clients that do not wait."""

import asyncio
import itertools
import json

import pytest

from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.fake_script import (
    DONE,
    End,
    FakeRequest,
    Gate,
    Head,
    Reply,
    Reset,
    Step,
)
from tests.unit.inference.moderation_bench import (
    BALANCE,
    SENTENCE,
    TOOLS,
    Checker,
    checked,
    contents,
    filtered,
    moderated,
    sensitive,
)
from tests.unit.inference.pipeline_bench import Bench, until


def test_the_engine_is_asked_when_the_checker_has_let_the_input_pass() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        asked = bench.ask(messages=[{"role": "user", "content": "好"}], user_id="somebody")
        await until(lambda: bool(service.asked))
        assert bench.engine.requests == []
        assert (service.asked[0]["user_id"], service.asked[0]["stage"]) == ("somebody", "input")
        service.held = False
        service.answer()
        assert json.loads((await asked.answered()).body)["choices"][0]["message"]["content"] == "Hello, world"
        assert await bench.violations() == []

    checked(test, Reply().body())


@pytest.mark.parametrize("stream", [False, True])
def test_the_checker_blocks_the_input(stream: bool) -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = bench.ask(messages=[{"role": "user", "content": "坏"}], stream=stream)
        asked.unasked = True
        assert filtered(await asked.answered(), "user")
        assert (bench.engine.requests, bench.cashier.lines) == ([], [])
        assert bench.cashier.ledger.balance("account") == BALANCE
        assert await bench.violations() == []

    checked(test)


@pytest.mark.parametrize("how", ["down", "slow"])
@pytest.mark.parametrize("passes", [False, True])
def test_the_checker_gives_no_answer_about_the_input(how: str, passes: bool) -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.status, service.held = (500, False) if how == "down" else (200, True)
        asked = bench.ask()
        sink = await asked.answered()
        if passes:
            assert sink.status == 200
        else:
            asked.unasked = True
            assert (sink.status, sink.code, sink.headers["retry-after"]) == (429, "1305", "5")
            assert "no answer" in bench.records[0]["detail"]
            assert bench.engine.requests == []
        assert await bench.violations() == []

    checked(test, Reply().body(), passes=passes, outputs=False)


def test_a_client_that_leaves_while_its_input_is_checked() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        asked = bench.ask()
        asked.unasked = True
        await until(lambda: bool(service.asked))
        asked.leave()
        asked.started.client_left()
        service.answer()
        await asyncio.sleep(0.01)

        assert (asked.sink.status, bench.engine.requests, bench.cashier.lines) == (0, [], [])
        record = bench.records[0]
        assert (record["status"], record["client_left"]) == (499, True)
        assert await bench.violations() == []

    checked(test)


def test_the_platform_stops_while_an_input_is_checked() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        asked = bench.ask()
        asked.unasked = True
        await until(lambda: bool(service.asked))
        bench.pipeline.cut_all()
        assert (asked.sink.status, asked.sink.code) == (500, "1234")
        assert await bench.violations() == []

    checked(test)


class AwayPool:
    """Connections to an engine that cannot be had."""

    def post(self, path: str, body: bytes, consumer: object) -> None:
        raise EngineUnavailable("still loading")

    def close(self) -> None:
        """Nothing to close."""


def test_an_engine_that_is_away_when_the_input_has_been_checked() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = bench.ask()
        asked.unasked = True
        bench.remote._pool = AwayPool()  # type: ignore[assignment]
        sink = await asked.answered()
        assert (sink.status, sink.code) == (429, "1305")
        assert await bench.violations() == []

    checked(test)


def test_a_client_that_pauses_while_its_input_is_checked() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        asked = bench.ask(stream=True)
        await until(lambda: bool(service.asked))
        asked.started.pause()
        service.held = False
        service.answer()
        await bench.engine_hears()
        await asyncio.sleep(0.02)
        assert asked.sink.status == 0
        asked.started.resume()
        assert (await asked.answered()).text == "Hello, world"
        assert await bench.violations() == []

    checked(test, Reply().stream(), outputs=False)


def test_a_stream_is_shown_as_the_checker_lets_it_pass() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        asked = bench.ask(stream=True)
        await until(lambda: len(service.asked) == 1)
        service.answer()
        await until(lambda: len(service.asked) == 2)
        assert asked.sink.status == 0
        # While this is being judged, the engine goes on to its end.
        await bench.engine_hears()
        await asyncio.sleep(0.02)
        service.answer()
        await until(lambda: len(service.asked) == 3)
        assert asked.sink.text == SENTENCE
        service.answer()
        sink = await asked.answered()

        assert sink.text == SENTENCE + "第二句话。"
        assert service.texts("output") == [SENTENCE, "第二句话。"]
        assert service.asked[2]["before"] == SENTENCE
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert await bench.violations() == []

    checked(test, contents(SENTENCE, "第二", "句话。").stream())


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        ((SENTENCE, "坏"), SENTENCE),
        (("坏",), ""),
        ((SENTENCE, "好" * 300, "坏" * 300), None),
    ],
)
def test_the_checker_blocks_a_stream(tokens: tuple[str, ...], shown: str | None) -> None:
    async def test(bench: Bench, service: Checker) -> None:
        sink = await bench.ask(stream=True).answered()
        assert "坏" not in sink.text
        assert shown is None or sink.text == shown
        assert sensitive(sink)
        assert sink.chunks[-1]["content_filter"] == [{"level": 1, "role": "assistant"}]
        line = bench.cashier.lines[0]
        assert line.finish_reason == "sensitive"
        assert line.usage.completion_tokens <= bench.engine.requests[0].tokens
        assert await bench.violations() == []

    checked(test, contents(*tokens).stream())


def test_the_checker_stops_an_engine_that_is_still_at_it() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        sink = await bench.ask(stream=True).answered()
        request = await bench.engine_hears()
        assert sensitive(sink)
        assert sink.text == ""
        assert 1 <= bench.cashier.lines[0].usage.completion_tokens <= request.tokens
        assert await bench.violations() == []
        assert request.left_s is not None

    checked(test, [Head(), *contents("坏" * 300, "more").events(), Gate()])


def test_the_checker_blocks_a_body() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = bench.ask()
        assert filtered(await asked.answered(), "assistant")
        assert service.texts("output") == ["坏坏"]
        assert bench.cashier.lines[0].charge == 9_000
        assert await bench.violations() == []
        assert bench.ask(request_id=asked.name).sink.code == "1231"

    checked(test, contents("坏", "坏").body())


def test_a_body_is_one_question() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        body = json.loads((await bench.ask(tools=TOOLS).answered()).body)
        message = body["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == (SENTENCE * 10, "怪")
        assert body["content_filter"] == [{"level": 3, "role": "assistant"}]
        assert service.asked[1]["parts"] == [
            {"role": "assistant", "text": "怪", "kind": "reasoning"},
            {"role": "assistant", "text": SENTENCE * 10},
            {"role": "assistant", "text": '{"q":1}', "kind": "arguments"},
        ]
        assert len(service.asked) == 2
        assert await bench.violations() == []

    calls = (("search", ('{"q":', "1}")), ("now", ()))
    reply = Reply(content=(SENTENCE,) * 10, reasoning=("怪",), calls=calls, finish_reason="tool_calls")
    checked(test, reply.body())


def test_calls_without_arguments_need_no_question() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        sink = await bench.ask(stream=True, tools=TOOLS).answered()
        assert sink.deltas[0]["tool_calls"][0]["function"] == {"name": "now", "arguments": "{}"}
        assert service.texts("output") == []
        assert await bench.violations(usage_is_true=False) == []

    checked(test, Reply(content=(), calls=(("now", ()),), finish_reason="tool_calls").stream())


@pytest.mark.parametrize("how", ["down", "slow"])
@pytest.mark.parametrize("stream", [False, True])
def test_without_the_checkers_answer_nothing_is_shown_and_nothing_charged(how: str, stream: bool) -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.status, service.held = (500, False) if how == "down" else (200, True)
        sink = await bench.ask(stream=stream).answered()
        assert (sink.status, sink.code) == (500, "1234")
        assert bench.cashier.lines[0].charge == 0
        assert "no answer" in bench.records[0]["detail"]
        assert await bench.violations() == []

    script = contents(SENTENCE, SENTENCE).stream() if stream else contents(SENTENCE).body()
    checked(test, script, inputs=False)


def test_a_checker_that_fails_amid_a_stream() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: bool(asked.sink.body))
        service.status = 500
        (await bench.engine_hears()).open_gate()
        sink = await asked.answered()
        assert sink.text == SENTENCE
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert 2 <= bench.cashier.lines[0].usage.completion_tokens <= (await bench.engine_hears()).tokens
        assert await bench.violations() == []

    reply = contents(SENTENCE, SENTENCE)
    first, second = reply.events()
    checked(test, [Head(), first, Gate(), second, *reply.finish(), DONE, End()])


def test_a_checker_that_fails_amid_a_stream_and_may() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.status = 500
        sink = await bench.ask(stream=True).answered()
        assert sink.text == SENTENCE + "坏"
        assert await bench.violations() == []

    checked(test, contents(SENTENCE, "坏").stream(), passes=True)


@pytest.mark.parametrize("ended", [False, True])
def test_a_client_that_leaves_while_the_answer_is_checked(ended: bool) -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        asked = bench.ask(stream=True)
        await until(lambda: bool(service.asked))
        request = await bench.engine_hears()
        if ended:
            request.open_gate()
            await until(lambda: request.over)
            await asyncio.sleep(0.02)
        asked.leave()
        service.answer()
        await until(lambda: bool(bench.records))
        line = bench.cashier.lines[0]
        assert line.finish_reason == "client_left"
        assert 1 <= line.usage.completion_tokens <= request.tokens
        assert (asked.sink.status, asked.sink.ends) == (0, [])
        assert await bench.violations() == []

    reply = contents(SENTENCE)
    checked(test, [Head(), *reply.events(), Gate(), *reply.finish(), DONE, End()], inputs=False)


def test_an_engine_that_dies_while_its_answer_is_checked() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        sink = await bench.ask(stream=True).answered()
        service.answer()
        await asyncio.sleep(0.01)
        assert (sink.status, sink.code, sink.ends) == (500, "1234", ["respond"])
        assert await bench.violations() == []

    checked(test, [Head(), *contents(SENTENCE).events(), Reset()], inputs=False)


def test_the_platform_stops_while_the_end_of_an_answer_is_checked() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: bool(asked.sink.body))
        service.held = True
        (await bench.engine_hears()).open_gate()
        await until(lambda: len(service.asked) == 2)
        bench.pipeline.cut_all()
        sink = await asked.answered()
        assert sink.text == SENTENCE
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert await bench.violations() == []

    reply = contents(SENTENCE, "more")
    first, second = reply.events()
    checked(test, [Head(), first, Gate(), second, *reply.finish(), DONE, End()], inputs=False)


def test_a_word_ends_the_answer_while_the_checker_still_thinks() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        service.held = True
        sink = await bench.ask(stream=True).answered()
        assert sensitive(sink)
        # What the checker had not judged is not shown.
        assert sink.text == ""
        assert await bench.violations() == []

    checked(test, contents(SENTENCE, "a bomb", "!").stream(), inputs=False)


def test_a_reply_that_cannot_be_charged_is_refused_all_the_same() -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.error = OSError("disk full")
        assert filtered(await bench.ask().answered(), "assistant")
        sink = await bench.ask(stream=True).answered()
        assert sink.ends == ["abort"]
        assert await bench.violations() == []

    moderated(test, contents("a bomb").body(), contents("a ", "bomb", "!").stream())


def test_of_many_at_once_each_gets_its_own_verdict() -> None:
    async def test(bench: Bench, service: Checker) -> None:
        asked = [
            bench.ask(stream=stream, messages=[{"role": "user", "content": "坏" if bad else "好"}])
            for stream, bad in itertools.product((False, True), (False, True))
        ]
        for one, (_, bad) in zip(asked, itertools.product((False, True), (False, True)), strict=True):
            sink = await one.answered()
            one.unasked = bad
            assert filtered(sink, "user") if bad else sink.status == 200
        assert await bench.violations(usage_is_true=False) == []

    def script(request: FakeRequest) -> list[Step]:
        return Reply().stream() if request.json["stream"] else Reply().body()

    checked(test, script, script)
