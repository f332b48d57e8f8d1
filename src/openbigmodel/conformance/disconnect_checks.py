"""Clients that leave: whoever comes next is served as if nothing had been (api.md §3.6)."""

import asyncio

import httpx

from openbigmodel.conformance.checks import check, expect, shown
from openbigmodel.conformance.subject import Subject, encode

_LEAVERS = 5
_NEXT_S = 30.0
_LONG = "写一篇一千字的作文，题目是《春天》。"


async def _next_is_served(subject: Subject) -> None:
    try:
        answer = await asyncio.wait_for(subject.chat(max_tokens=16), _NEXT_S)
    except (TimeoutError, httpx.TransportError) as error:
        expect(holds=False, seen=f"the next request is not served: {type(error).__name__} {error}")
        raise
    expect(answer.status == 200, f"the next request: {answer.status} {shown(answer.body)}")


@check(
    "disconnect",
    "in_a_stream",
    "After clients have left in the middle of their streams the next request is served.",
    "客户端在流中途断开后，下一个请求照常服务。",
    "api.md §3.6",
)
async def _in_a_stream(subject: Subject) -> None:
    for _ in range(_LEAVERS):
        async with subject.started(encode(subject.request(_LONG, stream=True))) as response:
            async for _ in response.aiter_raw():
                break
    await _next_is_served(subject)


@check(
    "disconnect",
    "before_the_answer",
    "After clients have left before their answer the next request is served.",
    "客户端在响应到达前断开后，下一个请求照常服务。",
    "api.md §3.6",
)
async def _before_the_answer(subject: Subject) -> None:
    for _ in range(_LEAVERS):
        asking = asyncio.ensure_future(subject.post(encode(subject.request(_LONG))))
        await asyncio.wait((asking,), timeout=0.1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await _next_is_served(subject)


CHECKS = (_in_a_stream, _before_the_answer)
