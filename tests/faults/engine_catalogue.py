"""All scenarios, the same every time: each fault at each place, asked in several ways."""

import dataclasses

from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.profiles import LLAMA_SERVER, LMDEPLOY, OPENAI, SGLANG, VLLM, Profile
from tests.faults.body_faults import BODY_FAULTS
from tests.faults.engine_relays import RAW, RAW_PLACES, relayed_scenarios
from tests.faults.engine_scenario import FAILED, SERVED_BY_ANOTHER, Ending, Scenario, healthy
from tests.faults.framing_shapes import FRAMES
from tests.faults.head_faults import HEAD_FAULTS
from tests.faults.odd_shapes import ODD
from tests.faults.recorded_shapes import RECORDED
from tests.faults.stream_faults import (
    AFTER_THE_HEAD,
    AFTER_THE_ROLE,
    AFTER_THE_USAGE,
    AFTER_THREE,
    BEFORE_THE_HEAD,
    BEGINNINGS,
    DIALECTS,
    ENDS,
    FAULTS,
    MIDDLES,
    OF_ANY_ENGINE,
    OTHER_DIALECT,
    Fault,
    Place,
)
from tests.faults.usage_shapes import USAGES

_STREAMED = (OPENAI, VLLM, SGLANG, LLAMA_SERVER, LMDEPLOY)


def stream_scenarios() -> list[Scenario]:
    """Faults in what the engine streams, to callers who want a stream and to those who do not."""
    found = []
    for number, fault in enumerate(FAULTS):
        for turn, place in enumerate(_places(fault)):
            found.append(_of_stream(fault, place, _STREAMED[(number + turn) % len(_STREAMED)]))
        seconds = [AFTER_THE_HEAD, AFTER_THE_ROLE][number % 2], AFTER_THREE
        found += [_of_stream(fault, place, _STREAMED[number % 3], engines=2) for place in seconds]
        bodies = [AFTER_THE_ROLE, (*MIDDLES, AFTER_THE_USAGE)[number % 6]]
        found += [
            _of_stream(fault, place, LLAMA_SERVER, stream=False, engines=1 + number % 2)
            for place in bodies
            if not (place.whole and fault.gives_reason)
        ]
        if fault.headless:
            found += [
                _of_stream(fault, BEFORE_THE_HEAD, _STREAMED[number % 5], stream=stream, engines=2)
                for stream in (True, False)
            ]
    return found


def raw_scenarios() -> list[Scenario]:
    """Faults in what an engine streams whose answers are a model's raw text, so that a part of one may be markup."""
    found = []
    for number, fault in enumerate(OF_ANY_ENGINE):
        turns = [RAW_PLACES[(number + turn) % len(RAW_PLACES)] for turn in range(4)]
        ends = () if fault.gives_reason else (ENDS[number % 2],)
        streamed = [_of_stream(fault, place, RAW) for place in (*turns[:3], *ends)]
        for scenario in (*streamed, _of_stream(fault, turns[3], RAW, stream=False)):
            found.append(dataclasses.replace(scenario, way="raw text"))
    return found


def _places(fault: Fault) -> list[Place]:
    places = [BEFORE_THE_HEAD] if fault.headless else []
    places += [*BEGINNINGS, *MIDDLES]
    return places + [place for place in ENDS if not fault.gives_reason]


def _of_stream(
    fault: Fault, place: Place, profile: Profile, *, stream: bool = True, engines: int = 1
) -> Scenario:
    dialect = DIALECTS.get(profile.name, OTHER_DIALECT)
    produced = bool(place.cut) or fault.produces
    broken = not place.head and not fault.silence
    shown = place.shown if stream else 0
    # A bad piece of an answer is one that was made, if nobody else counts.
    more = int(fault.produces and not (dialect.timings and place.cut))
    if place.whole:
        ending = Ending(
            text=place.text,
            finish_reason="stop",
            tokens=12 + more,
            prompt=7 if place.counted or dialect.timings else None,
        )
    elif not produced and (engines == 2 or broken):
        ending = SERVED_BY_ANOTHER
    elif shown:
        ending = Ending(
            text=place.text,
            reasoning=place.reasoning,
            calls=place.calls,
            finish_reason="network_error",
            tokens=place.cut + more,
            prompt=7 if dialect.timings else None,
        )
    else:
        ending = FAILED
    asked = (1,) if engines == 1 else (1, int(not produced and not place.whole))
    again = None
    if broken and engines == 1:
        asked, again = (2,), healthy
    who = "stream" if stream else "body"
    return Scenario(
        fault.name,
        f"{fault.name} / {place.name} / {profile.name} / {who} / {engines}",
        fault.after(place.steps(dialect)),
        ending,
        Outcome.SERVED if place.whole and fault.ends else Outcome.FAILED,
        asked,
        stream,
        profile,
        again,
        shown,
        fault.silence and not (place.whole and fault.ends),
        bool(place.cut),
        place.fields,
    )


def shape_scenarios() -> list[Scenario]:
    """Answers that are whole, however odd."""
    return [
        Scenario(
            shape.name,
            f"{shape.name} / {engines}",
            shape.steps,
            shape.ending,
            Outcome.SERVED,
            (1, 0)[:engines],
            not shape.body,
            shape.profile,
            fields=shape.fields,
        )
        for shape in (*RECORDED, *USAGES, *FRAMES, *ODD)
        for engines in (1, 2)
    ]


def head_scenarios() -> list[Scenario]:
    """Responses whose head is the fault."""
    return [
        Scenario(
            fault.name,
            f"{fault.name} / {'stream' if stream else 'body'} / {engines}",
            fault.steps,
            SERVED_BY_ANOTHER if engines == 2 and fault.elsewhere else Ending(fault.code, fault.status),
            fault.blamed,
            (1, int(fault.elsewhere)) if engines == 2 else (1 + fault.broken,),
            stream,
            _STREAMED[number % 3],
            fault.steps if engines == 1 and fault.broken else None,
        )
        for number, fault in enumerate(HEAD_FAULTS)
        for stream, engines in ((True, 1 + number % 2), (False, 2 - number % 2))
    ]


def body_scenarios() -> list[Scenario]:
    """Faults in an answer in one piece."""
    return [
        Scenario(
            fault.name,
            f"{fault.name} / {engines}",
            fault.steps,
            SERVED_BY_ANOTHER if engines == 2 and not fault.produced else FAILED,
            Outcome.FAILED,
            (1, int(not fault.produced))[:engines],
            stream=False,
            profile=_STREAMED[number % 3],
            silence=fault.silence,
        )
        for number, fault in enumerate(BODY_FAULTS)
        for engines in (1, 2)
    ]


CATALOGUE = (
    *stream_scenarios(),
    *relayed_scenarios(),
    *raw_scenarios(),
    *shape_scenarios(),
    *head_scenarios(),
    *body_scenarios(),
)
