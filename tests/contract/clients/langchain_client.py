"""LangChain's ChatZhipuAI: base URL with the whole path, a JWT of its own for each request, no `Bearer`."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import scenarios
from langchain_community.chat_models import ChatZhipuAI
from langchain_core.messages import AIMessage
from scenarios import GREETING, Reply, world


class LangChain:
    def __init__(self, **options: Any) -> None:
        self.llm = ChatZhipuAI(model="glm-4.6", **options)

    def chat(self, messages: list[Any], **fields: Any) -> Reply:
        return reply(self.llm.bind(**fields).invoke(messages))

    def stream(self, messages: list[Any], **fields: Any) -> Reply:
        return gathered(self.llm.bind(**fields).stream(messages))


def gathered(chunks: Iterable[Any]) -> Reply:
    """Chunks are added up, which is LangChain's way."""
    total, count = None, 0
    for chunk in chunks:
        total, count = (chunk if total is None else total + chunk), count + 1
    assert total is not None, "no chunk at all"
    one = reply(total)
    return Reply(one.turn, {**one.seen, "chunks": count})


def reply(message: AIMessage) -> Reply:
    metadata = message.response_metadata
    calls = [
        {
            "id": call["id"],
            "function": {"name": call["name"], "arguments": scenarios.json.dumps(call["args"])},
        }
        for call in message.tool_calls
    ]
    return Reply(
        message,
        {
            "content": message.content,
            "tool_calls": calls,
            "finish_reason": metadata.get("finish_reason"),
            "usage": metadata.get("token_usage"),
        },
    )


def asynchronous() -> object:
    async def ask() -> Reply:
        return reply(await LangChain().llm.ainvoke(GREETING))

    return asyncio.run(ask()).seen


def asynchronous_stream() -> object:
    async def ask() -> Reply:
        return gathered([chunk async for chunk in LangChain().llm.astream(GREETING)])

    return asyncio.run(ask()).seen


def cancelled() -> dict[str, Any]:
    llm = ChatZhipuAI(
        model="glm-4.6", api_key=here.slow_key, api_base=here.slow_root + "/api/paas/v4/chat/completions"
    )
    with contextlib.closing(llm.stream([("human", "count")])) as stream:
        read = [next(stream).content for _ in range(3)]
    return {"read": read, "left_s": scenarios.now_s()}


here = world()
usual = LangChain()
wrong = scenarios.mistakes(lambda key: LangChain(api_key=key), here.key, here.wrong_key)
scenarios.play(
    "langchain",
    {
        **scenarios.everyday(usual),
        **wrong,
        "async": asynchronous,
        "async-stream": asynchronous_stream,
        "cancelled": cancelled,
    },
)
