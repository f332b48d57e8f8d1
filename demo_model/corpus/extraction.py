"""Turning a sentence into JSON with the keys that the user names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo_model.corpus import words
from demo_model.corpus.dialogue import Turn, say
from demo_model.corpus.values import Language, Values


@dataclass(frozen=True)
class Attribute:
    """Something to extract: its names, its value and how a sentence mentions it."""

    key: str
    label: dict[Language, str]
    clause: dict[Language, tuple[str, ...]]
    draw: Callable[[Values, Language], Any]


ATTRIBUTES = (
    Attribute(
        "age",
        {"zh": "年龄", "en": "age"},
        {"zh": ("{}岁", "今年{}岁", "年龄{}"), "en": ("is {} years old", "aged {}", "is {}")},
        lambda v, _: v.integer(1, 99),
    ),
    Attribute(
        "city",
        {"zh": "城市", "en": "city"},
        {
            "zh": ("住在{}", "来自{}", "在{}工作"),
            "en": ("lives in {}", "comes from {}", "works in {}"),
        },
        lambda v, language: v.place(language),
    ),
    Attribute(
        "job",
        {"zh": "职业", "en": "job"},
        {
            "zh": ("职业是{}", "是一名{}", "是{}"),
            "en": ("works as a {}", "is a {}", "has a job as {}"),
        },
        lambda v, language: (
            v.pick(words.JOBS)[0 if language == "zh" else 1]
            if v.chance(0.7)
            else (v.han(2, 3) if language == "zh" else v.pseudo_word())
        ),
    ),
    Attribute(
        "phone",
        {"zh": "电话", "en": "phone"},
        {
            "zh": ("电话{}", "电话是{}", "手机号{}"),
            "en": ("phone {}", "can be called at {}", "has the phone number {}"),
        },
        lambda v, _: v.digits(6, 11),
    ),
)


def _sentence(v: Values, language: Language, person: str, parts: list[tuple[Attribute, Any]]) -> str:
    """The text that holds the values."""
    clauses = [v.pick(part.clause[language]).format(value) for part, value in parts]
    if language == "zh":
        joint = v.pick(("，", "，", ""))
        return person + joint + "，".join(clauses) + v.pick(("。", ""))
    return f"{person} " + " and ".join(clauses) + v.pick((".", ""))


def _request(v: Values, language: Language, labels: list[str], keys: list[str], text: str) -> str:
    """The wish to have it as JSON, with labels or with explicit keys."""
    if language == "zh":
        named = "、".join(labels[:-1]) + "和" + labels[-1]
        listed = v.pick(("、", ", ", "，")).join(keys)
        pattern = v.pick(
            (
                "用 JSON 输出{n}：{t}",
                "提取{n}，以 JSON 返回：{t}",
                "请从下面的句子中提取{n}，用JSON格式输出：{t}",
                "{t}\n请提取{n}，返回 JSON。",
                "把“{t}”转成 JSON，键为 {k}",
                "提取信息为 JSON（键：{k}）：{t}",
                "从文本中抽取 {k}，只输出 JSON：{t}",
                "{t} 请用 JSON 返回 {k}",
            )
        )
        return pattern.format(n=named, k=listed, t=text)
    named = ", ".join(labels[:-1]) + " and " + labels[-1]
    pattern = v.pick(
        (
            "Extract the {n} as JSON: {t}",
            "Return JSON with {n}: {t}",
            "{t}\nExtract {n} as JSON.",
            "Extract {n} from this sentence and answer in JSON: {t}",
            "Convert to JSON with the keys {k}: {t}",
            "Give me a JSON object with {k} for: {t}",
            "JSON with keys {k}: {t}",
        )
    )
    return pattern.format(n=named, k=", ".join(keys), t=text)


def extraction(v: Values) -> Turn:
    """One to three attributes beside the name."""
    language = v.language()
    person = v.person(language)
    chosen = v.shuffled(ATTRIBUTES)[: v.pick((1, 1, 1, 2, 2, 3))]
    parts = [(attribute, attribute.draw(v, language)) for attribute in chosen]
    keys = ["name"] + [attribute.key for attribute in chosen]
    labels = [{"zh": "姓名", "en": "name"}[language]] + [a.label[language] for a in chosen]
    request = _request(v, language, labels, keys, _sentence(v, language, person, parts))
    answer = {"name": person} | {attribute.key: value for attribute, value in parts}
    reasoning = "提取为 JSON。" if language == "zh" else "Extract as JSON."
    return say("json", request, reasoning, json.dumps(answer, ensure_ascii=False))
