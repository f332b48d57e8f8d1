"""The same misfortunes where an answer is passed on as it came (kind `glm`), and where it is raw text (`parse`).

A relay shows an event as soon as there is something in it; from then on nobody else is asked, and what the engine has
said stays, field by field. Its death is told as any other: network_error, the usage that is known, [DONE]. Where the
upstream itself says how it ended, that word is the caller's.
"""

import json
from dataclasses import dataclass, field

import msgspec

from openbigmodel.conformance.engine_shapes import UPSTREAMS, Reply
from openbigmodel.engines.fake_script import Data, Dialect, Gate, Head, Step, event
from openbigmodel.engines.fake_script import Reply as RawReply
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.profiles import GLM, VLLM
from tests.faults.engine_scenario import FAILED, SERVED_BY_ANOTHER, Ending, Scenario, healthy
from tests.faults.stream_faults import (
    AFTER_THREE,
    AFTER_TWELVE,
    BEFORE_THE_HEAD,
    OF_ANY_ENGINE,
    TOOLS,
    WORDS,
    Fault,
    Place,
)

# --- an upstream that speaks GLM


@dataclass(frozen=True)
class GlmPlace(Place):
    """A place in a stream of GLM's: `glm` is what is said of it in the end."""

    glm: Reply = field(default_factory=Reply)

    def said_events(self) -> tuple[dict[str, object], ...]:
        """The events that the caller must get."""
        if not self.head or not self.role:
            return ()
        made = [json.loads(one[6:]) for one in UPSTREAMS["glm"].stream(self.glm, True)]
        opening = {**made[0], "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
        last = made.pop()
        if not self.counted:
            del last["usage"]
        return (opening, *made[: self.cut], *([last] if self.whole else []))

    def steps(self, dialect: Dialect) -> list[Step]:
        """What the engine has said when it comes to the fault."""
        said = self.said_events()
        steps: list[Step] = [Head()] if self.head else []
        steps += [event(one, tokens=int(number > 0)) for number, one in enumerate(said[: self.cut + 1])]
        if self.cut:
            steps.append(Gate())
        return [*steps, *(event(one) for one in said[self.cut + 1 :])]

    @property
    def text(self) -> str:
        return "".join(self.glm.content[: max(0, self.cut - len(self.glm.reasoning))])

    @property
    def reasoning(self) -> str:
        return "".join(self.glm.reasoning[: self.cut])

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, "".join(pieces[: self.cut])) for name, pieces in self.glm.calls)


_PLAIN = Reply(content=WORDS, prompt_tokens=7, cached_tokens=0)
_THOUGHT = msgspec.structs.replace(_PLAIN, reasoning=("let ", "me ", "think "))
_CALL = Reply(content=(), calls=(("get_weather", ('{"city"', ': "', "北京", '"}')),))

_GLM_BEGINNINGS = (
    GlmPlace("after the head", role=False, glm=_PLAIN),
    GlmPlace("after the role", glm=_PLAIN),
)
_GLM_MIDDLES = (
    GlmPlace("after three tokens", cut=3, glm=_PLAIN),
    GlmPlace("after twelve tokens", cut=12, glm=_PLAIN),
    GlmPlace("within the reasoning", cut=2, glm=_THOUGHT),
    GlmPlace("within a streamed call", cut=2, glm=_CALL, fields={"tools": TOOLS, "tool_stream": True}),
)
_GLM_ENDS = (
    GlmPlace("after the finish reason", cut=12, whole=True, glm=_PLAIN),
    GlmPlace("after the usage", cut=12, whole=True, counted=True, glm=_PLAIN),
)

# Reasons that the relay takes for a death of the upstream's, which it tells of itself.
_DEATHS = ("abort", "error", "network_error")
# Shapes that it does not know, in an answer that goes on.
_UNKNOWN = frozenset(("SGLang's abort as an object", "a number as a reason"))
# Without a name it is GLM's own envelope that is missing, so it is an error, and not nothing.
_ERRORS_HERE = frozenset(("vLLM's error without a name",))


def relayed_scenarios() -> list[Scenario]:
    """Each fault at each place of a stream that is passed on, with another engine at hand where that matters."""
    found = []
    for fault in OF_ANY_ENGINE:
        places: list[Place] = [BEFORE_THE_HEAD] if fault.headless else []
        places += [*_GLM_BEGINNINGS, *_GLM_MIDDLES, *(() if fault.gives_reason else _GLM_ENDS)]
        found += [_relayed(fault, place, 1) for place in places]
        found += [_relayed(fault, place, 2) for place in places if place.cut in (0, 3)]
    return found


def _passed(fault: Fault) -> tuple[dict[str, object], ...]:
    """What the fault itself says that is an event to a relay."""
    if fault.name != "only usage and [DONE]" and not fault.gives_reason:
        return ()
    assert not callable(fault.steps)
    said = b"".join(step.data for step in fault.steps if isinstance(step, Data))
    return tuple(json.loads(one[6:]) for one in said.split(b"\n\n") if one and one != b"data: [DONE]")


def _relayed(fault: Fault, place: Place, engines: int) -> Scenario:
    said = place.said_events() if isinstance(place, GlmPlace) else ()
    passed = _passed(fault)
    reason = next((word for word in _DEATHS if fault.name == f"{word} as a reason"), "")
    silence = fault.silence or fault.name in _UNKNOWN
    ends = fault.ends and fault.name not in _ERRORS_HERE
    # A role alone is kept back, and so is whatever else there is nothing to read in.
    begun = bool(place.cut)
    if place.whole:
        prompt = 7 if place.counted else None
        ending = Ending(text=place.text, finish_reason="stop", tokens=12, prompt=prompt, events=said + passed)
    elif begun:
        ending = Ending(
            text=place.text,
            reasoning=place.reasoning,
            calls=place.calls,
            finish_reason=reason or "network_error",
            tokens=place.cut,
            prompt=None,
            written="network_error" if reason else "",
            events=said + passed,
        )
    else:
        ending = SERVED_BY_ANOTHER if engines == 2 else FAILED
    asked, again = ((1,) if engines == 1 else (1, int(not begun))), None
    if not place.head and not silence and engines == 1:
        asked, again, ending = (2,), healthy, SERVED_BY_ANOTHER
    whole = (place.whole and ends) or (bool(reason) and begun)
    return Scenario(
        fault.name,
        f"{fault.name} / {place.name} / glm / stream / {engines}",
        fault.after(place.steps(Dialect())),
        ending,
        Outcome.SERVED if whole else Outcome.FAILED,
        asked,
        True,
        GLM,
        again,
        len(said) - place.whole if begun else 0,
        silence and not whole,
        begun,
        place.fields,
        "relayed",
    )


# --- a model's raw text


@dataclass(frozen=True)
class RawPlace(Place):
    """A place in a text with markup: so many pieces of it the caller sees, and these words."""

    seen: int = 0
    thought: str = ""
    called: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> int:
        return self.seen

    @property
    def text(self) -> str:
        return ""

    @property
    def reasoning(self) -> str:
        return self.thought

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        return self.called


RAW = msgspec.structs.replace(VLLM, name="raw-text", parse="glm45")
_THINKING = RawReply(content=("<think>", "let ", "me ", "think ", "</think>", *WORDS))
_CALLING = RawReply(
    content=(
        *("<tool_call>", "get_weather", "\n", "<arg_key>", "city", "</arg_key>", "\n", "<arg_value>"),
        *("北京", "</arg_value>", "\n", "</tool_call>"),
    )
)
RAW_PLACES = (
    AFTER_THREE,
    RawPlace("within raw reasoning", _THINKING, 3, seen=2, thought="let me "),
    RawPlace("within a raw call", _CALLING, 9, fields={"tools": TOOLS}),
    RawPlace(
        "within a streamed raw call",
        _CALLING,
        9,
        seen=3,
        called=(("get_weather", '{"city":"北京'),),
        fields={"tools": TOOLS, "tool_stream": True},
    ),
    AFTER_TWELVE,
)
