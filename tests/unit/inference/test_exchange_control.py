"""The checker of the pipeline's rules, checked: each planted bug has to be found, and nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.ledger import NO_CHARGE, Charge, Hold, Ledger
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.engines.connection import EngineCall
from openbigmodel.engines.fake_script import Head, Reply, Stall
from openbigmodel.inference import exchange
from openbigmodel.inference.admission import Admissions, Done
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.measurement import Measured, measured
from openbigmodel.limits import Limits, ModelLimits
from openbigmodel.telemetry import Metrics, RequestLog
from tests.unit.inference import pipeline_bench
from tests.unit.inference.pipeline_bench import Bench, MemoryCashier, RecordingSink, run, until

Plant = Callable[[pytest.MonkeyPatch], None]


def delivers_before_settling(patch: pytest.MonkeyPatch) -> None:
    right = MemoryCashier.settle

    def settle(self: MemoryCashier, hold: Hold, line: UsageLine, done: Done, reply: Any) -> UsageLine:
        done(None)
        return right(self, hold, line, lambda _: None, reply)

    patch.setattr(MemoryCashier, "settle", settle)


def settles_nothing(patch: pytest.MonkeyPatch) -> None:
    def settle(self: MemoryCashier, hold: Hold, line: UsageLine, done: Done, reply: Any) -> UsageLine:
        asyncio.get_running_loop().call_soon(done, None)
        return line

    patch.setattr(MemoryCashier, "settle", settle)


def settles_twice(patch: pytest.MonkeyPatch) -> None:
    right = MemoryCashier.settle

    def settle(self: MemoryCashier, hold: Hold, line: UsageLine, done: Done, reply: Any) -> UsageLine:
        self.lines.append(line)
        return right(self, hold, line, done, reply)

    patch.setattr(MemoryCashier, "settle", settle)


def keeps_the_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Limits, "leave", lambda self, place, *used: None)


def keeps_the_accounts_place(patch: pytest.MonkeyPatch) -> None:
    right = Limits.leave
    patch.setattr(Limits, "leave", lambda self, place, *used: right(self, None, *used))


def keeps_the_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "post", lambda self, hold, usage, now_ms: NO_CHARGE)
    patch.setattr(Ledger, "void", lambda self, hold: None)


def charges_twice(patch: pytest.MonkeyPatch) -> None:
    right = Ledger.post

    def post(self: Ledger, hold: Hold, usage: Usage, now_ms: int) -> Charge:
        charge = right(self, hold, usage, now_ms)
        self.debit("account", charge.nano)
        return charge

    patch.setattr(Ledger, "post", post)


def keeps_the_request_id(patch: pytest.MonkeyPatch) -> None:
    class Sticky(set[tuple[str, str]]):
        def remove(self, key: tuple[str, str]) -> None:
            """Not at all."""

    right = Admissions.__init__

    def init(self: Admissions, *what: Any) -> None:
        right(self, *what)
        self.running = Sticky()

    patch.setattr(Admissions, "__init__", init)


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
    def too_much(*seen: Any) -> Measured:
        usage = measured(*seen).usage
        return Measured(
            msgspec.structs.replace(usage, completion_tokens=usage.completion_tokens + 1), "engine"
        )

    patch.setattr(exchange, "measured", too_much)


def bills_too_little(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exchange, "measured", lambda *_: Measured(Usage(prompt_tokens=7), "engine"))


def logs_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RequestLog, "add", lambda self, records: None)


def counts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Metrics, "count", lambda self, record, model: None)


WHOLE_ANSWER: list[tuple[Plant, str]] = [
    (delivers_before_settling, "before the usage was durable"),
    (settles_nothing, "0 usage lines instead of 1"),
    (settles_twice, "2 usage lines instead of 1"),
    (keeps_the_place, "a place in flight"),
    (keeps_the_accounts_place, "a place of the account"),
    (keeps_the_hold, "money is still held"),
    (charges_twice, "the balance is not"),
    (keeps_the_request_id, "a request id"),
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
    (keeps_the_accounts_place, "a place of the account"),
    (keeps_the_hold, "money is still held"),
    (charges_twice, "the balance is not"),
    (keeps_the_request_id, "a request id"),
    (bills_too_much, "billed 4, produced 3"),
    (bills_too_little, "delivered 3, billed 0"),
]


# At a price, and with every limit, so that there is something to lose.
MONEY: dict[str, Any] = {
    "price": Price("", 1, (Band(input=2_000_000_000, output=8_000_000_000),)),
    "balance": 10**12,
    "limits_of": {"*": ModelLimits(in_flight=3, rpm=60, tpm=10**6, daily=100)},
}


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

    run(test, Reply().stream(), **MONEY)


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

    run(test, [Head(), *Reply().events(), Stall()], **MONEY)


def hasten(patch: pytest.MonkeyPatch, finding: str) -> None:
    """An engine that is known to work on need not be watched for a whole second."""
    if finding:
        patch.setattr(pipeline_bench, "ENGINE_STOPS_WITHIN_S", 0.1)


def check(violations: list[str], finding: str) -> None:
    if not finding:
        assert violations == []
    assert not finding or any(finding in violation for violation in violations), violations
