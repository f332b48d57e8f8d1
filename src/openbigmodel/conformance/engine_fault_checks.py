"""Engines that refuse, break off or are left alone: what the caller is told, and that nobody else suffers.

Rule: before each of these the server must have answered plain questions, so that a circuit breaker which has opened
for one fault is not blamed on the next.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Literal

import httpx
import msgspec

from openbigmodel.conformance.backend import Asked, Says, Script
from openbigmodel.conformance.checks import Check, Run, check, expect, shown
from openbigmodel.conformance.counts import count_problems
from openbigmodel.conformance.engine_shapes import DONE, Reply, Upstream
from openbigmodel.conformance.subject import Answer, Subject, encode

_SOURCE = "api.md §8.2"
_WELL = 4
_EVENT_S = 5.0
_RETRY_AFTER = "7"
_SERVED_S = 5.0
_REPLY = Reply(reasoning=("想",), content=("一", "二", "三"))
_BEFORE_END = 2


def _upstream(subject: Subject) -> Upstream:
    assert subject.upstream is not None
    return subject.upstream


def _fault_check(
    name: str,
    en: str,
    zh: str,
    source: str,
    *,
    row: str,
    only: Literal["glm", "openai"] | None = None,
    required: bool = True,
) -> Callable[[Run], Check]:
    def decorate(run: Run) -> Check:
        async def when_well(subject: Subject) -> None:
            await subject.well(_WELL)
            await run(subject)

        return check("engine_faults", name, en, zh, source, row=row, only=only, required=required)(when_well)

    return decorate


def _cut(
    upstream: Upstream, ending: Literal["end", "close", "reset"], *, last: tuple[bytes, ...] = ()
) -> Script:
    """The beginning of a stream, and then the fault."""
    said = upstream.streamed(_REPLY)
    pieces = said.pieces[:_BEFORE_END] + last
    cut = msgspec.structs.replace(said, pieces=pieces, ending=ending, pause_s=0.05)
    return lambda _: cut


# --- refusals

# The upstream's code, its status, its text, whether asking again can help.
_REFUSALS = (
    ("1301", 400, "系统检测到输入或生成内容可能包含不安全或敏感内容", False),
    ("1302", 429, "您的账户已达到速率限制，请您控制请求频率", True),
    ("1305", 429, "该模型当前访问量过大，请您稍后再试", True),
    ("1113", 429, "余额不足或无可用资源包,请充值。", False),
    ("1308", 429, "已达到 5 小时的使用上限。您的限额将在 2026-11-21 18:00:00 重置。", False),
    ("1261", 400, "Prompt exceeds max length", False),
)


def _keeps_code(code: str, status: int, text: str, _: bool) -> Check:
    # Nobody says how long to wait who finds fault with the question.
    told = {"retry_after": _RETRY_AFTER} if status == 429 else {}

    async def run(subject: Subject) -> None:
        for stream in (False, True):
            script = _upstream(subject).refusal(status, code, text, **told)
            answer, asked = await subject.through(script, stream=stream)
            expect(asked, "the upstream was not asked")
            expect(answer.status == status, f"{answer.status} {shown(answer.body)}")
            expect(answer.error.get("code") == code, f"code is {answer.error.get('code')!r}")
            expect(
                answer.error.get("message") == text, f"the text became {shown(answer.error.get('message'))}"
            )
            got = answer.header("retry-after")
            expect(got == told.get("retry_after", got), f"retry-after is {got!r}")

    more, more_zh = (
        (", its text and its Retry-After", "、文本与 Retry-After ") if told else (" and its text", "与文本")
    )
    return _fault_check(
        f"code_{code}",
        f"The upstream's {code} reaches the caller with status {status}{more}.",
        f"上游的 {code} 连同状态 {status}{more_zh}到达调用方。",
        _SOURCE,
        only="glm",
        row="codes",
    )(run)


@_fault_check(
    "content_filter",
    "What an upstream says in contentFilter about a refused question is passed on.",
    "上游拒绝时的 contentFilter 原样返回。",
    "api.md §8.3",
    only="glm",
    row="codes",
    required=False,
)
async def _content_filter(subject: Subject) -> None:
    found = [{"level": 1, "role": "user"}]
    body = {"contentFilter": found, "error": {"code": "1301", "message": "敏感"}}
    said = Says(status=400, pieces=(encode(body),))
    answer, _ = await subject.through(lambda _: said)
    got = answer.json.get("contentFilter") if isinstance(answer.json, dict) else None
    expect(got == found, f"the body is {shown(answer.body)}")


@_fault_check(
    "permanent_once",
    "What waiting cannot mend (1113, 1308) is asked once, and marked x-should-retry: false.",
    "等待无济于事的错误（1113、1308）只请求上游一次，并带 x-should-retry: false。",
    "api.md §2",
    only="glm",
    row="codes",
    required=False,
)
async def _permanent_once(subject: Subject) -> None:
    for code, status, text, again in _REFUSALS:
        if status == 429 and not again:
            answer, asked = await subject.through(_upstream(subject).refusal(status, code, text))
            expect(len(asked) == 1, f"{code}: asked {len(asked)} times")
            told = answer.header("x-should-retry")
            expect(told == "false", f"{code}: x-should-retry is {told!r}")


@_fault_check(
    "retry_after",
    "The engine's Retry-After reaches the caller.",
    "引擎的 Retry-After 到达调用方。",
    _SOURCE,
    row="retry_after",
)
async def _retry_after(subject: Subject) -> None:
    script = _upstream(subject).refusal(429, "1302", "slow down", retry_after=_RETRY_AFTER)
    answer, _ = await subject.through(script)
    expect(answer.status == 429, f"{answer.status} {shown(answer.body)}")
    told = answer.header("retry-after")
    expect(told == _RETRY_AFTER, f"retry-after is {told!r}")


@_fault_check(
    "busy",
    "An engine's 429 is 429 with a code of GLM's that says to wait.",
    "引擎返回 429 时，调用方收到 429 与可重试的 GLM 错误码。",
    _SOURCE,
    only="openai",
    row="codes",
)
async def _busy(subject: Subject) -> None:
    answer, _ = await subject.through(_upstream(subject).refusal(429, "", "too many requests"))
    code = answer.error.get("code")
    expect(answer.status == 429 and code in {"1302", "1303", "1305"}, f"{answer.status} {shown(answer.body)}")


@_fault_check(
    "too_long",
    "An engine's complaint about the context's length is 400 with code 1261.",
    "引擎报上下文过长时，返回 400 与 1261。",
    _SOURCE,
    only="openai",
    row="codes",
)
async def _too_long(subject: Subject) -> None:
    text = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
    answer, _ = await subject.through(_upstream(subject).refusal(400, "", text))
    expect(
        answer.status == 400 and answer.error.get("code") == "1261", f"{answer.status} {shown(answer.body)}"
    )


@_fault_check(
    "bad_request",
    "Any other 400 of the engine is 400 with code 1210 or 1214.",
    "引擎的其他 400 返回 400 与 1210 或 1214。",
    _SOURCE,
    only="openai",
    row="codes",
)
async def _bad_request(subject: Subject) -> None:
    answer, _ = await subject.through(_upstream(subject).refusal(400, "", "seed must be positive"))
    code = answer.error.get("code")
    expect(answer.status == 400 and code in {"1210", "1214"}, f"{answer.status} {shown(answer.body)}")


@_fault_check(
    "two_busy_callers",
    "Two callers who are told 429 keep nobody else from being served.",
    "两个调用方收到 429 后，其他调用方照常服务。",
    _SOURCE,
    row="two_429",
)
async def _two_busy_callers(subject: Subject) -> None:
    script = _upstream(subject).refusal(429, "1302", "您的账户已达到速率限制，请您控制请求频率")
    answers = await asyncio.gather(*(subject.through(script) for _ in range(2)))
    expect(all(answer.status == 429 for answer, _ in answers), f"{[answer.status for answer, _ in answers]}")
    for _ in range(3):
        answer = await asyncio.wait_for(subject.post(encode(subject.request())), _SERVED_S)
        expect(answer.status == 200, f"the next caller: {answer.status} {shown(answer.body)}")


# --- deaths


def _ends_as_documented(answer: Answer) -> None:
    """The final chunk that a broken stream is owed, and that what was said before is not lost."""
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    expect(not answer.broken, f"the connection breaks: {answer.broken}")
    expect(answer.chunks, "there is nothing in the stream")
    last = answer.chunks[-1]
    expect(
        answer.finish_reasons == ["network_error"], f"finish reasons {answer.finish_reasons}: {shown(last)}"
    )
    expect(answer.done, f"the last event is {shown(answer.events[-1])}")
    problems = count_problems({"prompt_tokens": 1, **answer.usage} if answer.usage else {})
    expect("usage" in last, f"no usage: {shown(last)}")
    expect(not [problem for problem in problems if "sum" not in problem], "; ".join(problems))
    said = answer.text("reasoning_content") + answer.text("content")
    expect(said, "what the engine had said is lost")


def _death(name: str, en: str, zh: str, ending: Literal["end", "close", "reset"], *last: bytes) -> Check:
    async def run(subject: Subject) -> None:
        answer, _ = await subject.through(_cut(_upstream(subject), ending, last=last), stream=True)
        _ends_as_documented(answer)

    return _fault_check(
        name,
        f"{en}: the last chunk has `network_error` and a usage, and [DONE] follows.",
        f"{zh}：最后一个 chunk 为 `network_error` 并带 usage，随后 [DONE]。",
        "api.md §3.6",
        row="upstream_dies",
    )(run)


@_fault_check(
    "whole_answer_cut",
    "A whole answer that breaks off is a 5xx with a code, never a part of it.",
    "非流式响应中断时返回 5xx 与错误码，不返回残缺内容。",
    "api.md §8.2",
    row="upstream_dies",
)
async def _whole_answer_cut(subject: Subject) -> None:
    body = _upstream(subject).whole(_REPLY).pieces[0]
    said = Says(pieces=(body[: len(body) // 2],), ending="close", pause_s=0.05)
    answer, _ = await subject.through(lambda _: said)
    expect(answer.status >= 500, f"{answer.status} {shown(answer.body)}")
    expect(isinstance(answer.error.get("code"), str), f"the body is {shown(answer.body)}")


@_fault_check(
    "before_the_first_byte",
    "An engine that breaks off before its first word: an HTTP error with a code, not an empty stream.",
    "引擎在首字节前中断：返回带错误码的 HTTP 错误，而不是空流。",
    "api.md §3.6",
    row="upstream_dies",
)
async def _before_the_first_byte(subject: Subject) -> None:
    said = Says(content_type="text/event-stream", pieces=(), ending="close")
    answer, _ = await subject.through(lambda _: said, stream=True)
    expect(answer.status >= 500, f"{answer.status} {shown(answer.body)}")
    expect(isinstance(answer.error.get("code"), str), f"the body is {shown(answer.body)}")


@_fault_check(
    "server_error",
    "An engine's 500 is a 5xx with a code.",
    "引擎返回 500 时，调用方收到 5xx 与错误码。",
    _SOURCE,
    row="codes",
)
async def _server_error(subject: Subject) -> None:
    said = Says(status=500, content_type="text/plain", pieces=(b"Internal Server Error",))
    answer, _ = await subject.through(lambda _: said)
    expect(answer.status >= 500, f"{answer.status} {shown(answer.body)}")
    expect(isinstance(answer.error.get("code"), str), f"the body is {shown(answer.body)}")


@_fault_check(
    "credential_refused",
    "An engine that refuses the platform's credential is no 401 for the caller.",
    "引擎拒绝平台的凭证时，调用方不会收到 401。",
    _SOURCE,
    row="codes",
)
async def _credential_refused(subject: Subject) -> None:
    code, text = ("1000", "身份验证失败。") if _upstream(subject).kind == "glm" else ("", "invalid api key")
    answer, _ = await subject.through(_upstream(subject).refusal(401, code, text))
    expect(answer.status >= 500, f"{answer.status} {shown(answer.body)}")
    expect(isinstance(answer.error.get("code"), str), f"the body is {shown(answer.body)}")


# --- callers that leave


async def _left_within(subject: Subject, asked: list[Asked]) -> None:
    began_ms = subject.now_ms()
    while not (asked and all(request.gone for request in asked)):
        waited_s = (subject.now_ms() - began_ms) / 1000
        expect(waited_s < subject.leave_s, f"the engine was still at work {subject.leave_s:g} s later")
        await subject.sleep(0.02)


def _endless(subject: Subject) -> Script:
    said = _upstream(subject).streamed(_REPLY)
    endless = msgspec.structs.replace(said, pieces=said.pieces[:_BEFORE_END], ending="drip", pause_s=0.05)
    return lambda _: endless


@_fault_check(
    "streams_at_once",
    "Each event reaches the caller before the engine says the next one.",
    "引擎说出下一个事件之前，上一个事件已到达调用方。",
    "api.md §3.6",
    row="streams",
)
async def _streams_at_once(subject: Subject) -> None:
    """The engine says a word only when the caller has seen the one before, so who collects some waits in vain."""
    words = (*_REPLY.reasoning, *_REPLY.content)
    text = subject.scripted(_word_by_word(subject))
    body, seen = b"", 0
    try:
        async with asyncio.timeout(_EVENT_S) as limit, subject.started(_asking(subject, text)) as response:
            expect(response.status_code == 200, f"{response.status_code}")
            async for data in response.aiter_raw():
                body += data
                answer = Answer(200, (), body)
                if answer.text("reasoning_content") + answer.text("content") == "".join(words[: seen + 1]):
                    seen += 1
                    if seen == len(words):
                        return
                    limit.reschedule(asyncio.get_running_loop().time() + _EVENT_S)
                    subject.asked(text)[-1].go_on()
    except (TimeoutError, httpx.TransportError) as error:
        what = f"{type(error).__name__} {error}".strip()
        expect(holds=False, seen=f"word {seen + 1} of {len(words)} does not come by itself: {what}")
    expect(holds=False, seen=f"the stream ended after {seen} of {len(words)} words: {shown(body)}")


def _word_by_word(subject: Subject) -> Script:
    """A stream that waits for `go_on` before each word but the first."""
    said = _upstream(subject).streamed(_REPLY)
    opening, *rest = said.pieces
    if _upstream(subject).kind == "openai":
        # There a role comes first, of which a caller need not hear.
        opening += rest.pop(0)
    gated = msgspec.structs.replace(said, pieces=(opening, *rest), gated=True)
    return lambda _: gated


def _asking(subject: Subject, text: str) -> bytes:
    return encode(subject.request(text, stream=True))


@_fault_check(
    "left_stream",
    "A caller who leaves a stream has its engine stopped within a second.",
    "调用方离开流后，一秒内停止引擎。",
    "api.md §3.6",
    row="disconnect",
)
async def _left_stream(subject: Subject) -> None:
    text = subject.scripted(_endless(subject))
    async with subject.started(_asking(subject, text)) as response:
        async for data in response.aiter_raw():
            if b"data: {" in data:
                break
    await _left_within(subject, subject.asked(text))


@_fault_check(
    "left_answer",
    "A caller who leaves before a whole answer has its engine stopped within a second.",
    "调用方在非流式响应前离开，一秒内停止引擎。",
    "api.md §3.6",
    row="disconnect",
)
async def _left_answer(subject: Subject) -> None:
    text = subject.scripted(lambda _: Says(pieces=(), ending="wait"))
    asking = asyncio.ensure_future(subject.post(encode(subject.request(text))))
    began_ms = subject.now_ms()
    while not subject.asked(text) and not asking.done():
        expect(subject.now_ms() - began_ms < _SERVED_S * 1000, "the engine was not asked")
        await subject.sleep(0.02)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await _left_within(subject, subject.asked(text))


_ERROR_EVENT = b"data: " + json.dumps({"error": {"message": "boom", "code": 500}}).encode() + b"\n\n"

CHECKS = (
    _streams_at_once,
    _left_stream,
    _left_answer,
    *(_keeps_code(*row) for row in _REFUSALS),
    *(_content_filter, _permanent_once, _retry_after, _busy, _too_long, _bad_request, _two_busy_callers),
    _death("reset", "An engine that is reset in mid-stream", "引擎在流中途被重置", "reset"),
    _death("closed", "An engine that hangs up in mid-stream", "引擎在流中途断开", "close"),
    _death("ended", "A stream that ends without a finish reason", "流在没有 finish_reason 时结束", "end"),
    _death("done_only", "[DONE] without a finish reason", "没有 finish_reason 的 [DONE]", "end", DONE),
    _death("error_event", "An error in mid-stream", "流中途出错", "end", _ERROR_EVENT, DONE),
    *(_whole_answer_cut, _before_the_first_byte, _server_error, _credential_refused),
)
