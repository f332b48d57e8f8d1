"""A text is never said to have more tokens than it was made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.inference.fewest_tokens import fewest_tokens, fewest_tokens_of_json

# What tokenizers make: a word, perhaps with a blank or a mark before it; digits; marks; blanks; some letters of a word.
_WORDS = st.text(alphabet="abcxyzéßжфαλ", min_size=1, max_size=42)
_CHINESE = st.text(alphabet="的一是在不了有和人这中大为上个国我以要他", min_size=1, max_size=10)
_MARKS = st.text(alphabet=".,;:!?()[]{}<>/=+*'\"#$%&@^~|-_，。、；：？！（）《》“”", min_size=1, max_size=20)
_TOKENS = st.one_of(
    st.builds(
        str.__add__, st.sampled_from(["", " ", "\n", "(", ".", "，", "《", "_", "'", '"']), _WORDS | _CHINESE
    ),
    st.text(alphabet="0123456789", min_size=1, max_size=3),
    _MARKS,
    st.text(alphabet=" \t\n\u3000\xa0", min_size=1, max_size=80),
)


@given(st.lists(st.lists(_TOKENS, min_size=1, max_size=8), min_size=1, max_size=8))
def test_never_more_than_there_were(events: list[list[str]]) -> None:
    produced = sum(map(len, events))

    # Piece by piece, as a stream brings it, with at least one for each, and as a whole.
    assert sum(max(1, fewest_tokens("".join(event))) for event in events) <= produced
    assert max(1, fewest_tokens(" " + "".join("".join(event) for event in events))) <= produced


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("word", 0),
        (" a quick brown fox", 4),
        ("llo wor", 1),
        ("line\nline\n\nline", 2),
        ("it's John’s snake_case", 2),
        ("1 2 3 4.5", 0),
        ("...!!!---", 0),
        ("天下，太平。很好", 2),
        (" " + "x" * 200, 4),
        ("天" * 33, 2),
    ],
)
def test_words_begin_tokens(text: str, tokens: int) -> None:
    assert fewest_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('{"city": "New York"}', 3),
        # The model may have made one token of all of it.
        ('{"x":"\\u4e2d\\u6587"}', 1),
        ('{"x":"\\n\\n\\n\\n"}', 1),
        ('{"x":"\\\\a\\\\b"}', 1),
    ],
)
def test_escapes_begin_nothing(text: str, tokens: int) -> None:
    assert fewest_tokens_of_json(text) == tokens
