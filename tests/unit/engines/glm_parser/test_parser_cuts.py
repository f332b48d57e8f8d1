"""Where a raw text is cut makes no difference to what it says: the whole corpus, cut a million times in CI.

A trial is one stream cut at random places, at least one. That the trials would notice is shown with parsers that
have a mistake each.
"""

import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from openbigmodel.engines import glm_parser
from tests.conftest import SCALE
from tests.unit.engines.glm_parser.corpus import STREAMS, TOOLS, Said, Stream, said

# 1,000,000 where TEST_SCALE is 5, as in CI.
TRIALS = round(200_000 * SCALE)
PACKAGE = "openbigmodel.engines.glm_parser"
SOURCES = Path(glm_parser.__file__).parent


def says(package: Any, stream: Stream, cuts: list[int]) -> list[Said]:
    """What the stream says, cut there."""
    parser = package.GlmParser(stream.format, TOOLS, starts_thinking=stream.thinking)
    text, start, events = stream.text, 0, []
    for cut in cuts:
        events += parser.feed(text[start:cut])
        start = cut
    events += parser.feed(text[start:])
    events += parser.finish()
    return said(events)


def random_cuts(dice: random.Random, size: int) -> list[int]:
    """Mostly a few cuts; sometimes many, close to each other."""
    roll = dice.random()
    if roll < 0.5:
        return [int(dice.random() * size)]
    if roll < 0.9:
        return sorted([int(dice.random() * size) for _ in range(2 + int(dice.random() * 4))])
    start = int(dice.random() * size)
    return list(range(start, min(size, start + 16)))


def first_difference(package: Any, streams: list[Stream], trials: int, seed: int) -> str:
    """The first trial that says something else, or fails. Empty: there is none."""
    dice = random.Random(seed)
    for stream in streams:
        for trial in range(-1, trials // len(streams) + 1):
            cuts = random_cuts(dice, len(stream.text)) if trial >= 0 else []
            try:
                same = says(package, stream, cuts) == stream.says
            except Exception as error:  # noqa: BLE001 - a planted mistake may do anything
                return f"{stream.name}, cut at {cuts}: {error!r}"
            if not same:
                return f"{stream.name}, cut at {cuts}"
    return ""


@pytest.mark.timeout(60 + TRIALS / 2_000)
def test_cuts_make_no_difference() -> None:
    assert first_difference(glm_parser, STREAMS, TRIALS, seed=1) == ""


# File, what stands in it, and the mistake that is put there instead.
MISTAKES = {
    "nothing of a text is held back": (
        "tags.py",
        "return start if start >= 0 and data[start:] in self._prefixes else size",
        "return size",
    ),
    "nothing is held back before a text": ("parser.py", "if not ended and tags.may_begin(data, end):", "if False:"),
    "the end of thinking is missed where it is cut": (
        "tags.py",
        "for tag in (*tags, *whole) for",
        "for tag in (*tags, *whole) if tag != THINK_END for",
    ),
    "a turn's end is missed where it is cut": (
        "tags.py",
        "for tag in (*tags, *whole) for",
        'for tag in (*tags, *whole) if tag != "<|observation|>" for',
    ),
    "the generation's end loses what was held back": (
        "parser.py",
        "self._advance(self._held, ended=True)",
        'self._advance("", ended=True)',
    ),
    "blanks are forgotten at a cut": (
        "parser.py",
        "self._blanks += data[position:end]",
        "self._blanks = data[position:end]",
    ),
    "box tags are dropped": ("parser.py", "anywhere = (*CONTROL, *calls)", "anywhere = (*CONTROL, *BOX, *calls)"),
    "the reasoning goes on after a call": (
        "parser.py",
        "self._reasoning = self._at_start = False\n        self._events.call(name)",
        "self._at_start = False\n        self._events.call(name)",
    ),
    "what was no call is read again without its blanks": (
        "parser.py",
        "self._replay = reader.raw",
        "self._replay = reader.raw.strip()",
    ),
    "anything is a name": ("heads.py", "if self.may_be_called(name) else None", "if True else None"),
    "a tool's name is not awaited": ("heads.py", "tool.startswith(text) for", "tool == text for"),
    "texts lose their blanks": (
        "calls.py",
        "self._value(data[position:end])\n            self._end_value()",
        "self._value(data[position:end].strip())\n            self._end_value()",
    ),
    "pieces of texts lose their blanks": (
        "calls.py",
        "        if self._as_text:\n            self._events.arguments(escaped(text))",
        "        if self._as_text:\n            self._events.arguments(escaped(text.strip()))",
    ),
    "a value that cannot be read is null": ("calls.py", "if value is None else value)", 'if False else value or "null")'),
    "a value begins at every piece": ("calls.py", "self._held.append(text)", "self._held = [text]"),
    "a call's end counts within a value": (
        "calls.py",
        "end = data.find(ARG_VALUE_END, position)",
        "end = data.find(TOOL_CALL_END, position)",
    ),
    "a value's end is missed where it is cut": (
        "calls.py",
        "end = tail.start() if tail else len(data)",
        "end = len(data)",
    ),
    "a key that comes twice is there twice": ("calls.py", "if self._key in self._keys or", "if"),
    "no argument, no object": ("calls.py", 'self._events.arguments("}")', 'self._events.arguments("}" if self._keys else "")'),
    "Python is not understood": ("values.py", "ast.literal_eval(text)", "json.loads(text)"),
    "NaN is a number": ("values.py", "parse_constant=_no_constant", "parse_constant=str"),
    "half characters go out": ("values.py", "    if json_text.isascii():\n", "    if True:\n"),
    "everything but strings is JSON": (
        "argument_types.py",
        "return not types <= _NOT_TEXT or not types",
        'return "string" in types',
    ),
    "an escape is cut": ("json_object.py", r"|\\u(?![0-9a-fA-F]{0,3}\Z))*+", r"|\\u)*+"),
    "a number is cut": ("json_object.py", "if end == len(data) and not ended and not too_long:", "if False:"),
    "a key goes out before its value": (
        "json_object.py",
        "            self._wants = \"colon\"\n",
        "            self._wants = \"colon\"\n            self._begin_value(self._key)\n            self._wants = \"colon\"\n",
    ),
}  # fmt: skip


def with_mistake(folder: Path, name: str, mistake: tuple[str, str, str]) -> ModuleType:
    """A copy of the parser with a mistake, imported under a name of its own."""
    file, right, wrong = mistake
    package = folder / name
    package.mkdir()
    for path in SOURCES.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.name == file:
            assert source.count(right) == 1, f"{file} has no {right!r} to put a mistake there"
            source = source.replace(right, wrong)
        (package / path.name).write_text(source.replace(PACKAGE, name), encoding="utf-8")
    return importlib.import_module(name)


@pytest.fixture(name="mistakes_folder")
def _mistakes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("parser_with_mistake"):
            del sys.modules[name]


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=list(MISTAKES))
def test_a_mistake_is_found(number: int, mistakes_folder: Path) -> None:
    mistake = list(MISTAKES.values())[number]
    package = with_mistake(mistakes_folder, f"parser_with_mistake_{number}", mistake)
    assert first_difference(package, STREAMS, trials=4_000, seed=2) != ""


def test_without_a_mistake_none_is_found(mistakes_folder: Path) -> None:
    package = with_mistake(
        mistakes_folder, "parser_with_mistake_none", ("tags.py", "pattern.search", "pattern.search")
    )
    assert first_difference(package, STREAMS, trials=4_000, seed=2) == ""
