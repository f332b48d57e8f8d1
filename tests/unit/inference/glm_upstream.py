"""An upstream that speaks GLM, its answer relayed, and what must hold of that; for the tests of glm_relay."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model
from openbigmodel.engines.translate import Generation
from openbigmodel.inference.dialect import ReplyFacts
from openbigmodel.inference.glm_relay import GlmReader, GlmWriter
from openbigmodel.schemas.chat import ChatRequest
from openbigmodel.sse import EventParser

OURS = {"id": "our-id", "model": "called-so", "request_id": "our-request-id"}
KNOWN = Usage(prompt_tokens=5, completion_tokens=2, reasoning_tokens=1)
DONE = b"data: [DONE]\n\n"
DELTA = {"role": "assistant", "content": "hi"}


def facts(*, stream: bool = True) -> ReplyFacts:
    """What our side knows of a reply."""
    return ReplyFacts(
        OURS["id"],
        OURS["request_id"],
        1_700_000_000,
        OURS["model"],
        Model(id="glm-4.6", cached_tokens=True, reasoning_tokens="always"),
        ChatRequest("called-so", msgspec.Raw(b"[]"), stream=stream),
        Generation(None, True, None, None, 100, False, None, None),
        1,
        Usage,
    )


def upstream_chunk(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk as bigmodel.cn sends it."""
    choice = {"index": 0, **({"finish_reason": finish} if finish else {}), "delta": delta or DELTA}
    head = {"id": "2026", "created": 1782862782, "object": "chat.completion.chunk", "model": "glm-4.7"}
    return {**head, "choices": [choice], **more}


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


class Relayed(msgspec.Struct):
    """What the caller saw before the upstream's answer was over, and at its end."""

    reader: GlmReader
    before: bytes
    end: bytes


def relay(parts: Iterable[bytes], *, died: bool = False, writer: type[GlmWriter] = GlmWriter) -> Relayed:
    """A stream relayed as the exchange does it."""
    passed_on = writer(facts())
    reader = GlmReader(passed_on)
    before = b""
    for part in parts:
        reader.feed_stream(part)
        before += passed_on.take()
        if reader.done:
            break
    well = reader.ended_well() and not died
    reason = reader.finish_reason if well and reader.finish_reason else "network_error"
    return Relayed(reader, before, passed_on.finish(reason, KNOWN, 1_800_000_000))


def relay_body(body: bytes, *, writer: type[GlmWriter] = GlmWriter) -> bytes:
    """A whole answer relayed."""
    passed_on = writer(facts(stream=False))
    reader = GlmReader(passed_on)
    reader.feed_body(body)
    assert passed_on.take() == b""
    assert reader.finish_reason is not None
    return passed_on.finish(reader.finish_reason, KNOWN, 1_800_000_000)


def exactly(text: bytes | str) -> Any:
    """A JSON text as nested tuples that keep the order of keys, repeated keys and the very digits of numbers."""
    return json.loads(text, object_pairs_hook=tuple, parse_int=_Digits, parse_float=_Digits)


class _Digits(str):
    """A number as it was written, not to be taken for a string."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Digits) and str(self) == str(other)

    __hash__ = str.__hash__


def with_ours(value: Any) -> Any:
    """What may differ, made alike: a chunk or body with our id, model and request id, where it has them."""
    return tuple((name, OURS.get(name, member)) for name, member in value)


def events_of(stream: bytes) -> list[bytes]:
    """The data of each event, for a client that is as strict as the standard and as naive as `str.splitlines`."""
    events = EventParser().feed(stream)
    assert b"".join(b"data: %b\n\n" % data for data in events) == stream, "more than data lines"
    for data in events:
        assert len(data.decode().splitlines()) == 1, "a line that clients would cut"
    return events


def judge(sent: list[bytes], relayed: Relayed) -> None:
    """Each event of a stream that ended well came through, as it was, none of its end before the end.

    `sent` are the JSON texts of the upstream's events.
    """
    seen, at_the_end = events_of(relayed.before), events_of(relayed.end)
    assert at_the_end.pop() == b"[DONE]"
    expected = [with_ours(exactly(text)) for text in sent]
    assert [exactly(data) for data in seen + at_the_end] == expected
    ends = [_finish_reason(text) is not None for text in sent]
    begun = ends.index(True) if True in ends else len(sent)
    if not any(map(says_something, sent)):
        begun = 0
    assert len(seen) == begun, "the end was seen too early, or a beginning without anything in it"


def judge_body(sent: bytes, got: bytes) -> None:
    """A body came through as it was."""
    assert exactly(got) == with_ours(exactly(sent))


def says_something(text: bytes) -> bool:
    """Whether there is anything in an event that a caller could want to see at once."""
    members = json.loads(text)
    more = [value for name, value in members.items() if name not in ("choices", "usage")]
    if any(isinstance(value, list | dict) and value for value in more):
        return True
    choices = members.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        said = choice.get("delta") or choice.get("message") or {}
        if any(value for name, value in said.items() if name != "role"):
            return True
    return False


def _finish_reason(text: bytes) -> str | None:
    choices = json.loads(text).get("choices")
    return choices[0].get("finish_reason") if choices else None
