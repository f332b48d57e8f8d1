"""What comes back from the engine: a GLM upstream's words survive to the last field, other engines' become GLM's.

Rule: the suite knows every byte that the engine said, so these checks compare and do not guess.
"""

import json
from typing import Any

from openbigmodel.conformance.answer_checks import engine_fields
from openbigmodel.conformance.checks import Check, check, expect, shown
from openbigmodel.conformance.engine_shapes import TRICKY, Reply
from openbigmodel.conformance.subject import NOW, WEATHER, Answer, Subject

_SOURCE = "api.md §3.3"
# Only these may differ in a reply that is passed on (api.md §1.1, §3.1).
_OWN = ("id", "request_id", "created", "model")
_MORE: dict[str, Any] = {
    "web_search": [
        {
            "content": "…",
            "icon": "",
            "link": "",
            "media": "m",
            "publish_date": "",
            "refer": "ref_1",
            "title": "t",
        }
    ],
    "content_filter": [{"level": 3, "role": "user"}],
    "video_result": [
        {"cover_image_url": "https://media.invalid/c.png", "url": "https://media.invalid/v.mp4"}
    ],
    "unheard_of": {"exact": 2**60 + 1, "deep": [[{}]], "null": None},
}
_RICH = Reply(reasoning=("想", "一想\u2028"), content=TRICKY, more=_MORE)
_CALLS = Reply(
    content=(),
    calls=(("get_weather", ('{"city"', ': "北京"}')), ("now", ())),
    finish_reason="tool_calls",
)


async def _reply(subject: Subject, reply: Reply, **fields: Any) -> Answer:
    """Have the engine say this: what the caller got. Raises Failed."""
    assert subject.upstream is not None
    answer, asked = await subject.through(subject.upstream.says(reply), **fields)
    expect(asked, "the engine was not asked")
    expect(
        answer.status == 200 and not answer.broken, f"{answer.status} {shown(answer.body)} {answer.broken}"
    )
    return answer


def _survives(name: str, row: str) -> Check:
    """A top-level field of a GLM upstream."""

    async def run(subject: Subject) -> None:
        body = (await _reply(subject, _RICH)).json
        expect(body.get(name) == _MORE[name], f"a whole answer has {shown(body.get(name, 'nothing'))}")
        chunks = (await _reply(subject, _RICH, stream=True)).chunks
        found = [chunk[name] for chunk in chunks if name in chunk]
        expect(found == [_MORE[name]], f"a stream has {shown(found)}")

    return check(
        "from_engine",
        name,
        f"`{name}` comes back, whole and in a stream.",
        f"`{name}` 原样返回（含流式）。",
        _SOURCE,
        only="glm",
        row=row,
    )(run)


def _without(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: member for key, member in value.items() if key not in names}


@check(
    "from_engine",
    "whole_answer",
    "A whole answer is the upstream's, field by field, but for ids, model and time.",
    "非流式响应与上游逐字段一致（id、model、时间除外）。",
    _SOURCE,
    only="glm",
    row="fields",
)
async def _whole_answer(subject: Subject) -> None:
    assert subject.upstream is not None
    body = (await _reply(subject, _RICH)).json
    said = subject.upstream.body(_RICH)
    expect(list(body) == list(said), f"the keys are {', '.join(body)}")
    expect(_without(body, _OWN) == _without(said, _OWN), f"it is {shown(body, 600)}")


@check(
    "from_engine",
    "each_event",
    "Each event of a stream is one of the upstream's, field by field, but for ids, model and time.",
    "流中每个事件与上游逐字段一致（id、model、时间除外）。",
    "api.md §3.6",
    only="glm",
    row="fields",
)
async def _each_event(subject: Subject) -> None:
    assert subject.upstream is not None
    answer = await _reply(subject, _RICH, stream=True)
    said = [json.loads(event[6:]) for event in subject.upstream.stream(_RICH, False)]
    got = answer.chunks
    expect(len(got) == len(said), f"{len(said)} events became {len(got)}")
    for ours, theirs in zip(got, said, strict=True):
        expect(_without(ours, _OWN) == _without(theirs, _OWN), f"{shown(theirs)} became {shown(ours)}")


@check(
    "from_engine",
    "reasoning_content",
    "Reasoning comes back as reasoning_content, whole and in a stream.",
    "思考内容以 reasoning_content 返回（含流式）。",
    _SOURCE,
    row="fields",
)
async def _reasoning(subject: Subject) -> None:
    fields: dict[str, Any] = {} if subject.always_thinks else {"thinking": {"type": "enabled"}}
    for stream in (False, True):
        answer = await _reply(subject, _RICH, stream=stream, **fields)
        got = answer.text("reasoning_content"), answer.text("content")
        expect(got == ("".join(_RICH.reasoning), "".join(TRICKY)), f"stream={stream}: {shown(got)}")


@check(
    "from_engine",
    "usage",
    "The counts are the engine's, cached_tokens among them.",
    "用量与引擎所报一致，含 cached_tokens。",
    _SOURCE,
    row="fields",
)
async def _usage(subject: Subject) -> None:
    for stream in (False, True):
        usage = (await _reply(subject, _RICH, stream=stream)).usage
        got = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
        want = [_RICH.prompt_tokens, _RICH.tokens, _RICH.prompt_tokens + _RICH.tokens]
        expect(got == want, f"stream={stream}: {got}, the engine said {want}")
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        expect(cached == _RICH.cached_tokens, f"stream={stream}: cached_tokens is {cached!r}")


@check(
    "from_engine",
    "no_engine_fields",
    "Nothing that only the engine knows comes back, not even as null.",
    "引擎专有字段不会返回，null 也不行。",
    _SOURCE,
    only="openai",
    row="fields",
)
async def _no_engine_fields(subject: Subject) -> None:
    for reply, fields in ((_RICH, {}), (_CALLS, {"tools": [WEATHER, NOW]})):
        for stream in (False, True):
            answer = await _reply(subject, reply, stream=stream, **fields)
            found = engine_fields(answer.chunks or answer.json)
            expect(not found, f"stream={stream}: there are {', '.join(sorted(found))}")


@check(
    "from_engine",
    "stream_usage",
    "A stream's last chunk has the usage although the caller did not ask for it.",
    "调用方未要求时，流的最后一个 chunk 仍带 usage。",
    "api.md §3.6",
    row="stream_usage",
)
async def _stream_usage(subject: Subject) -> None:
    answer = await _reply(subject, _RICH, stream=True)
    last = answer.chunks[-1]
    expect(last.get("usage") and last.get("choices"), f"the last chunk is {shown(last)}")
    expect(answer.finish_reasons == ["stop"], f"finish reasons {answer.finish_reasons}: {shown(last)}")
    expect(answer.done, "there is no [DONE]")


@check(
    "from_engine",
    "sensitive",
    "An answer that was stopped for its content has the finish reason `sensitive`.",
    "因内容被中止的响应 finish_reason 为 `sensitive`。",
    _SOURCE,
    row="sensitive",
)
async def _sensitive(subject: Subject) -> None:
    assert subject.upstream is not None
    reason = "sensitive" if subject.upstream.kind == "glm" else "content_filter"
    for stream in (False, True):
        answer = await _reply(subject, Reply(finish_reason=reason), stream=stream)
        expect(answer.finish_reasons == ["sensitive"], f"stream={stream}: {answer.finish_reasons}")


@check(
    "from_engine",
    "other_finish_reasons",
    "`model_context_window_exceeded` comes back as it is.",
    "`model_context_window_exceeded` 原样返回。",
    _SOURCE,
    only="glm",
    row="fields",
)
async def _other_finish_reasons(subject: Subject) -> None:
    reason = "model_context_window_exceeded"
    for stream in (False, True):
        answer = await _reply(subject, Reply(finish_reason=reason), stream=stream)
        expect(answer.finish_reasons == [reason], f"stream={stream}: {answer.finish_reasons}")


@check(
    "from_engine",
    "tool_calls",
    "Tool calls come back whole; one without arguments has `{}`.",
    "工具调用完整返回；无参数时 arguments 为 `{}`。",
    _SOURCE,
    only="openai",
    row="tool_stream",
)
async def _tool_calls(subject: Subject) -> None:
    body = await _reply(subject, _CALLS, tools=[WEATHER, NOW])
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in body.message["tool_calls"]]
    expect(
        calls == [("get_weather", '{"city": "北京"}'), ("now", "{}")], f"a whole answer has {shown(calls)}"
    )
    answer = await _reply(subject, _CALLS, tools=[WEATHER, NOW], stream=True)
    found = [call for delta in answer.deltas for call in delta.get("tool_calls") or ()]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in found]
    expect(calls == [("get_weather", '{"city": "北京"}'), ("now", "{}")], f"a stream has {shown(calls)}")


@check(
    "from_engine",
    "tool_stream",
    "With tool_stream the arguments come in more than one fragment, as the engine sends them.",
    "开启 tool_stream 时 arguments 分片返回。",
    "api.md §3.6",
    row="tool_stream",
)
async def _tool_stream(subject: Subject) -> None:
    reply = Reply(
        content=(), calls=(("get_weather", ('{"city"', ': "北', '京"}')),), finish_reason="tool_calls"
    )
    answer = await _reply(subject, reply, tools=[WEATHER], stream=True, tool_stream=True)
    found = [
        call["function"]["arguments"] for delta in answer.deltas for call in delta.get("tool_calls") or ()
    ]
    expect("".join(found) == '{"city": "北京"}', f"the fragments are {shown(found)}")
    expect(len([text for text in found if text]) > 1, f"the fragments are {shown(found)}")


CHECKS = (
    *(
        _survives(name, "stream_fields" if name in {"web_search", "content_filter"} else "fields")
        for name in _MORE
    ),
    *(_whole_answer, _each_event, _reasoning, _usage, _no_engine_fields, _stream_usage, _sensitive),
    *(_other_finish_reasons, _tool_calls, _tool_stream),
)
