"""Reads what a model meant as JSON and did not quite write.

Mended are: a code fence around it, quotes and brackets left open at the end, brackets too many there, commas too many,
Python's words and quotes, keys without quotes, and line ends inside a text. Whatever else is wrong is not JSON.

Rule: one pass, linear in the length, at most MAX_CHARACTERS and MAX_DEPTH levels.
"""

import json
import re
from typing import Any

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 64

_FENCE = re.compile(r"\s*```[\w-]*[ \t]*\r?\n?(.*?)\r?\n?[ \t]*```\s*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_PLAIN = re.compile(r"[^\\\"']+")
_BLANK = re.compile(r"[\s\u00a0\ufeff]*")
_TRAILING = re.compile(r"[\s}\]]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_MAX_NUMBER_CHARACTERS = 100


class NotJson(ValueError):  # noqa: N818  it names the state
    """Beyond what is mended."""


def without_fence(text: str) -> str:
    """What stands inside a code fence, if the whole text is one."""
    match = _FENCE.fullmatch(text) if text.lstrip().startswith("```") else None
    return match[1] if match else text


def read_loosely(text: str) -> Any:
    """The value that was meant. Raises NotJson."""
    if len(text) > MAX_CHARACTERS:
        raise NotJson("too long")
    return _Reader(without_fence(text)).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> Any:
        value = self._value(0)
        if not _TRAILING.fullmatch(self._text, self._at):
            raise NotJson("more than one value")
        return value

    def _next(self) -> str:
        """The next character that is not blank, empty at the end."""
        match = _BLANK.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NotJson("too deep")
        char = self._next()
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char and char in "\"'":
            return self._string(char)
        number = _NUMBER.match(self._text, self._at)
        if number and len(number[0]) <= _MAX_NUMBER_CHARACTERS:
            self._at = number.end()
            return json.loads(number[0])
        word = _WORD.match(self._text, self._at)
        if word and word[0] in _WORDS:
            self._at = word.end()
            return _WORDS[word[0]]
        raise NotJson(f"no value at {self._at}")

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        found: dict[str, Any] = {}
        while (char := self._next()) not in ("}", ""):
            if char == ",":
                self._at += 1
                continue
            name = self._name(char)
            if self._next() != ":":
                raise NotJson(f"no colon at {self._at}")
            self._at += 1
            found[name] = self._value(depth + 1)
            if self._next() not in (",", "}", ""):
                raise NotJson(f"no comma at {self._at}")
        self._at += 1
        return found

    def _name(self, char: str) -> str:
        if char in "\"'":
            return self._string(char)
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise NotJson(f"no name at {self._at}")
        self._at = word.end()
        return word[0]

    def _array(self, depth: int) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while (char := self._next()) not in ("]", ""):
            if char == ",":
                self._at += 1
                continue
            found.append(self._value(depth + 1))
            if self._next() not in (",", "]", ""):
                raise NotJson(f"no comma at {self._at}")
        self._at += 1
        return found

    def _string(self, quote: str) -> str:
        self._at += 1
        text, parts = self._text, []
        while self._at < len(text):
            plain = _PLAIN.match(text, self._at)
            if plain:
                parts.append(plain[0])
                self._at = plain.end()
                continue
            char = text[self._at]
            self._at += 1
            if char == quote:
                break
            parts.append(self._escape() if char == "\\" else char)
        # Halves of one character that were escaped apart.
        return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _escape(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        if char == "u":
            code = _HEX.match(self._text, self._at)
            if code:
                self._at = code.end()
                return chr(int(code[0], 16))
        # What is no escape was meant as it stands, as in a path on Windows.
        return _ESCAPES.get(char, "\\" + char)
