"""What every Python client does, said once; runs in the client's own environment, so standard library only.

A client script connects its SDK to `Client`, names the scenarios, and calls `play`: each runs by itself, and one
JSON object on stdout tells how it went. Before each, a request with a telling request_id is sent, which the
server refuses: in the server's log it marks where the scenario's own requests begin.
"""

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

Scenario = Callable[[], object]
GREETING = [{"role": "user", "content": "你好"}]
WEATHER_ZH = "北京今天天气怎么样？"
WEATHER_EN = "What is the weather in Paris?"
THINK = {"type": "enabled"}
DO_NOT_THINK = {"type": "disabled"}


def function(name: str, description: str, parameter: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


TOOLS = [
    function("get_weather", "查询一个城市的天气", "city"),
    function("get_stock", "查询股票价格", "symbol"),
]
TOOLS_EN = [
    function("get_weather", "Get the weather of a city", "city"),
    function("get_stock", "Get a price", "symbol"),
]
WEATHER_RESULT = json.dumps({"temperature": 21, "condition": "晴"}, ensure_ascii=False)


@dataclass(frozen=True)
class World:
    """Where the server is. `slow_root` is a second one, whose engine counts until its caller leaves."""

    root: str
    key: str
    wrong_key: str
    expired_jwt: str
    day_jwt: str
    slow_root: str
    slow_key: str


def world() -> World:
    return World(**json.loads(sys.argv[1]))


@dataclass(frozen=True)
class Reply:
    """`turn` is what a program appends to its messages, `seen` what it can read."""

    turn: Any
    seen: dict[str, Any]


class Client(Protocol):
    """An SDK in the hands of a program."""

    def chat(self, messages: list[Any], **fields: Any) -> Reply:
        """One answer in one piece."""

    def stream(self, messages: list[Any], **fields: Any) -> Reply:
        """One answer in chunks, put together."""


def whole(body: dict[str, Any], turn: Any) -> Reply:
    """A reply from a completion as plain data."""
    choice = body["choices"][0]
    message = choice["message"]
    return Reply(
        turn,
        {
            "id": body.get("id"),
            "request_id": body.get("request_id"),
            "object": body.get("object"),
            "model": body.get("model"),
            "content": message.get("content"),
            "reasoning": message.get("reasoning_content"),
            "tool_calls": message.get("tool_calls") or [],
            "finish_reason": choice.get("finish_reason"),
            "usage": body.get("usage"),
        },
    )


def assembled(chunks: Iterable[dict[str, Any]]) -> Reply:
    """A reply from chunks as plain data, put together as a careful program does."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: dict[int, dict[str, Any]] = {}
    seen: dict[str, Any] = {
        "chunks": 0,
        "finishes": 0,
        "usages": 0,
        "fragments": 0,
        "ids": [],
        "finish_reason": None,
    }
    for chunk in chunks:
        seen["chunks"] += 1
        seen["model"] = chunk.get("model")
        if chunk.get("id") not in seen["ids"]:
            seen["ids"].append(chunk.get("id"))
        if chunk.get("usage"):
            seen["usages"] += 1
            seen["usage"] = chunk["usage"]
        choice = chunk["choices"][0]
        if choice.get("finish_reason"):
            seen["finishes"] += 1
            seen["finish_reason"] = choice["finish_reason"]
        delta = choice["delta"]
        message["content"] += delta.get("content") or ""
        if delta.get("reasoning_content"):
            message["reasoning_content"] = message.get("reasoning_content", "") + delta["reasoning_content"]
        for call in delta.get("tool_calls") or ():
            seen["fragments"] += 1
            _add_fragment(calls, call)
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    seen |= {
        "content": message["content"],
        "reasoning": message.get("reasoning_content"),
        "tool_calls": message.get("tool_calls", []),
    }
    return Reply(message, seen)


def _add_fragment(calls: dict[int, dict[str, Any]], fragment: dict[str, Any]) -> None:
    said = fragment["function"]
    call = calls.setdefault(
        fragment["index"],
        {"id": fragment["id"], "type": fragment["type"], "function": {"name": said["name"], "arguments": ""}},
    )
    call["function"]["arguments"] += said["arguments"]


def tool_result(reply: Reply) -> dict[str, Any]:
    call = reply.seen["tool_calls"][0]
    return {"role": "tool", "tool_call_id": call["id"], "content": WEATHER_RESULT}


def conversation(ask: Callable[..., Reply], first: str, second: str, **fields: Any) -> list[dict[str, Any]]:
    """Two questions, the first answer sent back between them."""
    messages: list[Any] = [
        {"role": "system", "content": "你是一个有用的助手。"},
        {"role": "user", "content": first},
    ]
    one = ask(list(messages), **fields)
    two = ask([*messages, one.turn, {"role": "user", "content": second}], **fields)
    return [one.seen, two.seen]


def tool_round(
    ask: Callable[..., Reply], question: str, tools: list[Any], **fields: Any
) -> list[dict[str, Any]]:
    """A question that needs a tool, the call sent back with its result, the answer."""
    messages: list[Any] = [{"role": "user", "content": question}]
    one = ask(list(messages), tools=tools, **fields)
    two = ask([*messages, one.turn, tool_result(one)], tools=tools, **fields)
    return [one.seen, two.seen]


def everyday(client: Client) -> dict[str, Scenario]:
    """What every client can do when all goes well."""
    chat, stream = client.chat, client.stream
    return {
        "greeting": lambda: chat(GREETING).seen,
        "greeting-stream": lambda: stream(GREETING).seen,
        "thinking": lambda: chat(GREETING, thinking=THINK).seen,
        "thinking-stream": lambda: stream(GREETING, thinking=THINK).seen,
        "no-thinking": lambda: chat(GREETING, thinking=DO_NOT_THINK, max_tokens=32).seen,
        "no-thinking-stream": lambda: stream(GREETING, thinking=DO_NOT_THINK, max_tokens=32).seen,
        "turns": lambda: conversation(chat, "我叫小明", "我叫什么名字？", thinking=THINK),
        "turns-stream": lambda: conversation(stream, "我叫小明", "我叫什么名字？", thinking=THINK),
        "tools": lambda: tool_round(chat, WEATHER_ZH, TOOLS),
        "tools-en": lambda: tool_round(chat, WEATHER_EN, TOOLS_EN, thinking=DO_NOT_THINK),
        "tools-stream": lambda: tool_round(stream, WEATHER_ZH, TOOLS),
    }


def tool_streaming(client: Client) -> dict[str, Scenario]:
    """Arguments in fragments, with and without reasoning before them."""
    return {
        "tool-stream": lambda: tool_round(client.stream, WEATHER_ZH, TOOLS, tool_stream=True),
        "tool-stream-en": lambda: tool_round(
            client.stream, WEATHER_EN, TOOLS_EN, tool_stream=True, thinking=DO_NOT_THINK
        ),
    }


def mistakes(connect: Callable[[str], Client], key: str, wrong_key: str) -> dict[str, Scenario]:
    """What goes wrong on the caller's side; `connect` takes a credential."""
    return {
        "wrong-key": lambda: connect(wrong_key).chat(GREETING).seen,
        "wrong-key-stream": lambda: connect(wrong_key).stream(GREETING).seen,
        "unknown-model": lambda: connect(key).chat(GREETING, model="glm-none").seen,
        "unknown-model-stream": lambda: connect(key).stream(GREETING, model="glm-none").seen,
        "bad-parameter": lambda: connect(key).chat(GREETING, max_tokens=-1).seen,
        "only-system": lambda: connect(key).chat([{"role": "system", "content": "你好"}]).seen,
    }


def jwt_credentials(connect: Callable[[str], Client], here: World) -> dict[str, Scenario]:
    """A JWT where the key belongs, as gateways send it."""
    return {
        "day-jwt": lambda: connect(here.day_jwt).chat(GREETING).seen,
        "expired-jwt": lambda: connect(here.expired_jwt).chat(GREETING).seen,
    }


def play(name: str, scenarios: dict[str, Scenario]) -> None:
    """Run them in order and print how they went."""
    here = world()
    outcomes = {}
    for scenario, run in scenarios.items():
        mark(here, f"{name}:{scenario}")
        try:
            outcomes[scenario] = {"value": run()}
        except Exception as error:  # noqa: BLE001  whatever the SDK raises is what the test wants to see
            outcomes[scenario] = {"raised": described(error)}
    mark(here, f"{name}:end")
    sys.stdout.write(json.dumps(outcomes, default=str))


def mark(here: World, name: str) -> None:
    """Leave a line with this request_id in the server's log."""
    parts = urlsplit(here.root)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    body = {"model": "no-such-model", "messages": GREETING, "request_id": name}
    connection.request(
        "POST", "/api/paas/v4/chat/completions", json.dumps(body), {"Authorization": f"Bearer {here.key}"}
    )
    connection.getresponse().read()
    connection.close()


def described(error: BaseException) -> dict[str, Any]:
    """An exception as data: its classes, and the response that it carries."""
    response = getattr(error, "response", None)
    try:
        body = response.text if response is not None else ""
    except Exception:  # noqa: BLE001  a stream that was not read has no text
        body = ""
    return {
        "type": type(error).__name__,
        "types": [cls.__name__ for cls in type(error).__mro__],
        "status": getattr(error, "status_code", None) or getattr(response, "status_code", None),
        "text": str(error),
        "body": body,
        "code": getattr(error, "code", None),
    }


def now_s() -> float:
    """Unix seconds; the same clock as the engine's."""
    return time.time()
