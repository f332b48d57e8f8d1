"""Conversations as the text the engine's chat template produces, with the spans to learn.

``chat_template.jinja`` is what the engine runs; this module writes the same text directly,
because training needs to know which parts the assistant wrote. ``messages_of`` gives the API
form, with which a test can compare the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_model.corpus.dialogue import Conversation, Reply, Turn

TEMPLATE_PATH = Path(__file__).with_name("chat_template.jinja")


@dataclass(frozen=True)
class Span:
    """A piece of text between two special tokens; ``learned`` if the assistant wrote it."""

    text: str
    learned: bool


def written_reply(reply: Reply) -> str:
    """The visible part of a reply: content, then calls."""
    text = reply.content
    for call in reply.calls:
        text += f"<tool_call>{call.name}"
        for key, value in call.arguments.items():
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text += f"<arg_key>{key}</arg_key><arg_value>{shown}</arg_value>"
        text += "</tool_call>"
    return text


def _reply_spans(reply: Reply, thinking: bool) -> list[Span]:
    """Thinking: reasoning is learned too. Otherwise the prompt already closed the tag."""
    written = written_reply(reply)
    if thinking:
        return [
            Span("<|assistant|><think>", learned=False),
            Span(f"{reply.reasoning}</think>{written}", learned=True),
        ]
    return [Span("<|assistant|><think></think>", learned=False), Span(written, reply.learned)]


def render(conversation: Conversation, *, think_last: bool, keep_reasoning: bool = True) -> list[Span]:
    """All turns; reasoning appears in the last one only, as the template drops it elsewhere.

    The history form ``<think></think>`` is also the prompt of the mode without thinking, so every
    earlier turn trains that mode. ``keep_reasoning`` false leaves it out before a tool result, as
    clients do that do not send it back.
    """
    head = "[gMASK]<sop>"
    if conversation.tools:
        rows = (json.dumps(tool["function"], ensure_ascii=False) for tool in conversation.tools)
        head += "<|system|># Tools\n" + "".join(f"{row}\n" for row in rows)
    if conversation.system is not None:
        head += f"<|system|>{conversation.system}"
    spans = [Span(head, learned=False)]
    last = len(conversation.turns) - 1
    for index, turn in enumerate(conversation.turns):
        thinking = think_last and index == last
        spans += _turn_spans(turn, thinking, keep_reasoning)
    ends_with_call = conversation.turns[-1].after is None and bool(conversation.turns[-1].reply.calls)
    spans.append(Span("<|observation|>" if ends_with_call else "<|user|>", learned=True))
    return spans


def _turn_spans(turn: Turn, thinking: bool, keep_reasoning: bool) -> list[Span]:
    """One user message and what follows."""
    spans = [Span(f"<|user|>{turn.user}", learned=False)]
    spans += _reply_spans(turn.reply, thinking and (keep_reasoning or turn.after is None))
    if turn.after is not None:
        responses = "".join(f"<tool_response>{result}</tool_response>" for result in turn.results)
        spans.append(Span("<|observation|>", learned=True))
        spans.append(Span(responses, learned=False))
        spans += _reply_spans(turn.after, thinking)
    return spans


def messages_of(conversation: Conversation) -> list[dict[str, Any]]:
    """The chat-completions messages of a conversation, without the assistant's last reply."""
    messages: list[dict[str, Any]] = []
    if conversation.system is not None:
        messages.append({"role": "system", "content": conversation.system})
    for turn in conversation.turns:
        messages.append({"role": "user", "content": turn.user})
        messages += _reply_messages(turn, turn.reply, len(messages))
    messages.pop()
    return messages


def _reply_messages(turn: Turn, reply: Reply, serial: int) -> list[dict[str, Any]]:
    """The assistant's message and, after calls, the tool messages and the answer."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if not reply.calls:
        return [message]
    names = [f"call_{serial}_{index}" for index in range(len(reply.calls))]
    message["tool_calls"] = [
        {
            "id": name,
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": json.dumps(call.arguments, ensure_ascii=False),
            },
        }
        for name, call in zip(names, reply.calls, strict=True)
    ]
    if turn.after is None:
        return [message]
    results = [
        {"role": "tool", "tool_call_id": name, "content": result}
        for name, result in zip(names, turn.results, strict=True)
    ]
    return [message, *results, {"role": "assistant", "content": turn.after.content}]
