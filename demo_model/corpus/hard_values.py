"""Names and numbers that are hard to copy: several words, doubled parts, common first words.

Everything is made up of parts that the lists of the evaluation do not hold.
"""

from __future__ import annotations

import random

from demo_model.corpus import words
from demo_model.corpus.values import Language, Values

# Words of place names; {} is made up.
_WORDS = (
    "Silver Stone River Green Maple Iron Golden Clear Spring Blue Red Cedar Oak Rock Crystal Winter Summer Pine Eagle Sand "
    "Bear Wolf Copper Sun Moon Long High Little Big Old Grand Royal White Black Sweet Deer Rose Amber Bridge Mill"
).split()
_LAST = "City Springs Falls Beach Hills Park Island Bay Valley Harbor Creek Grove Heights Junction Town Village".split()
_LAST_HELD_OUT = frozenset(word for name in words.PLACES_EN_HELD_OUT for word in name.split()) - {"City"}
_ENDINGS = tuple(word for word in _LAST if word not in _LAST_HELD_OUT)
_PATTERNS_EN = words.bars("""
{w} {w} City|{w} {w} City|{w} City|{} {w} City|{} {} City|{w} {w} {l}|{w} {w} {l}|{} {l}|{w} {l}
New {}|New {w} {l}|San {}|Santa {}|San {} {}|Rio de {}|Puerto {}|St. {}|Saint {}|Fort {}|Port {} {}|El {}|Los {}|La {}
North {}|South {}|Upper {} {l}|{} de la {}|{} upon {}|{}-{}|{} {}|{} {}|{} {} {}|{w} {}|{} {w} {l}|{w} {w} {} {l}
{}, {s}|{w} {l}, {s}|San {}, {s}|New {}, {s}|{}, {}|{} {}, {}
""")
_ENDINGS_ZH = "市 市 县 区 镇 村 州 山 港 岛 湾 城 湖".split()
_DOUBLED = ("AA", "AAB", "ABB", "ABA", "AABB", "ABAB", "AABC", "ABBC", "ABCC", "ABCA", "ABCB")
_PLAIN = ("AB", "ABC", "ABC", "ABCD", "ABCDE")
_SURNAMES_TWO = "欧阳 司马 上官 诸葛 东方 皇甫 尉迟 公孙 慕容 司徒".split()


class HardValues(Values):
    """The same kinds of values as in training, only the hard ones and more of them."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)

    def _form(self, forms: tuple[str, ...]) -> str:
        """Han characters after a form such as ABAB: one random character for each letter."""
        letters = dict(zip("ABCDE", self.rng.sample(words.HAN, 5), strict=True))
        return "".join(letters[letter] for letter in self.pick(forms))

    def pseudo_word(self, low: int = 1, high: int = 3) -> str:
        """Sometimes with a repeated syllable."""
        word = super().pseudo_word(low, high)
        if high > 1 and 4 < len(word) < 8 and self.chance(0.2):
            cut = self.integer(2, 4)
            return word[:cut] + word[:cut] + word[cut:] if self.chance(0.5) else word + word[-cut:]
        return word

    def digits(self, low: int, high: int) -> str:
        """Half of them of few different digits, so that the digit before does not tell the next."""
        made = super().digits(low, high)
        if self.chance(0.5):
            return made
        few = made[0] + "".join(self.pick("0123456789") for _ in range(self.integer(1, 2)))
        return made[0] + "".join(self.pick(few) for _ in made[1:])

    def place(self, language: Language) -> str:
        """Two to four words in English, doubled characters or an ending in Chinese."""
        if self.chance(0.12):
            return super().place(language)
        if language == "zh":
            name = self._form(_DOUBLED if self.chance(0.4) else _PLAIN)
            return name + self.pick(_ENDINGS_ZH) if self.chance(0.15) else name
        text = self.pick(_PATTERNS_EN)
        while "{" in text:
            text = text.replace("{w}", self.pick(_WORDS), 1).replace("{l}", self.pick(_ENDINGS), 1)
            state = self.pick("ACDFGIKMNOPRSTUVW") + self.pick("ACDEIKLNRTVXYZ")
            text = text.replace("{s}", state, 1).replace("{}", self.pseudo_word(1, 3).capitalize(), 1)
        return super().place(language) if text in words.PLACES_EN_HELD_OUT else text

    def person(self, language: Language) -> str:
        """Two or three characters, often doubled; in English two or three words."""
        if language == "en":
            first = self.pick(words.NAMES_EN) if self.chance(0.5) else self.pseudo_word(1, 2).capitalize()
            rest = [self.pseudo_word(1, 2).capitalize() for _ in range(self.pick((0, 1, 1, 1, 2)))]
            return " ".join([first, *rest])
        kind = self.rng.random()
        if kind < 0.35:
            return self._form(("AB", "ABC", "ABC", "ABB", "AA"))
        surname = self.pick(_SURNAMES_TWO) if kind < 0.45 else self.pick(words.SURNAMES_ZH)
        given = self.pick(words.GIVEN_ZH) if self.chance(0.6) else self.pick(words.HAN)
        return surname + given + self.pick(("", given, self.pick(words.GIVEN_ZH), self.pick(words.HAN)))

    def han(self, low: int, high: int) -> str:
        """Doubled characters are twice as frequent."""
        if low < 5 and high > 2 and self.chance(0.3):
            return self._form(_DOUBLED)
        return super().han(low, high)

    def phrase(self, language: Language) -> str:
        """Longer texts, which are easily cut short."""
        if self.chance(0.5):
            return super().phrase(language)
        if language == "en":
            return self.pseudo_words(3, 5)
        return super().han(6, 12)
