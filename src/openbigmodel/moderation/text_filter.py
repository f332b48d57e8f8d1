"""The word filter of one stream of text: what may be shown, as soon as it may be.

Rule: what is shown and what is held back make up what was fed, in order and to the letter, up to the word that
blocks. Held back is only what could still become a match.
"""

import unicodedata

from openbigmodel.moderation.folding import cut_escape, fold, fold_with_origins, unescape
from openbigmodel.moderation.words import WordList


class TextFilter:
    """One text that comes in pieces.

    `blocked` and `noted` are the levels of the word that ended it and of the most severe one that did not.
    `escaped`: the text is part of a JSON text, such as a call's arguments.
    """

    __slots__ = ("_before", "_escaped", "_words", "blocked", "held", "noted")

    def __init__(self, words: WordList, *, escaped: bool = False) -> None:
        self._words = words
        self._escaped = escaped
        self._before = ""
        self.held = ""
        self.blocked: int | None = None
        self.noted: int | None = None

    def feed(self, piece: str, *, final: bool = False) -> str:
        """What may be shown now, of `piece` and of what was held back. `final`: no piece follows."""
        text = self.held + piece
        readable = text if final or not self._escaped else text[: cut_escape(text)]
        folded = fold(unescape(readable) if self._escaped else readable)
        scan = self._words.scan(folded, self._before, final=final)
        if scan.noted is not None:
            self.noted = scan.noted if self.noted is None else min(self.noted, scan.noted)
        shown_end, folded_end = len(readable), scan.held
        if scan.blocked is not None:
            self.blocked, folded_end = scan.blocked.level, scan.blocked.start
        if folded_end < len(folded):
            _, origins = fold_with_origins(readable, escaped=self._escaped)
            shown_end = origins[folded_end]
        self._before = _last_letter(folded[:folded_end]) or self._before
        self.held = text[shown_end:]
        return text[:shown_end]


def _last_letter(folded: str) -> str:
    """The last character that is no mark on another; empty if there is none."""
    for character in reversed(folded):
        if not unicodedata.category(character).startswith("M"):
            return character
    return ""
