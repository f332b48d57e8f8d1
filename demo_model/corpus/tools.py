"""Function schemas, the calls that answer a question, and the answers to their results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo_model.corpus import tool_families as families
from demo_model.corpus.dialogue import Call, Reply, Turn
from demo_model.corpus.tool_kinds import CONDITIONS, Argument, Family, generic_family
from demo_model.corpus.values import Language, Values

AFTER_REASONING = {"zh": "根据结果回答。", "en": "Answer from the result."}
_DONE = {"zh": "已完成。", "en": "Done."}
_OPTIONAL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("unit", {"type": "string", "enum": ["celsius", "fahrenheit"]}),
    ("unit", {"type": "string", "enum": ["c", "f"], "description": "Temperature unit"}),
    ("days", {"type": "integer", "description": "天数"}),
    ("limit", {"type": "integer", "description": "Maximum number of results", "default": 10}),
    ("lang", {"type": "string", "enum": ["zh", "en"], "description": "语言"}),
    ("verbose", {"type": "boolean"}),
    ("date", {"type": "string", "description": "可选，日期"}),
    ("format", {"type": "string", "enum": ["json", "text"], "description": "Output format"}),
    ("page", {"type": "number", "description": "页码"}),
)

# Two functions for the same questions would leave the choice to chance.
_PAIRS = (("add", "calculator"), ("train", "train_date"), ("mail", "mail_full"), ("now", "time"))
CLASHING = frozenset(_PAIRS) | {(second, first) for first, second in _PAIRS}


@dataclass(frozen=True)
class Tool:
    """One offered function: its schema and how to ask for it."""

    name: str
    family: Family
    keys: tuple[str, ...]
    schema: dict[str, Any]

    def call(self, values: list[Any]) -> Call:
        """The call with these values, in the order of the schema."""
        order = list(self.schema["function"]["parameters"]["properties"])
        pairs = dict(zip(self.keys, values, strict=True))
        return Call(self.name, {key: pairs[key] for key in order if key in pairs})


def _property(v: Values, argument: Argument) -> dict[str, Any]:
    """The schema of one argument, in the ways SDKs write it."""
    described = v.pick(argument.describe)
    kind = argument.kind if argument.kind != "number" or v.chance(0.6) else "integer"
    shape = v.integer(0, 9)
    if shape < 2:
        return {"type": kind}
    if shape < 4:
        return {"description": described, "type": kind}
    return {"type": kind, "description": described}


def _schema(
    v: Values, name: str, description: str, properties: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    """The function object with the usual variations."""
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if v.chance(0.12):
        parameters["additionalProperties"] = False
    if v.chance(0.08):
        del parameters["required"]
    function: dict[str, Any] = {"name": name, "description": description, "parameters": parameters}
    if v.chance(0.08):
        function = {"description": description, "name": name, "parameters": parameters}
    if v.chance(0.06):
        function["strict"] = True
    return {"type": "function", "function": function}


def make_tool(v: Values, family: Family) -> Tool:
    """Instantiate a family: pick names, wording and optional arguments."""
    keys: list[str] = []
    for argument in family.arguments:
        key = v.pick(argument.names) if v.chance(0.93) else v.identifier()
        while key in keys:
            key = v.identifier()
        keys.append(key)
    entries = [(key, _property(v, argument)) for key, argument in zip(keys, family.arguments, strict=True)]
    if len(entries) > 1 and v.chance(v.harder(0.1, 0.2)):
        entries = v.shuffled(entries)
    if v.chance(0.22):
        extra = v.pick(_OPTIONAL)
        if extra[0] not in keys:
            entries.append(extra)
    name = v.pick(family.names)
    if v.chance(0.03):
        name = v.pick((f"{name}_{v.pseudo_word(1, 1)}", v.identifier(), f"{v.pseudo_word(1, 1)}_{name}"))
    description = v.pick(family.describe)
    return Tool(name, family, tuple(keys), _schema(v, name, description, dict(entries), list(keys)))


def offer(v: Values, count: int) -> list[Tool]:
    """Several different functions; some are of a kind known only from their schema."""
    tools: list[Tool] = []
    kinds = v.shuffled(tuple(families.FAMILIES))
    if v.chance(0.45):
        kinds.remove("weather")
        kinds.append("weather")
    used: set[str] = set()
    while len(tools) < count:
        if v.chance(0.18) or not kinds:
            tool = make_tool(v, generic_family(v))
        else:
            kind = kinds.pop()
            tool = make_tool(v, families.FAMILIES[kind])
            kinds = [other for other in kinds if (kind, other) not in CLASHING]
        if tool.name not in used:
            used.add(tool.name)
            tools.append(tool)
    return v.shuffled(tools)


def _weather(v: Values, language: Language, place: str) -> tuple[str, str]:
    """A weather report in one of many forms, and the sentence for it."""
    data = language if v.chance(0.85) else ("en" if language == "zh" else "zh")
    condition = (
        v.pick(CONDITIONS[data]) if v.chance(0.9) else (v.han(1, 3) if data == "zh" else v.pseudo_word())
    )
    degrees = v.integer(-15, 42)
    written: Any = v.pick((degrees, degrees, str(degrees), f"{degrees}℃", f"{degrees}°C"))
    shown = (
        f"{written}"
        if isinstance(written, str) and written[-1] in "℃C"
        else f"{written}度"
        if language == "zh"
        else f"{written} degrees"
    )
    if v.chance(0.12):
        text = v.pick(("{}，{}", "{}, {}", "{} {}")).format(
            condition, v.pick((f"{degrees}℃", f"{degrees}°C", f"{degrees}度"))
        )
        return text, (f"{place}的天气：{text}。" if language == "zh" else f"The weather in {place}: {text}.")
    temperature = (v.pick(("temperature", "temp", "temperature", "温度", "degrees")), written)
    state = (
        v.pick(("condition", "weather", "conditions", "description", "天气", "forecast")),
        condition,
    )
    fields = v.shuffled([temperature, state]) if v.chance(0.8) else [v.pick((temperature, state))]
    parts = dict(fields)
    if v.chance(0.5):
        fields.insert(0, (v.pick(("city", "location", "place")), place))
    if v.chance(0.25):
        fields.append(
            v.pick(
                (
                    ("humidity", f"{v.integer(10, 99)}%"),
                    ("unit", "celsius"),
                    ("wind", f"{v.integer(1, 9)}级"),
                    ("date", v.date()),
                )
            )
        )
    return json.dumps(dict(fields), ensure_ascii=False), _weather_sentence(
        language, place, parts.get(state[0]), temperature[0] in parts, shown
    )


def _weather_sentence(
    language: Language, place: str, condition: str | None, has_degrees: bool, shown: str
) -> str:
    """Say what the report holds and nothing else."""
    if language == "zh":
        return (
            f"{place}今天"
            + "，".join(([condition] if condition else []) + ([f"气温{shown}"] if has_degrees else []))
            + "。"
        )
    if condition is None:
        return f"It is {shown} in {place}."
    return f"It is {condition} in {place}" + (f", {shown}." if has_degrees else ".")


def _wrapped(v: Values, keys: tuple[str, ...], value: Any) -> str:
    """A single value as a tool may return it."""
    if v.chance(0.2):
        return str(value)
    fields = {v.pick(keys): value}
    if v.chance(0.15):
        fields = {"status": "ok"} | fields
    return json.dumps(fields, ensure_ascii=False)


def _generic(v: Values, language: Language) -> tuple[str, str]:
    """Unknown fields: the answer lists their values."""
    makers: tuple[Callable[[], Any], ...] = (
        lambda: v.phrase(language),
        lambda: v.place(language),
        lambda: v.person(language),
        lambda: v.integer(0, 9999),
        v.clock,
        lambda: v.code() + v.digits(1, 4),
        v.date,
        lambda: v.han(2, 5) if language == "zh" else v.pseudo_words(1, 2),
    )
    count = v.pick((1, 1, 1, 2, 2, 3))
    items = [v.pick(makers)() for _ in range(count)]
    joint = "，" if language == "zh" else ", "
    shown = joint.join(str(item) for item in items)
    answer = f"查询结果：{shown}。" if language == "zh" else f"The result: {shown}."
    if count == 1 and v.chance(0.3):
        return str(items[0]), answer
    keys = [
        "result",
        "value",
        "title",
        "name",
        "info",
        "detail",
        "data",
        "content",
        "number",
        "time",
    ]
    chosen = v.shuffled(keys)[:count]
    fields = {
        (key if v.chance(0.8) else v.identifier()): item for key, item in zip(chosen, items, strict=True)
    }
    if len(fields) < count:
        return _generic(v, language)
    return json.dumps([fields] if v.chance(0.1) else fields, ensure_ascii=False), answer


def outcome(v: Values, language: Language, tool: Tool, values: list[Any]) -> tuple[str, str]:
    """A tool result and the answer that it leads to."""
    kind = tool.family.outcome
    subject = str(values[0]) if values else ""
    if v.chance(0.03):
        problem = v.phrase(language)
        failed = f"工具调用失败：{problem}。" if language == "zh" else f"The tool failed: {problem}."
        return json.dumps({"error": problem}, ensure_ascii=False), failed
    if kind == "weather":
        return _weather(v, language, subject)
    if kind == "now":
        clock = v.pick((v.clock(), f"{v.date()} {v.clock()}", v.date()))
        text = _wrapped(v, ("time", "now", "current_time", "datetime"), clock)
        return text, f"现在是{clock}。" if language == "zh" else f"It is {clock} now."
    if kind == "time":
        clock = v.clock()
        text = _wrapped(v, ("time", "current_time", "now", "local_time"), clock)
        return (
            text,
            f"{subject}现在是{clock}。" if language == "zh" else f"It is {clock} in {subject} now.",
        )
    if kind in ("price", "sum"):
        number: Any = v.integer(0, 99999) if v.chance(0.6) else v.integer(0, 99999) / 100
        text = _wrapped(
            v,
            ("price", "rate", "current_price") if kind == "price" else ("result", "sum", "value", "answer"),
            number,
        )
        if kind == "sum":
            return text, f"结果是{number}。" if language == "zh" else f"The result is {number}."
        noun = "价格" if language == "zh" else "price"
        return (
            text,
            f"{subject}的{noun}是{number}。" if language == "zh" else f"The {noun} of {subject} is {number}.",
        )
    if kind == "done":
        text = v.pick(
            (
                '{"success": true}',
                '{"status": "ok"}',
                '{"ok": true}',
                "ok",
                "success",
                '{"status": "sent"}',
                '{"result": "success"}',
                '{"code": 0}',
                "done",
                "成功",
            )
        )
        return text, _DONE[language]
    return _generic(v, language)


def calling_turn(v: Values, language: Language, tool: Tool, values: list[Any] | None = None) -> Turn:
    """Question, call, result, answer."""
    if values is None:
        values = [argument.draw(v, language) for argument in tool.family.arguments]
    question = v.pick(tool.family.questions[language]).format(*values)
    result, answer = outcome(v, language, tool, values)
    reasoning = f"调用 {tool.name}。" if language == "zh" else f"Call {tool.name}."
    reply = Reply(reasoning, calls=(tool.call(values),))
    return Turn("tool", question, reply, (result,), Reply(AFTER_REASONING[language], answer))


def parallel_turn(v: Values, language: Language, tool: Tool) -> Turn:
    """Two places in one question: two calls, two results."""
    places = [v.place(language), v.place(language)]
    pattern = (
        v.pick(("{}和{}的天气怎么样？", "查一下{}和{}的天气", "{}、{}今天天气如何？"))
        if language == "zh"
        else v.pick(
            (
                "What's the weather in {} and {}?",
                "Weather in {} and {}?",
                "Check the weather in {} and {}.",
            )
        )
    )
    outcomes = [_weather(v, language, place) for place in places]
    reasoning = f"调用 {tool.name} 两次。" if language == "zh" else f"Call {tool.name} twice."
    answer = ("" if language == "zh" else " ").join(text for _, text in outcomes)
    reply = Reply(reasoning, calls=tuple(tool.call([place]) for place in places))
    return Turn(
        "parallel",
        pattern.format(*places),
        reply,
        tuple(r for r, _ in outcomes),
        Reply(AFTER_REASONING[language], answer),
    )
