"""One scripted misfortune of an engine, and what must have come of it: the caller's answer, the bill, who is blamed.

`broken_promises` plays a scenario through the real exchange, pool and ledger. What it finds is what does not hold;
empty is good.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop

from openbigmodel.billing.pricing import Band, Price
from openbigmodel.engines.candidate import Seat
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import FakeRequest, Reply, Script, Step
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.profiles import OPENAI, Profile
from openbigmodel.inference import pipeline as pipeline_module
from tests.unit.inference.pipeline_bench import Asked, Bench, RecordingSink, within

PRICE = Price("", 1, (Band(input=2_000_000_000, output=8_000_000_000),))
BALANCE = 10**12
HEALTHY = Reply(content=("uno ", "dos ", "tres "))
# The deadlines are 600 s for the first token and 120 s between them; each is over by now.
DEADLINE_S = {False: 601.0, True: 121.0}
# An engine that goes on saying nothing is done with by then, whatever it says.
LAST_DEADLINE_S = 700.0
_ENDS_WITHIN_S = 8.0
_SWEEP_S = 0.005


@dataclass(frozen=True)
class Ending:
    """What the caller and the books see. An error has a code, an answer a finish reason.

    `tokens` of the answer are billed, and `prompt` ones of the prompt; None: estimated, and not nothing.
    """

    code: str = ""
    status: int = 200
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish_reason: str = ""
    tokens: int = 0
    prompt: int | None = 0


FAILED = Ending(code="1234", status=500)
SERVED_BY_ANOTHER = Ending(text="uno dos tres ", finish_reason="stop", tokens=3, prompt=7)


@dataclass(frozen=True)
class Scenario:
    """`kind` is the misfortune, `name` that with everything else.

    `asked` is how often each engine was, the second of which is well; `blamed` what was said of the first engine at
    the end. `again` is what an engine plays that is asked once more. `shown` tokens are seen by the caller before the
    script's gate opens, `begun` says if there are any. `silence`: nothing comes, so only a deadline ends it.
    """

    kind: str
    name: str
    steps: list[Step] | Script
    ending: Ending
    blamed: Outcome
    asked: tuple[int, ...] = (1,)
    stream: bool = True
    profile: Profile = OPENAI
    again: list[Step] | Script | None = None
    shown: int = 0
    silence: bool = False
    begun: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


def healthy(request: FakeRequest) -> list[Step]:
    """What an engine says that is well."""
    return HEALTHY.stream() if request.json.get("stream") else HEALTHY.body()


def broken_promises(scenario: Scenario) -> list[str]:
    """Play it."""
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        _short_sweeps(),
        overheard_blame() as blame,
    ):
        return runner.run(asyncio.wait_for(_play(scenario, blame), 30))


async def _play(scenario: Scenario, blame: list[tuple[str, Outcome]]) -> list[str]:
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: faults.append(f"a fault of ours: {context.get('exception') or context['message']}")
    )
    engines = [FakeEngine() for _ in scenario.asked]
    for engine in engines:
        await engine.start()
    again = [] if scenario.again is None else [scenario.again]
    engines[0].play(scenario.steps, *again, healthy)
    for engine in engines[1:]:
        engine.play(healthy, healthy)
    bench = Bench(engines[0], others=engines[1:], profile=scenario.profile, price=PRICE, balance=BALANCE)
    try:
        asked = bench.ask(stream=scenario.stream, **scenario.fields)
        found = await _told(scenario, bench, asked)
        if not found:
            found = _of_answer(scenario, asked.sink) + _of_bill(scenario, bench) + _of_blame(scenario, blame)
            counts = tuple(len(engine.requests) for engine in engines)
            if counts != scenario.asked:
                found.append(f"engines were asked {counts} times, not {scenario.asked}")
            found += await _next_is_served(bench, engines[0])
        found += await bench.violations()
    finally:
        await bench.remote.stop()
        for engine in engines:
            await engine.stop()
    return found + faults


async def _told(scenario: Scenario, bench: Bench, asked: Asked) -> list[str]:
    """Wait for the end, in the engine's time; a sentence if there is none."""
    sink = asked.sink
    if not await within(_ENDS_WITHIN_S, lambda: bool(bench.engine.requests) or sink.over.is_set()):
        return ["the engine was never asked"]
    if scenario.shown and not await within(
        _ENDS_WITHIN_S, lambda: _shown(sink) >= scenario.shown or sink.over.is_set()
    ):
        return [f"{_shown(sink)} tokens were shown instead of {scenario.shown}"]
    if bench.engine.requests:
        bench.engine.requests[0].open_gate()
    if scenario.begun and not scenario.shown:
        # What nobody sees has to arrive all the same.
        await within(_ENDS_WITHIN_S, lambda: _brought(bench) or sink.over.is_set())
    if scenario.silence and callable(scenario.steps):
        return await _outwaited(bench, sink)
    if scenario.silence:
        # Several sweeps, all too early.
        bench.now_s += DEADLINE_S[scenario.begun] - 3
        await asyncio.sleep(4 * _SWEEP_S)
        if sink.over.is_set():
            return ["it was given up too early"]
        bench.now_s += 3
    ended = await within(_ENDS_WITHIN_S, sink.over.is_set)
    return [] if ended else ["it did not end"]


async def _outwaited(bench: Bench, sink: RecordingSink) -> list[str]:
    """The engine goes on for ever, and its deadline comes."""
    begun_s = bench.now_s
    while not sink.over.is_set():
        if bench.now_s - begun_s > LAST_DEADLINE_S:
            return [f"it goes on after {LAST_DEADLINE_S:.0f} s without a token"]
        bench.now_s += 20
        await asyncio.sleep(3 * _SWEEP_S)
    return []


def _shown(sink: RecordingSink) -> int:
    return sink.delivered_tokens


def _brought(bench: Bench) -> bool:
    exchanges = list(bench.pipeline.exchanges)
    return not exchanges or exchanges[0]._first_token_s is not None


def _of_answer(scenario: Scenario, sink: RecordingSink) -> list[str]:
    ending = scenario.ending
    if sink.status != ending.status:
        return [f"the caller got {sink.status}, not {ending.status}: {bytes(sink.body[:300])!r}"]
    if ending.code:
        return [] if sink.code == ending.code else [f"the code is {sink.code}, not {ending.code}"]
    if scenario.stream and sink.events[-1] != "[DONE]":
        return ["the stream has no end"]
    said = _said(sink.chunks) if scenario.stream else _said_in_body(sink)
    wanted = ending.text, ending.reasoning, ending.calls, ending.finish_reason
    return [] if said == wanted else [f"the caller was told {said}, not {wanted}"]


Said = tuple[str, str, tuple[tuple[str, str], ...], str]


def _said(chunks: list[dict[str, Any]]) -> Said:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            one = calls.setdefault(call["index"], [call["function"]["name"], ""])
            one[1] += call["function"]["arguments"]
    return (
        "".join(delta.get("content", "") for delta in deltas),
        "".join(delta.get("reasoning_content", "") for delta in deltas),
        tuple((name, arguments) for name, arguments in calls.values()),
        str(chunks[-1]["choices"][0].get("finish_reason")),
    )


def _said_in_body(sink: RecordingSink) -> Said:
    choice = json.loads(sink.body)["choices"][0]
    message = choice["message"]
    calls = tuple(
        (call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())
    )
    return message["content"], message.get("reasoning_content", ""), calls, choice["finish_reason"]


def _of_bill(scenario: Scenario, bench: Bench) -> list[str]:
    ending, line = scenario.ending, bench.cashier.lines[0]
    usage = line.usage
    found = []
    if usage.completion_tokens != ending.tokens:
        found.append(f"{usage.completion_tokens} tokens were billed, not {ending.tokens}")
    if usage.prompt_tokens != ending.prompt and (ending.prompt is not None or not usage.prompt_tokens):
        found.append(f"{usage.prompt_tokens} tokens of the prompt were billed, not {ending.prompt}")
    charge = PRICE.charge(usage) if ending.tokens else 0
    if line.charge != charge or (ending.code and line.charge):
        found.append(f"the charge is {line.charge}, not {charge}")
    if (line.code, line.finish_reason) != (ending.code, "" if ending.code else ending.finish_reason):
        found.append(f"the line says {line.code or line.finish_reason}")
    if ending.code and not bench.records[0].get("detail"):
        found.append("the log does not say why")
    return found


def _of_blame(scenario: Scenario, blame: list[tuple[str, Outcome]]) -> list[str]:
    of_first = [outcome for name, outcome in blame if name == "fake"]
    wanted = [scenario.blamed] * scenario.asked[0]
    if scenario.again is not None and scenario.again is healthy:
        wanted[-1] = Outcome.SERVED
    return [] if of_first == wanted else [f"of the engine was said {of_first}, not {wanted}"]


async def _next_is_served(bench: Bench, engine: FakeEngine) -> list[str]:
    """Nothing of one answer is left for the next request."""
    before = len(engine.requests)
    sink = bench.ask(stream=True).sink
    await within(_ENDS_WITHIN_S, sink.over.is_set)
    heard = engine.requests[before:]
    if sink.status == 200 and sink.events[-1] == "[DONE]" and sink.text == SERVED_BY_ANOTHER.text:
        return []
    return [f"the next request got {sink.status} {bytes(sink.body[:200])!r} of {len(heard)}"]


@contextlib.contextmanager
def _short_sweeps() -> Iterator[None]:
    interval_s, pipeline_module._SWEEP_INTERVAL_S = pipeline_module._SWEEP_INTERVAL_S, _SWEEP_S
    try:
        yield
    finally:
        pipeline_module._SWEEP_INTERVAL_S = interval_s


@contextlib.contextmanager
def overheard_blame() -> Iterator[list[tuple[str, Outcome]]]:
    """What is said of engines when their seats are left, in order."""
    heard: list[tuple[str, Outcome]] = []
    leave: Callable[..., None] = Seat.leave

    def overheard(self: Seat[Any], outcome: Outcome, *args: Any, **more: Any) -> None:
        heard.append((self.target.engine.name, outcome))
        leave(self, outcome, *args, **more)

    Seat.leave = overheard  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        Seat.leave = leave  # type: ignore[method-assign]
