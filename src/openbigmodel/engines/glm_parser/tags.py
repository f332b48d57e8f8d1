"""GLM's markup, and where a text that has not ended yet could still become some of it.

Rule: a tag contains `<` at its beginning only. So a tag never overlaps another, and what has to be held back at the
end of a piece always begins at its last `<`.
"""

import re
from collections.abc import Iterable

THINK = "<think>"
THINK_END = "</think>"
TOOL_CALL = "<tool_call>"
TOOL_CALL_END = "</tool_call>"
ARG_KEY = "<arg_key>"
ARG_KEY_END = "</arg_key>"
ARG_VALUE = "<arg_value>"
ARG_VALUE_END = "</arg_value>"
ASSISTANT = "<|assistant|>"
# Turns and ends of turns: they are no part of what the model says.
CONTROL = ("<|endoftext|>", "<|system|>", "<|user|>", ASSISTANT, "<|observation|>")
# Vision models mark their answer with these, and bigmodel.cn leaves them in (api.md §3.5).
BOX = ("<|begin_of_box|>", "<|end_of_box|>")

# Blanks that templates put between tags. A wider blank, as of Chinese text, is text.
BLANK = r"[ \t\r\n]"
BLANK_CHARACTERS = " \t\r\n"
_BLANKS = re.compile(rf"{BLANK}*")


class TagSet:
    """Tags that mean something at one place. `whole`: text that goes out in one piece, as clients look for it."""

    __slots__ = ("_longest", "_prefixes", "find", "match")

    def __init__(self, tags: Iterable[str], whole: Iterable[str] = ()) -> None:
        tags = tuple(tags)
        pattern = re.compile("|".join(map(re.escape, tags)))
        self.find = pattern.search
        self.match = pattern.match
        self._prefixes = frozenset(tag[:size] for tag in (*tags, *whole) for size in range(1, len(tag)))
        self._longest = max(map(len, self._prefixes))

    def settled(self, data: str, position: int) -> int:
        """Up to where `data`, which contains none of the tags from `position` on, is text whatever follows."""
        size = len(data)
        start = data.rfind("<", max(position, size - self._longest))
        return start if start >= 0 and data[start:] in self._prefixes else size

    def may_begin(self, data: str, position: int) -> bool:
        """Whether what `data` has from `position` on could become a tag."""
        return len(data) - position <= self._longest and data[position:] in self._prefixes


def after_blanks(data: str, position: int) -> int:
    """Where what is no blank begins."""
    found = _BLANKS.match(data, position)
    return found.end() if found else position


def prefix_of(tag: str) -> str:
    """A pattern for a tag's beginnings, down to its first character and up to the whole of it."""
    pattern = ""
    for character in reversed(tag[1:]):
        pattern = f"(?:{re.escape(character)}{pattern})?"
    return re.escape(tag[0]) + pattern


def any_of(tags: Iterable[str]) -> str:
    """A pattern for one of these tags."""
    return f"(?:{'|'.join(map(re.escape, tags))})"


def prefix_of_any(tags: Iterable[str]) -> str:
    """A pattern for a beginning of one of these tags."""
    return f"(?:{'|'.join(map(prefix_of, tags))})"
