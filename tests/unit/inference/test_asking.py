"""Several engines for one model: who is asked after whom, and what the caller and the books see of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.engines import retry_budget
from openbigmodel.engines.candidate import Seat
from openbigmodel.engines.connection import EngineCall, EngineConsumer
from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    Close,
    Gate,
    Head,
    Reply,
    Reset,
    Script,
    Stall,
    Step,
    error_answer,
    event,
    json_answer,
)
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.waiting_room import WAIT_MAX_S
from openbigmodel.inference.exchange import ChatExchange
from tests.unit.inference.pipeline_bench import Asked, Bench, until

REPLY = Reply(content=("one ", "two ", "three "))
PRICE = Price("", 1, (Band(input=2_000_000_000, output=8_000_000_000),))
Scripts = list[Script | list[Step]]


def run(test: Callable[[Bench], Awaitable[None]], *scripts: Scripts, **options: Any) -> None:
    """With an engine for each list of scripts."""

    async def main() -> None:
        engines = [FakeEngine() for _ in scripts]
        for engine, plays in zip(engines, scripts, strict=True):
            await engine.start()
            engine.play(*plays)
        bench = Bench(engines[0], others=engines[1:], **options)
        try:
            await test(bench)
        finally:
            for engine in engines:
                await engine.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


def asked(bench: Bench) -> list[int]:
    """How often each engine was asked."""
    return [len(engine.requests) for engine in (bench.engine, *bench.others)]


NOTHING_PRODUCED: dict[str, list[Step]] = {
    "500": error_answer(500),
    "502": error_answer(502),
    "503": error_answer(503),
    "429": error_answer(429),
    "401": error_answer(401),
    "404": error_answer(404),
    "reset": [Reset()],
    "closed": [Close()],
    "head and reset": [Head(), Reset()],
    "only a role": [Head(), REPLY.stream()[1], Reset()],
    "no finish reason": [Head(), REPLY.stream()[1], REPLY.stream()[-2], Close()],
    "no JSON": [Head(), *json_answer(200, "text")[1:]],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", NOTHING_PRODUCED)
def test_the_next_engine_is_asked_while_nobody_has_seen_anything(fault: str, stream: bool) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=stream).answered()
        assert sink.status == 200
        assert sink.headers["x-bigmodel-engine"] == "fake-1"
        assert asked(bench) == [1, 1]
        assert [line.engine for line in bench.cashier.lines] == ["fake-1"]
        assert bench.cashier.lines[0].usage.completion_tokens == 3
        assert await bench.violations() == []

    whole = REPLY.stream() if stream else REPLY.body()
    run(test, [NOTHING_PRODUCED[fault]], [whole], price=PRICE, balance=10**12)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, {"message": "no"}, "1210"),
        (400, {"message": "This model's maximum context length is 8 tokens"}, "1261"),
        (400, {"code": "1301", "message": "unsafe"}, "1301"),
        (429, {"code": "1113", "message": "no money"}, "1234"),
    ],
)
def test_what_another_engine_would_say_as_well_is_asked_once(
    status: int, error: dict[str, str], code: str
) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        if code == "1234":
            # Our account there: another engine can serve the caller.
            assert (sink.status, asked(bench)) == (200, [1, 1])
            return
        assert sink.code == code
        assert asked(bench) == [1, 0]
        assert await bench.violations() == []

    run(test, [json_answer(status, {"error": error})], [REPLY.body()])


def test_never_again_after_a_token() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert sink.text == "one two "
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert asked(bench) == [1, 0]
        assert await bench.violations() == []

    run(test, [[Head(), *REPLY.events()[:2], Reset()]], [REPLY.stream()], price=PRICE, balance=10**12)


def test_a_body_that_breaks_off_after_its_text_is_not_asked_for_again() -> None:
    """The model has worked for it, and may have done so for a long time."""

    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        assert sink.code == "1234"
        assert asked(bench) == [1, 0]
        assert [line.charge for line in bench.cashier.lines] == [0]

    cut = json_answer(
        200, {"choices": [{"index": 0, "message": {"content": "one"}, "finish_reason": None}]}, tokens=1
    )
    run(test, [cut], [REPLY.body()], price=PRICE, balance=10**12)


def test_when_all_fail_the_caller_hears_of_the_last() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        assert (sink.status, sink.code) == (500, "1234")
        assert asked(bench) == [1, 1, 1]
        assert await bench.violations() == []

    run(test, [error_answer(500)], [error_answer(502)], [error_answer(500)])


@pytest.mark.parametrize("first", ["fails", "is away"])
def test_the_next_engine_cannot_even_be_asked(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = RemoteEngine.post

    def post(
        self: RemoteEngine, path: str, body: bytes, consumer: EngineConsumer, key: str | None = None
    ) -> EngineCall:
        if self.name == "fake-1" or first == "is away":
            raise EngineUnavailable("not today")
        return right(self, path, body, consumer)

    monkeypatch.setattr(RemoteEngine, "post", post)

    async def test(bench: Bench) -> None:
        one = bench.ask()
        one.unasked = first == "is away"
        sink = await one.answered()
        assert sink.code == ("1234" if first == "fails" else "1305")
        assert "not today" in bench.records[-1]["detail"] or first == "fails"
        assert await bench.violations() == []

    run(test, [error_answer(500)], [], price=PRICE, balance=10**12)


def test_a_single_engine_is_asked_again_only_when_it_has_not_said_a_word() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.ask().answered()).status == 200
        assert asked(bench) == [2]
        assert (await bench.ask().answered()).code == "1234"
        assert asked(bench) == [3]
        assert await bench.violations() == []

    scripts: Scripts = [[Reset()], REPLY.body(), error_answer(500)]
    run(test, scripts)


def test_an_engine_that_keeps_failing_is_left_alone_and_one_that_only_refuses_is_not() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(5):
            assert (await bench.ask().answered()).code == "1210"
        assert asked(bench) == [5, 0]
        for _ in range(5):
            assert (await bench.ask().answered()).status == 200
        # The third failure in a row has closed the door.
        assert asked(bench) == [8, 5]
        assert await bench.violations() == []

    refusals: Scripts = [json_answer(400, {"error": {"message": "no"}})] * 5
    failures: Scripts = [error_answer(500)] * 5
    run(test, [*refusals, *failures], [REPLY.body()] * 5)


def test_who_finds_every_engine_full_waits_for_a_place() -> None:
    async def test(bench: Bench) -> None:
        first, second, third = (bench.ask(stream=True) for _ in range(3))
        await until(lambda: asked(bench) == [1, 1])
        assert bench.pipeline.router.waiting == 1
        await until(lambda: bool(bench.others[0].requests))
        bench.others[0].requests[0].open_gate()
        assert (await second.answered()).status == 200
        await until(lambda: asked(bench) == [1, 2])
        bench.engine.requests[0].open_gate()
        assert [(await each.answered()).status for each in (first, third)] == [200, 200]
        assert await bench.violations() == []

    held = [Head(), Gate(), *REPLY.stream()[1:]]
    run(test, [held], [held, REPLY.stream()], max_in_flight={"fake": 1, "fake-1": 1})


@pytest.mark.parametrize("how", ["leaves", "waits too long", "is cut"])
def test_who_waits_and_is_not_served_owes_nothing(how: str) -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask(stream=True)
        await bench.engine_hears()
        waiting = bench.ask()
        waiting.unasked = True
        assert bench.pipeline.router.waiting == 1
        if how == "leaves":
            waiting.leave()
            assert bench.records[-1]["status"] == 499
        elif how == "is cut":
            waiting.started.cut("the platform is stopping")
            assert waiting.sink.code == "1234"
        else:
            bench.now_s += WAIT_MAX_S
            bench.pipeline.router.expire()
            assert waiting.sink.code == "1305"
            assert int(waiting.sink.headers["retry-after"]) > 0
        bench.engine.requests[0].open_gate()
        assert (await first.answered()).status == 200
        assert asked(bench) == [1]
        assert await bench.violations() == []

    run(
        test,
        [[Head(), Gate(), *REPLY.stream()[1:]]],
        max_in_flight={"fake": 1},
        price=PRICE,
        balance=10**12,
    )


def test_turns_of_a_conversation_stay_together() -> None:
    async def test(bench: Bench) -> None:
        for word in "abcdefgh":
            turns: list[dict[str, str]] = []
            before = asked(bench)
            for turn in range(3):
                turns += [{"role": "user", "content": f"{word} {turn}"}]
                assert (await bench.ask(messages=turns).answered()).status == 200
                turns += [{"role": "assistant", "content": "so"}]
            served = [after - earlier for earlier, after in zip(before, asked(bench), strict=True)]
            assert sorted(served) == [0, 3]
        assert min(asked(bench)) > 0
        assert await bench.violations() == []

    run(test, [REPLY.body()] * 24, [REPLY.body()] * 24, routing="prefix")


def test_a_caller_who_leaves_is_no_failure_of_the_engine() -> None:
    async def test(bench: Bench) -> None:
        for number in range(5):
            one = bench.ask(stream=True)
            await bench.engine_hears(number)
            one.leave()
        assert (await bench.ask().answered()).status == 200
        assert asked(bench) == [6, 0]
        assert await bench.violations() == []

    stalls: Scripts = [[Head(), Stall()]] * 5
    run(test, [*stalls, REPLY.body()], [])


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_engine_refuses_after_the_head_does_not_close_it(stream: bool) -> None:
    """Some say so with status 200 and an error as the first event."""
    said = {"error": {"code": 400, "message": "This model's maximum context length is 8 tokens"}}

    async def test(bench: Bench) -> None:
        for _ in range(5):
            assert (await bench.ask(stream=stream).answered()).code == "1261"
        assert asked(bench) == [5, 0]
        assert await bench.violations() == []

    event_first: list[Step] = [Head(), event(said), Close()] if stream else json_answer(200, said)
    run(test, [event_first] * 5, [])


def test_a_model_that_calls_and_calls_is_stopped_and_its_engine_is_not_blamed() -> None:
    calls = tuple((f"f{number}", ("{}",)) for number in range(150))
    endless: Scripts = [Reply(content=(), calls=calls, finish_reason="tool_calls").stream()] * 5

    async def test(bench: Bench) -> None:
        for _ in range(5):
            sink = await bench.ask(stream=True).answered()
            assert sink.chunks[-1]["choices"][0]["finish_reason"] == "length"
            told = [call for delta in sink.deltas for call in delta.get("tool_calls", ())]
            assert len(told) == 128
        assert asked(bench) == [5, 0]

    run(test, endless, [])


def test_a_place_that_is_not_given_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: without it, `violations` above would prove nothing."""

    def stop(self: ChatExchange, outcome: object) -> None:
        self._over = True
        self._attempt.release()

    monkeypatch.setattr(ChatExchange, "_stop", stop)

    async def test(bench: Bench) -> None:
        await bench.ask().answered()
        assert "a place at an engine was not given back" in await bench.violations()

    run(test, [REPLY.body()], [])


async def wait_for_the_sweep(bench: Bench, one: Asked, seconds: float) -> None:
    """So long after it was asked, and looked at as once a second."""
    for _ in range(round(seconds)):
        bench.now_s += 1
        if one.exchange in bench.pipeline.exchanges:
            one.started.check_deadline(bench.now_s)
        bench.pipeline.swept_s = bench.now_s


@pytest.mark.parametrize("head", [[], [Head()]])
def test_who_hears_nothing_is_asked_of_another_within_seconds(head: list[Step]) -> None:
    """An engine that hangs may still send heads."""

    async def test(bench: Bench) -> None:
        one = bench.ask(stream=True)
        await until(lambda: asked(bench) == [1, 0])
        await wait_for_the_sweep(bench, one, 10)
        assert asked(bench) == [1, 0], "nothing is known of it, so a slow one has its time"
        await wait_for_the_sweep(bench, one, 15)
        sink = await one.answered()
        assert (sink.status, sink.text) == (200, "one two three ")
        assert asked(bench) == [1, 1]
        assert await bench.violations() == []

    run(test, [[*head, Stall()]], [REPLY.stream()], price=PRICE, balance=10**12)


def test_new_requests_do_not_follow_one_that_hears_nothing() -> None:
    async def test(bench: Bench) -> None:
        first = bench.ask(stream=True)
        await until(lambda: asked(bench) == [1, 0])
        bench.now_s += 3
        assert (await bench.ask(stream=True).answered()).text == "one two three "
        assert asked(bench) == [1, 1]
        first.leave()
        assert await bench.violations() == []

    run(test, [[Stall()]], [REPLY.stream()])


@pytest.mark.parametrize(
    "why", ["nobody is left", "the others are away", "no retries are left", "it is read"]
)
def test_who_would_gain_nothing_stays(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "no retries are left":
        monkeypatch.setattr(retry_budget, "RETRIES_A_SECOND_MIN", 1)

    async def test(bench: Bench) -> None:
        if why == "the others are away":
            for engine in bench.pipeline.registry.engines[1:]:
                assert isinstance(engine, RemoteEngine)
                engine._state = "unreachable"
        prompt = "word " * (40_000 if why == "it is read" else 1)
        one = bench.ask(stream=True, messages=[{"role": "user", "content": prompt}])
        await until(lambda: asked(bench)[0] == 1)
        await wait_for_the_sweep(bench, one, 60)
        assert sum(asked(bench)) == 1
        one.leave()
        assert await bench.violations() == []

    others: list[Scripts] = [] if why == "nobody is left" else [[REPLY.stream()]]
    run(test, [[Stall()]], *others)


def test_who_has_heard_a_word_is_never_moved() -> None:
    async def test(bench: Bench) -> None:
        one = bench.ask(stream=True)
        await until(lambda: "one " in one.sink.text)
        await wait_for_the_sweep(bench, one, 100)
        assert asked(bench) == [1, 0]
        one.leave()
        assert await bench.violations() == []

    run(test, [[Head(), *REPLY.events()[:2], Stall()]], [REPLY.stream()])


def test_nobody_is_moved_while_the_engine_speaks_to_others() -> None:
    async def test(bench: Bench) -> None:
        talking = bench.ask(stream=True)
        await until(lambda: "one " in talking.sink.text)
        waiting = bench.ask(stream=True)
        await until(lambda: asked(bench) == [2, 0])
        for _ in range(100):
            bench.now_s += 1
            talking.started._attempt.reader.deltas += 1
            for one in (talking, waiting):
                one.started.check_deadline(bench.now_s)
            bench.pipeline.swept_s = bench.now_s
        assert asked(bench) == [2, 0]
        await wait_for_the_sweep(bench, waiting, 20)
        assert (await waiting.answered()).text == "one two three "
        talking.leave()
        await bench.violations()

    run(test, [[Head(), *REPLY.events()[:2], Stall()], [Stall()]], [REPLY.stream()])


def test_an_engine_that_is_taken_for_dead_much_too_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seat, "overdue", lambda self, now_s: False)
    with pytest.raises(TimeoutError):
        test_who_hears_nothing_is_asked_of_another_within_seconds([])
