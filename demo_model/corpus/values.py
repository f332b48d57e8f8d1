"""Random values that fill the sentence patterns: places, persons, numbers, made-up words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeVar

from demo_model.corpus import words

T = TypeVar("T")
Language = Literal["zh", "en"]

_ONSETS = (
    "b c d f g h j k l m n p r s t v w y z ch sh th br cr dr fr gr kr pl st tr qu bl cl sl sp sk"
).split()
_NUCLEI = "a e i o u a e i o u ai ea oo ou ie ar er or an en in on".split()
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "d", "ck", "x", "sh", "ng", "nd", "st"]


class Values:
    """Draws values from one random stream; ``held_out`` switches to the evaluation's lists."""

    def __init__(self, rng: random.Random, *, held_out: bool = False) -> None:
        self.rng = rng
        self.held_out = held_out

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.rng.random() < probability

    def harder(self, usual: float, trained: float) -> float:
        """How often a hard case comes: training sees more of them than the evaluation."""
        return usual if self.held_out else trained

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self.rng.random() * len(options))]

    def integer(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.rng.randint(low, high)

    def language(self, chinese: float = 0.55) -> Language:
        """Chinese slightly more often than English."""
        return "zh" if self.chance(chinese) else "en"

    def han(self, low: int, high: int) -> str:
        """Random common Han characters: no meaning, so they can only be copied."""
        chars = [self.pick(words.HAN) for _ in range(self.integer(low, high))]
        if len(chars) > 1 and self.chance(self.harder(0.12, 0.25)):
            # Doubled characters, as real names have them, are the hard case of copying.
            chars[-1] = self.pick(chars[:-1])
            self.rng.shuffle(chars)
            if not self.held_out and self.chance(0.5):
                # Doubled side by side, at any place of the name.
                rest = chars[: self.integer(1, len(chars) - 1)]
                chars = [char for char in rest for _ in range(2 if char == rest[0] else 1)]
                chars += [self.pick(words.HAN) for _ in range(self.integer(0, 2))]
                chars = chars if self.chance(0.5) else chars[::-1]
        return "".join(chars)

    def pseudo_word(self, low: int = 1, high: int = 3) -> str:
        """A pronounceable word that does not exist."""
        body = "".join(self.pick(_ONSETS) + self.pick(_NUCLEI) for _ in range(self.integer(low, high)))
        return body + self.pick(_CODAS)

    def pseudo_words(self, low: int, high: int) -> str:
        """Several made-up words."""
        return " ".join(self.pseudo_word() for _ in range(self.integer(low, high)))

    def digits(self, low: int, high: int) -> str:
        """A digit string without a leading zero."""
        rest = "".join(self.pick("0123456789") for _ in range(self.integer(low, high) - 1))
        return self.pick("123456789") + rest

    def place(self, language: Language) -> str:
        """A city: listed or made up; always unseen when held out."""
        if language == "zh":
            known = words.PLACES_ZH_HELD_OUT if self.held_out else words.PLACES_ZH
            return self.pick(known) if self.chance(0.4) else self.han(2, 4)
        known = words.PLACES_EN_HELD_OUT if self.held_out else words.PLACES_EN
        if self.chance(0.4):
            return self.pick(known)
        name = self.pseudo_word(1, 3).capitalize()
        if self.chance(self.harder(0.35, 0.5)):
            return name + self.pick((" ", " ", ", ")) + self.pseudo_word(1, 2).capitalize()
        return name

    def person(self, language: Language) -> str:
        """A person's name."""
        if language == "zh":
            if self.chance(0.25):
                return self.han(2, 3)
            given = "".join(self.pick(words.GIVEN_ZH) for _ in range(self.integer(1, 2)))
            return self.pick(words.SURNAMES_ZH) + given
        known = words.NAMES_EN_HELD_OUT if self.held_out else words.NAMES_EN
        name = self.pick(known) if self.chance(0.45) else self.pseudo_word(1, 2).capitalize()
        return (
            f"{name} {self.pseudo_word(1, 2).capitalize()}" if self.chance(self.harder(0.15, 0.3)) else name
        )

    def phrase(self, language: Language) -> str:
        """A short phrase to be copied: words that exist, that do not, or digits."""
        if language == "zh":
            return self.pick(
                (
                    self.han(2, 6),
                    self.pick(words.TOPICS_ZH),
                    self.pick(words.TOPICS_ZH) + self.pick(words.TOPICS_ZH),
                    self.han(3, 10),
                    self.place("zh") + self.pick(words.FOODS_ZH),
                )
            )
        return self.pick(
            (
                self.pseudo_words(1, 3),
                self.pick(words.TOPICS_EN),
                self.pseudo_words(1, 4),
                f"{self.pick(words.FOODS_EN)} in {self.place('en')}",
            )
        )

    def identifier(self) -> str:
        """A made-up snake_case or camelCase name, as schemas have them."""
        parts = [self.pseudo_word(1, 2) for _ in range(self.integer(1, 2))]
        if self.chance(0.3):
            return parts[0] + "".join(part.capitalize() for part in parts[1:])
        return "_".join(parts)

    def clock(self) -> str:
        """A time of day."""
        return f"{self.integer(0, 23):02d}:{self.integer(0, 59):02d}"

    def date(self) -> str:
        """An ISO date."""
        return f"20{self.integer(20, 29)}-{self.integer(1, 12):02d}-{self.integer(1, 28):02d}"

    def code(self) -> str:
        """An upper-case code such as a ticker."""
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return "".join(self.pick(letters) for _ in range(self.integer(2, 5)))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """A shuffled copy."""
        copy = list(items)
        self.rng.shuffle(copy)
        return copy
