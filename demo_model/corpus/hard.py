"""The corpus of the last phase: what measuring showed to be hard, in general form.

Only the polish draws from here. Values of the evaluation never appear: see ``hard_values``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from demo_model.corpus import chat, fallback, memory, tools, words
from demo_model.corpus.dialogue import Conversation, Turn, honest, say
from demo_model.corpus.extraction import extraction
from demo_model.corpus.fallback import prompt_language
from demo_model.corpus.hard_values import HardValues
from demo_model.corpus.mix import plain_turn
from demo_model.corpus.system_prompts import system_prompt
from demo_model.corpus.tool_choice import renamed
from demo_model.corpus.tool_families import FAMILIES
from demo_model.corpus.tool_kinds import generic_family
from demo_model.corpus.values import Language
from demo_model.corpus.words import bars

_CAPITAL_EN = bars("""
capital of {}|capital of {}|Capital of {}|the capital of {}|The capital of {}|tell me the capital of {}
Tell me the capital of {}|what is the capital of {}|name the capital of {}|capital city of {}|whats the capital of {}
""")
_CAPITAL_ZH = bars("{}首都|{}的首都|{}的首都是|告诉我{}的首都|{}首都是哪里|{}首都在哪")
_PLACE_KINDS = ("weather", "weather", "weather", "weather", "time", "train", "train_date", "map")
_PERSON_KINDS = ("mail", "mail", "mail_full", "mail_full", "user", "reminder", "translate", "search")


def _rekeyed(v: HardValues, tool: tools.Tool) -> tools.Tool:
    """The same function with some made-up argument names: only their descriptions tell what they hold."""
    new = {key: v.identifier() for key in tool.keys if v.chance(0.6)}
    if len({new.get(key, key) for key in tool.keys}) < len(tool.keys):
        return tool
    function = tool.schema["function"]
    given: dict[str, Any] = function["parameters"]
    parameters = dict(given)
    parameters["properties"] = {new.get(key, key): entry for key, entry in given["properties"].items()}
    if "required" in given:
        parameters["required"] = [new.get(key, key) for key in given["required"]]
    schema = {**tool.schema, "function": {**function, "parameters": parameters}}
    return replace(tool, keys=tuple(new.get(key, key) for key in tool.keys), schema=schema)


def _disguised(v: HardValues, tool: tools.Tool) -> tools.Tool:
    """Sometimes a name that says nothing or is lengthened, and made-up argument names."""
    kind = v.rng.random()
    if kind < 0.25:
        tool = renamed(tool, v.identifier())
    elif kind < 0.45:
        part = v.pseudo_word(1, 2)
        tool = renamed(tool, f"{part}_{tool.name}" if v.chance(0.5) else f"{tool.name}_{part}")
    return _rekeyed(v, tool) if v.chance(0.35) else tool


def _offer(v: HardValues, wanted: list[tools.Tool]) -> list[tools.Tool]:
    """The wanted function and one or two that serve other questions, in any order."""
    made = [_disguised(v, tool) for tool in wanted]
    count = len(made) + v.pick((1, 1, 2))
    others = [*tools.offer(v, 3), *(tools.make_tool(v, generic_family(v)) for _ in range(2))]
    for tool in v.shuffled(others):
        apart = all(
            tool.family.questions["zh"] != other.family.questions["zh"]
            and tool.name != other.name
            and {tool.family.outcome, other.family.outcome} not in ({"now", "time"}, {"now"}, {"sum"})
            for other in made
        )
        clash = {_kind(tool), *(_kind(other) for other in made)}
        if apart and len(made) < count and not any(set(pair) <= clash for pair in tools.CLASHING):
            made.append(_disguised(v, tool))
    names = {tool.name for tool in made}
    return v.shuffled(made) if len(names) == len(made) else _offer(v, wanted)


def _kind(tool: tools.Tool) -> str:
    """The name of the function's family, or nothing for a made-up one."""
    return next((name for name, family in FAMILIES.items() if family is tool.family), "")


def _asked(v: HardValues, wanted: Callable[[], tools.Tool]) -> Conversation:
    """One to three questions; mostly for the wanted function, sometimes for another offered one."""
    first = wanted()
    offered = _offer(v, [first])
    mine = next(tool for tool in offered if tool.family is first.family)
    language: Language = v.language(0.5)
    turns: list[Turn] = []
    for _ in range(v.pick((1, 1, 1, 1, 2, 3))):
        tool = mine if v.chance(0.75) else v.pick(offered)
        turn = tools.calling_turn(v, language, tool)
        turns.append(turn if v.chance(0.25) else replace(turn, after=None, results=()))
    return Conversation(turns, [tool.schema for tool in offered])


def place_call(v: HardValues) -> Conversation:
    """Places of several words, or with doubled characters, in the argument of a function."""
    return _asked(v, lambda: tools.make_tool(v, FAMILIES[v.pick(_PLACE_KINDS)]))


def person_call(v: HardValues) -> Conversation:
    """Persons, addresses and texts side by side, as mail functions have them."""
    return _asked(v, lambda: tools.make_tool(v, FAMILIES[v.pick(_PERSON_KINDS)]))


def described_call(v: HardValues) -> Conversation:
    """A function whose purpose only its description or the noun in its name tells."""
    return _asked(v, lambda: tools.make_tool(v, generic_family(v)))


def _short_capital(v: HardValues) -> Turn:
    """A few words about a listed country, or about one that is not on the list."""
    kind = v.rng.random()
    if kind < 0.2:
        return chat.capital(v)
    if kind < 0.4:
        while True:
            text = fallback.near_miss(v)
            if "capital" in text or "首都" in text:
                return honest("fallback", text, prompt_language(text))
    zh, capital_zh, en, capital_en = v.pick(words.CAPITALS)
    mark = v.pick(("", "", ".", "?"))
    if v.chance(0.3):
        text = v.pick(_CAPITAL_ZH).format(zh) + mark
        return say("capital", text, f"问{zh}的首都。", f"{zh}的首都是{capital_zh}。")
    answer = f"The capital of {en} is {capital_en}" + ("" if capital_en.endswith(".") else ".")
    return say("capital", v.pick(_CAPITAL_EN).format(en) + mark, f"Capital of {en}.", answer)


def capitals(v: HardValues) -> Conversation:
    """Mostly one question alone, so that half of them are thought about."""
    return Conversation([_short_capital(v) for _ in range(v.pick((1, 1, 1, 1, 2)))])


def copying(v: HardValues) -> Conversation:
    """The same names and numbers where no function is offered."""
    kind = v.rng.random()
    if kind < 0.4:
        return Conversation([extraction(v)])
    if kind < 0.7:
        return Conversation(memory.recalled(v, lambda: [chat.repeat(v)] if v.chance(0.3) else []))
    return Conversation([chat.repeat(v) for _ in range(v.pick((1, 1, 2)))])


def alone(v: HardValues) -> Conversation:
    """One question without any talk before it: thinking about these is rare in the rest of the corpus."""
    return Conversation([v.pick((chat.sums, chat.sums, chat.dictionary, plain_turn))(v)])


_KINDS: tuple[tuple[Callable[[HardValues], Conversation], int], ...] = (
    (place_call, 32),
    (person_call, 14),
    (described_call, 28),
    (capitals, 12),
    (copying, 14),
    (alone, 12),
)
_TABLE = tuple(maker for maker, weight in _KINDS for _ in range(weight))


def hard_conversation(v: HardValues) -> Conversation:
    """One sample of the polish; a system prompt as often as elsewhere in the corpus."""
    made = v.pick(_TABLE)(v)
    return replace(made, system=system_prompt(v)) if v.chance(0.12) else made
