"""The parts that answers in other engines' shapes are made of: chunks, usage, calls, and what the caller must hear."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from openbigmodel.engines.fake_script import DONE, Close, Data, End, Head, Raw, Script, Step, event
from openbigmodel.engines.profiles import Profile
from tests.faults.engine_scenario import Ending

JSON_TYPE = (("Content-Type", "application/json"),)
WHOLE = Ending(text="one two three ", finish_reason="stop", tokens=3, prompt=7)
THOUGHT = Ending(text="four ", reasoning="let me ", finish_reason="stop", tokens=3, prompt=7)
CALLED = Ending(calls=(("get_weather", '{"city": "北京"}'),), finish_reason="tool_calls", tokens=4, prompt=7)
USAGE = {"prompt_tokens": 7, "total_tokens": 10, "completion_tokens": 3}
USAGE_4 = USAGE | {"total_tokens": 11, "completion_tokens": 4}
RUNNING = [{"prompt_tokens": 7, "total_tokens": 7 + count, "completion_tokens": count} for count in range(4)]


@dataclass(frozen=True)
class Shape:
    """A whole answer as one engine gives it.

    `body`: the caller wants one body, and the engine gives it in one piece.
    """

    name: str
    profile: Profile
    steps: list[Step] | Script
    ending: Ending = WHOLE
    body: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


def chunk(delta: Any, reason: str | None = None, *, tokens: int = 0, choice: Any = None, **more: Any) -> Data:
    """A chunk of a stream; `choice` and `more` are further members of the choice and of the whole."""
    one = {"index": 0, "delta": delta, "finish_reason": reason, **(choice or {})}
    head = {"id": "x-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**head, "choices": [one], **more}, tokens=tokens)


def words(
    *texts: str, choice: Any = None, key: str = "content", extra: Any = None, **more: Any
) -> list[Step]:
    """A chunk for each text; `extra` are further members of the delta."""
    return [chunk({key: text, **(extra or {})}, tokens=1, choice=choice, **more) for text in texts]


def usage_chunk(usage: Any = USAGE, **more: Any) -> Data:
    """The chunk without choices."""
    return event({"id": "x-1", "object": "chat.completion.chunk", "choices": [], "usage": usage, **more})


def stream(*steps: Step | Sequence[Step], usage: Any = USAGE) -> list[Step]:
    """A whole stream; without a usage chunk if `usage` is None."""
    flat = [one for step in steps for one in (step if isinstance(step, Sequence) else [step])]
    return [Head(), *flat, *([usage_chunk(usage)] if usage is not None else []), DONE, End()]


def call(name: str | None, arguments: str | None, *, id_: str | None = None, index: int | None = 0) -> Data:
    """A piece of a call; without an index if that is None."""
    said = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    return chunk({"tool_calls": [said if index is None else {"index": index, **said}]}, tokens=1)


ONE_TWO_THREE = ("one ", "two ", "three ")
ROLE = chunk({"role": "assistant", "content": ""})
TOKENS = words(*ONE_TWO_THREE)
STOP = chunk({}, "stop")


def counted(tokens: int, prompt: int | None = 7) -> Ending:
    return Ending(text=WHOLE.text, finish_reason="stop", tokens=tokens, prompt=prompt)


UNCOUNTED = counted(3, None)


def body_of(steps: Iterable[Step]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Data))


SAID = body_of([ROLE, *TOKENS, STOP, usage_chunk(), DONE])


def raw(*lines: str, body: bytes = SAID) -> list[Step]:
    return [Data(b"", 3), Raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body), Close()]
