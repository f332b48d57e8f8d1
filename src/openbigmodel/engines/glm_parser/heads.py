"""How a call begins, and what only looks like it. Raw text that is no call's head is text.

After `<tool_call>`, with blanks anywhere:

    name <arg_key> | name </tool_call>     GLM's own: pairs of tags, or none
    name {"...     | name> {"...           the arguments as one JSON object
    {"...                                  all of it as JSON, in the manner of Hermes
    name, and there the generation ends    GLM's own, if that is the name of a tool

In the 0414 format, where an answer or the next call begins: `name`, a line end, `{"...`, with the name of a tool.
"""

import re
from typing import Literal

import msgspec

from openbigmodel.engines.glm_parser.tags import (
    ARG_KEY,
    BLANK,
    CONTROL,
    TOOL_CALL_END,
    any_of,
    prefix_of_any,
)

_NAME_MAX_CHARACTERS = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]+")

_GAP = rf"{BLANK}{{0,16}}"
_WRITTEN = rf"[^<>{{}} \t\r\n][^<>{{}}\t\r\n]{{0,{_NAME_MAX_CHARACTERS - 1}}}"
_OBJECT = rf"\{{(?={_GAP}[\"}}])"
_TAGGED_HEAD = re.compile(
    rf"{_GAP}(?P<name>{_WRITTEN}){_GAP}(?:(?P<tags>(?={any_of((ARG_KEY, TOOL_CALL_END))}))|>?{_GAP}(?={_OBJECT}))"
    rf"|{_GAP}(?=\{{{_GAP}\")"
)
_TAGGED_HEAD_PREFIX = re.compile(
    rf"{_GAP}(?:(?P<name>{_WRITTEN}){_GAP}"
    rf"(?:{prefix_of_any((ARG_KEY, TOOL_CALL_END, *CONTROL))}|>?{_GAP}(?:\{{{_GAP})?)?|\{{{_GAP})?\Z"
)
_LAST_HEAD = re.compile(rf"{_GAP}(?P<name>{_WRITTEN}){_GAP}{any_of(CONTROL)}?\Z")
_LINE_HEAD = re.compile(rf"(?P<name>{_WRITTEN})\r?\n{_GAP}(?={_OBJECT})")
_LINE_HEAD_PREFIX = re.compile(rf"(?P<name>{_WRITTEN})(?:\r?(?:\n{_GAP}(?:\{{{_GAP})?)?)?\Z")


class Head(msgspec.Struct, frozen=True, gc=False):
    """A call's head. `end`: where its arguments begin, or for Hermes all of it. `name` is empty there."""

    form: Literal["tags", "json", "hermes"]
    name: str
    end: int


class Unfinished(msgspec.Struct, frozen=True, gc=False):
    """What came so far may become a head."""


UNFINISHED = Unfinished()


class Heads:
    """Reads heads. `tools`: the names that the caller's functions have, which may be of any characters."""

    __slots__ = ("_tools",)

    def __init__(self, tools: frozenset[str]) -> None:
        self._tools = tools

    def after_tag(self, data: str, position: int, *, ended: bool) -> Head | Unfinished | None:
        """What begins after `<tool_call>`. None: no call."""
        found = _TAGGED_HEAD.match(data, position)
        if found:
            if found["name"] is None:
                return Head("hermes", "", position)
            name = found["name"].strip(" ")
            form: Literal["tags", "json"] = "json" if found["tags"] is None else "tags"
            return Head(form, name, found.end()) if self.may_be_called(name) else None
        if ended:
            found = _LAST_HEAD.match(data, position)
            name = found["name"].strip(" ") if found else ""
            return Head("tags", name, len(data)) if name in self._tools else None
        found = _TAGGED_HEAD_PREFIX.match(data, position)
        if found is None:
            return None
        name = (found["name"] or "").strip(" ")
        hopeful = not name or _NAME.fullmatch(name) or self._begins_name(name)
        return UNFINISHED if hopeful else None

    def on_a_line(self, data: str, position: int, *, ended: bool) -> Head | Unfinished | None:
        """What begins at a place where in the 0414 format a call may stand. None: no call."""
        found = _LINE_HEAD.match(data, position)
        if found:
            name = found["name"].strip(" ")
            return Head("json", name, found.end()) if name in self._tools else None
        found = None if ended else _LINE_HEAD_PREFIX.match(data, position)
        return UNFINISHED if found and self._begins_name(found["name"].strip(" ")) else None

    def may_be_called(self, name: str) -> bool:
        """Whether a call can have this name: a tool's, or what looks like one."""
        return name in self._tools or (
            len(name) <= _NAME_MAX_CHARACTERS and _NAME.fullmatch(name) is not None
        )

    def _begins_name(self, text: str) -> bool:
        return any(tool.startswith(text) for tool in self._tools)
