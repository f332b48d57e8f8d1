"""Random JSON texts, written in any of the ways in which the same value can be written."""

import json

from hypothesis import strategies as st

BLANKS = st.sampled_from(["", "", "", " ", "  ", "\t", "\n", "\r\n"])
# Without lone surrogates, which are no text; with what breaks lines, quotes and numbers.
WORDS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\u2028\u2029\u0085\n{}[]:,0'), max_size=6)  # fmt: skip
STRINGS = st.builds(lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only), WORDS, st.booleans())
NUMBERS = st.one_of(
    st.integers(-(2**130), 2**130).map(str),
    st.sampled_from(["9007199254740993", "-0", "1.50", "1E5", "1e-7", "0.1000", "3.14159265358979323846", "1e300"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)  # fmt: skip
_SCALARS = st.one_of(STRINGS, NUMBERS, st.sampled_from(["null", "true", "false"]))


def _array(items: list[str], blank: str) -> str:
    return f"[{blank}{f'{blank},{blank}'.join(items)}{blank}]"


def object_text(members: list[tuple[str, str]], blank: str = "") -> str:
    """An object with these members, names and values both encoded."""
    inside = f"{blank},{blank}".join(f"{name}{blank}:{blank}{value}" for name, value in members)
    return f"{{{blank}{inside}{blank}}}"


VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=3), BLANKS),
        st.builds(object_text, st.lists(st.tuples(STRINGS, inner), max_size=3), BLANKS),
    ),
    max_leaves=6,
)


@st.composite
def unknown_members(draw: st.DrawFn, known: frozenset[str]) -> list[tuple[str, str]]:
    """Members whose names nobody knows, each once."""
    members = draw(
        st.lists(st.tuples(STRINGS, VALUES), max_size=4, unique_by=lambda member: json.loads(member[0]))
    )
    return [member for member in members if json.loads(member[0]) not in known]
