"""Recorded and invented raw texts of GLM models, with what each of them says; and events in a form to compare."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

STREAMS_FOLDER = Path(__file__).parents[3] / "glm_streams"
TOOLS: list[dict[str, Any]] = json.loads((STREAMS_FOLDER / "tools.json").read_text(encoding="utf-8"))

# ("reasoning", text), ("content", text) or ("call", name, JSON text of the arguments)
Said = tuple[str, ...]


class Stream(msgspec.Struct, frozen=True):
    """A raw text and what it says."""

    name: str
    format: str
    thinking: bool | None
    text: str
    says: list[Said]


def _streams() -> list[Stream]:
    # The standard library's reader, because some texts contain half characters.
    files = sorted(path for path in STREAMS_FOLDER.glob("*.json") if path.name != "tools.json")
    cases = [case for path in files for case in json.loads(path.read_text(encoding="utf-8"))]
    return [msgspec.convert(case, Stream) for case in cases]


STREAMS = _streams()


def said(events: Iterable[Any]) -> list[Said]:
    """What events say, however they are cut. Fails if a call's events are not in order.

    Goes by the names of the events' types, so that it takes those of a copy of the parser too.
    """
    result: list[Said] = []
    pieces: list[str] = []
    kind, name, index, calls = "", "", -1, 0
    for event in events:
        word = _WORDS[type(event).__name__]
        if word in {"call", "arguments", "end"}:
            assert event.index == (calls if word == "call" else index), "calls out of order"
        if word == "end" or (word != kind and kind in {"reasoning", "content"}):
            assert pieces or word == "end"
            text = "".join(pieces)
            result.append(("call", name, text) if kind in {"call", "arguments"} else (kind, text))
            pieces.clear()
        elif word != kind:
            assert (kind, word) in {("", word), ("end", word), ("call", "arguments")}, (
                "a call within something"
            )
        if word == "call":
            name, index, calls = event.name, event.index, calls + 1
        elif word == "arguments":
            pieces.append(event.fragment)
        elif word != "end":
            assert event.text, "an empty event"
            pieces.append(event.text)
        kind = word
    assert kind not in {"call", "arguments"}, "a call without end"
    if pieces:
        result.append((kind, "".join(pieces)))
    return result


_WORDS = {
    "Reasoning": "reasoning",
    "Content": "content",
    "CallStarted": "call",
    "CallArguments": "arguments",
    "CallEnded": "end",
}
