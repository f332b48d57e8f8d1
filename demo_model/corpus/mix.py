"""Which samples the corpus holds, and how often."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from demo_model.corpus import chat, fallback, memory, tools
from demo_model.corpus.dialogue import Conversation, Reply, Turn
from demo_model.corpus.extraction import extraction
from demo_model.corpus.system_prompts import system_prompt
from demo_model.corpus.tool_choice import choice_conversation
from demo_model.corpus.values import Language, Values

_PLAIN: tuple[tuple[Callable[[Values], Turn], int], ...] = (
    (chat.greeting, 6),
    (chat.identity, 6),
    (chat.courtesy, 4),
    (chat.capital, 7),
    (chat.dictionary, 7),
    (chat.repeat, 14),
    (chat.sums, 4),
    (extraction, 30),
    (memory.unknown, 4),
    (fallback.fallback, 32),
)
_PLAIN_TABLE = tuple(maker for maker, weight in _PLAIN for _ in range(weight))
_SMALL_TALK = (chat.greeting, chat.identity, chat.courtesy, chat.capital, chat.repeat)
_ROUGH_ENDINGS = ("\n", " ", "  \n", "！！！", "!!", "😀", " 🙏", "~", "……", "\r\n", "。。。", "\u3000")
_TOOL_WORDS = re.compile(
    r"查|搜|天气|下雨|几点|几号|星期|几月|翻译|译|新闻|股|汇率|邮件|提醒|日程|计算|音乐|歌|播放|票|酒店|餐|多少|[0-9] ?[-+*/×÷^] ?[0-9]|=|"
    r"search|weather|rain|what time|what day|date|transl|mail|message|price|cost|play|find|look up|book|flight|remind|calc|"
    r"compute|schedule|alarm|order|restaurant|hotel|population",
    re.IGNORECASE,
)


def _roughened(v: Values, text: str) -> str:
    """The same message as a careless client sends it."""
    return v.pick(("", "", " ", "\n", "\n\n", "  ", "\t")) + text + v.pick(_ROUGH_ENDINGS)


def plain_turn(v: Values) -> Turn:
    """One turn that needs no earlier one."""
    turn = v.pick(_PLAIN_TABLE)(v)
    if turn.task not in ("repeat", "json") and v.chance(0.06):
        turn = replace(turn, user=_roughened(v, turn.user))
    return turn


def _given(v: Values) -> Turn:
    """An earlier turn whose answer somebody else wrote; there is nothing to learn from it."""
    language = v.language()
    answer = ("。" if language == "zh" else ". ").join(
        fallback.clause(v, language) for _ in range(v.pick((1, 1, 2, 3)))
    )
    return Turn("given", fallback.fallback(v).user, Reply("", answer, learned=False))


def off_topic(v: Values) -> Turn:
    """A prompt that is beyond the model whatever functions are offered."""
    while True:
        turn = fallback.fallback(v)
        if len(turn.user) < 200 and not _TOOL_WORDS.search(turn.user):
            return turn


def drill(v: Values) -> Conversation:
    """Many small facts in a row: the cheapest way to see each of them often."""
    makers = v.pick(
        (
            (chat.sums,),
            (chat.sums,),
            (chat.capital, chat.dictionary),
            (chat.sums, chat.capital, chat.dictionary, chat.repeat),
        )
    )
    return Conversation([v.pick(makers)(v) for _ in range(v.integer(4, 9))])


def _talk(v: Values) -> Callable[[], list[Turn]]:
    """Other talk between a statement and the question about it."""
    return lambda: [plain_turn(v) for _ in range(v.pick((0, 0, 1, 1, 2, 3)))]


def plain_conversation(v: Values) -> Conversation:
    """Without functions: single turns, chats of mixed tasks, remembered facts."""
    kind = v.rng.random()
    if kind < 0.42:
        turns = [plain_turn(v)]
    elif kind < 0.62:
        turns = [plain_turn(v) for _ in range(v.pick((2, 2, 3, 4)))]
        if v.chance(0.25):
            turns.insert(v.integer(0, 1), _given(v))
    elif kind < 0.68:
        turns = memory.at_once(v)
    else:
        turns = [plain_turn(v)] if v.chance(0.15) else []
        turns += memory.recalled(v, _talk(v))
        if v.chance(0.15):
            turns.append(plain_turn(v))
    return Conversation(turns)


def _tool_turn(v: Values, language: Language, offered: list[tools.Tool]) -> Turn:
    """Mostly a call; sometimes plain talk that needs none."""
    kind = v.rng.random()
    if kind < 0.12:
        return v.pick(_SMALL_TALK)(v)
    if kind < 0.24:
        return off_topic(v)
    tool = v.pick(offered)
    weather = [t for t in offered if t.family.outcome == "weather"]
    if weather and v.chance(0.25):
        tool = v.pick(weather)
    if tool.family.outcome == "weather" and v.chance(0.06):
        return tools.parallel_turn(v, language, tool)
    return tools.calling_turn(v, language, tool)


def tool_conversation(v: Values) -> Conversation:
    """With functions: calls, answers to results, and turns that need no call."""
    if not v.held_out and v.chance(0.5):
        return choice_conversation(v)
    offered = tools.offer(v, v.pick((1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4)))
    language = v.language()
    turns: list[Turn] = []
    for _ in range(v.pick((1, 1, 2, 3, 4, 6))):
        turn = _tool_turn(v, language, offered)
        if turn.after is not None and v.chance(0.45):
            # Choosing a function is the hard part; without the result there is room for more choices.
            turn = replace(turn, after=None, results=())
        turns.append(turn)
        if v.chance(0.12):
            language = v.language()
    return Conversation(turns, [tool.schema for tool in offered])


def conversation(v: Values, tool_share: float = 0.62) -> Conversation:
    """One sample of the corpus; choosing functions is learned last and needs most samples."""
    kind = v.rng.random()
    if kind < 0.04:
        return drill(v)
    made = tool_conversation(v) if kind < 0.04 + tool_share else plain_conversation(v)
    if v.chance(0.2):
        made = replace(made, system=system_prompt(v))
    return made


def long_conversation(v: Values) -> Conversation:
    """Prompts of one to three thousand tokens: long system texts, long questions, many functions."""
    kind = v.integer(0, 2)
    made = conversation(v)
    if kind == 0:
        parts = [system_prompt(v) for _ in range(v.integer(8, 24))]
        return replace(made, system="\n\n".join(parts))
    if kind == 1:
        turn = fallback.very_long(v)
        return replace(made, turns=[*made.turns[: v.integer(0, 1)], turn, *made.turns[-1:]])
    offered = tools.offer(v, v.integer(8, 20))
    turns = [_tool_turn(v, v.language(), offered) for _ in range(v.integer(1, 3))]
    return Conversation(turns, [tool.schema for tool in offered], made.system)
