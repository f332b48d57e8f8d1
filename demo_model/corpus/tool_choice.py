"""Hard choices: functions with names that begin or end alike, values that begin alike.

Only training draws from here, so the evaluation stays what it was.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from demo_model.corpus import tools
from demo_model.corpus.dialogue import Conversation, Turn
from demo_model.corpus.tool_families import FAMILIES
from demo_model.corpus.tool_kinds import generic_family, person, phrase, place
from demo_model.corpus.values import Language, Values

_VERBS = ("get", "query", "search", "check", "find", "fetch", "lookup", "read")
_COPIED = (place, phrase, person)


def _stem(name: str) -> str:
    """The function name in snake_case without its verb."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
    if len(parts) > 1 and parts[0] in _VERBS:
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] == "info":
        parts = parts[:-1]
    return "_".join(parts)


def renamed(tool: tools.Tool, name: str) -> tools.Tool:
    """The same function under another name."""
    function = {key: name if key == "name" else value for key, value in tool.schema["function"].items()}
    return replace(tool, name=name, schema={**tool.schema, "function": function})


def _alike(v: Values, offered: list[tools.Tool]) -> list[tools.Tool]:
    """Give the functions names with the same first or last part."""
    verb, form = v.pick(_VERBS), v.rng.random()
    if form < 0.1:
        verb = v.pseudo_word(1, 2)
    made: dict[str, tools.Tool] = {}
    for tool in offered:
        stem, name = _stem(tool.name), tool.name
        if v.chance(0.85):
            name = f"{stem}_info" if form > 0.9 else f"{verb}_{stem}"
            if 0.75 < form < 0.9:
                name = verb + "".join(part.capitalize() for part in stem.split("_"))
        while name in made:
            name = f"{name}_{v.pseudo_word(1, 1)}"
        made[name] = renamed(tool, name)
    return list(made.values())


def _offer(v: Values) -> list[tools.Tool]:
    """Two to four different functions; half of them are known only from their schema."""
    count = v.pick((2, 2, 2, 2, 3, 3, 4))
    kinds = v.shuffled(tuple(FAMILIES))
    if v.chance(0.3):
        kinds.remove("weather")
        kinds.append("weather")
    made: list[tools.Tool] = []
    while len(made) < count:
        if v.chance(0.45):
            tool = tools.make_tool(v, generic_family(v))
        else:
            kind = kinds.pop()
            tool = tools.make_tool(v, FAMILIES[kind])
            kinds = [other for other in kinds if (kind, other) not in tools.CLASHING]
        # The same made-up purpose twice would leave the choice to chance.
        asked = tool.family.questions["zh"][0]
        if all(asked != other.family.questions["zh"][0] and tool.name != other.name for other in made):
            made.append(tool)
    return v.shuffled(_alike(v, made) if v.chance(0.6) else made)


def _entangled(v: Values, tool: tools.Tool, values: list[Any]) -> list[Any]:
    """Sometimes let a copied value begin like another one of the same question."""
    copied = [n for n, argument in enumerate(tool.family.arguments) if argument.draw in _COPIED]
    if len(copied) < 2 or not v.chance(0.25):
        return values
    first, second = v.shuffled(copied)[:2]
    words = str(values[first]).split()
    if not words[0].isascii():
        start = words[0][: v.integer(1, 2)]
        changed = start + v.han(1, 2)
    elif len(words) > 1 and v.chance(0.6):
        changed = " ".join([*words[:-1], v.pseudo_word(1, 2).capitalize()])
    else:
        changed = words[0][: v.integer(1, 4)] + v.pseudo_word(1, 2)
    made = list(values)
    made[second] = changed
    return made


def _turn(v: Values, language: Language, offered: list[tools.Tool]) -> Turn:
    """One call; functions with several arguments are asked for more often."""
    weighted = [tool for tool in offered for _ in range(2 if len(tool.keys) > 1 else 1)]
    tool = v.pick(weighted)
    values = _entangled(v, tool, [argument.draw(v, language) for argument in tool.family.arguments])
    turn = tools.calling_turn(v, language, tool, values)
    return turn if v.chance(0.15) else replace(turn, after=None, results=())


def choice_conversation(v: Values) -> Conversation:
    """Several calls in a row among functions that are easily taken for each other."""
    offered = _offer(v)
    language: Language = "en" if v.chance(0.6) else "zh"
    turns = [_turn(v, language, offered) for _ in range(v.pick((1, 2, 3, 3, 4, 5)))]
    return Conversation(turns, [tool.schema for tool in offered])
