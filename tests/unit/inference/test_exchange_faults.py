"""Every way in which an engine, a client or the disk can fail, and the one way in which each ends."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import pytest

from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.fake_script import (
    DONE,
    Close,
    Data,
    End,
    Gate,
    Head,
    Raw,
    Reply,
    Reset,
    Stall,
    Step,
    event,
    json_answer,
)
from openbigmodel.inference import attempt as attempt_module
from openbigmodel.inference import pipeline as pipeline_module
from tests.unit.inference.pipeline_bench import Bench, run, until

REPLY = Reply(content=("one ", "two ", "three "))
TOKENS = REPLY.events()
# Enough alike for the reader to take them as a run.
MANY = Reply(content=("word ",) * 9).events()
FINISH, USAGE = REPLY.finish()
BEGUN = [Head(), *TOKENS[:2]]
OTHER_USAGE = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
NOT_FINISHED = json_answer(
    200, {"choices": [{"index": 0, "message": {"content": "one"}, "finish_reason": None}]}
)
TRUE_LENGTH = 10_000


@dataclass(frozen=True)
class Ending:
    """What the caller and the books see. An error has a code; a stream that was cut has text and a reason."""

    code: str = ""
    text: str = ""
    finish_reason: str = ""
    tokens: int = 0


FAILED = Ending(code="1234")
CUT_AFTER_TWO = Ending(text="one two ", finish_reason="network_error", tokens=2)
WHOLE = Ending(text="one two three ", finish_reason="stop", tokens=3)

STREAMS: dict[str, tuple[list[Step], Ending]] = {
    "closed before the first byte": ([Close()], FAILED),
    "reset before the first byte": ([Reset()], FAILED),
    "closed after the head": ([Head(), Close()], FAILED),
    "ended after the head": ([Head(), End()], FAILED),
    "closed mid-stream": ([*BEGUN, Gate(), Close()], CUT_AFTER_TWO),
    "reset mid-stream": ([*BEGUN, Gate(), Reset()], CUT_AFTER_TWO),
    "ended mid-stream": ([*BEGUN, End()], CUT_AFTER_TWO),
    "cut within an event": ([*BEGUN, Data(TOKENS[2].data[:20]), End()], CUT_AFTER_TWO),  # type: ignore[union-attr]
    "[DONE] without a finish reason": ([*BEGUN, DONE, End()], CUT_AFTER_TWO),
    "[DONE] and nothing else": ([Head(), DONE, End()], FAILED),
    "a finish reason without [DONE]": ([Head(), *TOKENS, FINISH, USAGE, End()], WHOLE),
    "a stream that ends with the connection": ([Head(framing="close"), *TOKENS, FINISH, USAGE, End()], WHOLE),
    "[DONE], but no end": ([Head(), *TOKENS, FINISH, USAGE, DONE, Stall()], WHOLE),
    "no usage": ([Head(), *TOKENS, FINISH, DONE, End()], WHOLE),
    "tokens after [DONE]": (
        [
            Head(),
            Data(b"".join(t.data for t in (*MANY, FINISH, DONE, *MANY) if isinstance(t, Data)), 9),
            End(),
        ],
        Ending(text="word " * 9, finish_reason="stop", tokens=9),
    ),
    "usage twice": ([Head(), *TOKENS, FINISH, OTHER_USAGE, USAGE, DONE, End()], WHOLE),
    "usage in mid-stream": ([Head(), OTHER_USAGE, *TOKENS, FINISH, USAGE, DONE, End()], WHOLE),
    "an error first": ([Head(), event({"error": {"message": "out of memory"}}), End()], FAILED),
    "an error in mid-stream": (
        [*BEGUN, Gate(), event({"error": {"message": "out"}}), Stall()],
        CUT_AFTER_TWO,
    ),
    "abort as a reason": (
        [*BEGUN, event({"choices": [{"index": 0, "delta": {}, "finish_reason": "abort"}]}), DONE, End()],
        CUT_AFTER_TWO,
    ),
    "a huge event": ([Head(), Data(b"data: " + b"x" * 5_000_000), Stall()], FAILED),
    "a huge event in mid-stream": (
        [*BEGUN, Gate(), Data(b"data: " + b"x" * 5_000_000), Stall()],
        CUT_AFTER_TWO,
    ),
    "binary junk": ([Head(), Data(b"data: \xff\xfe\x00\n\n"), Stall()], FAILED),
    "binary junk in mid-stream": ([*BEGUN, Gate(), Data(b"data: \x00\xff\n\n"), Stall()], CUT_AFTER_TWO),
    "JSON of another kind": ([Head(), event([1, 2]), Stall()], FAILED),
    "a tool call out of step": (
        [
            Head(),
            event({"choices": [{"delta": {"tool_calls": [{"index": 9, "function": {"name": "f"}}]}}]}),
            Stall(),
        ],
        FAILED,
    ),
    "no HTTP": ([Raw(b"\x16\x03\x01 hello\r\n\r\n"), Stall()], FAILED),
    "no HTTP in mid-stream": ([*BEGUN, Gate(), Raw(b"zz\r\njunk"), Stall()], CUT_AFTER_TWO),
    "a body instead of a stream": (Reply().body(), FAILED),
}

BODIES: dict[str, list[Step]] = {
    "closed before the first byte": [Close()],
    "reset before the first byte": [Reset()],
    "cut short": [Head(framing=TRUE_LENGTH), Data(b'{"choices": ['), Close()],
    "reset halfway": [Head(framing=TRUE_LENGTH), Data(b'{"choices": ['), Gate(), Reset()],
    "chunked and cut short": [Head(), Data(b'{"choices": ['), Close()],
    "no JSON": [Head(framing=5), Data(b"hello"), End()],
    "binary junk": [Head(framing=5), Data(b"\x00\xff\xfe\x01\x02"), End()],
    "empty": [Head(framing=0), End()],
    "without a finish reason": NOT_FINISHED,
    "an error with status 200": json_answer(200, {"error": "no"}),
    "JSON of another kind": json_answer(200, [1]),
    "nested beyond all measure": [Head(framing=100_000), Data(b"[" * 100_000), End()],
    "no HTTP": [Raw(b"SSH-2.0-OpenSSH_9.9\r\n"), Stall()],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_faulty_stream(name: str) -> None:
    steps, ending = STREAMS[name]

    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        if Gate() in steps:
            await until(lambda: asked.sink.status == 200)
            (await bench.engine_hears()).open_gate()
        sink = await asked.answered()
        line = bench.cashier.lines[0]

        if ending.code:
            assert (sink.status, sink.code) == (500, ending.code)
            assert bench.records[0]["detail"]
        else:
            assert (sink.status, sink.text, sink.events[-1]) == (200, ending.text, "[DONE]")
            assert sink.chunks[-1]["choices"][0]["finish_reason"] == ending.finish_reason
            assert sink.chunks[-1]["usage"]["completion_tokens"] == ending.tokens
        assert (line.code, line.finish_reason) == (ending.code, ending.finish_reason)
        assert line.usage.completion_tokens == ending.tokens
        assert await bench.violations() == []

    run(test, steps)


@pytest.mark.parametrize("name", BODIES)
def test_a_faulty_body(name: str) -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask()
        if Gate() in BODIES[name]:
            (await bench.engine_hears()).open_gate()
        sink = await asked.answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert bench.records[0]["id"] in sink.body.decode()
        assert (bench.cashier.lines[0].code, bench.cashier.lines[0].usage.completion_tokens) == (
            "1234",
            0,
        )
        assert await bench.violations() == []

    run(test, BODIES[name])


@pytest.mark.parametrize("stream", [True, False])
def test_nobody_listens(stream: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=stream).answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert f"cannot connect to 127.0.0.1:{port}" in bench.records[0]["detail"]
        assert await bench.violations() == []

    run(test, endpoint=Endpoint("127.0.0.1", port))


@pytest.mark.parametrize(
    ("steps", "silence_s", "code", "text"),
    [
        ([Stall()], 601, "1234", ""),
        ([Head(), Stall()], 601, "1234", ""),
        ([*BEGUN, Stall()], 121, "", "one two "),
    ],
)
def test_a_silent_engine_is_given_up(
    steps: list[Step], silence_s: float, code: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "_SWEEP_INTERVAL_S", 0.01)

    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await bench.engine_hears()
        await until(lambda: asked.sink.status == 200 or not text)
        bench.now_s += silence_s - 2
        await asyncio.sleep(0.05)  # several sweeps, all too early
        assert not asked.sink.over.is_set()
        bench.now_s += 2
        sink = await asked.answered()

        assert (sink.status, sink.code if code else sink.text) == (500 if code else 200, code or text)
        assert "no word from the engine for" in bench.records[0]["detail"]
        assert await bench.violations() == []
        # Nothing to sweep, no timer.
        await until(lambda: bench.pipeline._sweeper is None)

    run(test, steps)


PHASES: dict[str, tuple[list[Step], int]] = {
    "before it is connected": ([Stall()], 499),
    "before the head": ([Stall()], 499),
    "after the head": ([Head(), Stall()], 499),
    "mid-stream": ([*BEGUN, Stall()], 200),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", PHASES)
def test_the_client_leaves(phase: str, stream: bool) -> None:
    steps, status = PHASES[phase]

    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=stream)
        if phase != "before it is connected":
            request = await bench.engine_hears()
            await until(lambda: asked.sink.delivered_tokens == 2 or phase != "mid-stream" or not stream)
            asked.leave()
            await until(lambda: request.left_s is not None)
        else:
            asked.leave()
        await until(lambda: bool(bench.records))

        line, record = bench.cashier.lines[0], bench.records[0]
        assert (line.finish_reason, line.code) == ("client_left", "")
        assert line.usage.completion_tokens == (2 if asked.sink.status else 0)
        assert (record["client_left"], record["status"]) == (True, status if asked.sink.status else 499)
        assert asked.sink.ends == []
        assert await bench.violations() == []

    run(test, steps)


@pytest.mark.parametrize("stream", [True, False])
def test_leaving_when_the_answer_is_whole_changes_nothing(stream: bool) -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.held = True
        asked = bench.ask(stream=stream)
        await until(lambda: bench.cashier.waiting == 1)
        asked.started.client_left()
        asked.started.client_left()
        bench.cashier.commit()
        await asked.answered()
        asked.started.client_left()

        assert bench.cashier.lines[0].finish_reason == "stop"
        assert "client_left" not in bench.records[0]
        assert await bench.violations() == []

    run(test, Reply().stream() if stream else Reply().body())


@pytest.mark.parametrize("stream", [True, False])
def test_the_end_waits_for_the_disk(stream: bool) -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.held = True
        asked = bench.ask(stream=stream)
        await until(lambda: bench.cashier.waiting == 1)
        await asyncio.sleep(0.05)  # for an end that comes too early
        assert not asked.sink.ends
        assert bench.limits.total == 1
        bench.cashier.commit()
        assert (await asked.answered()).status == 200
        assert await bench.violations() == []

    run(test, Reply().stream() if stream else Reply().body())


ENOSPC = OSError(28, "No space left on device")


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "reports"])
@pytest.mark.parametrize(
    ("stream", "gate"),
    [(False, False), (True, False), (True, True)],
    ids=["body", "unseen stream", "open stream"],
)
def test_an_answer_whose_usage_is_lost_never_looks_whole(stream: bool, gate: bool, raises: bool) -> None:
    reply = Reply()

    async def test(bench: Bench) -> None:
        bench.cashier.raises = ENOSPC if raises else None
        bench.cashier.error = ENOSPC
        asked = bench.ask(stream=stream)
        if gate:
            await until(lambda: asked.sink.status == 200)
            (await bench.engine_hears()).open_gate()
        sink = await asked.answered()

        if gate:
            assert sink.ends == ["abort"]
            assert b"[DONE]" not in sink.body and b"finish_reason" not in sink.body
        else:
            assert (sink.status, sink.code) == (500, "1230")
            assert b"Hello" not in sink.body
        assert "No space left" in bench.records[0]["detail"]
        assert await bench.violations(usage_is_true=False) == []

    whole = b"".join(step.data for step in reply.stream() if isinstance(step, Data))
    steps: list[Step] = [Head(), *reply.events(), Gate(), *reply.finish(), DONE, End()]
    run(test, steps if gate else [Head(), Data(whole, reply.tokens), End()] if stream else reply.body())


def test_a_client_that_leaves_while_the_disk_is_full() -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.raises = ENOSPC
        asked = bench.ask(stream=True)
        await until(lambda: asked.sink.status == 200)
        asked.leave()

        assert bench.records[0]["client_left"]
        assert "No space left" in bench.records[0]["detail"]
        assert await bench.violations() == []

    run(test, [*BEGUN, Stall()])


def test_an_error_is_told_even_if_it_cannot_be_written_down() -> None:
    async def test(bench: Bench) -> None:
        bench.cashier.raises = ENOSPC
        sink = await bench.ask(stream=True).answered()

        assert (sink.status, sink.code) == (500, "1234")
        assert await bench.violations() == []

    run(test, [Close()])


def test_cutting_everything() -> None:
    async def test(bench: Bench) -> None:
        silent, begun, body = bench.ask(stream=True), bench.ask(stream=True, seed=1), bench.ask()
        await until(lambda: begun.sink.status == 200 and len(bench.engine.requests) == 3)
        bench.cashier.held = True
        bench.pipeline.cut_all()
        bench.pipeline.cut_all()
        bench.cashier.commit()

        assert [(await asked.answered()).code for asked in (silent, body)] == ["1234", "1234"]
        assert (await begun.answered()).chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert {record["detail"] for record in bench.records} == {"the platform is stopping"}
        assert await bench.violations() == []

    run(test, *[lambda request: [*BEGUN, Stall()] if "seed" in request.json else [Stall()]] * 3)


def test_a_fault_leaves_the_next_request_alone() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            await bench.ask(stream=True).answered()
        assert [asked.sink.status for asked in bench.asked] == [500, 200, 200]
        assert await bench.violations() == []

    run(test, [Head(), Data(b"data: \xff\n\n"), Stall()], Reply().stream(), Reply().stream())


def test_an_engine_that_is_away_is_1305() -> None:
    async def test(bench: Bench) -> None:
        bench.remote.post = away  # type: ignore[method-assign]
        asked = bench.ask(stream=True)

        assert (asked.sink.status, asked.sink.code, asked.exchange) == (429, "1305", None)
        assert int(asked.sink.headers["retry-after"]) > 1
        assert bench.records[0]["detail"] == "It is being downloaded."
        assert await bench.violations() == []

    def away(path: str, body: bytes, consumer: object, key: str | None = None) -> Any:
        raise EngineUnavailable("It is being downloaded.", "stderr, for the operator")

    run(test)


def test_a_fault_of_ours_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(attempt_module, "to_openai", broken)

    async def test(bench: Bench) -> None:
        # The door answers it, and logs it.
        with pytest.raises(ZeroDivisionError):
            bench.ask()
        assert (bench.limits.total, bench.pipeline.exchanges) == (0, set())

    run(test)
