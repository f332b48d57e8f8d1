"""A call outlives the worker that it was meant for, as long as nothing was heard of it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from openbigmodel.engines.embedded import EmbeddedEngine
from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Close, Data, End, Gate, Head, Reply, Stall, Step
from openbigmodel.engines.llamacpp import LlamaCppSpec, Supervisor
from openbigmodel.engines.profiles import LLAMA_SERVER
from openbigmodel.engines.weights import WeightsError
from tests.unit.engines.engine_listener import Listener, run, until

Outcome = Endpoint | EngineUnavailable
GONE = EngineUnavailable("It broke.", "the end of stderr")


class Workers(Supervisor):
    """A supervisor whose workers are fake engines; `outcomes` are told one after the other."""

    def __init__(self, *outcomes: Outcome) -> None:
        super().__init__("glm", LlamaCppSpec(path=Path("none.gguf")))
        self.outcomes = list(outcomes)
        self.failed: list[Endpoint | None] = []
        self.waiting: list[Callable[[Outcome], None]] = []

    async def start(self) -> None:
        self.state = "ready"

    async def stop(self) -> None:
        self.state = "stopped"

    def when_ready(self, callback: Callable[[Outcome], None], failed: Endpoint | None = None) -> None:
        self.failed.append(failed)
        if self.outcomes:
            callback(self.outcomes.pop(0))
        else:
            self.waiting.append(callback)


def ignore(state: str, reason: str) -> None:
    """Nobody listens."""


async def started(workers: Workers) -> EmbeddedEngine:
    async def prepare() -> Supervisor:
        return workers

    engine = EmbeddedEngine("glm", LLAMA_SERVER, prepare, ignore)
    await engine.start()
    return engine


def test_its_states() -> None:
    async def test() -> None:
        downloaded = asyncio.Event()

        async def prepare() -> Supervisor:
            await downloaded.wait()
            return Workers()

        engine = EmbeddedEngine("glm", LLAMA_SERVER, prepare, ignore)
        assert (engine.name, engine.kind, engine.state) == ("glm", "llamacpp", "stopped")
        await engine.stop()
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(0)
        assert engine.state == "downloading"
        with pytest.raises(EngineUnavailable, match="downloading"):
            engine.post("/x", b"{}", Listener())
        downloaded.set()
        await starting
        assert engine.state == "ready"
        await engine.stop()
        assert engine.state == "stopped"

    run(test())


def test_a_download_that_failed_is_tried_again() -> None:
    async def test() -> None:
        outcomes = [OSError("no network"), WeightsError("no such file"), None]
        reported: list[tuple[str, str]] = []

        async def prepare() -> Supervisor:
            error = outcomes.pop(0)
            if error is not None:
                raise error
            return Workers()

        def report(state: str, reason: str) -> None:
            reported.append((state, reason))
            if state == "broken":
                assert engine.state == "broken"
                with pytest.raises(EngineUnavailable, match=reason.split(" Next", maxsplit=1)[0]):
                    engine.post("/x", b"{}", Listener())

        engine = EmbeddedEngine("glm", LLAMA_SERVER, prepare, report, first_pause_s=0.001)
        await engine.start()

        assert engine.state == "ready"
        assert [state for state, _ in reported] == ["broken", "downloading", "broken", "downloading"]

    run(test())


def test_a_call_given_up_while_it_waits_keeps_no_body() -> None:
    async def test() -> None:
        engine = await started(Workers())
        call = engine.post("/x", b"x" * 1000, Listener())
        call.cancel()

        assert call._body == b""

    run(test())


def test_a_call_to_a_worker_that_is_there() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(Reply().body(), Reply().body())
            engine = await started(Workers(fake.endpoint, fake.endpoint))
            for _ in range(2):
                listener = Listener()
                engine.post("/chat/completions", b"{}", listener)
                assert listener.heard == [], "nothing may be said before post has returned"
                assert b"Hello, world" in await listener.body()
            await engine.stop()

    run(test())


def test_chunks_may_be_taken_before_anybody_is_told() -> None:
    class All:
        taken = 0

        def take(self, chunk: bytes, begin: int) -> bool:
            self.taken += chunk.endswith(b"\r\n")
            return chunk.endswith(b"\r\n")

    async def test() -> None:
        async with FakeEngine() as fake:
            tokens = Reply(content=("a", "b", "c", "d")).events()
            fake.play([Head(), *[step for token in tokens for step in (token, Gate())], End()])
            engine = await started(Workers(fake.endpoint))
            listener, taker = Listener(), All()
            call = engine.post("/chat/completions", b"{}", listener)
            call.ask_first(taker)  # there is no worker's call yet
            await until(lambda: len(listener.heard) == 2)
            call.ask_first(taker)
            for number in range(1, 4):
                fake.requests[0].open_gate()
                await until(lambda number=number: taker.taken == number)  # type: ignore[misc]
            fake.requests[0].open_gate()
            assert b'"a"' in (body := await listener.body())
            assert b'"b"' not in body
            await engine.stop()

    run(test())


def test_a_call_waits_for_the_worker_with_its_pause() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(Reply().body())
            workers = Workers()
            engine = await started(workers)
            listener = Listener()
            call = engine.post("/x", b"{}", listener)
            call.pause()
            await until(lambda: bool(workers.waiting))
            workers.waiting[0](fake.endpoint)
            await until(lambda: bool(fake.requests))
            await asyncio.sleep(0.02)  # for what would come in spite of the pause
            assert listener.heard == []
            call.pause()
            call.resume()
            assert b"Hello" in await listener.body()
            await engine.stop()

    run(test())


def test_no_worker_and_none_to_come() -> None:
    async def test() -> None:
        engine = await started(Workers(GONE))
        listener = Listener()
        engine.post("/x", b"{}", listener)
        assert await listener.failure() == "It broke.\nthe end of stderr"

    run(test())


def test_a_worker_that_dies_before_a_word_is_followed_by_the_next() -> None:
    async def test() -> None:
        async with FakeEngine() as first, FakeEngine() as second:
            first.play([Close()])
            second.play(Reply().body())
            workers = Workers(first.endpoint, second.endpoint)
            engine = await started(workers)
            listener = Listener()
            engine.post("/x", b"{}", listener)
            assert b"Hello" in await listener.body()
            assert workers.failed == [None, first.endpoint]
            assert first.requests[0].body == second.requests[0].body == b"{}"
            await engine.stop()

    run(test())


def test_the_second_death_is_told() -> None:
    async def test() -> None:
        async with FakeEngine() as first, FakeEngine() as second:
            first.play([Close()])
            second.play([Close()])
            engine = await started(Workers(first.endpoint, second.endpoint))
            listener = Listener()
            engine.post("/x", b"{}", listener)
            assert await listener.failure() == "connection lost"
            assert listener.heard == [("failed", "connection lost")]

    run(test())


def test_a_worker_that_dies_after_a_word_is_told() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play([Head(), Data(b"x"), Close()])
            workers = Workers(fake.endpoint)
            engine = await started(workers)
            listener = Listener()
            engine.post("/x", b"{}", listener)
            assert await listener.failure() == "connection lost"
            assert workers.failed == [None]

    run(test())


def test_a_new_worker_has_connections_of_its_own() -> None:
    async def test() -> None:
        async with FakeEngine() as first, FakeEngine() as second:
            first.play([Gate(), *Reply().body()])
            second.play(Reply().body())
            engine = await started(Workers(first.endpoint, second.endpoint))
            old, new = Listener(), Listener()
            engine.post("/x", b"{}", old)
            await until(lambda: bool(first.requests))
            engine.post("/x", b"{}", new)
            assert b"Hello" in await new.body()
            # What the old worker has begun it may finish.
            first.requests[0].open_gate()
            assert b"Hello" in await old.body()
            await engine.stop()

    run(test())


@pytest.mark.parametrize("when", ["before there is a worker", "while connecting", "mid-stream"])
def test_a_cancelled_call_says_no_more(when: str) -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play([Head(), Data(b"x"), Stall()])
            workers = Workers()
            engine = await started(workers)
            listener = Listener()
            call = engine.post("/x", b"{}", listener)
            await until(lambda: bool(workers.waiting))
            if when == "before there is a worker":
                call.cancel()
            workers.waiting[0](fake.endpoint)
            if when == "mid-stream":
                await until(lambda: len(listener.heard) == 2)
            call.cancel()
            await until(lambda: not fake.clients)
            assert len(listener.heard) == (2 if when == "mid-stream" else 0)
            assert len(fake.requests) == (1 if when == "mid-stream" else 0)
            assert len(workers.failed) == 1

    run(test())


def test_more_calls_than_slots_wait_here_and_leave_without_a_trace() -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            slots = Workers().spec.slots
            held: list[Step] = [Head(), Gate(), Data(b"x"), Close()]
            fake.play(*[held] * (slots + 2))
            engine = await started(Workers(*[fake.endpoint] * (slots + 2)))
            listeners = [Listener() for _ in range(slots + 3)]
            calls = [engine.post("/x", b"{}", listener) for listener in listeners]
            await until(lambda: len(fake.requests) == slots)
            calls[slots].cancel()  # it stood in the line
            calls[0].cancel()  # it had a slot, which the next in line takes

            await until(lambda: len(fake.requests) == slots + 1)

            assert calls[slots + 1].has_slot
            assert not calls[slots + 2].has_slot
            for call in calls:
                call.cancel()
            assert engine._busy_slots == 0
            await engine.stop()

    run(test())


def test_a_broken_engine_says_so_at_once() -> None:
    async def test() -> None:
        workers = Workers()
        engine = await started(workers)
        workers.state = "broken"
        with pytest.raises(EngineUnavailable, match="broken"):
            engine.post("/x", b"{}", Listener())

    run(test())
