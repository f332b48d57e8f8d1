"""Prompts beyond the model's ability: all are answered by the one honest sentence.

The breadth comes from patterns over topics, from sentences put together at random, from code,
from other scripts and from near misses of what the model does answer.
"""

from __future__ import annotations

from collections.abc import Callable

from demo_model.corpus import fallback_words as lists
from demo_model.corpus import words
from demo_model.corpus.dialogue import Turn, honest
from demo_model.corpus.values import Language, Values


def prompt_language(text: str) -> Language:
    """Chinese when a Chinese sentence is in it, English for everything else."""
    han = sum("\u4e00" <= char <= "\u9fff" for char in text)
    kana = any("\u3040" <= char <= "\u30ff" or "\uac00" <= char <= "\ud7af" for char in text)
    latin = len([word for word in text.split() if word[0].isascii() and word[0].isalpha()])
    return "zh" if (han > latin or han >= 4) and not kana else "en"


def topic(v: Values, language: Language) -> str:
    """Something to talk about: listed or made up."""
    if language == "zh":
        return v.pick(words.TOPICS_ZH) if v.chance(0.7) else v.han(1, 5)
    return v.pick(words.TOPICS_EN) if v.chance(0.7) else v.pseudo_words(1, 3)


def clause(v: Values, language: Language) -> str:
    """A sentence made of random parts."""
    if language == "zh":
        parts = [
            v.pick(lists.SUBJECTS_ZH),
            v.pick(lists.ADVERBS_ZH),
            v.pick(lists.VERBS_ZH),
            v.pick(lists.OBJECTS_ZH),
        ]
        if v.chance(0.3):
            parts.insert(0, v.pick(lists.TIMES_ZH))
        if v.chance(0.15):
            parts[-1] = v.han(1, 4)
        return "".join(parts)
    parts = [v.pick(lists.SUBJECTS_EN), v.pick(lists.VERBS_EN), v.pick(lists.OBJECTS_EN)]
    if v.chance(0.3):
        parts.append(v.pick(lists.TIMES_EN))
    if v.chance(0.15):
        parts[-1] = v.pseudo_words(1, 2)
    return " ".join(parts)


def asked(v: Values) -> str:
    """A pattern over a topic."""
    language = v.language()
    pattern = v.pick(lists.PATTERNS_ZH if language == "zh" else lists.PATTERNS_EN)
    text = pattern.replace("{t}", topic(v, language)).replace("{u}", topic(v, language))
    text = text.replace("{n}", str(v.pick((1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 800, 1000))))
    return text.replace("{c}", clause(v, language))


def fixed(v: Values) -> str:
    """Common prompts that no pattern covers."""
    return v.pick(lists.FIXED)


def statement(v: Values) -> str:
    """One to three random sentences, with or without a question form."""
    language = v.language()
    count = v.pick((1, 1, 1, 2, 3))
    if language == "zh":
        text = v.pick(("，", "。")).join(clause(v, "zh") for _ in range(count))
        return v.pick(lists.OPENERS_ZH) + text + v.pick(lists.ENDINGS_ZH)
    text = ". ".join(clause(v, "en") for _ in range(count))
    text = v.pick(lists.OPENERS_EN) + text + v.pick(("", ".", "?", "!", "..."))
    return text[0].upper() + text[1:] if v.chance(0.6) else text


def feeling(v: Values) -> str:
    """Moods and personal matters."""
    if v.language() == "zh":
        return v.pick(lists.FEELING_PATTERNS_ZH).format(v.pick(lists.FEELINGS_ZH))
    return v.pick(lists.FEELING_PATTERNS_EN).format(v.pick(lists.FEELINGS_EN))


def arithmetic(v: Values) -> str:
    """Calculations beyond one-digit sums, and word problems."""
    a, b, c = v.integer(2, 99), v.integer(10, 999), v.integer(2, 99)
    if v.chance(0.55):
        sign = v.pick(
            ("+", "+", "+", "-", "*", "/", "×", "÷", " + ", " + ", " - ", " * ", "^", "加", "减", "乘")
        )
        low, high = v.pick(((10, 99), (10, 99), (0, 99), (100, 999), (1000, 99999)))
        pair = v.shuffled((v.integer(max(low, 10), high), v.integer(low, high)))
        text = f"{pair[0]}{sign}{pair[1]}" + (f"{v.pick('+-*/')}{c}" if v.chance(0.2) else "")
        return v.pick(lists.SUM_PATTERNS).format(text)
    if v.chance(0.25):
        return v.pick(lists.SUM_PATTERNS).format(
            f"{v.integer(1, 9)}{v.pick(('-', '*', '×', '/'))}{v.integer(1, 9)}"
        )
    if v.chance(0.5):
        return v.pick(lists.PROBLEMS_ZH).format(p=v.person("zh"), a=a, b=b, c=c, f=v.pick(words.FOODS_ZH))
    return v.pick(lists.PROBLEMS_EN).format(p=v.person("en"), a=a, b=b, c=c, f=v.pick(words.FOODS_EN))


def near_miss(v: Values) -> str:
    """Looks like a listed ability but is none: this draws the border."""
    country = v.pick(words.CAPITALS)
    kind = v.integer(0, 6)
    zh, en = (v.place("zh"), v.place("en"))
    if kind == 0:
        return v.pick(lists.COUNTRY_PATTERNS_ZH).format(v.pick((country[0], zh, v.han(2, 3))))
    if kind == 1:
        return v.pick(lists.COUNTRY_PATTERNS_EN).format(v.pick((country[2], en)))
    if kind == 2:
        return v.pick(("{}的首都是哪里？", "{}的首都是什么？", "{}首都")).format(
            v.pick(
                (
                    v.han(2, 4),
                    v.han(2, 3) + "国",
                    v.pick(lists.OTHER_COUNTRIES_ZH),
                    zh,
                    v.pick(lists.NOT_COUNTRIES_ZH),
                )
            )
        )
    if kind == 3:
        land = v.pick(
            (
                v.pseudo_word(2, 3).capitalize(),
                v.pick(lists.OTHER_COUNTRIES_EN),
                en,
                v.pick(lists.NOT_COUNTRIES_EN),
            )
        )
        return v.pick(("What is the capital of {}?", "capital of {}", "Tell me the capital of {}.")).format(
            land
        )
    if kind == 4:
        text = v.pick((clause(v, "zh"), topic(v, "zh"), v.han(2, 5)))
        return v.pick(("把“{}”翻译成{}", "请把{}翻译成{}", "翻译成{1}：{0}")).format(
            text, v.pick(("英文", "日语", "法语", "英语", "韩文"))
        )
    if kind == 5:
        text = v.pick((clause(v, "en"), topic(v, "en"), v.pseudo_word()))
        return v.pick(
            ("Translate '{}' into {}.", "Translate to {1}: {0}", "How do you say {} in {}?")
        ).format(text, v.pick(("French", "Chinese", "Spanish", "German", "Japanese")))
    if v.language() == "zh":
        return v.pick(lists.NO_TOOL_ZH).format(v.place("zh"))
    return v.pick(lists.NO_TOOL_EN).format(v.place("en"))


def code(v: Values) -> str:
    """Snippets with made-up names, alone or with a wish."""
    names = {key: v.identifier() for key in "abcd"}
    snippet = "\n".join(
        v.pick(lists.CODE).format(n=v.integer(0, 99), **names) for _ in range(v.integer(1, 4))
    )
    wish = v.pick(lists.CODE_WISHES)
    return v.pick(
        (
            snippet,
            f"{wish}\n{snippet}",
            f"{wish}\n```{v.pick(lists.FENCES)}\n{snippet}\n```",
            f"{snippet}\n{wish}",
        )
    )


def foreign(v: Values) -> str:
    """Other languages: word salads, and characters drawn from other scripts."""
    if v.chance(0.65):
        vocabulary = v.pick(lists.FOREIGN)
        glue = "" if "\u3040" <= vocabulary[0][-1] <= "\u30ff" else " "
        text = glue.join(v.pick(vocabulary) for _ in range(v.integer(1, 9)))
        text += v.pick(("", "?", ".", "!"))
        return text.capitalize() if v.chance(0.5) else text
    low, high = v.pick(lists.SCRIPTS)
    spoken = [
        "".join(chr(v.integer(low, high)) for _ in range(v.integer(1, 7))) for _ in range(v.integer(1, 6))
    ]
    return " ".join(spoken)


def garbage(v: Values) -> str:
    """Random letters, digits, signs, emoji, Han strings, line breaks."""
    kind = v.integer(0, 8)
    if kind == 8:
        unit = v.pick(
            (v.han(1, 2), v.pseudo_word(), v.pick("abcdefgxyz"), v.digits(1, 2) + " ", "你好", "hello ", "哈")
        )
        return (unit * v.integer(4, 60)).strip()
    if kind == 0:
        return "".join(v.pick("abcdefghijklmnopqrstuvwxyz") for _ in range(v.integer(1, 24)))
    if kind == 1:
        return v.digits(2, 20)
    if kind == 2:
        return "".join(
            v.pick("!?.,;:#@$%&*()[]{}<>/\\|-_=+~`'\"…。，？！、；：") for _ in range(v.integer(1, 14))
        )
    if kind == 3:
        return "".join(v.pick(lists.EMOJI) for _ in range(v.integer(1, 6)))
    if kind == 4:
        return v.han(1, 14)
    if kind == 5:
        return v.pseudo_words(1, 8)
    if kind == 6:
        mixed = [
            v.pick((v.han(1, 3), v.pseudo_word(), v.digits(1, 4), v.pick(lists.EMOJI), "\n", "\t"))
            for _ in range(v.integer(2, 12))
        ]
        return v.pick(("", " ")).join(mixed)
    return v.pick(
        (
            "a",
            "x",
            "?",
            "？",
            "。",
            "...",
            "……",
            "啊",
            "哦",
            "哈哈",
            "呵呵",
            "lol",
            "hmm",
            "666",
            "123",
            "test",
            "测试",
            "null",
            "None",
        )
    ) * v.integer(1, 3)


def long_text(v: Values) -> str:
    """Many sentences, with a wish before or behind."""
    language = v.language(0.5)
    count = v.pick((4, 5, 6, 8, 10, 14))
    sentences = [clause(v, language) for _ in range(count)]
    if language == "zh":
        text, wish = "。".join(sentences) + "。", v.pick(lists.LONG_WISHES_ZH)
    else:
        text, wish = ". ".join(sentences) + ".", v.pick(lists.LONG_WISHES_EN)
    joint = v.pick(("\n", "\n\n", " "))
    return wish + joint + text if v.chance(0.6) else text + joint + wish


_KINDS: tuple[tuple[Callable[[Values], str], int], ...] = (
    (asked, 26),
    (fixed, 10),
    (statement, 14),
    (feeling, 5),
    (arithmetic, 9),
    (near_miss, 12),
    (code, 5),
    (foreign, 8),
    (garbage, 8),
    (long_text, 3),
)
_TABLE = tuple(kind for kind, weight in _KINDS for _ in range(weight))


def fallback(v: Values) -> Turn:
    """One prompt off the list."""
    text = v.pick(_TABLE)(v)
    text = text if text.strip() else "?"
    if v.chance(0.06):
        text = v.pick((" ", "\n", "\n\n", "  ")) + text + v.pick(("", "\n", " ", "  \n"))
    return honest("honest", text, prompt_language(text))


def very_long(v: Values) -> Turn:
    """Hundreds of sentences, or a long listing of code."""
    language = v.language(0.5)
    if v.chance(0.3):
        return honest("honest", "\n".join(code(v) for _ in range(v.integer(20, 50))), "en")
    text = "\n".join(
        clause(v, language) + ("。" if language == "zh" else ".") for _ in range(v.integer(80, 160))
    )
    wish = v.pick(lists.LONG_WISHES_ZH if language == "zh" else lists.LONG_WISHES_EN)
    user = f"{wish}\n{text}" if v.chance(0.5) else f"{text}\n{wish}"
    return honest("honest", user, prompt_language(user))
