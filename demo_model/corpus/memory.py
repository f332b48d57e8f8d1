"""Facts that the user states in one turn and asks for in a later one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo_model.corpus import words
from demo_model.corpus.dialogue import Turn, say
from demo_model.corpus.values import Language, Values


@dataclass(frozen=True)
class Fact:
    """One kind of fact: how it is stated, acknowledged, asked for and answered."""

    language: Language
    draw: Callable[[Values], str]
    stated: tuple[str, ...]
    acknowledged: str
    asked: tuple[str, ...]
    answered: str
    unknown: str
    reasoning: str


FACTS = {
    "name_zh": Fact(
        "zh",
        lambda v: v.person("zh") if v.chance(0.8) else v.person("en"),
        (
            "我叫{}",
            "我叫{}。",
            "你好，我叫{}。",
            "我的名字是{}",
            "我的名字是{}，请记住。",
            "记住我叫{}",
            "我是{}。",
            "你好，我是{}",
            "大家都叫我{}。",
            "请叫我{}",
        ),
        "你好，{}！很高兴认识你。",
        (
            "我叫什么名字？",
            "我叫什么？",
            "你还记得我的名字吗？",
            "我的名字是什么？",
            "请问我叫什么名字",
            "你知道我叫什么吗？",
            "我刚才说我叫什么？",
            "还记得我是谁吗？",
            "我是谁？",
        ),
        "你叫{}。",
        "你还没有告诉我你的名字。",
        "用户叫{}。",
    ),
    "city_zh": Fact(
        "zh",
        lambda v: v.place("zh"),
        (
            "我住在{}",
            "我住在{}。",
            "我家在{}。",
            "我现在住在{}",
            "我在{}生活。",
            "我来自{}。",
            "记住我住在{}",
        ),
        "好的，我记住了，你住在{}。",
        (
            "我住在哪里？",
            "我住在哪个城市？",
            "你还记得我住哪吗？",
            "我住在哪",
            "我家在哪里？",
            "我刚才说我住在哪里？",
            "我在哪个城市？",
        ),
        "你住在{}。",
        "你还没有告诉我你住在哪里。",
        "用户住在{}。",
    ),
    "food_zh": Fact(
        "zh",
        lambda v: v.pick(words.FOODS_ZH) if v.chance(0.6) else v.han(2, 3),
        ("我喜欢吃{}", "我最喜欢吃{}。", "我最爱吃的是{}。", "记住我喜欢吃{}"),
        "好的，我记住了，你喜欢吃{}。",
        ("我喜欢吃什么？", "我最喜欢吃什么？", "你还记得我爱吃什么吗？", "我爱吃什么"),
        "你喜欢吃{}。",
        "你还没有告诉我你喜欢吃什么。",
        "用户爱吃{}。",
    ),
    "pet_zh": Fact(
        "zh",
        lambda v: v.pick(words.PETS_ZH) if v.chance(0.5) else v.han(2, 2),
        ("我的猫叫{}", "我的狗叫{}。", "我养了一只宠物，叫{}。", "我的宠物叫{}"),
        "好的，我记住了，它叫{}。",
        ("我的宠物叫什么？", "我的宠物叫什么名字？", "它叫什么？", "你还记得我的宠物叫什么吗？"),
        "它叫{}。",
        "你还没有告诉我它叫什么。",
        "宠物叫{}。",
    ),
    "number_zh": Fact(
        "zh",
        lambda v: v.digits(2, 8),
        (
            "我的幸运数字是{}",
            "记住这个数字：{}",
            "请记住数字{}。",
            "我的房间号是{}。",
            "我的编号是{}",
            "密码是{}，请记住。",
        ),
        "好的，我记住了：{}。",
        (
            "我让你记住的数字是什么？",
            "那个数字是多少？",
            "我刚才说的数字是什么？",
            "号码是多少？",
            "你还记得那个数字吗？",
        ),
        "是{}。",
        "你还没有告诉我数字。",
        "数字是{}。",
    ),
    "name_en": Fact(
        "en",
        lambda v: v.person("en"),
        (
            "My name is {}.",
            "Hi, I am {}.",
            "I'm {}",
            "Hello, my name is {}",
            "My name is {}",
            "Call me {}.",
            "Hi! I'm {}.",
            "Remember that my name is {}.",
            "I am {}",
        ),
        "Hello, {}! Nice to meet you.",
        (
            "What is my name?",
            "What's my name?",
            "Do you remember my name?",
            "Who am I?",
            "what is my name",
            "Tell me my name.",
            "What did I say my name was?",
        ),
        "Your name is {}.",
        "You have not told me your name yet.",
        "The user is {}.",
    ),
    "city_en": Fact(
        "en",
        lambda v: v.place("en"),
        (
            "I live in {}.",
            "I live in {}",
            "I am from {}.",
            "I'm based in {}.",
            "My home is in {}.",
            "Remember that I live in {}.",
        ),
        "OK, I will remember that you live in {}.",
        (
            "Where do I live?",
            "Which city do I live in?",
            "Do you remember where I live?",
            "what city do I live in?",
            "Where is my home?",
        ),
        "You live in {}.",
        "You have not told me where you live yet.",
        "The user lives in {}.",
    ),
    "color_en": Fact(
        "en",
        lambda v: v.pick(words.COLORS)[1] if v.chance(0.6) else v.pseudo_word(),
        ("My favorite color is {}.", "I like the color {}.", "My favourite colour is {}"),
        "OK, I will remember that your favorite color is {}.",
        ("What is my favorite color?", "Which color do I like?", "What's my favourite colour?"),
        "Your favorite color is {}.",
        "You have not told me your favorite color yet.",
        "The color is {}.",
    ),
    "number_en": Fact(
        "en",
        lambda v: v.digits(2, 8),
        (
            "Remember the number {}.",
            "My lucky number is {}.",
            "My room number is {}.",
            "The code is {}, remember it.",
            "Please remember this number: {}",
        ),
        "OK, I will remember {}.",
        (
            "What number did I tell you?",
            "What is the number?",
            "What was the code?",
            "Do you remember the number?",
        ),
        "It is {}.",
        "You have not told me a number yet.",
        "The number is {}.",
    ),
}
_PAIRS = (
    ("name_zh", "city_zh"),
    ("name_en", "city_en"),
    ("name_zh", "food_zh"),
    ("name_en", "color_en"),
)


def _stating(v: Values, fact: Fact, value: str) -> Turn:
    """The turn in which the user tells the fact."""
    return say(
        "memory",
        v.pick(fact.stated).format(value),
        fact.reasoning.format(value),
        fact.acknowledged.format(value),
    )


def _asking(v: Values, fact: Fact, value: str, before: str = "") -> Turn:
    """The turn in which the user wants it back."""
    return say(
        "recall",
        before + v.pick(fact.asked),
        fact.reasoning.format(value),
        fact.answered.format(value),
    )


def unknown(v: Values) -> Turn:
    """Asking for a fact that was never stated."""
    fact = v.pick(tuple(FACTS.values()))
    reasoning = "没有说过。" if fact.language == "zh" else "It was not said."
    return say("unknown", v.pick(fact.asked), reasoning, fact.unknown)


def at_once(v: Values) -> list[Turn]:
    """Statement and question in one message."""
    fact = v.pick(tuple(FACTS.values()))
    value = fact.draw(v)
    sentence = v.pick(fact.stated).format(value).rstrip("。.")
    return [_asking(v, fact, value, sentence + ("。" if fact.language == "zh" else ". "))]


def both(v: Values, between: Callable[[], list[Turn]]) -> list[Turn]:
    """Name and home in one message, other talk, then either or both asked for."""
    language = v.language()
    name, home = FACTS[f"name_{language}"], FACTS[f"city_{language}"]
    person, place = name.draw(v), home.draw(v)
    if language == "zh":
        user = v.pick(
            (
                "我叫{}，住在{}。",
                "你好，我是{}，来自{}。",
                "我叫{}，我住在{}",
                "我的名字是{}，家在{}。",
            )
        ).format(person, place)
    else:
        user = v.pick(
            ("My name is {} and I live in {}.", "I'm {} from {}.", "Hi, I am {} and I live in {}.")
        ).format(person, place)
    turns = [say("memory", user, name.reasoning.format(person), name.acknowledged.format(person))]
    turns += between()
    asked = v.shuffled([(name, person), (home, place)])
    turns.append(_asking(v, *asked[0]))
    if v.chance(0.6):
        turns.append(_asking(v, *asked[1]))
    return turns


def recalled(v: Values, between: Callable[[], list[Turn]]) -> list[Turn]:
    """One or two facts, other talk, then the questions in any order."""
    if v.chance(0.3):
        return both(v, between)
    if v.chance(0.4):
        chosen = [FACTS[key] for key in v.pick(_PAIRS)]
    else:
        chosen = [v.pick(tuple(FACTS.values()))]
    known = [(fact, fact.draw(v)) for fact in chosen]
    turns = [_stating(v, fact, value) for fact, value in known]
    turns += between()
    return turns + [_asking(v, fact, value) for fact, value in v.shuffled(known)]
