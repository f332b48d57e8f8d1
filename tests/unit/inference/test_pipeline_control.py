"""The checker of the pipeline's rules, checked: each planted bug has to be found, and nothing else."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.engines.connection import EngineCall
from openbigmodel.engines.fake_script import Head, Reply, Stall
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.pipeline import ChatExchange
from openbigmodel.limits import InFlight
from openbigmodel.telemetry import Metrics, RequestLog
from tests.unit.inference import pipeline_bench
from tests.unit.inference.pipeline_bench import Bench, MemorySettlement, RecordingSink, run, until

Done = Callable[[BaseException | None], None]
Plant = Callable[[pytest.MonkeyPatch], None]


def delivers_before_settling(patch: pytest.MonkeyPatch) -> None:
    right = MemorySettlement.record

    def record(self: MemorySettlement, line: UsageLine, done: Done) -> None:
        done(None)
        right(self, line, lambda _: None)

    patch.setattr(MemorySettlement, "record", record)


def settles_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        MemorySettlement, "record", lambda _, line, done: asyncio.get_running_loop().call_soon(done, None)
    )


def settles_twice(patch: pytest.MonkeyPatch) -> None:
    right = MemorySettlement.record

    def record(self: MemorySettlement, line: UsageLine, done: Done) -> None:
        right(self, line, done)
        right(self, line, lambda _: None)

    patch.setattr(MemorySettlement, "record", record)


def keeps_the_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InFlight, "leave", lambda self, account_id, model_id: None)


def ignores_that_the_client_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChatExchange, "client_left", lambda self: None)


def lets_the_engine_work_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineCall, "cancel", lambda self: setattr(self, "over", True))


def answers_twice(patch: pytest.MonkeyPatch) -> None:
    right = RecordingSink.end

    def end(self: RecordingSink, data: bytes = b"") -> None:
        right(self, data)
        right(self)

    patch.setattr(RecordingSink, "end", end)


def bills_too_much(patch: pytest.MonkeyPatch) -> None:
    right = EngineReader.usage

    def usage(self: EngineReader) -> Usage:
        said = right(self)
        return msgspec.structs.replace(said, completion_tokens=said.completion_tokens + 1)

    patch.setattr(EngineReader, "usage", usage)


def bills_too_little(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineReader, "usage", lambda self: Usage(prompt_tokens=7))


def logs_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RequestLog, "write", lambda self, record: None)


def counts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Metrics, "count", lambda self, record, model: None)


WHOLE_ANSWER: list[tuple[Plant, str]] = [
    (delivers_before_settling, "before the usage was durable"),
    (settles_nothing, "0 usage lines instead of 1"),
    (settles_twice, "2 usage lines instead of 1"),
    (keeps_the_place, "a place in flight"),
    (answers_twice, "answered 2 times"),
    (bills_too_much, "billed 4, produced 3"),
    (bills_too_little, "delivered 3, billed 0"),
    (logs_nothing, "0 log lines for 1 requests"),
    (counts_nothing, "was not counted"),
]

CLIENT_LEFT: list[tuple[Plant, str]] = [
    (ignores_that_the_client_left, "a place in flight"),
    (ignores_that_the_client_left, "an engine works for nobody"),
    (ignores_that_the_client_left, "0 usage lines instead of 1"),
    (lets_the_engine_work_on, "an engine works for nobody"),
    (keeps_the_place, "a place in flight"),
    (bills_too_much, "billed 4, produced 3"),
    (bills_too_little, "delivered 3, billed 0"),
]


def sound(patch: pytest.MonkeyPatch) -> None:
    """No bug: nothing must be found."""


@pytest.mark.parametrize(("plant", "finding"), [(sound, ""), *WHOLE_ANSWER])
def test_a_bug_in_the_way_of_a_whole_answer_is_found(
    plant: Plant, finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    hasten(monkeypatch, finding)

    async def test(bench: Bench) -> None:
        await bench.ask(stream=True).answered()
        await asyncio.sleep(0.01)  # a settlement that comes too late
        check(await bench.violations(), finding)

    run(test, Reply().stream())


@pytest.mark.parametrize(("plant", "finding"), [(sound, ""), *CLIENT_LEFT])
def test_a_bug_in_the_way_of_a_client_that_left_is_found(
    plant: Plant, finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    hasten(monkeypatch, finding)

    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: asked.sink.delivered_tokens == 3)
        asked.leave()
        await asyncio.sleep(0.01)  # the settlement
        check(await bench.violations(), finding)

    run(test, [Head(), *Reply().events(), Stall()])


def hasten(patch: pytest.MonkeyPatch, finding: str) -> None:
    """An engine that is known to work on need not be watched for a whole second."""
    if finding:
        patch.setattr(pipeline_bench, "ENGINE_STOPS_WITHIN_S", 0.1)


def check(violations: list[str], finding: str) -> None:
    if not finding:
        assert violations == []
    assert not finding or any(finding in violation for violation in violations), violations
