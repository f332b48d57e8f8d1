"""What has to be held back is what may become a tag."""

import re

from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.glm_parser.tags import (
    ARG_KEY,
    BOX,
    CONTROL,
    THINK_END,
    TOOL_CALL,
    TagSet,
    after_blanks,
    any_of,
    prefix_of,
    prefix_of_any,
)

TAGS = TagSet((THINK_END, TOOL_CALL), whole=BOX)


def test_a_tag_begins_with_the_only_bracket_in_it() -> None:
    for tag in (THINK_END, TOOL_CALL, ARG_KEY, *CONTROL, *BOX):
        assert tag.rfind("<") == 0


def test_text_is_settled_up_to_what_may_become_a_tag() -> None:
    for text, held in [
        ("", ""),
        ("a", ""),
        ("a<", "<"),
        ("<</thin", "</thin"),
        ("a<tool_call", "<tool_call"),
        ("a<tool_call >", ""),
        ("<b", ""),
        ("x<|begin_of_box|", "<|begin_of_box|"),
        ("<|begin_of_box|>", ""),
        ("</think <", "<"),
    ]:
        assert text[TAGS.settled(text, 0) :] == held
        assert TAGS.may_begin("?" + held, 1) == bool(held)


def test_what_lies_before_the_position_does_not_count() -> None:
    assert TAGS.settled("a<tool", 3) == 6


@given(text=st.text("<>/|_abthinkol", max_size=12), more=st.text("<>/thinkool_ca", max_size=12))
def test_what_is_settled_is_in_no_tag(text: str, more: str) -> None:
    end = TAGS.settled(text, 0)
    found = TAGS.find(text + more, 0)
    if TAGS.find(text, 0) is None and found:
        assert found.start() >= end


def test_beginnings() -> None:
    pattern = re.compile(prefix_of("<|a|>") + r"\Z")
    assert all(pattern.match("<|a|>"[:size]) for size in range(1, 6))
    assert not any(pattern.match(text) for text in ("", "|", "<a", "<|a|>>"))
    assert re.fullmatch(prefix_of_any(CONTROL), "<|obser")
    assert re.fullmatch(any_of(CONTROL), "<|user|>")
    assert not re.fullmatch(any_of(CONTROL), "<|user|")


def test_blanks() -> None:
    assert after_blanks("a \t\r\n\u3000b", 1) == 5
    assert after_blanks("", 0) == 0
