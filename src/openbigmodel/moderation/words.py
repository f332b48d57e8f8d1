"""A word list: read from a file, searched by Aho and Corasick's automaton.

Rule: what is found does not depend on how the text was cut into pieces. The automaton's states are named by their
text: the longest end of what was read that is the beginning of a word. So the state at a piece's end says how much
of it might still become a match, which is what streams need and what libraries keep to themselves.
"""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import msgspec

from openbigmodel.moderation.folding import fold

# api.md §8.3: 0 is the most severe; 1 is what bigmodel.cn usually reports.
MOST_SEVERE, LEAST_SEVERE = 0, 3
DEFAULT_LEVEL = 1

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_WORDS = 200_000
MAX_WORD_CHARACTERS = 128

_LEVEL = re.compile(r"\[level ([0-3])\]")


class WordListError(Exception):
    """The file is no word list; the text is a sentence for the operator."""


class _Ending(msgspec.Struct, frozen=True, gc=False):
    """A word that ends in a state. `open_start`, `open_end`: letters may stand beside it there."""

    length: int
    level: int
    open_start: bool
    open_end: bool


class Match(msgspec.Struct, frozen=True, gc=False):
    """A word in a folded text: where it begins, and how severe it is."""

    start: int
    level: int


class Scan(msgspec.Struct, frozen=True, gc=False):
    """What a folded text holds.

    `blocked` is the first word that blocks, `noted` the level of the most severe one that does not. From `held` on
    the text may become a match with what follows.
    """

    blocked: Match | None
    noted: int | None
    held: int


class WordList:
    """Words with their levels; those of `block_level` and more severe ones block, the others are noted."""

    def __init__(self, words: Mapping[str, int], block_level: int = LEAST_SEVERE) -> None:
        """`words`: as a file has them, with `*` for an open end, and their levels. Raises WordListError."""
        self.block_level = block_level
        endings: dict[str, _Ending] = {}
        for word, level in words.items():
            text, ending = _read_word(word, level)
            endings[text] = _both(endings[text], ending) if text in endings else ending
        self.count = len(endings)
        self._endings = _automaton(endings)
        self._open_starts = {text[0] for text, ending in endings.items() if ending.open_start}
        self._first = _first_characters({text[0] for text in endings}, self._open_starts)

    def scan(self, text: str, before: str = "", *, final: bool = True) -> Scan:
        """Search a folded text. `before` is the character that precedes it; `final`: nothing follows."""
        get, block_level = self._endings.get, self.block_level
        position, size, state, noted = 0, len(text), "", None
        while position < size:
            if not state:
                position = self._next_start(text, position)
                if position == size:
                    break
            state += text[position]
            position += 1
            endings = get(state)
            if endings is None:
                state, endings = self._shorter(state)
                if len(state) == 1:
                    # Nothing but this character is left: look again whether a word can begin with it.
                    position, state = position - 1, ""
                    continue
            for ending in endings:
                if not _stands_alone(ending, text, position, before, final=final):
                    continue
                if ending.level <= block_level:
                    return Scan(Match(position - ending.length, ending.level), noted, size)
                noted = ending.level if noted is None else min(noted, ending.level)
        return Scan(None, noted, size if final else size - self._unfinished(state, text, before))

    def _next_start(self, text: str, position: int) -> int:
        """The next place where a word can begin by its first two characters; the text's end if there is none.

        Nearly all of a text is passed over here. With 5,000 words a character costs 0.1 to 0.3 µs.
        """
        endings = self._endings
        for candidate in self._first.finditer(text, position):
            start = candidate.start()
            pair = text[start : start + 2]
            if pair in endings or len(pair) == 1 or endings[pair[0]]:
                return start
        return len(text)

    def _shorter(self, state: str) -> tuple[str, tuple[_Ending, ...]]:
        """The longest end of `state`, which is none, that is a state."""
        endings = None
        while endings is None:
            state = state[1:]
            endings = self._endings.get(state)
        return state, endings

    def _unfinished(self, state: str, text: str, before: str) -> int:
        """The length of the longest end of `text` that may become a word: all of `state`, or less of it."""
        while state:
            start = len(text) - len(state)
            preceding = text[start - 1] if start else before
            first = state[0]
            if first in self._open_starts or not (_in_word(first) and _in_word(preceding)):
                break
            state, _ = self._shorter(state)
        return len(state)


def read_word_list(path: Path, block_level: int = LEAST_SEVERE) -> WordList:
    """A word list from its file; raises WordListError, which names the file and the line."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise WordListError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise WordListError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WordListError(f"{path} is not UTF-8 text") from error
    words: dict[str, int] = {}
    level = DEFAULT_LEVEL
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if word.startswith("["):
            level = _read_level(word, path, number)
            continue
        # So that a word may begin with what would otherwise mean something.
        word = word.removeprefix("\\")
        try:
            _read_word(word, level)
        except WordListError as error:
            raise WordListError(f"{path}, line {number}: {error}") from error
        words[word] = min(level, words.get(word, level))
        if len(words) > MAX_WORDS:
            raise WordListError(f"{path} has more than {MAX_WORDS} words")
    if not words:
        raise WordListError(f"{path} has no words")
    return WordList(words, block_level)


def _read_level(line: str, path: Path, number: int) -> int:
    match = _LEVEL.fullmatch(line)
    if match is None:
        raise WordListError(f"{path}, line {number}: a line in brackets is [level 0] to [level 3]")
    return int(match[1])


def _read_word(word: str, level: int) -> tuple[str, _Ending]:
    text = fold(word.strip("*")).strip()
    if not text:
        raise WordListError("nothing of this word can be compared")
    if len(text) > MAX_WORD_CHARACTERS:
        raise WordListError(f"a word may have {MAX_WORD_CHARACTERS} characters")
    if _continues(text[0]):
        raise WordListError("a word cannot begin with a combining mark")
    bare = text
    while _is_mark(bare[-1]):
        bare = bare[:-1]
    return text, _Ending(
        length=len(text),
        level=level,
        open_start=word.startswith("*") or not _in_word(text[0]),
        open_end=word.endswith("*") or not _in_word(bare[-1]),
    )


def _both(one: _Ending, other: _Ending) -> _Ending:
    """Two lines that fold to the same text: whatever either of them finds, as severe as the more severe one."""
    return _Ending(
        one.length,
        min(one.level, other.level),
        one.open_start or other.open_start,
        one.open_end or other.open_end,
    )


def _automaton(words: dict[str, _Ending]) -> dict[str, tuple[_Ending, ...]]:
    """Every beginning of every word, and the words that end there, the most severe first."""
    states: dict[str, tuple[_Ending, ...]] = {"": ()}
    for word in words:
        for end in range(1, len(word) + 1):
            state = word[:end]
            if state not in states:
                found = [words[state[start:]] for start in range(end) if state[start:] in words]
                states[state] = tuple(sorted(found, key=lambda ending: ending.level))
    return states


def _first_characters(firsts: set[str], open_starts: set[str]) -> re.Pattern[str]:
    """Where a word can begin. Words of letters do so after no other letter; of letters, ASCII's are enough here."""
    bounded = firsts - open_starts
    parts = [_one_of(open_starts)] if open_starts else []
    if bounded:
        parts.append(f"(?<![a-z0-9]){_one_of(bounded)}")
    return re.compile("|".join(parts) or r"(?!)")


def _one_of(characters: set[str]) -> str:
    return f"[{''.join(map(re.escape, sorted(characters)))}]"


def _stands_alone(ending: _Ending, text: str, end: int, before: str, *, final: bool) -> bool:
    """Whether a match that ends at `end` is one: no part of a longer word, nor of a longer character.

    At the end of a text that goes on it is not known yet, and the answer is no for now.
    """
    if end < len(text):
        following = text[end]
        if _continues(following) or (not ending.open_end and _in_word(following)):
            return False
    elif not final:
        return False
    if ending.open_start:
        return True
    start = end - ending.length
    while start and _is_mark(text[start - 1]):
        start -= 1
    return not _in_word(text[start - 1] if start else before)


def _in_word(character: str) -> bool:
    """Digits, and letters of alphabets with capitals: their words have blanks between them."""
    return character.islower() or character.isupper() or character.isdecimal()


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _continues(character: str) -> bool:
    """Part of the character before it: an accent, a vowel sign, a later letter of a Korean syllable."""
    return not character.isascii() and (_is_mark(character) or "\u1160" <= character <= "\u11ff")
