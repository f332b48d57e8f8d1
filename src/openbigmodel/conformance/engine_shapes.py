"""What engines say: GLM's own shapes, vLLM's and SGLang's, as documents, reports and sources have them (api.md §3,
§13.3).

None was captured from a running engine. Rule: pure data. A reply is written once, and each kind of engine says it in
its own words, with all the fields that only that kind has: none of them may reach a caller.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from openbigmodel.conformance.backend import Says, Script

DONE = b"data: [DONE]\n\n"
_STREAM = "text/event-stream"
_WEATHER = "天气"
_PARTS = ("text", "image_url", "video_url", "file", "file_url", "input_audio")
# A text with what libraries stumble over: U+2028, U+2029, NEL, an emoji, an escape.
TRICKY = ("你好，", "a\u2028b\u2029c\u0085", '🎉 "\\ <tag>')


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says, in pieces; `calls` are names with pieces of arguments. `more` is GLM's, top-level."""

    reasoning: tuple[str, ...] = ()
    content: tuple[str, ...] = TRICKY
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()
    finish_reason: str = "stop"
    more: Mapping[str, Any] = {}
    prompt_tokens: int = 23
    cached_tokens: int = 16

    @property
    def tokens(self) -> int:
        """A token for each piece."""
        return len(self.reasoning) + len(self.content) + sum(1 + len(pieces) for _, pieces in self.calls)


class Upstream(msgspec.Struct, frozen=True):
    """A kind of engine: `kind` is what is expected of a server in front of it, `name` how it words its answers."""

    name: str
    kind: Literal["glm", "openai"]
    stream: Callable[[Reply, bool], list[bytes]]
    body: Callable[[Reply], dict[str, Any]]

    def says(self, reply: Reply) -> Script:
        """The reply as a stream or as one body, as it is asked."""
        return lambda asked: self._streamed_for(reply, asked) if asked.get("stream") else self.whole(reply)

    def _streamed_for(self, reply: Reply, asked: dict[str, Any]) -> Says:
        said = self.streamed(reply, fragments=bool(asked.get("tool_stream")))
        if self.kind == "glm" or (asked.get("stream_options") or {}).get("include_usage"):
            return said
        # As OpenAI's protocol has it: no usage for those who do not ask for it. It is the last event but one.
        return msgspec.structs.replace(said, pieces=(*said.pieces[:-2], said.pieces[-1]))

    def streamed(self, reply: Reply, *, fragments: bool = False) -> Says:
        """The reply as a stream. `fragments`: GLM's `tool_stream`; other engines know no other way."""
        return Says(content_type=_STREAM, pieces=(*self.stream(reply, fragments), DONE))

    def whole(self, reply: Reply) -> Says:
        """The reply as one body."""
        return Says(pieces=(encode(self.body(reply)),))

    def refusal(self, status: int, code: str, message: str, **headers: str) -> Script:
        """An error in the engine's own envelope; names of headers have `_` for `-`."""
        error: dict[str, Any] = {"code": code, "message": message}
        if self.kind == "openai":
            error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
        sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        said = Says(status=status, headers=sent, pieces=(encode({"error": error}),))
        return lambda _: said


def encode(value: object) -> bytes:
    """JSON with every character as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(value) + b"\n\n"


def unknown_part(asked: dict[str, Any]) -> str:
    """Where a question has content of a kind that GLM does not know; empty if nowhere.

    A gateway may leave that to it.
    """
    for place, message in enumerate(asked.get("messages") or ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(part, dict) or part.get("type") not in _PARTS:
                return f"messages[{place}].content[{index}].type"
    return ""


def everyday(asked: dict[str, Any]) -> Reply:
    """What a good model says to the suite's plain questions: it calls a tool where it has to, or where that helps."""
    names = _functions(asked)
    if names:
        if forced := _forced(asked, names):
            arguments = '{"city": "北京"}' if forced == "get_weather" else "{}"
            return Reply(content=(), calls=((forced, (arguments,)),), finish_reason="tool_calls")
        last = (asked.get("messages") or [{}])[-1]
        if isinstance(last, dict) and last.get("role") == "user" and _WEATHER in str(last.get("content")):
            return Reply(
                reasoning=("查", "一下"),
                content=(),
                calls=(("get_weather", ('{"city"', ': "北', '京"}')), ("get_weather", ('{"city": "上海"}',))),
                finish_reason="tool_calls",
            )
    limit = asked.get("max_tokens")
    if isinstance(limit, int) and limit < len(TRICKY):
        return Reply(content=TRICKY[:limit], finish_reason="length")
    return Reply(reasoning=("想", "一想") if _thinks(asked) else ())


def _functions(asked: dict[str, Any]) -> list[str]:
    """The names of the functions that may be called."""
    tools = [tool for tool in asked.get("tools") or () if isinstance(tool, dict)]
    return [str(tool["function"].get("name")) for tool in tools if isinstance(tool.get("function"), dict)]


def _forced(asked: dict[str, Any], names: list[str]) -> str:
    """The function that `tool_choice` leaves no choice about; empty if there is a choice."""
    choice = asked.get("tool_choice")
    if isinstance(choice, dict):
        return str((choice.get("function") or {}).get("name"))
    return names[0] if choice == "required" else ""


def _thinks(asked: dict[str, Any]) -> bool:
    thinking = asked.get("thinking") or {}
    arguments = asked.get("chat_template_kwargs") or {}
    return bool(thinking.get("type", "enabled") != "disabled" and arguments.get("enable_thinking", True))


# --- GLM


def _glm_usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": reply.prompt_tokens + reply.tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": len(reply.reasoning)},
    }


_GLM_ID = "202611210102030405060708090a0b"
_GLM_CREATED = 1795190523


def _glm_call(index: int, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "index": index,
        "id": f"call_-72637029106623433{94 + index}",
        "type": "function",
        "function": function,
    }


def _glm_stream(reply: Reply, fragments: bool) -> list[bytes]:
    """Each call in a chunk of its own, or in fragments."""
    deltas: list[dict[str, Any]] = [{"reasoning_content": text} for text in reply.reasoning]
    deltas += [{"content": text} for text in reply.content]
    for index, (name, pieces) in enumerate(reply.calls):
        parts = pieces if fragments else ("".join(pieces),)
        deltas += [{"tool_calls": [_glm_call(index, name, part)]} for part in parts]
    head = {
        "id": _GLM_ID,
        "created": _GLM_CREATED,
        "object": "chat.completion.chunk",
        "model": "glm-upstream",
    }
    said = [{**head, "choices": [{"index": 0, "delta": {"role": "assistant", **delta}}]} for delta in deltas]
    last = {"index": 0, "finish_reason": reply.finish_reason, "delta": {"role": "assistant", "content": ""}}
    said.append({**head, "choices": [last], "usage": _glm_usage(reply), **reply.more})
    return [event(chunk) for chunk in said]


def _glm_body(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"content": "".join(reply.content), "role": "assistant"}
    if reply.reasoning:
        message["reasoning_content"] = "".join(reply.reasoning)
    if reply.calls:
        calls = enumerate(reply.calls)
        message["tool_calls"] = [_glm_call(index, name, "".join(pieces)) for index, (name, pieces) in calls]
    return {
        "choices": [{"finish_reason": reply.finish_reason, "index": 0, "message": message}],
        "created": _GLM_CREATED,
        "id": _GLM_ID,
        "model": "glm-upstream",
        "object": "chat.completion",
        "request_id": _GLM_ID,
        "usage": _glm_usage(reply),
        **reply.more,
    }


# --- engines that speak the OpenAI protocol

_VLLM_CHOICE = {"logprobs": None, "stop_reason": None, "token_ids": None}
_VLLM_BODY = {
    "service_tier": None,
    "system_fingerprint": None,
    "prompt_logprobs": None,
    "kv_transfer_params": None,
}
_VLLM_MESSAGE = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
_SGLANG_CHOICE = {"logprobs": None, "matched_stop": None}
_SGLANG_BODY = {"metadata": {"weight_version": "default"}}


class _Words(msgspec.Struct, frozen=True):
    """How an engine words what OpenAI's protocol leaves open."""

    reasoning: str
    choice: Mapping[str, Any] = {}
    body: Mapping[str, Any] = {}
    message: Mapping[str, Any] = {}
    nulls_in_delta: tuple[str, ...] = ()
    usage_in_chunks: bool = False


_VLLM = _Words("reasoning", _VLLM_CHOICE, _VLLM_BODY, _VLLM_MESSAGE)
_SGLANG = _Words(
    "reasoning_content",
    _SGLANG_CHOICE,
    _SGLANG_BODY,
    nulls_in_delta=("content", "reasoning_content", "tool_calls"),
    usage_in_chunks=True,
)
_PLAIN = _Words("reasoning_content")


def _openai_usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "total_tokens": reply.prompt_tokens + reply.tokens,
        "completion_tokens": reply.tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens} if reply.cached_tokens else None,
    }


def _openai_deltas(words: _Words, reply: Reply) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{words.reasoning: text} for text in reply.reasoning]
    deltas += [{"content": text} for text in reply.content]
    for index, (name, pieces) in enumerate(reply.calls):
        opening = {"id": f"chatcmpl-tool-{index}", "type": "function", "index": index}
        deltas.append({"tool_calls": [{**opening, "function": {"name": name, "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    return deltas


def _openai_stream(words: _Words, reply: Reply) -> list[bytes]:
    head = {
        "id": "chatcmpl-5d1b",
        "object": "chat.completion.chunk",
        "created": _GLM_CREATED,
        "model": "served",
    }
    nulls: dict[str, Any] = dict.fromkeys(words.nulls_in_delta)
    usage: dict[str, Any] = {"usage": None} if words.usage_in_chunks else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": {**nulls, **delta}, "finish_reason": finish_reason, **words.choice}
        return {**head, "choices": [choice], **usage}

    said = [chunk(delta) for delta in _openai_deltas(words, reply)]
    said += [chunk({}, reply.finish_reason), {**head, "choices": [], "usage": _openai_usage(reply)}]
    return [event(one) for one in said]


def _openai_body(words: _Words, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(reply.content) or None,
        **words.message,
        "tool_calls": [],
        words.reasoning: "".join(reply.reasoning) or None,
    }
    for index, (name, pieces) in enumerate(reply.calls):
        function = {"name": name, "arguments": "".join(pieces)}
        message["tool_calls"].append(
            {"id": f"chatcmpl-tool-{index}", "type": "function", "function": function}
        )
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason, **words.choice}
    return {
        "id": "chatcmpl-5d1b",
        "object": "chat.completion",
        "created": _GLM_CREATED,
        "model": "served",
        "choices": [choice],
        **words.body,
        "usage": _openai_usage(reply),
    }


def _speaking(name: str, words: _Words) -> Upstream:
    return Upstream(
        name,
        "openai",
        lambda reply, _: _openai_stream(words, reply),
        lambda reply: _openai_body(words, reply),
    )


UPSTREAMS: Mapping[str, Upstream] = {
    "glm": Upstream("glm", "glm", _glm_stream, _glm_body),
    "openai": _speaking("openai", _PLAIN),
    "vllm": _speaking("vllm", _VLLM),
    "sglang": _speaking("sglang", _SGLANG),
}
