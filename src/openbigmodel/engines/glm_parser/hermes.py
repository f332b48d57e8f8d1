"""A call written as one JSON object, in the manner of Hermes: `{"name": "f", "arguments": {...}}`.

What it says is known at its end only, so it is held back until then. GLM is not trained to write it; a text that
looks like it too often, or is too long, is text.
"""

import msgspec

from openbigmodel.engines.glm_parser.json_object import JsonObject
from openbigmodel.engines.glm_parser.tags import BLANK_CHARACTERS
from openbigmodel.engines.glm_parser.values import is_json

HELD_MAX_CHARACTERS = 1024 * 1024
_ARGUMENTS = ("arguments", "parameters")


class HermesCall(msgspec.Struct, frozen=True, gc=False):
    """A call. `arguments` is the text of a JSON object."""

    name: str
    arguments: str


class HermesReader:
    """Reads one. It is `over` when `call` or its absence is certain. `raw` is all that it was given."""

    __slots__ = ("_characters", "_json", "_object", "_raw", "call", "over")

    def __init__(self) -> None:
        self._object = JsonObject()
        self._json: list[str] = []
        self._raw: list[str] = []
        self._characters = 0
        self.over = False
        self.call: HermesCall | None = None

    @property
    def raw(self) -> str:
        """The text as the model wrote it."""
        return "".join(self._raw)

    def advance(self, data: str, position: int, *, ended: bool) -> int:
        """Read on from `position`, and say how far it went."""
        after = self._object.advance(data, position, ended=ended)
        self._raw.append(data[position:after])
        self._json.append(self._object.take())
        self._characters += after - position
        if self._characters > HELD_MAX_CHARACTERS:
            self.over = True
        elif self._object.over:
            self.over = True
            if self._object.whole:
                self.call = read_hermes_call("".join(self._json))
        return after


def read_hermes_call(text: str) -> HermesCall | None:
    """The call that a JSON object describes. None: it describes none."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        name = msgspec.json.decode(members["name"], type=str)
        given = [members[word] for word in _ARGUMENTS if word in members]
        if not given and len(members) > 1:
            return None
        arguments = bytes(given[0]).decode() if given else "{}"
        if arguments.startswith('"'):
            arguments = msgspec.json.decode(arguments, type=str).strip(BLANK_CHARACTERS)
    except (msgspec.DecodeError, KeyError):
        return None
    return HermesCall(name, arguments) if arguments.startswith("{") and is_json(arguments) else None
