import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openbigmodel.moderation.folding import cut_escape, fold, fold_with_origins, unescape

ODD = st.sampled_from(
    'aÉéß ﬁ㎏Ａ炸弹각가\u1100\u1161\u11a8\u0301\u0323\u200b\u00ad\ufe0f\u3000\n\t\u0345ΣŉİⅨ\u00b4\\"u0ud83d'
)
TEXTS = st.text(st.one_of(ODD, st.characters()), max_size=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BOMB", "bomb"),
        ("ＢＯＭＢ", "bomb"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("①②", "12"),
        ("炸\u200b弹", "炸弹"),
        ("炸\u00ad\ufe0f\U000e0100弹", "炸弹"),
        ("ｶﾞｽ", "ガス"),
        ("two\u3000\n words", "two words"),
        ("\u1112\u1161\u11ab", "한"),
        ("ОРУЖИЕ", "оружие"),
    ],
)
def test_what_makes_no_difference(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"), [("cặc", "các"), ("가", "각"), ("resume", "résumé"), ("炸 弹", "炸弹")]
)
def test_what_makes_one(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(TEXTS)
@example("a\u0301\u0323")
@example(" \u00b4 ")
@example("\u0345\u0301")
def test_both_ways_of_folding_agree(text: str) -> None:
    folded, origins = fold_with_origins(text)
    assert folded == fold(text)
    assert len(origins) == len(folded)
    assert origins == sorted(origins)


@given(TEXTS, TEXTS)
def test_a_text_may_come_in_pieces(one: str, other: str) -> None:
    if other and unicodedata.combining(other[0]):
        return
    assert fold(fold(one) + fold(other)) == fold(one + other)


def test_where_folded_characters_come_from() -> None:
    assert fold_with_origins("㎏\u200b É!") == ("kg e\u0301!", [0, 0, 2, 3, 3, 4])


@given(TEXTS)
def test_escapes_are_read_as_json_reads_them(text: str) -> None:
    encoded = json.dumps(text)[1:-1]
    assert unescape(encoded) == text
    assert fold_with_origins(encoded, escaped=True)[0] == fold(text)


def test_where_escaped_characters_come_from() -> None:
    text = r"a\n\u70b8\ud83d\ude00b"
    folded, origins = fold_with_origins(text, escaped=True)
    assert folded == "a 炸😀b"
    assert [text[start] for start in origins] == ["a", "\\", "\\", "\\", "b"]


@given(TEXTS, st.integers(0, 200))
def test_no_escape_is_cut(text: str, at: int) -> None:
    encoded = json.dumps(text)[1:-1]
    begun = encoded[:at]
    cut = cut_escape(begun)
    assert unescape(encoded[:cut]) + unescape(encoded[cut:]) == text


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("abc", ""),
        ("a\\", "\\"),
        ("a\\u70b", "\\u70b"),
        ("a\\u70b8", ""),
        ("a\\ud83d", "\\ud83d"),
        ("a\\ud83d\\ude0", "\\ud83d\\ude0"),
        ("a\\ud83d\\u00", "\\u00"),
        ("a\\\\", ""),
        ("a\\\\u70b", ""),
        ("a\\\\\\u70b", "\\u70b"),
        ("a\\n", ""),
    ],
)
def test_where_a_cut_escape_begins(text: str, held: str) -> None:
    assert text[cut_escape(text) :] == held
