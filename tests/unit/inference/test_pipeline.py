"""One sweep a second looks after all requests; a fault of one of them is nobody else's."""

import asyncio

import pytest

from openbigmodel.engines.fake_script import Head, Reply, Stall
from openbigmodel.engines.router import Router
from openbigmodel.inference import pipeline as pipeline_module
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.limits import Limits, ModelLimits
from tests.unit.inference.pipeline_bench import Bench, run, until

BEGUN = [Head(), *Reply().events()[:2], Stall()]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "_SWEEP_INTERVAL_S", 0.01)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request's end goes wrong, whoever asks for it."""
    right = ChatExchange._finish

    def finish(self: ChatExchange, ready: bytes, *, died: bool = False) -> None:
        if self._request_id == "request-0":
            raise ZeroDivisionError
        right(self, ready, died=died)

    monkeypatch.setattr(ChatExchange, "_finish", finish)


async def begun(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.ask(stream=True)
    await until(lambda: all(asked.sink.delivered_tokens == 2 for asked in bench.asked))


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("how", ["cut_all", "sweep"])
def test_a_request_that_cannot_be_ended_keeps_no_other_from_its_end(how: str) -> None:
    async def test(bench: Bench) -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        await begun(bench, 3)
        if how == "cut_all":
            bench.pipeline.cut_all()
        else:
            bench.now_s += 1000
        for asked in bench.asked[1:]:
            assert (await asked.answered()).chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert isinstance(reported[0], ZeroDivisionError)
        bench.asked[0].leave()

    run(test, *[BEGUN] * 3)


def test_the_sweep_goes_on_until_nothing_is_left_to_look_after() -> None:
    async def test(bench: Bench) -> None:
        await begun(bench, 1)
        assert bench.pipeline._sweeper is not None
        bench.asked[0].leave()
        await until(lambda: bool(bench.records))
        # The account's minute is not over: what it has used is remembered, and looked at again.
        await asyncio.sleep(0.05)
        assert bench.pipeline._sweeper is not None
        assert len(bench.limits) == 1
        bench.now_s += 60
        await until(lambda: bench.pipeline._sweeper is None)
        assert len(bench.limits) == 0
        # And begins again with the next request.
        bench.engine.play(BEGUN)
        bench.ask(stream=True)
        assert bench.pipeline._sweeper is not None
        bench.asked[1].leave()

    run(test, BEGUN, limits_of={"*": ModelLimits(rpm=60)})


@pytest.mark.parametrize(("owner", "method"), [(Limits, "forget_idle"), (Router, "expire")])
def test_deadlines_hold_whatever_goes_wrong_in_the_rest_of_a_sweep(
    owner: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(owner, method, broken)

    async def test(bench: Bench) -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        await begun(bench, 1)
        await until(lambda: len(reported) >= 3)
        assert all(isinstance(each, ZeroDivisionError) for each in reported)
        bench.now_s += 1000
        answer = await bench.asked[0].answered()
        assert answer.chunks[-1]["choices"][0]["finish_reason"] == "network_error"

    run(test, BEGUN)


def test_a_refused_request_starts_no_sweep() -> None:
    async def test(bench: Bench) -> None:
        bench.ask(model="nobody")
        assert bench.pipeline._sweeper is None

    run(test)
