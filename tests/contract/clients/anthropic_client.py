"""Anthropic's Python SDK as it comes, told where to go as Claude Code is: `anthropic_client.py WORLD`."""

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import anthropic
import scenarios
from scenarios import WEATHER_RESULT, WEATHER_ZH, world

here = world()
MODEL = "glm-4.6"
GREETING = [{"role": "user", "content": "你好"}]
THINK = {"type": "enabled", "budget_tokens": 1024}
WEATHER = {
    "name": "get_weather",
    "description": "查询一个城市的天气",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
usual = anthropic.Anthropic()


def scripted(**options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        auth_token=here.slow_key, base_url=here.slow_root + "/api/anthropic", **options
    )


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def create(client: anthropic.Anthropic = usual, **fields: Any) -> dict[str, Any]:
    fields = {"model": MODEL, "max_tokens": 200, "messages": GREETING, **fields}
    return client.messages.create(**fields).model_dump()


def streamed(client: anthropic.Anthropic = usual, **fields: Any) -> dict[str, Any]:
    """Put together by the SDK's own helper."""
    fields = {"model": MODEL, "max_tokens": 200, "messages": GREETING, **fields}
    kinds = []
    with client.messages.stream(**fields) as stream:
        for event in stream:
            kinds.append(event.type)
        return {"kinds": kinds, "message": stream.get_final_message().model_dump()}


def raw_events(client: anthropic.Anthropic = usual, **fields: Any) -> list[dict[str, Any]]:
    fields = {"model": MODEL, "max_tokens": 200, "messages": GREETING, **fields}
    return [event.model_dump() for event in client.messages.create(stream=True, **fields)]


async def asked_at_once() -> list[dict[str, Any]]:
    async with anthropic.AsyncAnthropic() as client:
        asked = [client.messages.create(model=MODEL, max_tokens=50, messages=GREETING) for _ in range(4)]
        return [message.model_dump() for message in await asyncio.gather(*asked)]


def tool_loop() -> dict[str, Any]:
    """As every program with tools does it: the answer goes back as it came, thinking and all."""
    messages: list[dict[str, Any]] = said(WEATHER_ZH)
    fields = {"tools": [WEATHER], "thinking": THINK, "model": MODEL, "max_tokens": 400}
    first = usual.messages.create(messages=messages, **fields)
    messages.append({"role": "assistant", "content": first.content})
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": WEATHER_RESULT}
        for block in first.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    second = usual.messages.create(messages=messages, **fields)
    return {"first": first.model_dump(), "second": second.model_dump()}


def tool_runner() -> dict[str, Any]:
    """The SDK's own loop, which asks with `?beta=true`."""
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """查询一个城市的天气

        Args:
            city: 城市
        """
        asked.append(city)
        return WEATHER_RESULT

    runner = usual.beta.messages.tool_runner(
        model=MODEL, max_tokens=400, tools=[get_weather], messages=said(WEATHER_ZH)
    )
    return {"message": runner.until_done().model_dump(), "asked": asked}


def as_claude_code() -> dict[str, Any]:
    """A request of the shape and size of Claude Code's."""
    cached = {"cache_control": {"type": "ephemeral"}}
    tools = [
        {
            "name": f"mcp__plugin_with_a_long_name_{number}__server_of_it__and_a_tool_of_that_server",
            "description": "A tool. " * 100,
            "input_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"path": {"type": "string"}, "lines": {"type": "array", "items": {}}},
                "required": ["path"],
                "additionalProperties": False,
            },
        }
        for number in range(20)
    ]
    tools[-1] = {**tools[-1], **cached}
    with scripted().beta.messages.stream(
        model=MODEL,
        max_tokens=32_000,
        betas=["claude-code-20250219", "interleaved-thinking-2025-05-14"],
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cch=12345;"},
            {"type": "text", "text": "You are Claude Code.", **cached},
            {"type": "text", "text": "Rules. " * 8000, **cached},
        ],
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>Note.</system-reminder>"},
                    {"type": "text", "text": "as claude code", **cached},
                ],
            }
        ],
        tools=[*tools, {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        thinking={"type": "enabled", "budget_tokens": 31_999},
        metadata={"user_id": "user_" + "a" * 64 + "_account__session_" + "b" * 72},
        extra_body={
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "high"},
        },
    ) as stream:
        for _ in stream:
            pass
        return stream.get_final_message().model_dump()


def by_header(*headers: tuple[str, str]) -> dict[str, Any]:
    """Other releases of the SDK put the key into x-api-key."""
    parts = urlsplit(here.root)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.putrequest("POST", "/api/anthropic/v1/messages?beta=true")
    body = json.dumps({"model": MODEL, "max_tokens": 20, "messages": GREETING}).encode()
    for name, value in (*headers, ("content-length", str(len(body))), ("accept-language", "en")):
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    return {"status": response.status, "body": json.loads(response.read())}


wrong = anthropic.Anthropic(auth_token=here.wrong_key)
scenarios.play(
    "anthropic",
    {
        "create": create,
        "at-once": lambda: asyncio.run(asked_at_once()),
        "day-jwt": lambda: create(anthropic.Anthropic(auth_token=here.day_jwt), max_tokens=20),
        "api-key": lambda: create(anthropic.Anthropic(api_key=here.key), max_tokens=20),
        "x-api-key": lambda: by_header(("x-api-key", here.key)),
        "both-alike": lambda: by_header(("x-api-key", here.key), ("authorization", f"Bearer {here.key}")),
        "both-different": lambda: by_header(
            ("x-api-key", here.wrong_key), ("authorization", f"Bearer {here.key}")
        ),
        "thinking": lambda: create(thinking=THINK),
        "thinking-stream": lambda: streamed(thinking=THINK),
        "raw-events": raw_events,
        "cut-short": lambda: create(max_tokens=2),
        "tool-loop": tool_loop,
        "tool-stream": lambda: streamed(
            messages=said(WEATHER_ZH), tools=[WEATHER], tool_choice={"type": "any"}
        ),
        "tool-runner": tool_runner,
        "scripted-calls": lambda: streamed(
            scripted(), messages=said("calls"), tools=[WEATHER], thinking=THINK
        ),
        "separators": lambda: streamed(scripted(), messages=said("separators"), thinking=THINK),
        "die": lambda: streamed(scripted(), messages=said("die")),
        "busy": lambda: create(scripted(max_retries=1), messages=said("busy")),
        "too-long": lambda: create(scripted(), messages=said("too long")),
        "claude-code": as_claude_code,
        "count": lambda: usual.messages.count_tokens(
            model=MODEL, messages=GREETING, system="You are helpful.", tools=[WEATHER]
        ).model_dump(),
        "count-estimated": lambda: (
            scripted().messages.count_tokens(model=MODEL, messages=said("word " * 400)).model_dump()
        ),
        "models": lambda: [model.model_dump(mode="json") for model in usual.models.list()],
        "model": lambda: usual.models.retrieve(MODEL).model_dump(mode="json"),
        "no-model": lambda: usual.models.retrieve("glm-none").model_dump(),
        "wrong-key": lambda: create(wrong),
        "wrong-key-stream": lambda: streamed(wrong),
        "wrong-key-models": lambda: wrong.models.list().model_dump(),
        "wrong-key-count": lambda: wrong.messages.count_tokens(model=MODEL, messages=GREETING).model_dump(),
        "unknown-model": lambda: create(model="glm-none"),
        "no-max-tokens": lambda: usual.post(
            "/v1/messages", cast_to=object, body={"model": MODEL, "messages": GREETING}
        ),
        "bad-block": lambda: create(
            messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text"}]}]
        ),
        "bad-temperature": lambda: create(extra_body={"temperature": 1.5}),
        "bad-image": lambda: create(
            model="glm-4.6",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what is it?"},
                        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                    ],
                }
            ],
        ),
    },
)
