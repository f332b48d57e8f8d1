"""A JSON object that arrives in pieces, made valid on its way: what came so far can always be closed.

Blanks between tokens are left out. Commas and keys wait for their value, numbers and words for their end, so a text
that breaks off or stops being JSON loses the member it is at and nothing before. Mended besides: line ends and control
characters in strings, backslashes that escape nothing, commas too many at the end, True, False and None.
"""

import re

from openbigmodel.engines.glm_parser.tags import after_blanks

_KEY_MAX_CHARACTERS = 512
_WORD_MAX_CHARACTERS = 400
_DEPTH_MAX = 128

# An escape that the end of the piece cuts stays behind. A backslash that escapes nothing does not.
_RUN = r'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\(?!u)[\s\S]|\\u(?![0-9a-fA-F]{0,3}\Z))*+'
_STRING_RUN = re.compile(_RUN)
_KEY = re.compile(rf'"({_RUN})"')
_NEEDS_MENDING = re.compile("[\\\\\x00-\x1f\ud800-\udfff]")
_MENDED = re.compile('\\\\(?:["\\\\/bfnrt]|u[0-9a-fA-F]{4})|[\\\\\x00-\x1f\ud800-\udfff]')
_WORD = re.compile(r"[-+.0-9A-Za-z_]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}


class JsonObject:
    """One object. It is `over` when it was closed, broke or ended; `whole` tells the first from the others."""

    __slots__ = ("_filled", "_in_string", "_key", "_open", "_out", "_wants", "over", "whole")

    def __init__(self) -> None:
        self._out: list[str] = []
        # Brackets to be written at the end, the innermost last, and which of them contain something already.
        self._open: list[str] = []
        self._filled: list[bool] = []
        self._key = ""
        self._wants = "value"
        self._in_string = False
        self.over = False
        self.whole = False

    def take(self) -> str:
        """The JSON text that became certain since the last time."""
        text = "".join(self._out)
        self._out.clear()
        return text

    def advance(self, data: str, position: int, *, ended: bool) -> int:
        """Read on from `position`, at first that of a `{`, and say how far it went. `ended`: no more will come."""
        while not self.over:
            if self._in_string:
                after = self._string(data, position)
            else:
                position = after_blanks(data, position)
                if position == len(data):
                    break
                after = self._token(data, position, ended=ended)
            if after == position:
                break
            position = after
        if ended and not self.over:
            self._close()
            return len(data)
        return position

    def _string(self, data: str, position: int) -> int:
        """A string value, after its quote."""
        run = _STRING_RUN.match(data, position)
        end = run.end() if run else position
        self._out.append(_mended(data[position:end]))
        if data.startswith('"', end):
            self._out.append('"')
            self._in_string = False
            return end + 1
        return end

    def _token(self, data: str, position: int, *, ended: bool) -> int:
        """One token, or `position` if it is not all there yet or if the text is JSON no more."""
        character, wants = data[position], self._wants
        if self._open and character == self._open[-1]:
            self._out.append(self._open.pop())
            self._filled.pop()
            self._wants, self._key = "comma", ""
            self.over = self.whole = not self._open
        elif character == "," and wants == "comma":
            self._wants = "key" if self._open[-1] == "}" else "value"
        elif character == ":" and wants == "colon":
            self._wants = "value"
        elif wants == "key":
            return self._read_key(data, position, ended=ended)
        elif wants != "value":
            self._close()
            return position
        elif character == '"':
            self._begin_value('"')
            self._in_string = True
        elif character in "{[" and len(self._open) < _DEPTH_MAX:
            self._begin_value(character)
            self._open.append("}" if character == "{" else "]")
            self._filled.append(False)
            self._wants = "key" if character == "{" else "value"
        else:
            return self._read_word(data, position, ended=ended)
        return position + 1

    def _read_key(self, data: str, position: int, *, ended: bool) -> int:
        found = _KEY.match(data, position)
        too_long = (found.end() if found else len(data)) - position > _KEY_MAX_CHARACTERS
        if data[position] != '"' or too_long:
            self._close()
        elif found:
            self._key = f'"{_mended(found[1])}":'
            self._wants = "colon"
            return found.end()
        return position

    def _read_word(self, data: str, position: int, *, ended: bool) -> int:
        found = _WORD.match(data, position)
        end = found.end() if found else position
        too_long = end - position > _WORD_MAX_CHARACTERS
        if end == len(data) and not ended and not too_long:
            return position
        word = data[position:end]
        if not _NUMBER.fullmatch(word):
            word = _WORDS.get(word, "")
        if too_long or not word:
            self._close()
            # What the end of the generation cut is half a word; anything else is text.
            return end if ended and end == len(data) and not too_long else position
        self._begin_value(word)
        return end

    def _begin_value(self, text: str) -> None:
        """A value begins with this text: now what stands before it is certain, too."""
        if self._filled:
            if self._filled[-1]:
                self._out.append(",")
            self._filled[-1] = True
        self._out.append(self._key + text)
        self._key = ""
        self._wants = "comma"

    def _close(self) -> None:
        """Nothing more will come: what is open ends here."""
        if self._in_string:
            self._out.append('"')
        self._out.extend(reversed(self._open))
        self.over = True


def _mended(text: str) -> str:
    """The inside of a string, as it is allowed to be."""
    return text if _NEEDS_MENDING.search(text) is None else _MENDED.sub(_mend, text)


def _mend(found: re.Match[str]) -> str:
    character = found[0]
    if len(character) > 1:
        return character
    return "\\\\" if character == "\\" else f"\\u{ord(character):04x}"
