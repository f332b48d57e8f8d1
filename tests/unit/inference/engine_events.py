"""Events of an engine's stream, and those that are not one more of the kind that was learnt."""

import json
from typing import Any


def event(text: str, key: str = "content", *, usage: dict[str, int] | None = None, **choice: Any) -> bytes:
    """One event with `text`; `choice` are further members of its choice."""
    body: dict[str, Any] = {
        "id": "c",
        "choices": [{"index": 0, "delta": {key: text}, "finish_reason": None, **choice}],
    }
    if usage is not None:
        body["usage"] = usage
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


NOT_ONE_MORE = [
    event("a") + event("b"),
    event("a")[:-1],
    event("a")[1:],
    event(""),
    event('"'),
    event("a\n"),
    event("nel\u0085"),
    event("\u2028"),
    event("a").replace(b'"a"', b'"\xff"'),
    event("a").replace(b'"a"', b'"\x01"'),
    event("a", "reasoning_content"),
    event("a", finish_reason="stop"),
    event("x" * 1000),
    b"",
]
