"""The items that a stored response was asked with, as they are listed: each with a type, an id and a status."""

from typing import Any, Literal

import msgspec

from openbigmodel.inference.responses.store import StoredResponse

LIMIT = 20
LIMIT_MAX = 100
Order = Literal["asc", "desc"]
_QUOTE = ord('"')

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


_Item = dict[str, Any]
# Callers' own fields may hold numbers that cannot be written again once they are read.
_DECODE = msgspec.json.Decoder(str | list[dict[str, msgspec.Raw]]).decode
_DECODE_TEXT = msgspec.json.Decoder(str).decode


def list_input_items(
    stored: StoredResponse, *, order: Order = "desc", after: str = "", limit: int = LIMIT
) -> dict[str, Any]:
    """A page of the items, from the one after `after` on; an unknown one is at the end."""
    items = _items(stored)
    if order == "desc":
        items.reverse()
    if after:
        ids = [item["id"] for item in items]
        items = items[ids.index(after) + 1 :] if after in ids else []
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


def _items(stored: StoredResponse) -> list[_Item]:
    # What was stored before anybody looked at it is told as well as it can be.
    asked = _DECODE(stored.input.decode(errors="replace"))
    if isinstance(asked, str):
        asked = [{"role": _raw("user"), "content": _raw(asked)}]
    owner = stored.id.removeprefix("resp_")
    return [_listed(item, f"{owner}_{index}") for index, item in enumerate(asked)]


def _listed(item: dict[str, msgspec.Raw], name: str) -> _Item:
    """As it came, value by value, with what was left out."""
    kind = _text(item.get("type")) or "message"
    item_id = _text(item.get("id")) or f"{_PREFIXES.get(kind, 'item')}_{name}"
    listed: _Item = {**item, "type": kind, "id": item_id}
    content = _text(item.get("content"))
    if kind == "message" and content is not None:
        text_type = "output_text" if _text(item.get("role")) == "assistant" else "input_text"
        part: dict[str, Any] = {"type": text_type, "text": content}
        if text_type == "output_text":
            part["annotations"] = []
        listed["content"] = [part]
    if kind in _PREFIXES and not _text(item.get("status")):
        listed["status"] = "completed"
    return listed


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))


def _text(raw: msgspec.Raw | None) -> str | None:
    """What stands there, if it is a text; numbers can be larger than any that could be read."""
    if raw is None or memoryview(raw)[0] != _QUOTE:
        return None
    return _DECODE_TEXT(raw)
