"""What holds for every Responses stream, told of the bytes alone; `violations` says what does not."""

import json
from typing import Any

Event = dict[str, Any]
TEXT = {"reasoning": "reasoning_text", "message": "output_text"}
ENDS = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}


class IllegalStreamError(AssertionError):
    """A stream that a client may choke on."""


def parse(data: bytes) -> list[Event]:
    """The events, without `[DONE]`. Raises IllegalStreamError for bytes that are no such stream."""
    *blocks, done, rest = data.decode().split("\n\n")
    if rest or done != "data: [DONE]":
        raise IllegalStreamError("no [DONE] at the end")
    events = []
    for block in blocks:
        first, second = block.split("\n")
        event = json.loads(second.removeprefix("data: "))
        if not second.startswith("data: ") or first != f"event: {event['type']}":
            raise IllegalStreamError(f"{first!r} before {event['type']}")
        if list(event) != sorted(event):
            raise IllegalStreamError(f"keys out of order in {event['type']}")
        events.append(event)
    return events


class _Item:
    def __init__(self, event: Event) -> None:
        self.id: str = event["item"]["id"]
        self.kind: str = event["item"]["type"]
        self.part = "none"
        self.text = ""
        self.said: str | None = None
        self.done: Event | None = None


class Rules:
    """Follows a stream. `output` are the items that were done, by their place."""

    def __init__(self) -> None:
        self.items: dict[int, _Item] = {}
        self.ended = ""
        self.ids: set[str] = set()

    def follow(self, events: list[Event]) -> None:
        """Raises IllegalStreamError."""
        for number, event in enumerate(events):
            _demand(event["sequence_number"] == number, f"number {event['sequence_number']} at {number}")
            if number < 2:
                expected = ("response.created", "response.in_progress")[number]
                _demand(event["type"] == expected, f"{event['type']} where {expected} should be")
                _demand(event["response"]["status"] == "in_progress", "not in progress")
                _demand(event["response"] == events[0]["response"], "another response")
            else:
                self._event(event, events[0]["response"])
        _demand(bool(self.ended), "no end")

    def _event(self, event: Event, begun: Event) -> None:
        kind = event["type"]
        if self.ended:
            _demand(kind == "error" and self.ended == "failed", f"{kind} after the end")
            self.ended = "failed, told"
        elif kind in ENDS:
            self._end(event, begun)
        elif kind == "response.output_item.added":
            self._added(event)
        else:
            _demand("output_index" in event, f"{kind} in the middle")
            index = event["output_index"]
            _demand(index in self.items, f"{kind} of an item that was never added")
            item = self.items[index]
            _demand(item.done is None, f"{kind} after its item was done")
            if kind == "response.output_item.done":
                self._item_done(item, event)
            else:
                _demand(event["item_id"] == item.id, f"{kind} has the id of another item")
                if item.kind in TEXT:
                    self._text(item, event)
                else:
                    self._call(item, event)

    def _added(self, event: Event) -> None:
        item = _Item(event)
        _demand(event["output_index"] == len(self.items), "a gap between items")
        _demand(item.id not in self.ids, "an id used twice")
        _demand(
            not any(each.kind in TEXT and each.done is None for each in self.items.values()),
            "an item begins while a text is open",
        )
        _demand(event["item"]["status"] == "in_progress", "an item that begins is in progress")
        self.ids.add(item.id)
        self.items[event["output_index"]] = item

    @staticmethod
    def _text(item: _Item, event: Event) -> None:
        kind, name = event["type"], TEXT[item.kind]
        _demand(event["content_index"] == 0, "another part")
        if kind == "response.content_part.added":
            _demand(item.part == "none", "the part begins twice")
            _demand(event["part"]["type"] == name and event["part"]["text"] == "", "a part that begins")
            item.part = "open"
        elif kind == f"response.{name}.delta":
            _demand(item.part == "open", "text outside of its part")
            _demand(bool(event["delta"]), "an empty delta")
            _demand(("logprobs" in event) == (item.kind == "message"), "logprobs")
            item.text += event["delta"]
        elif kind == f"response.{name}.done":
            _demand(item.part == "open", "text done outside of its part")
            _demand(event["text"] == item.text, "the text is not its deltas")
            item.part = "said"
        elif kind == "response.content_part.done":
            _demand(item.part == "said", "a part is done before its text")
            _demand(event["part"]["text"] == item.text, "the part is not its deltas")
            item.part = "done"
        else:
            raise IllegalStreamError(f"{kind} in a {item.kind}")

    @staticmethod
    def _call(item: _Item, event: Event) -> None:
        custom = item.kind == "custom_tool_call"
        kind, field = (
            ("custom_tool_call_input", "input") if custom else ("function_call_arguments", "arguments")
        )
        _demand(item.said is None, "more of a call that is said")
        if event["type"] == f"response.{kind}.delta":
            item.text += event["delta"]
        elif event["type"] == f"response.{kind}.done":
            _demand(event[field] == item.text, "the arguments are not their deltas")
            item.said = event[field]
        else:
            raise IllegalStreamError(f"{event['type']} in a {item.kind}")

    @staticmethod
    def _item_done(item: _Item, event: Event) -> None:
        done = event["item"]
        _demand((done["id"], done["type"]) == (item.id, item.kind), "another item is done")
        _demand(done["status"] in {"completed", "incomplete"}, "a status")
        if item.kind in TEXT:
            _demand(item.part == "done", "an item is done before its part")
            _demand([part["text"] for part in done["content"]] == [item.text], "the item is not its deltas")
        else:
            _demand(item.said is not None, "a call is done before its arguments")
            said = done["input" if item.kind == "custom_tool_call" else "arguments"]
            _demand(said == item.text, "the call is not its deltas")
        item.done = done

    def _end(self, event: Event, begun: Event) -> None:
        status, response = ENDS[event["type"]], event["response"]
        _demand(response["status"] == status, "the event and its response end differently")
        left_open = [item for item in self.items.values() if item.done is None]
        whole = status == "completed"
        _demand(not (whole and left_open), "an item is left open")
        _demand(all(item.kind not in TEXT for item in left_open), "a text is left open")
        done = [self.items[index].done for index in sorted(self.items)]
        _demand(response["output"] == [item for item in done if item], "the output is not what was done")
        _demand(
            all(response[name] == begun[name] for name in begun.keys() - {"output", "status"}), "the head"
        )
        _demand((response["error"] is not None) == (status == "failed"), "an error")
        _demand((response["incomplete_details"] is not None) == (status == "incomplete"), "a reason")
        self.ended = status


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise IllegalStreamError(what)


def follow(data: bytes) -> tuple[list[Event], Event]:
    """The events of a legal stream and its response at the end. Raises IllegalStreamError."""
    events = parse(data)
    rules = Rules()
    rules.follow(events)
    (end,) = [event for event in events if event["type"] in ENDS]
    _demand((end is events[-1]) == (end["type"] != "response.failed"), "a failure is told by an error too")
    response: Event = end["response"]
    return events, response
