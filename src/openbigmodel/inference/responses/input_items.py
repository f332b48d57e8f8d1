"""The items that a stored response was asked with, as they are listed: each with a type, an id and a status."""

from typing import Any, Literal

import msgspec

from openbigmodel.inference.responses.store import StoredResponse

LIMIT = 20
LIMIT_MAX = 100
Order = Literal["asc", "desc"]
_QUOTE = ord('"')
_DIGITS_MAX = 9

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
_DECODE = msgspec.json.Decoder(str | list[msgspec.Raw]).decode
_DECODE_ITEM = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DECODE_TEXT = msgspec.json.Decoder(str).decode


def list_input_items(
    stored: StoredResponse, *, order: Order = "desc", after: str = "", limit: int = LIMIT
) -> dict[str, Any]:
    """A page of the items, from the one after `after` on; an unknown one is at the end."""
    items = _items(stored)
    owner = stored.id.removeprefix("resp_")
    numbers = range(len(items)) if order == "asc" else range(len(items) - 1, -1, -1)
    if after:
        numbers = numbers[_place(after, items, owner, numbers) :]
    page = [_listed(_DECODE_ITEM(items[number]), f"{owner}_{number}") for number in numbers[:limit]]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(numbers) > limit,
    }


def _place(after: str, items: list[msgspec.Raw], owner: str, numbers: range) -> int:
    """Where the page begins in `numbers` that comes after the item of this id."""
    # An id that the item did not bring says where it is. Only for others all of them have to be looked through.
    _, _, end = after.rpartition(f"{owner}_")
    if end.isascii() and end.isdigit() and len(end) <= _DIGITS_MAX and int(end) in numbers:
        number = int(end)
        if _listed(_DECODE_ITEM(items[number]), f"{owner}_{number}")["id"] == after:
            return numbers.index(number) + 1
    for place, number in enumerate(numbers):
        if _text(_DECODE_ITEM(items[number]).get("id")) == after:
            return place + 1
    return len(numbers)


def _items(stored: StoredResponse) -> list[msgspec.Raw]:
    # What was stored before anybody looked at it is told as well as it can be.
    asked: str | list[msgspec.Raw] = _DECODE(stored.input.decode(errors="replace"))
    if isinstance(asked, str):
        return [msgspec.Raw(msgspec.json.encode({"role": "user", "content": asked}))]
    return asked


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


def _text(raw: msgspec.Raw | None) -> str | None:
    """What stands there, if it is a text; numbers can be larger than any that could be read."""
    if raw is None or memoryview(raw)[0] != _QUOTE:
        return None
    return _DECODE_TEXT(raw)
