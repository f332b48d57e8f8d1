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
from openbigmodel.conformance.engine_shapes import UPSTREAMS
from openbigmodel.conformance.engine_shapes import Reply as GlmReply
from openbigmodel.engines.candidate import Seat
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import (
    DONE,
    Data,
    End,
    FakeRequest,
    Head,
    Reply,
    Script,
    Step,
    json_answer,
)
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.profiles import OPENAI, Profile
from openbigmodel.inference import pipeline as pipeline_module
from tests.unit.inference.pipeline_bench import Asked, Bench, RecordingSink, within

PRICE = Price("", 1, (Band(input=2_000_000_000, output=8_000_000_000),))
BALANCE = 10**12
HEALTHY = Reply(content=("uno ", "dos ", "tres "))
_HEALTHY_GLM = GlmReply(content=HEALTHY.content, prompt_tokens=7, cached_tokens=0)
# The deadlines are 600 s for the first token and 120 s between them; each is over by now.
DEADLINE_S = {False: 601.0, True: 121.0}
# Who waits for the first word of an engine of which nothing is known is moved by then, if there is another.
MOVED_S = 18.0
# An engine that goes on saying nothing is done with by then, whatever it says.
LAST_DEADLINE_S = 700.0
_ENDS_WITHIN_S = 8.0
_SWEEP_S = 0.005
# Less than the shorter deadline, also twice.
_OUTWAITED_STEP_S = 50
# Only these may differ in an event that is passed on.
_OWN = ("id", "model", "request_id")


@dataclass(frozen=True)
class Ending:
    """What the caller and the books see. An error has a code, an answer a finish reason.

    `tokens` of the answer are billed, and `prompt` ones of the prompt; None: estimated, and not nothing. `written` is
    the finish reason of the books where the caller hears an upstream's own word. `events` are those that a relay has to
    pass on, field by field, but for its own ids and the model's name.
    """

    code: str = ""
    status: int = 200
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish_reason: str = ""
    tokens: int = 0
    prompt: int | None = 0
    written: str = ""
    events: tuple[dict[str, Any], ...] = ()


FAILED = Ending(code="1234", status=500)
SERVED_BY_ANOTHER = Ending(text="uno dos tres ", finish_reason="stop", tokens=3, prompt=7)


@dataclass(frozen=True)
class Scenario:
    """`kind` is the misfortune, `name` that with everything else; `way` how the answer is read, empty if as usual.

    `asked` is how often each engine was, the second of which is well; `blamed` what was said of the first engine at
    the end. `again` is what an engine plays that is asked once more. `shown` tokens (or events) are seen by the caller
    before the script's gate opens, `begun` says if there are any. `silence`: nothing comes, so only a deadline ends it.
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
    way: str = ""


def healthy(request: FakeRequest) -> list[Step]:
    """What an engine says that is well."""
    return HEALTHY.stream() if request.json.get("stream") else HEALTHY.body()


def healthy_glm(request: FakeRequest) -> list[Step]:
    """The same from one that speaks GLM."""
    said, tokens = UPSTREAMS["glm"], _HEALTHY_GLM.tokens
    if not request.json.get("stream"):
        return json_answer(200, said.body(_HEALTHY_GLM), tokens=tokens)
    *pieces, last = said.stream(_HEALTHY_GLM, False)
    return [Head(), *(Data(piece, tokens=1) for piece in pieces), Data(last), DONE, End()]


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
    well = healthy_glm if scenario.profile.speaks_glm else healthy
    again = [] if scenario.again is None else [well if scenario.again is healthy else scenario.again]
    engines[0].play(scenario.steps, *again, well)
    for engine in engines[1:]:
        engine.play(well, well)
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
        await bench.stop()
        for engine in engines:
            await engine.stop()
    return found + faults


async def _told(scenario: Scenario, bench: Bench, asked: Asked) -> list[str]:
    """Wait for the end, in the engine's time; a sentence if there is none."""
    sink = asked.sink
    if not await within(_ENDS_WITHIN_S, lambda: bool(bench.engine.requests) or sink.over.is_set()):
        return ["the engine was never asked"]
    if scenario.shown and not await within(
        _ENDS_WITHIN_S, lambda: _shown(scenario, sink) >= scenario.shown or sink.over.is_set()
    ):
        return [f"{_shown(scenario, sink)} tokens were shown instead of {scenario.shown}"]
    if bench.engine.requests:
        bench.engine.requests[0].open_gate()
    if scenario.begun and not scenario.shown:
        # What nobody sees has to arrive all the same.
        await within(_ENDS_WITHIN_S, lambda: _brought(bench) or sink.over.is_set())
    if scenario.silence and callable(scenario.steps):
        return await _outwaited(bench, sink)
    if scenario.silence:
        # A word that arrives after the clock was put forward would begin the silence anew.
        events = len(scenario.ending.events or ())
        await within(_ENDS_WITHIN_S, lambda: not events or sink.over.is_set() or len(sink.events) >= events)
        await asyncio.sleep(4 * _SWEEP_S)
        # Several sweeps, all too early.
        bench.now_s += _deadline_s(scenario) - 3
        await asyncio.sleep(4 * _SWEEP_S)
        if sink.over.is_set():
            return ["it was given up too early"]
        bench.now_s += 3
    ended = await within(_ENDS_WITHIN_S, sink.over.is_set)
    return [] if ended else ["it did not end"]


def _deadline_s(scenario: Scenario) -> float:
    """After how long an engine that says nothing is given up."""
    profile = scenario.profile
    streamed = scenario.stream or profile.always_stream or bool(profile.parse)
    others = len(scenario.asked) > 1
    return MOVED_S if streamed and others and not scenario.begun else DEADLINE_S[scenario.begun]


async def _outwaited(bench: Bench, sink: RecordingSink) -> list[str]:
    """The engine goes on for ever, and its deadline comes."""
    begun_s = bench.now_s
    while not sink.over.is_set():
        if bench.now_s - begun_s > LAST_DEADLINE_S:
            return [f"it goes on after {LAST_DEADLINE_S:.0f} s without a token"]
        bench.now_s += _OUTWAITED_STEP_S
        await asyncio.sleep(3 * _SWEEP_S)
    return []


def _shown(scenario: Scenario, sink: RecordingSink) -> int:
    """Tokens; of an answer that is passed on every event, since each may be what the caller is waiting for."""
    if scenario.way != "relayed":
        return sink.delivered_tokens
    return len(sink.chunks) if sink.status == 200 else 0


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
    if said != wanted:
        return [f"the caller was told {said}, not {wanted}"]
    return _of_events(ending, sink.chunks) if scenario.stream else []


def _of_events(ending: Ending, chunks: list[dict[str, Any]]) -> list[str]:
    """Whether a relay has passed on each event, and what it says itself at the end of a broken stream."""
    found = []
    for ours, theirs in zip(chunks, ending.events, strict=False):
        if any(ours.get(name) != value for name, value in theirs.items() if name not in _OWN):
            found.append(f"{theirs} became {ours}")
        if ours.keys() != theirs.keys():
            found.append(f"of {', '.join(theirs)} are left {', '.join(ours)}")
    more = len(chunks) - len(ending.events)
    if ending.events and more != (ending.finish_reason == "network_error" and not ending.written):
        found.append(f"{len(ending.events)} events of the engine became {len(chunks)}")
    if chunks[len(ending.events) :]:
        told = (chunks[-1].get("usage") or {}).get("completion_tokens")
        if told != ending.tokens:
            found.append(f"the caller was told of {told} tokens, not {ending.tokens}")
    return found


Said = tuple[str, str, tuple[tuple[str, str], ...], str]


def _said(chunks: list[dict[str, Any]]) -> Said:
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            one = calls.setdefault(call["index"], [call["function"]["name"], ""])
            one[1] += call["function"]["arguments"]
    return (
        "".join(delta.get("content", "") for delta in deltas),
        "".join(delta.get("reasoning_content", "") for delta in deltas),
        tuple((name, arguments) for name, arguments in calls.values()),
        str(choices[-1].get("finish_reason")),
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
    if (line.code, line.finish_reason) != (ending.code, ending.written or ending.finish_reason):
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
