"""Measures the shipped file through the real engine, on samples that training never saw."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from demo_model import evaluation_prompts as prompts
from demo_model.corpus import chat, memory, mix, tool_families, tools
from demo_model.corpus.dialogue import HONEST, Conversation, Reply, Turn, honest, say
from demo_model.corpus.extraction import extraction
from demo_model.corpus.fallback import fallback, prompt_language
from demo_model.corpus.system_prompts import system_prompt
from demo_model.corpus.tool_kinds import generic_family
from demo_model.corpus.values import Language, Values
from demo_model.engine import Answer, Engine
from demo_model.render import messages_of

SEED = 977_531
_TAGS = ("<think", "</think", "<tool_", "</tool_", "<arg_", "</arg_", "<|")


@dataclass(frozen=True)
class Case:
    """One request with the reply that counts as right."""

    conversation: Conversation
    accept: Callable[[Answer], bool]
    thinking: bool
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the table; ``bar`` is the share below which the model must not ship."""

    name: str
    bar: float
    make: Callable[[Values], Iterator[Case]]


@dataclass
class Result:
    """The outcome of one row."""

    name: str
    bar: float
    right: int = 0
    total: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Part of the cases that were right."""
        return self.right / max(1, self.total)

    @property
    def passed(self) -> bool:
        """At or above the bar."""
        return self.share >= self.bar


def expected(conversation: Conversation) -> Reply:
    """The reply that the last message of the request asks for."""
    turn = conversation.turns[-1]
    return turn.after or turn.reply


def accepts(reply: Reply) -> Callable[[Answer], bool]:
    """Exactly this text, or exactly these calls and arguments."""
    calls = tuple((call.name, call.arguments) for call in reply.calls)
    if calls:
        return lambda answer: answer.calls == calls
    return lambda answer: not answer.calls and answer.content.strip() == reply.content.strip()


def accepts_json(reply: Reply) -> Callable[[Answer], bool]:
    """The same object, however it is spaced."""
    wanted = json.loads(reply.content)

    def check(answer: Answer) -> bool:
        try:
            return bool(json.loads(answer.content) == wanted)
        except json.JSONDecodeError:
            return False

    return check


def _cases(
    count: int,
    make: Callable[[Values], Conversation],
    check: Callable[[Reply], Callable[[Answer], bool]] = accepts,
    **sampling: Any,
) -> Callable[[Values], Iterator[Case]]:
    """``count`` generated conversations, thinking on and off in turn."""

    def generate(v: Values) -> Iterator[Case]:
        for index in range(count):
            made = make(v)
            yield Case(made, check(expected(made)), thinking=index % 2 == 0, sampling=sampling)

    return generate


def _single(make: Callable[[Values], Turn]) -> Callable[[Values], Conversation]:
    return lambda v: Conversation([make(v)])


def _with_distractor(v: Values, kinds: tuple[str, ...] = ()) -> list[tools.Tool]:
    """A wanted function first, then one or two others."""
    pool = kinds or tuple(tool_families.FAMILIES)
    wanted = tools.make_tool(v, tool_families.FAMILIES[v.pick(pool)])
    others = [
        tool
        for tool in tools.offer(v, 4)
        if tool.name != wanted.name and tool.family.outcome != wanted.family.outcome
    ]
    return [wanted, *others[: v.integer(1, 2)]]


def _offered(v: Values, turns: list[Turn], offered: list[tools.Tool]) -> Conversation:
    return Conversation(turns, [tool.schema for tool in v.shuffled(offered)])


def _unanswered(turn: Turn) -> Turn:
    return replace(turn, after=None, results=())


def tool_call(language: Language, kinds: tuple[str, ...] = ()) -> Callable[[Values], Conversation]:
    """First call of a chat."""

    def make(v: Values) -> Conversation:
        offered = _with_distractor(v, kinds)
        return _offered(v, [_unanswered(tools.calling_turn(v, language, offered[0]))], offered)

    return make


def weather_call(language: Language) -> Callable[[Values], Conversation]:
    """The plain case: the weather of an unseen place, and one other common function."""

    def make(v: Values) -> Conversation:
        wanted = tools.make_tool(v, tool_families.FAMILIES["weather"])
        kinds = [kind for kind in tool_families.FAMILIES if kind not in ("weather", "time", "now")]
        other = tools.make_tool(v, tool_families.FAMILIES[v.pick(kinds)])
        turn = _unanswered(tools.calling_turn(v, language, wanted))
        return _offered(v, [turn], [wanted, other])

    return make


def unseen_tool(v: Values) -> Conversation:
    """A function whose name, argument and purpose are made up."""
    wanted = tools.make_tool(v, generic_family(v))
    others = [tool for tool in tools.offer(v, 2) if tool.name != wanted.name]
    turn = tools.calling_turn(v, v.language(), wanted)
    return _offered(v, [_unanswered(turn)], [wanted, *others[:1]])


def after_result(kinds: tuple[str, ...]) -> Callable[[Values], Conversation]:
    """The answer to a tool result."""

    def make(v: Values) -> Conversation:
        offered = _with_distractor(v, kinds)
        return _offered(v, [tools.calling_turn(v, v.language(), offered[0])], offered)

    return make


def second_call(v: Values) -> Conversation:
    """Another call after a finished one."""
    offered = _with_distractor(v)
    language = v.language()
    first = tools.calling_turn(v, language, offered[0])
    again = tools.calling_turn(v, language, v.pick(offered[:2]))
    return _offered(v, [first, _unanswered(again)], offered)


def not_needed(v: Values) -> Conversation:
    """Functions are offered, the message needs none."""
    make = v.pick((chat.greeting, chat.identity, chat.courtesy, chat.capital, mix.off_topic))
    return _offered(v, [make(v)], _with_distractor(v))


def recalled(v: Values) -> Conversation:
    """A stated name or city, other talk, the question."""
    language = v.language()
    name, city = memory.FACTS[f"name_{language}"], memory.FACTS[f"city_{language}"]
    while True:
        turns = memory.recalled(v, lambda: [mix.plain_turn(v) for _ in range(v.integer(0, 3))])
        while turns and turns[-1].task != "recall":
            turns.pop()
        if turns[-1].user in name.asked + city.asked:
            return Conversation(turns)


def numbers(v: Values) -> Turn:
    """Digits to be repeated."""
    while True:
        turn = chat.repeat(v)
        if turn.reply.content.isdigit():
            return turn


def _contains(wanted: tuple[str, ...]) -> Callable[[Answer], bool]:
    return lambda answer: any(word in answer.content for word in wanted)


def _calls(name: str, arguments: dict[str, Any]) -> Callable[[Answer], bool]:
    return lambda answer: answer.calls == ((name, arguments),)


def _quickstart(_: Values) -> Iterator[Case]:
    for text, wanted in prompts.QUICKSTART:
        for thinking in (True, False):
            yield Case(Conversation([say("quickstart", text, "", "")]), _contains(wanted), thinking)


def _off_list(_: Values) -> Iterator[Case]:
    for text in prompts.OFF_LIST:
        for thinking in (True, False):
            made = Conversation([honest("honest", text, prompt_language(text))])
            yield Case(made, accepts(expected(made)), thinking)


def _sdk_calls(_: Values) -> Iterator[Case]:
    for name, description, properties, required, wanted in prompts.SDK_CALLS:
        parameters = {"type": "object", "properties": properties, "required": required}
        function = {"name": name, "description": description, "parameters": parameters}
        for text, arguments in wanted:
            for thinking in (True, False):
                made = Conversation([say("sdk", text, "", "")], [{"type": "function", "function": function}])
                yield Case(made, _calls(name, arguments), thinking)


def _no_call(_: Values) -> Iterator[Case]:
    for name, description, properties, required, _wanted in prompts.SDK_CALLS[:3:2]:
        parameters = {"type": "object", "properties": properties, "required": required}
        function = {"name": name, "description": description, "parameters": parameters}
        for text in prompts.NO_CALL:
            for thinking in (True, False):
                made = Conversation([say("talk", text, "", "")], [{"type": "function", "function": function}])
                yield Case(made, lambda answer: not answer.calls and bool(answer.content), thinking)


def _under_system(v: Values) -> Conversation:
    made = Conversation(
        [v.pick((chat.greeting, chat.identity, chat.capital, chat.dictionary, fallback, chat.repeat))(v)]
    )
    return replace(made, system=system_prompt(v))


def _long(v: Values) -> Conversation:
    """Prompts of about one to three thousand tokens."""
    made = mix.long_conversation(v)
    last = made.turns[-1]
    return replace(made, turns=[*made.turns[:-1], _unanswered(last)]) if last.after else made


ROWS = (
    Row("weather call, Chinese, one other function", 0.97, _cases(150, weather_call("zh"))),
    Row("weather call, English, one other function", 0.97, _cases(150, weather_call("en"))),
    Row("any call, Chinese, any others", 0.97, _cases(150, tool_call("zh"))),
    Row("any call, English, any others", 0.97, _cases(150, tool_call("en"))),
    Row("weather call, Chinese, any others", 0.97, _cases(100, tool_call("zh", ("weather",)))),
    Row("weather call, English, any others", 0.97, _cases(100, tool_call("en", ("weather",)))),
    Row("made-up function, exact", 0.90, _cases(100, unseen_tool)),
    Row("functions of SDK examples", 0.95, _sdk_calls),
    Row("answer after a weather result", 0.95, _cases(100, after_result(("weather",)))),
    Row("answer after any result", 0.95, _cases(150, after_result(()))),
    Row("second call in a chat", 0.90, _cases(120, second_call)),
    Row("function offered, not needed", 0.95, _cases(100, not_needed)),
    Row("function offered, hand-written talk", 0.95, _no_call),
    Row("names and cities remembered", 0.95, _cases(150, recalled)),
    Row("JSON extraction", 0.95, _cases(150, _single(extraction), accepts_json)),
    Row("greetings", 0.99, _cases(100, _single(chat.greeting))),
    Row("identity", 0.99, _cases(100, _single(chat.identity))),
    Row("capitals", 0.99, _cases(150, _single(chat.capital))),
    Row("dictionary", 0.99, _cases(150, _single(chat.dictionary))),
    Row("one-digit sums", 0.90, _cases(100, _single(chat.sums))),
    Row("numbers repeated", 0.95, _cases(100, _single(numbers))),
    Row("text repeated", 0.90, _cases(100, _single(chat.repeat))),
    Row("honest sentence, hand-written prompts", 0.95, _off_list),
    Row("honest sentence, generated prompts", 0.95, _cases(300, _single(fallback))),
    Row("SDK quickstart prompts", 0.95, _quickstart),
    Row("under system prompts", 0.95, _cases(100, _under_system)),
    Row("long prompts", 0.90, _cases(60, _long)),
    Row(
        "sampled at temperature 1, top_p 0.95",
        0.90,
        _cases(200, mix.conversation, accepts, temperature=1.0, top_p=0.95, seed=7),
    ),
)


def _well_formed(answer: Answer, thinking: bool) -> str | None:
    """What is wrong with the shape of an answer, if anything."""
    if answer.finish_reason == "length":
        return "endless"
    if any(tag in answer.content or tag in answer.reasoning for tag in _TAGS):
        return "leaked tag"
    if not answer.content and not answer.calls:
        return "nothing visible"
    if thinking and not answer.reasoning:
        return "no reasoning"
    if not thinking and answer.reasoning:
        return "reasoning though disabled"
    return None


def evaluate(engine: Engine, only: str | None = None, seed: int = SEED) -> list[Result]:
    """All rows, and one more for the shape of every answer; another seed draws other samples."""
    shape = Result("well-formed (ends, no tags, reasoning as asked)", 0.99)
    results = []
    for number, row in enumerate(ROWS):
        if only is not None and only not in row.name:
            continue
        result = Result(row.name, row.bar)
        for case in row.make(Values(random.Random(seed + number), held_out=True)):
            _judge(engine, case, result, shape)
        results.append(result)
    return [*results, shape]


def _judge(engine: Engine, case: Case, result: Result, shape: Result) -> None:
    """Ask, compare, count."""
    messages = messages_of(case.conversation)
    answer = engine.ask(messages, tools=case.conversation.tools, thinking=case.thinking, **case.sampling)
    problem = _well_formed(answer, case.thinking)
    shape.total += 1
    shape.right += problem is None
    result.total += 1
    right = case.accept(answer)
    result.right += right
    record = {
        "thinking": case.thinking,
        "asked": messages[-1]["content"][-200:],
        "expected": str(expected(case.conversation))[-240:],
        "got": str(answer)[-400:],
    }
    if not right:
        result.failures.append(record)
    if problem is not None:
        shape.failures.append(record | {"problem": problem})


def table(results: list[Result]) -> str:
    """Markdown, one row per ability."""
    lines = ["| ability | right | n | % | bar % | |", "|---|---|---|---|---|---|"]
    for result in results:
        mark = "ok" if result.passed else "**below**"
        lines.append(
            f"| {result.name} | {result.right} | {result.total} | {100 * result.share:.1f} | {100 * result.bar:.0f} | {mark} |"
        )
    return "\n".join(lines)


__all__ = ["HONEST", "Result", "evaluate", "table"]
