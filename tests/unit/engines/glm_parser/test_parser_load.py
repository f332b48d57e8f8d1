"""Long texts: the cost per character does not grow with the length, and little is held back.

Time is compared at two sizes, generously: what costs n² would take eight times as long per character, and what is
allowed is four times.
"""

import itertools
import time
from collections.abc import Iterable, Iterator

import pytest

from openbigmodel.engines.glm_parser import Content, GlmParser
from tests.conftest import SCALE
from tests.unit.engines.glm_parser.corpus import TOOLS, said

CALL = "<tool_call>plan_trip<arg_key>"
# What is repeated, after what.
LOADS = {
    "brackets": ("", "<"),
    "beginnings of tags": ("", "<tool_cal"),
    "tags without calls": ("", "<tool_call>"),
    "names without calls": ("", "<tool_call>abc"),
    "long names without calls": ("", "<tool_call>" + "x" * 120),
    "blanks": ("", "\n"),
    "turns": ("", "<|user|>"),
    "reasoning of brackets": ("<think>", "</thin<"),
    "json without calls": ("", '<tool_call>{"'),
    "json in json without calls": ("", '<tool_call>{"a": {"b": "c'),
    "a text of brackets": (CALL + "title</arg_key><arg_value>", "<"),
    "a text of ends of calls": (CALL + "title</arg_key><arg_value>", "</tool_call> "),
    "a text of quotes": (CALL + "title</arg_key><arg_value>", '"\\\n'),
    "a list": (CALL + "stops</arg_key><arg_value>[", "1,"),
    "a key": (CALL, "<arg_ke"),
    "keys": (CALL, "a</arg_key><arg_key>"),
    "one key again and again": (CALL, "a</arg_key><arg_value>b</arg_value><arg_key>"),
    "ends of nothing": (CALL + "a</arg_key><arg_value></arg_value>", "</arg_value>"),
    "calls": ("", "<tool_call>now</tool_call>\n"),
    "a json text": ("<tool_call>now>", '{"a": "' + "\\n\\u00\\"),
    "json escapes": ('<tool_call>now>{"a": "', "\\n"),
    "json members": ('<tool_call>now>{"a": [', "1, [], "),
}


def seconds(pieces: Iterable[str]) -> float:
    """The least of some runs, as other programs run too."""
    texts = list(pieces)
    best = float("inf")
    for _ in range(3):
        parser = GlmParser("glm47", TOOLS, starts_thinking=False)
        started = time.process_time()
        for piece in texts:
            parser.feed(piece)
        parser.finish()
        best = min(best, time.process_time() - started)
    return best


def in_pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


@pytest.mark.timeout(60 + 20 * SCALE)
@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
@pytest.mark.parametrize("piece", [3, 1_000_000])
def test_cost_is_linear(load: tuple[str, str], piece: int) -> None:
    start, unit = load
    size = round((10_000 if piece == 3 else 60_000) * max(1, SCALE))
    small = start + unit * (size // len(unit))
    large = start + unit * (8 * size // len(unit))
    assert seconds(in_pieces(large, piece)) < 8 * 4 * seconds(in_pieces(small, piece)) + 0.05


@pytest.mark.timeout(120)
def test_ten_megabytes_of_brackets_are_read_in_seconds() -> None:
    parser = GlmParser("glm47", TOOLS, starts_thinking=True)
    text = "<" * 10_000_000
    started = time.process_time()
    parts = said(parser.feed(text) + parser.finish())
    assert time.process_time() - started < 20
    assert parts == [("reasoning", text)]


@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
def test_little_is_held_back(load: tuple[str, str]) -> None:
    start, unit = load
    parser = GlmParser("glm47", TOOLS, starts_thinking=False)
    for piece in in_pieces(start + unit * (5_000 // len(unit)), 5):
        parser.feed(piece)
        assert len(parser._held) <= 600


def test_text_that_only_begins_like_a_tag_is_not_held_back() -> None:
    parser = GlmParser("glm47", TOOLS, starts_thinking=False)
    parser.feed("x")
    for character in itertools.repeat("<", 50):
        assert parser.feed(character) in ([], [Content("<")])
        assert len(parser._held) == 1
