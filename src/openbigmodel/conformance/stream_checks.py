"""Streams: what stands on each line, in each chunk, and on the last one only (api.md §3.6)."""

from typing import Any

from openbigmodel.conformance.answer_checks import FINISH_REASONS, engine_fields
from openbigmodel.conformance.checks import Skipped, check, expect, shown
from openbigmodel.conformance.counts import count_problems
from openbigmodel.conformance.subject import CALL, WEATHER, Answer, Subject
from openbigmodel.conformance.tool_calls import (
    argument_problems,
    arguments_of,
    fragment_problems,
    joined,
)
from openbigmodel.sse import escape_separators

_SAME = ("id", "created", "object", "model")


async def _stream(subject: Subject) -> Answer:
    """A stream with reasoning where the model can."""
    answer = await subject.sample(
        "stream", stream=True, thinking={"type": "enabled"}, do_sample=False, max_tokens=1024
    )
    return _sound(answer)


def _sound(answer: Answer) -> Answer:
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    expect(not answer.broken, f"it breaks off: {answer.broken}")
    expect(answer.chunks, f"no chunk: {shown(answer.body)}")
    return answer


@check(
    "streams", "content_type", "A stream is text/event-stream.", "流式响应为 text/event-stream。", "api.md §1"
)
async def _content_type(subject: Subject) -> None:
    given = (await _stream(subject)).header("content-type")
    expect(given.lower().startswith("text/event-stream"), f"content-type {given!r}")


@check(
    "streams",
    "lines",
    "Each event is one line `data: …`; no `event:`, no `id:`.",
    "每个事件只有一行 `data: …`，没有 `event:`、`id:`。",
    "api.md §3.6",
)
async def _lines(subject: Subject) -> None:
    body = (await _stream(subject)).body
    expect(body.endswith(b"\n\n"), f"it ends with {body[-20:]!r}")
    for event in body.removesuffix(b"\n\n").split(b"\n\n"):
        # A comment is allowed anywhere.
        if not event.startswith(b":"):
            expect(event.startswith(b"data: ") and b"\n" not in event and b"\r" not in event, shown(event))


@check("streams", "done", "`data: [DONE]` ends a stream.", "流以 `data: [DONE]` 结束。", "api.md §3.6")
async def _done(subject: Subject) -> None:
    answer = await _stream(subject)
    expect(answer.done, f"the last event is {shown(answer.events[-1])}")


@check(
    "streams",
    "separators",
    "No raw U+0085, U+2028 or U+2029: the SDKs read lines with a function that breaks there.",
    "不出现未转义的 U+0085、U+2028、U+2029：SDK 按行读取时会在此断开。",
    "api.md §3.6",
)
async def _separators(subject: Subject) -> None:
    answer = await _stream(subject)
    expect(escape_separators(answer.body) == answer.body, "there is one")


@check(
    "streams",
    "role",
    "Each delta repeats the role assistant.",
    "每个 delta 都带 role: assistant。",
    "api.md §3.6",
)
async def _role(subject: Subject) -> None:
    for delta in (await _stream(subject)).deltas:
        expect(delta.get("role") == "assistant", f"a delta is {shown(delta)}")


@check(
    "streams",
    "one_choice",
    "Each chunk has one choice with index 0: none without choices.",
    "每个 chunk 恰有一个 index 为 0 的 choice，没有空 choices 的 chunk。",
    "api.md §3.6",
)
async def _one_choice(subject: Subject) -> None:
    for chunk in (await _stream(subject)).chunks:
        choices = chunk.get("choices")
        one = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
        expect(isinstance(one, dict), f"choices: {shown(choices)}")
        index = one.get("index") if isinstance(one, dict) else None
        expect(index == 0, f"index is {index!r}")


@check(
    "streams",
    "finish_reason_absent",
    "finish_reason is absent, not null, before the last chunk.",
    "最后一个 chunk 之前没有 finish_reason 字段，null 也不行。",
    "api.md §3.6",
)
async def _finish_reason_absent(subject: Subject) -> None:
    for choice in (await _stream(subject)).choices[:-1]:
        expect("finish_reason" not in choice, f"a choice before the last is {shown(choice)}")


@check(
    "streams",
    "finish_reason",
    "The last chunk has one of GLM's finish reasons.",
    "最后一个 chunk 带 GLM 的 finish_reason。",
    "api.md §3.6",
)
async def _finish_reason(subject: Subject) -> None:
    last = (await _stream(subject)).choices[-1:]
    expect(last and last[0].get("finish_reason") in FINISH_REASONS, f"the last choice is {shown(last)}")


@check(
    "streams",
    "usage_last",
    "The usage is on the last chunk, which has the finish reason too, and on no other.",
    "usage 只在带 finish_reason 的最后一个 chunk 上。",
    "api.md §3.6",
)
async def _usage_last(subject: Subject) -> None:
    *chunks, last = (await _stream(subject)).chunks
    expect(last.get("usage"), f"the last chunk is {shown(last)}")
    expect(
        any(choice.get("finish_reason") for choice in last.get("choices") or ()), "it has no finish reason"
    )
    early = [chunk for chunk in chunks if "usage" in chunk]
    expect(not early, f"a chunk before the last is {shown(early[:1])}")


@check(
    "streams",
    "usage",
    "The counts are whole numbers that add up.",
    "usage 为整数且相加一致。",
    "api.md §3.6",
)
async def _usage(subject: Subject) -> None:
    problems = count_problems((await _stream(subject)).usage)
    expect(not problems, "; ".join(problems))


@check(
    "streams",
    "separate_deltas",
    "A delta has content, reasoning_content or tool_calls, and no key for the others, not even with null.",
    "一个 delta 只含 content、reasoning_content、tool_calls 之一，其余键不出现，null 也不行。",
    "api.md §3.6",
)
async def _separate_deltas(subject: Subject) -> None:
    for delta in (await _stream(subject)).deltas:
        keys = delta.keys() & {"content", "reasoning_content", "tool_calls"}
        expect(len(keys) <= 1, f"a delta is {shown(delta)}")
        expect(None not in delta.values(), f"a delta is {shown(delta)}")


@check(
    "streams",
    "reasoning_first",
    "Reasoning comes before the content, and none of it is in the content.",
    "思考内容先于正文，且不混入正文。",
    "api.md §3.5",
)
async def _reasoning_first(subject: Subject) -> None:
    answer = await _stream(subject)
    content = answer.text("content")
    expect("<think>" not in content and "</think>" not in content, f"content is {shown(content)}")
    if not answer.text("reasoning_content"):
        raise Skipped("the model did not reason")
    begun = False
    for delta in answer.deltas:
        begun = begun or bool(delta.get("content"))
        expect(not (begun and delta.get("reasoning_content")), f"after content: {shown(delta)}")


@check(
    "streams",
    "same_head",
    "id, created, object and model are the same in each chunk; object is chat.completion.chunk.",
    "每个 chunk 的 id、created、object、model 相同；object 为 chat.completion.chunk。",
    "api.md §3.6",
)
async def _same_head(subject: Subject) -> None:
    chunks = (await _stream(subject)).chunks
    for name in _SAME:
        values = {str(chunk.get(name)) for chunk in chunks}
        expect(len(values) == 1 and values != {"None"}, f"{name}: {shown(sorted(values))}")
    expect(chunks[0]["object"] == "chat.completion.chunk", f"object is {chunks[0]['object']!r}")
    expect(chunks[0]["model"] == subject.model, f"model is {chunks[0]['model']!r}")


@check(
    "streams",
    "no_engine_fields",
    "Fields that only engines know do not appear, not even as null.",
    "不出现引擎专有字段，null 也不行。",
    "api.md §3.6",
)
async def _no_engine_fields(subject: Subject) -> None:
    found = engine_fields((await _stream(subject)).chunks)
    expect(not found, f"there are {', '.join(sorted(found))}")


@check(
    "streams",
    "no_request_id",
    "Chunks have no request_id.",
    "chunk 中没有 request_id。",
    "api.md §3.6",
    required=False,
)
async def _no_request_id(subject: Subject) -> None:
    expect(all("request_id" not in chunk for chunk in (await _stream(subject)).chunks), "they have one")


async def _calls(subject: Subject, **fields: Any) -> list[dict[str, Any]]:
    """All entries of `tool_calls` in a stream, in order. Raises Skipped if there are none."""
    answer = _sound(
        await subject.sample(
            f"calls {fields}", CALL, tools=[WEATHER], stream=True, do_sample=False, max_tokens=1024, **fields
        )
    )
    found = [delta["tool_calls"] for delta in answer.deltas if "tool_calls" in delta]
    if not found:
        raise Skipped("the model called no tool")
    expect(all(isinstance(calls, list) for calls in found), f"tool_calls: {shown(found)}")
    expect(answer.finish_reasons == ["tool_calls"], f"finish_reason is {answer.finish_reasons}")
    return [call for calls in found for call in calls]


def _sound_fragments(fragments: list[dict[str, Any]]) -> None:
    problems = [problem for fragment in fragments for problem in fragment_problems(fragment)]
    expect(not problems, "; ".join(dict.fromkeys(problems)))


@check(
    "streams",
    "whole_calls",
    "Without tool_stream each call is one chunk, with id, type, name and complete arguments.",
    "未开启 tool_stream 时，每个调用一个 chunk，含 id、type、name 与完整 arguments。",
    "api.md §3.6",
)
async def _whole_calls(subject: Subject) -> None:
    fragments = await _calls(subject)
    _sound_fragments(fragments)
    for index, parts in joined(fragments).items():
        expect(len(parts) == 1, f"call {index} comes in {len(parts)} pieces")
        problems = argument_problems(arguments_of(parts))
        expect(not problems, "; ".join(problems))


@check(
    "streams",
    "call_fragments",
    "With tool_stream each fragment has id, type and name as strings, and the arguments add up to a JSON object.",
    "开启 tool_stream 时，每个片段都带字符串 id、type、name，arguments 拼接后为 JSON 对象。",
    "api.md §3.6",
)
async def _call_fragments(subject: Subject) -> None:
    fragments = await _calls(subject, tool_stream=True)
    _sound_fragments(fragments)
    for index, parts in joined(fragments).items():
        names = {(part["id"], part["function"]["name"]) for part in parts}
        expect(len(names) == 1, f"call {index} has {shown(sorted(names))}")
        problems = argument_problems(arguments_of(parts))
        expect(not problems, "; ".join(problems))


CHECKS = (
    *(_content_type, _lines, _done, _separators, _role, _one_choice, _finish_reason_absent, _finish_reason),
    *(_usage_last, _usage, _separate_deltas, _reasoning_first, _same_head, _no_engine_fields, _no_request_id),
    *(_whole_calls, _call_fragments),
)
