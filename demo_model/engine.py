"""The real inference engine, held in-process for the evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp


@dataclass(frozen=True)
class Answer:
    """What the engine made of one request."""

    reasoning: str
    content: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    finish_reason: str
    completion_tokens: int


def _arguments(text: str) -> dict[str, Any]:
    """The arguments as an object; text that was cut off is kept under an impossible key."""
    try:
        return dict(json.loads(text or "{}"))
    except (json.JSONDecodeError, TypeError, ValueError):
        return {"": text}


class Engine:
    """One loaded model; ask from one thread at a time."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = 4096
        params.n_parallel = 1
        params.cache_ram_mib = 0
        params.ui = False
        params.verbosity = 0
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        self._server = xllamacpp.Server(params)

    def ask(
        self,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        thinking: bool = True,
        max_tokens: int = 160,
        **sampling: Any,
    ) -> Answer:
        """One chat completion; greedy unless ``sampling`` says otherwise."""
        body: dict[str, Any] = {"messages": messages, "max_tokens": max_tokens, "temperature": 0}
        if tools:
            body["tools"] = tools
        if not thinking:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        reply = self._server.handle_chat_completions(body | sampling)
        if "choices" not in reply:
            raise RuntimeError(json.dumps(reply, ensure_ascii=False))
        choice = reply["choices"][0]
        message = choice["message"]
        calls = [call["function"] for call in message.get("tool_calls") or []]
        return Answer(
            reasoning=message.get("reasoning_content") or "",
            content=message.get("content") or "",
            calls=tuple((call["name"], _arguments(call["arguments"])) for call in calls),
            finish_reason=choice["finish_reason"],
            completion_tokens=reply["usage"]["completion_tokens"],
        )
