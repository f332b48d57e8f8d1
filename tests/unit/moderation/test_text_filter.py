import itertools
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openbigmodel.moderation.folding import fold
from openbigmodel.moderation.text_filter import TextFilter
from openbigmodel.moderation.words import WordList

WORDS = WordList({"bomb": 1, "pipe bomb": 0, "炸弹": 1, "폭탄": 1, "café": 1, "ระเบิด": 1})


def feed(
    pieces: list[str], words: WordList = WORDS, *, escaped: bool = False
) -> tuple[list[str], TextFilter]:
    """What was shown after each piece, the end included, until a word blocked."""
    one = TextFilter(words, escaped=escaped)
    shown = []
    for piece in pieces:
        shown.append(one.feed(piece))
        if one.blocked is not None:
            return shown, one
    shown.append(one.feed("", final=True))
    return shown, one


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Hello, ", "world"], ["Hello, ", "world", ""]),
        (["the b", "all"], ["the ", "ball", ""]),
        (["制造炸", "药"], ["制造", "炸药", ""]),
        (["a bomb", "ing raid"], ["a ", "bombing raid", ""]),
        (["class", " bombs"], ["class", " bombs", ""]),
        (["a pipe  ", "dream"], ["a ", "pipe  dream", ""]),
        (["a pipe\u200b b", "ox"], ["a ", "pipe\u200b box", ""]),
        (["Ｂ", "Ｏ", "Ｏ"], ["", "", "ＢＯＯ", ""]),
    ],
)
def test_clean_text_is_shown_as_soon_as_it_is_clean(pieces: list[str], shown: list[str]) -> None:
    said, one = feed(pieces)
    assert said == shown
    assert one.blocked is None


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["a b", "om", "b!"], ["a ", "", ""]),
        (["a bomb"], ["a ", ""]),
        (["a pipe\n", "\nbomb."], ["a ", ""]),
        (["我要造炸", "\u200b", "弹。"], ["我要造", "", ""]),
        (["是 폭", "탄을"], ["是 ", ""]),
        (["a cafe", "\u0301 here"], ["a ", ""]),
        (["ทำระ", "เบิ", "ดเอง"], ["ทำ", "", ""]),
        (["x. Ｂo", "MB "], ["x. ", ""]),
        (["clean 炸弹 more"], ["clean "]),
    ],
)
def test_a_word_that_was_cut_is_found_and_nothing_of_it_shown(pieces: list[str], shown: list[str]) -> None:
    said, one = feed(pieces)
    assert said == shown
    assert one.blocked is not None


def test_the_letter_before_counts_across_pieces() -> None:
    assert feed(["a", "bomb "])[1].blocked is None
    assert feed(["e\u0301", "bomb "])[1].blocked is None
    assert feed(["e", "\u0301", "bomb "])[1].blocked is None
    assert feed(["是", "bomb "])[1].blocked == 1


def test_what_does_not_block_is_noted_and_shown() -> None:
    said, one = feed(["mi", "ld, ", "meh"], WordList({"mild": 2, "meh": 3}, block_level=1))
    assert "".join(said) == "mild, meh"
    assert (one.blocked, one.noted) == (None, 2)


def test_escapes_in_arguments_are_read() -> None:
    said, one = feed(['{"q":"\\u70', "b8\\u5f", '39"}'], escaped=True)
    assert (said, one.blocked) == (['{"q":"', "", ""], 1)
    said, one = feed(['{"q":"\\u70', 'b8\\u836f"}'], escaped=True)
    assert ("".join(said), one.blocked) == ('{"q":"\\u70b8\\u836f"}', None)
    assert feed(['{"q":"a\\nbomb"}'], escaped=True)[1].blocked == 1
    assert feed(['"C:\\\\bomb"'], escaped=True)[1].blocked == 1


class Leaky(TextFilter):
    """Planted: it looks at each piece by itself and holds nothing back."""

    def feed(self, piece: str, *, final: bool = False) -> str:
        return super().feed(piece, final=True)


def test_a_planted_leak_is_noticed() -> None:
    leaky = Leaky(WORDS)
    assert [leaky.feed(piece) for piece in ("a b", "omb")] == ["a b", "omb"]
    assert leaky.blocked is None


ALPHABET = st.sampled_from("abom ｂＢ炸弹\u200b\u0301\u0323é가각\u1100\u1161\u11a8\n.㎏")
SMALL = WordList({"bom": 1, "a b": 1, "*ob*": 1, "炸弹": 1, "é.": 1, "각": 1, "kg": 1, "m弹弹": 1})


@settings(max_examples=500)
@given(st.lists(st.text(ALPHABET, max_size=5), max_size=10))
@example(["b", "o", "m", "\u0301"])
@example(["a ", " b"])
@example(["a\u200b", " ", "\u200b", "b"])
def test_the_cut_makes_no_difference(pieces: list[str]) -> None:
    text = "".join(pieces)
    said, one = feed(pieces, SMALL)
    whole, other = feed([text], SMALL)
    assert (one.blocked is None) == (other.blocked is None) == (SMALL.scan(fold(text)).blocked is None)
    if one.blocked is None:
        assert "".join(said) == "".join(whole) == text
    else:
        assert text.startswith("".join(said))
        assert SMALL.scan(fold("".join(said)), final=False).blocked is None


@settings(max_examples=300)
@given(st.text(ALPHABET, max_size=20), st.lists(st.integers(0, 100), max_size=8))
def test_the_cut_makes_no_difference_in_arguments(text: str, cuts: list[int]) -> None:
    encoded = json.dumps({"q": text})
    at = sorted({0, len(encoded), *(cut % len(encoded) for cut in cuts)})
    pieces = [encoded[start:end] for start, end in itertools.pairwise(at)]
    said, one = feed(pieces, SMALL, escaped=True)
    # A quotation mark stands before the text and after it.
    assert (one.blocked is not None) == (SMALL.scan(fold(f'"{text}"')).blocked is not None)
    assert encoded.startswith("".join(said))
    assert one.blocked is not None or "".join(said) == encoded
