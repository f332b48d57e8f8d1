"""Whole answers: which keys, of which types, with which ids and counts (api.md §1.1, §3.3)."""

import re
from typing import Any

from openbigmodel.conformance.checks import Skipped, check, expect, shown
from openbigmodel.conformance.counts import count_problems
from openbigmodel.conformance.subject import CALL, NOW, TEXT, WEATHER, Answer, Subject
from openbigmodel.conformance.tool_calls import call_problems

FINISH_REASONS = frozenset(
    ("stop", "tool_calls", "length", "sensitive", "network_error", "model_context_window_exceeded")
)
# What only engines say; a GLM client has never seen it.
ENGINE_FIELDS = frozenset(
    (
        *("system_fingerprint", "service_tier", "prompt_logprobs", "prompt_token_ids", "kv_transfer_params"),
        *("logprobs", "stop_reason", "matched_stop", "token_ids", "timings", "metadata", "refusal"),
        *("annotations", "function_call", "reasoning", "provider", "native_finish_reason"),
    )
)
_KEYS = ("choices", "created", "id", "model", "object", "request_id", "usage")
_MESSAGE_KEYS = frozenset(("role", "content", "reasoning_content", "tool_calls", "audio"))
_ID = re.compile(r"\d{14}[0-9a-f]{16}")
_CLOCK_S = 600
# An engine that lets a model say anything before its call goes on up to this.
_FORCED_TOKENS = 128
_THINK = re.compile(r"</?think>")


async def plain_answer(subject: Subject) -> Answer:
    """The answer to a plain question. Raises Failed."""
    answer = await subject.sample("answer")
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    expect(isinstance(answer.json, dict), f"no JSON object: {shown(answer.body)}")
    return answer


def engine_fields(value: Any) -> set[str]:
    """Names in an answer that only engines use, at any depth but in arguments."""
    if isinstance(value, list):
        return set().union(*map(engine_fields, value))
    if isinstance(value, dict):
        return set(ENGINE_FIELDS & value.keys()).union(*map(engine_fields, value.values()))
    return set()


@check(
    "answers",
    "content_type",
    "A whole answer is application/json.",
    "非流式响应为 application/json。",
    "api.md §1",
)
async def _content_type(subject: Subject) -> None:
    given = (await plain_answer(subject)).header("content-type")
    expect(given.lower().startswith("application/json"), f"content-type {given!r}")


@check(
    "answers",
    "keys",
    "choices, created, id, model, object, request_id and usage are there.",
    "包含 choices、created、id、model、object、request_id、usage。",
    "api.md §3.3",
)
async def _keys(subject: Subject) -> None:
    body = (await plain_answer(subject)).json
    missing = [name for name in _KEYS if body.get(name) is None]
    expect(not missing, f"missing: {', '.join(missing)}")
    expect(body["object"] == "chat.completion", f"object is {body['object']!r}")


@check(
    "answers",
    "no_engine_fields",
    "Fields that only engines know do not appear, not even as null.",
    "不出现引擎专有字段，null 也不行。",
    "api.md §3.3",
)
async def _no_engine_fields(subject: Subject) -> None:
    found = engine_fields((await plain_answer(subject)).json)
    expect(not found, f"there are {', '.join(sorted(found))}")


@check(
    "answers",
    "key_order",
    "Keys are in alphabetical order.",
    "键按字母顺序排列。",
    "api.md §1.1",
    required=False,
)
async def _key_order(subject: Subject) -> None:
    keys = list((await plain_answer(subject)).json)
    expect(keys == sorted(keys), f"the order is {', '.join(keys)}")


@check(
    "answers",
    "id",
    "id is a text, and request_id is the same.",
    "id 为字符串，且与 request_id 相同。",
    "api.md §1.1",
)
async def _id(subject: Subject) -> None:
    body = (await plain_answer(subject)).json
    expect(isinstance(body.get("id"), str) and body["id"], f"id is {body.get('id')!r}")
    expect(
        body.get("request_id") == body["id"], f"request_id is {body.get('request_id')!r}, id {body['id']!r}"
    )


@check(
    "answers",
    "id_form",
    "id is a time in UTC+8 and 16 hex digits.",
    "id 形如 UTC+8 时间加 16 位十六进制。",
    "api.md §1.1",
    required=False,
)
async def _id_form(subject: Subject) -> None:
    given = (await plain_answer(subject)).json.get("id")
    expect(_ID.fullmatch(str(given)), f"id is {given!r}")


@check(
    "answers",
    "request_id",
    "A request_id of the caller's comes back as it was sent.",
    "调用方传入的 request_id 原样返回。",
    "api.md §1.1",
)
async def _request_id(subject: Subject) -> None:
    sent = f"conformance-{subject.new_mark()}"
    answer = await subject.chat(max_tokens=16, request_id=sent)
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    expect(answer.json.get("request_id") == sent, f"request_id is {answer.json.get('request_id')!r}")


@check("answers", "created", "created is the time in Unix seconds.", "created 为 Unix 秒。", "api.md §1.1")
async def _created(subject: Subject) -> None:
    given = (await plain_answer(subject)).json.get("created")
    expect(type(given) is int, f"created is {given!r}")
    # The engine of the suite tells a time of its own, which a lossless server may pass on.
    if subject.upstream is None:
        expect(abs(given - subject.now_ms() / 1000) < _CLOCK_S, f"created is {given}, far from now")


@check("answers", "model", "model is the id that was asked for.", "model 与请求一致。", "api.md §3.1")
async def _model(subject: Subject) -> None:
    given = (await plain_answer(subject)).json.get("model")
    expect(given == subject.model, f"model is {given!r}")


@check(
    "answers",
    "message",
    "One choice: index 0, role assistant, content a text, no other keys than GLM's.",
    "只有一个 choice：index 为 0、role 为 assistant、content 为字符串，无多余字段。",
    "api.md §3.3",
)
async def _message(subject: Subject) -> None:
    answer = await plain_answer(subject)
    expect(
        len(answer.choices) == 1 and answer.choices[0].get("index") == 0, f"choices: {shown(answer.choices)}"
    )
    message = answer.message
    expect(message.get("role") == "assistant", f"role is {message.get('role')!r}")
    expect(isinstance(message.get("content"), str), f"content is {message.get('content')!r}")
    more = message.keys() - _MESSAGE_KEYS
    expect(not more, f"the message has {', '.join(sorted(more))}")
    nulls = [name for name, value in message.items() if value is None]
    expect(not nulls, f"null: {', '.join(nulls)}")


@check(
    "answers", "finish_reason", "finish_reason is one of GLM's.", "finish_reason 取 GLM 的值。", "api.md §3.3"
)
async def _finish_reason(subject: Subject) -> None:
    answer = await plain_answer(subject)
    expect(len(answer.finish_reasons) == 1, f"finish reasons: {answer.finish_reasons}")
    expect(answer.finish_reasons[0] in FINISH_REASONS, f"finish_reason is {answer.finish_reasons[0]!r}")


@check(
    "answers",
    "length",
    "An answer that max_tokens cuts off has the finish reason `length`, and no more tokens than that.",
    "被 max_tokens 截断的响应 finish_reason 为 `length`，且不超过该数量。",
    "api.md §3.3",
)
async def _length(subject: Subject) -> None:
    answer = await subject.chat("从一数到一百，每个数字一行。", max_tokens=2)
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    expect(answer.finish_reasons == ["length"], f"finish_reason is {answer.finish_reasons}")
    count = answer.usage.get("completion_tokens")
    expect(isinstance(count, int) and count <= 2, f"{count} completion tokens, max_tokens was 2")


@check(
    "answers",
    "usage",
    "prompt_tokens, completion_tokens and total_tokens are whole numbers that add up.",
    "prompt_tokens、completion_tokens、total_tokens 为整数且相加一致。",
    "api.md §3.3",
)
async def _usage(subject: Subject) -> None:
    problems = count_problems((await plain_answer(subject)).usage)
    expect(not problems, "; ".join(problems))


@check(
    "answers",
    "usage_details",
    "cached_tokens is there.",
    "包含 cached_tokens。",
    "api.md §3.3",
    required=False,
)
async def _usage_details(subject: Subject) -> None:
    usage = (await plain_answer(subject)).usage
    details = usage.get("prompt_tokens_details") or {}
    expect("cached_tokens" in details, f"usage is {shown(usage)}")


@check(
    "answers",
    "reasoning",
    "Reasoning is in reasoning_content, and no part of it in content.",
    "思考内容在 reasoning_content 中，content 中没有。",
    "api.md §3.5",
)
async def _reasoning(subject: Subject) -> None:
    answer = await subject.sample("reasoned", thinking={"type": "enabled"}, do_sample=False, max_tokens=1024)
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    content, reasoning = answer.message.get("content"), answer.message.get("reasoning_content")
    expect(not _THINK.search(str(content)), f"content is {shown(content)}")
    if "reasoning_content" not in answer.message:
        raise Skipped("the model did not reason")
    expect(isinstance(reasoning, str) and reasoning, f"reasoning_content is {reasoning!r}")


@check(
    "answers",
    "no_reasoning",
    "With thinking disabled there is no reasoning_content, not even an empty one.",
    "关闭思考后没有 reasoning_content 字段，空串也不行。",
    "api.md §3.3",
)
async def _no_reasoning(subject: Subject) -> None:
    if subject.always_thinks:
        raise Skipped("this model always thinks")
    message = (await plain_answer(subject)).message
    expect(
        "reasoning_content" not in message, f"reasoning_content is {shown(message.get('reasoning_content'))}"
    )


@check(
    "answers",
    "tool_calls",
    "Each tool call has id, index, type, name, and arguments that are a JSON text; finish_reason is tool_calls.",
    "每个 tool_call 都有 id、index、type、name，arguments 为 JSON 字符串；finish_reason 为 tool_calls。",
    "api.md §3.3",
)
async def _tool_calls(subject: Subject) -> None:
    answer = await subject.sample(
        "called", CALL, tools=[WEATHER], tool_choice="auto", do_sample=False, max_tokens=1024
    )
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    calls = answer.message.get("tool_calls")
    if "tool_calls" not in answer.message:
        raise Skipped("the model called no tool")
    problems = call_problems(calls)
    expect(not problems, "; ".join(problems))
    expect(answer.finish_reasons == ["tool_calls"], f"finish_reason is {answer.finish_reasons}")
    expect(isinstance(answer.message.get("content"), str), f"content is {answer.message.get('content')!r}")


async def _forced(subject: Subject, choice: Any) -> list[Any]:
    """The names of the functions that are called although the question needs none. Raises Failed."""
    answer = await subject.chat(
        TEXT, tools=[WEATHER, NOW], tool_choice=choice, do_sample=False, max_tokens=_FORCED_TOKENS
    )
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    calls = answer.message.get("tool_calls")
    expect(
        isinstance(calls, list) and calls, f"nothing is called; content is {shown(answer.text('content'))}"
    )
    problems = call_problems(calls)
    expect(not problems, "; ".join(problems))
    expect(answer.finish_reasons == ["tool_calls"], f"finish_reason is {answer.finish_reasons}")
    return [call["function"]["name"] for call in calls or ()]


@check(
    "answers",
    "tool_choice_required",
    "With tool_choice `required` a function is called, whatever the question.",
    "tool_choice 为 `required` 时必定调用函数。",
    "api.md §14",
    required=False,
)
async def _tool_choice_required(subject: Subject) -> None:
    await _forced(subject, "required")


@check(
    "answers",
    "tool_choice_named",
    "With a function named in tool_choice that one is called, and no other.",
    "tool_choice 指定函数时调用该函数，且只调用它。",
    "api.md §14",
    required=False,
)
async def _tool_choice_named(subject: Subject) -> None:
    wanted = NOW["function"]["name"]
    names = await _forced(subject, {"type": "function", "function": {"name": wanted}})
    expect(set(names) == {wanted}, f"called: {', '.join(map(str, names))}")


@check(
    "answers", "log_id", "The header x-log-id is there.", "有响应头 x-log-id。", "api.md §1", required=False
)
async def _log_id(subject: Subject) -> None:
    expect((await plain_answer(subject)).header("x-log-id"), "there is none")


CHECKS = (
    *(_content_type, _keys, _no_engine_fields, _key_order, _id, _id_form, _request_id, _created, _model),
    *(
        _message,
        _finish_reason,
        _length,
        _usage,
        _usage_details,
        _reasoning,
        _no_reasoning,
        _tool_calls,
        _tool_choice_required,
        _tool_choice_named,
        _log_id,
    ),
)
