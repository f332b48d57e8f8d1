"""Text as it is compared: case, width, accents' encoding, blanks and invisible characters make no difference.

Rule: blanks aside, `fold(a) + fold(b)` is `fold(a + b)` wherever `b` does not begin with a combining mark, so a
text may come in pieces. That is why folding takes characters apart (NFKD) and never puts them together: `é` and `e`
with an accent of its own are the same two characters, whichever of them an engine sends first.
"""

import functools
import re
import unicodedata

# Format characters (zero-width blanks and joiners, soft hyphens, direction marks, tags), the grapheme joiner and
# variation selectors. They show nothing, so they are the cheapest way to hide a word.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]+"
)
_BLANKS = re.compile(r"\s+")
# In a text without these, blanks need no second look.
_ODD_BLANKS = re.compile(r"\s\s|[^\S ]")

# A JSON text's escapes: a pair for one character, one of four digits, a short one.
_ESCAPE = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL
)
# The beginning of one, at the end of a piece. Half of a pair is one, too.
_CUT_ESCAPE = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?\Z"
)
_SHORT_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def fold(text: str) -> str:
    """The folded text: compatibility characters taken apart, no case, single blanks, nothing invisible."""
    if text.isascii():
        folded = text.lower()
    else:
        folded = unicodedata.normalize("NFKD", text).casefold()
        folded = _INVISIBLE.sub("", unicodedata.normalize("NFKD", folded))
    if _ODD_BLANKS.search(folded) is not None:
        folded = _BLANKS.sub(" ", folded)
    return folded


def fold_with_origins(text: str, *, escaped: bool = False) -> tuple[str, list[int]]:
    """The folded text, and for each of its characters where in `text` begins what it was made from.

    Slower than `fold` by far, for the few characters around a possible match. `escaped`: `text` is part of a JSON
    text, and its escapes are read.
    """
    folded: list[str] = []
    origins: list[int] = []
    for start, piece in _pieces(text, escaped=escaped):
        for character in _fold_piece(piece):
            if character != " " or not folded or folded[-1] != " ":
                folded.append(character)
                origins.append(start)
    return "".join(folded), origins


def _pieces(text: str, *, escaped: bool) -> list[tuple[int, str]]:
    """Characters with the marks that follow them: what can be folded by itself, and where it begins."""
    pieces: list[tuple[int, str]] = []
    for start, character in _characters(text, escaped=escaped):
        if pieces and unicodedata.combining(character):
            before = pieces[-1]
            pieces[-1] = before[0], before[1] + character
        else:
            pieces.append((start, character))
    return pieces


def _characters(text: str, *, escaped: bool) -> list[tuple[int, str]]:
    if not escaped or "\\" not in text:
        return list(enumerate(text))
    found: list[tuple[int, str]] = []
    position = 0
    for match in _ESCAPE.finditer(text):
        found += [(position + i, c) for i, c in enumerate(text[position : match.start()])]
        found.append((match.start(), _unescaped(match)))
        position = match.end()
    return found + [(position + i, c) for i, c in enumerate(text[position:])]


@functools.lru_cache(maxsize=1 << 14)
def _fold_piece(piece: str) -> str:
    return fold(piece)


def unescape(text: str) -> str:
    """Part of a JSON text with its escapes read; quotes and brackets stay."""
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    high, low, code, short = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    if code:
        return chr(int(code, 16))
    return _SHORT_ESCAPES.get(short, short)


def cut_escape(text: str) -> int:
    """Where the escape begins that `text` ends in the middle of; its length if there is none."""
    found = _CUT_ESCAPE.search(text, max(0, len(text) - 11)) if "\\" in text else None
    # A backslash that is itself escaped begins nothing.
    if found is None or _backslashes_before(text, found.start()) % 2:
        return len(text)
    return found.start()


def _backslashes_before(text: str, position: int) -> int:
    return position - len(text[:position].rstrip("\\"))
