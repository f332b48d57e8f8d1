"""The arguments of a call that has begun, as one JSON object, fragment by fragment.

GLM's own form is pairs of `<arg_key>k</arg_key>` and `<arg_value>v</arg_value>` until `</tool_call>`, with blanks
between (api.md §13.2). A value goes to its `</arg_value>`: other tags in it are text. A key without a value is left
out, of a key that comes twice the first value stays (it may be with the caller already), stray closing tags are
passed over, and anything else between the tags ends the call and is text. So does the end of the generation.
Text values go out as they come; others wait for their end, as only then it is known whether they are JSON.
"""

import re
from collections.abc import Callable

from openbigmodel.engines.glm_parser.argument_types import ArgumentTypes
from openbigmodel.engines.glm_parser.events import EventList
from openbigmodel.engines.glm_parser.json_object import JsonObject
from openbigmodel.engines.glm_parser.tags import (
    ARG_KEY,
    ARG_KEY_END,
    ARG_VALUE,
    ARG_VALUE_END,
    BLANK,
    BLANK_CHARACTERS,
    CONTROL,
    TOOL_CALL,
    TOOL_CALL_END,
    TagSet,
    after_blanks,
    any_of,
    prefix_of,
    prefix_of_any,
)
from openbigmodel.engines.glm_parser.values import escaped, json_value

_KEY_MAX_CHARACTERS = 512
_ARGUMENTS_MAX = 1024
# A value that is no text is held back until it ends; a longer one goes out as text.
HELD_MAX_CHARACTERS = 4 * 1024 * 1024

_BETWEEN = TagSet((ARG_KEY, TOOL_CALL_END, ARG_KEY_END, ARG_VALUE_END))
_IN_KEY = TagSet((ARG_KEY_END, ARG_VALUE, ARG_KEY, TOOL_CALL_END, TOOL_CALL))
_BEFORE_VALUE = TagSet((ARG_VALUE, ARG_KEY, ARG_KEY_END, TOOL_CALL_END))
# Where a generation ends within a value, a call's end and a turn's end are not part of it.
_CUT_END = re.compile(rf"{TOOL_CALL_END}{BLANK}{{0,16}}{any_of(CONTROL)}?|{any_of(CONTROL)}")
_CUT_END_MAX_CHARACTERS = 64
_VALUE_TAIL = re.compile(
    rf"(?:{TOOL_CALL_END}{BLANK}{{0,16}}{prefix_of_any(CONTROL)}?"
    rf"|{prefix_of(TOOL_CALL_END)}|{prefix_of(ARG_VALUE_END)}|{prefix_of_any(CONTROL)})\Z"
)


class JsonCall:
    """A call whose arguments are written as one JSON object."""

    __slots__ = ("_events", "_object", "over")

    def __init__(self, events: EventList) -> None:
        self._events = events
        self._object = JsonObject()
        self.over = False

    def advance(self, data: str, position: int, *, ended: bool) -> int:
        """Read on from `position`, and say how far it went."""
        position = self._object.advance(data, position, ended=ended)
        self._events.arguments(self._object.take())
        self.over = self._object.over
        return position


class TaggedCall:
    """A call in GLM's own form."""

    __slots__ = (
        "_as_text",
        "_events",
        "_held",
        "_held_characters",
        "_key",
        "_keys",
        "_name",
        "_state",
        "_types",
        "over",
    )

    def __init__(self, name: str, types: ArgumentTypes, events: EventList) -> None:
        self._name = name
        self._types = types
        self._events = events
        self._key = ""
        self._keys: set[str] = set()
        # Of the value that is being read: whether it goes out as text, else what there is of it. None: nowhere.
        self._as_text: bool | None = None
        self._held: list[str] = []
        self._held_characters = 0
        self._state: Callable[[TaggedCall, str, int, bool], int] = TaggedCall._between
        self.over = False
        events.arguments("{")

    def advance(self, data: str, position: int, *, ended: bool) -> int:
        """Read on from `position`, and say how far it went."""
        while not self.over:
            state = self._state
            after = state(self, data, position, ended)
            if after == position and self._state is state:
                break
            position = after
        if ended and not self.over:
            self._end()
            return len(data)
        return position

    def _end(self) -> None:
        self._events.arguments("}")
        self.over = True

    def _between(self, data: str, position: int, ended: bool) -> int:
        """Before a key, or at the end."""
        position = after_blanks(data, position)
        found = _BETWEEN.match(data, position)
        if found is None:
            if position < len(data) and (ended or not _BETWEEN.may_begin(data, position)):
                self._end()
            return position
        if found[0] == ARG_KEY:
            self._state = TaggedCall._in_key
        elif found[0] == TOOL_CALL_END:
            self._end()
        return found.end()

    def _in_key(self, data: str, position: int, ended: bool) -> int:
        """After `<arg_key>`. A key is never so long as where it is given up, and its text then the answer's."""
        found = _IN_KEY.find(data, position)
        end = found.start() if found else _IN_KEY.settled(data, position)
        if end - position > _KEY_MAX_CHARACTERS:
            self._end()
            return position
        if found is None:
            return position
        self._key = data[position:end].strip(BLANK_CHARACTERS)
        if found[0] == ARG_KEY_END:
            self._state = TaggedCall._before_value
        elif found[0] == ARG_VALUE:
            self._begin_value()
        elif found[0] == TOOL_CALL_END:
            self._end()
        elif found[0] == TOOL_CALL:
            self._end()
            return found.start()
        return found.end()

    def _before_value(self, data: str, position: int, ended: bool) -> int:
        """After a key."""
        position = after_blanks(data, position)
        found = _BEFORE_VALUE.match(data, position)
        if found is None:
            if position < len(data) and (ended or not _BEFORE_VALUE.may_begin(data, position)):
                self._end()
            return position
        if found[0] == ARG_VALUE:
            self._begin_value()
        elif found[0] == ARG_KEY:
            self._state = TaggedCall._in_key
        elif found[0] == TOOL_CALL_END:
            self._end()
        return found.end()

    def _begin_value(self) -> None:
        self._state = TaggedCall._in_value
        if self._key in self._keys or len(self._keys) == _ARGUMENTS_MAX:
            self._as_text = None
            return
        self._as_text = self._types.takes_text(self._name, self._key)
        if self._as_text:
            self._begin_text()

    def _begin_text(self) -> None:
        self._begin_member()
        self._events.arguments('"')

    def _begin_member(self) -> None:
        comma = "," if self._keys else ""
        self._keys.add(self._key)
        self._events.arguments(f'{comma}"{escaped(self._key)}":')

    def _in_value(self, data: str, position: int, ended: bool) -> int:
        """After `<arg_value>`."""
        end = data.find(ARG_VALUE_END, position)
        if end >= 0:
            self._value(data[position:end])
            self._end_value()
            self._state = TaggedCall._between
            return end + len(ARG_VALUE_END)
        tail = _VALUE_TAIL.search(data, max(position, len(data) - _CUT_END_MAX_CHARACTERS))
        end = tail.start() if tail else len(data)
        if ended:
            self._value(data[position:end] if _CUT_END.fullmatch(data, end) else data[position:])
            self._end_value()
            self._end()
            return len(data)
        self._value(data[position:end])
        return end

    def _value(self, text: str) -> None:
        """More of the value."""
        if self._as_text:
            self._events.arguments(escaped(text))
        elif self._as_text is False and text:
            self._held.append(text)
            self._held_characters += len(text)
            if self._held_characters > HELD_MAX_CHARACTERS:
                self._as_text = True
                self._begin_text()
                self._events.arguments(escaped(self._take_held()))

    def _end_value(self) -> None:
        if self._as_text:
            self._events.arguments('"')
        elif self._as_text is False:
            text = self._take_held()
            value = json_value(text)
            self._begin_member()
            self._events.arguments(f'"{escaped(text)}"' if value is None else value)

    def _take_held(self) -> str:
        text = "".join(self._held)
        self._held.clear()
        self._held_characters = 0
        return text
