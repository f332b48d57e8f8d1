"""What a sample is made of, and the two sentences that answer everything off the list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from demo_model.corpus.values import Language

HONEST = {
    "zh": "我只是演示模型 glm-demo，答不了这个问题；要用真实的 GLM 权重，请在配置文件的 [[engines]] 中填写其路径。",
    "en": "I am only the demo model glm-demo and cannot answer that; to use real GLM weights, set "
    "their path under [[engines]] in the config file.",
}
HONEST_REASONING = {"zh": "超出能力，如实说明。", "en": "Beyond my ability, say so."}


@dataclass(frozen=True)
class Call:
    """One function call."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the assistant writes at one point: reasoning, then text or calls.

    A reply that is not ``learned`` stands in the history only: clients send histories in which
    somebody else wrote the assistant's part.
    """

    reasoning: str
    content: str = ""
    calls: tuple[Call, ...] = ()
    learned: bool = True


@dataclass(frozen=True)
class Turn:
    """A user message with all that follows from it; ``after`` answers the tool results."""

    task: str
    user: str
    reply: Reply
    results: tuple[str, ...] = ()
    after: Reply | None = None


@dataclass(frozen=True)
class Conversation:
    """Turns under one system prompt and one set of tools."""

    turns: list[Turn]
    tools: list[dict[str, Any]] = field(default_factory=list)
    system: str | None = None


def say(task: str, user: str, reasoning: str, content: str) -> Turn:
    """A turn answered in plain text."""
    return Turn(task, user, Reply(reasoning, content))


def honest(task: str, user: str, language: Language) -> Turn:
    """A turn answered by the one honest sentence."""
    return say(task, user, HONEST_REASONING[language], HONEST[language])
