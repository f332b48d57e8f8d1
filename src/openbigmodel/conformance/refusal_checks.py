"""What is wrong in a request is refused with 400, the right code, and the name of the field (api.md §3.2)."""

from typing import Any

from openbigmodel.conformance.checks import Check, check, expect, shown
from openbigmodel.conformance.subject import ABSENT, TEXT, Answer, Subject, encode

_ILLEGAL = ("1214",)
# bigmodel.cn gives both, and not always the same one.
_TYPE = ("1214", "1210")
_QUESTION: dict[str, Any] = {"role": "user", "content": TEXT}

# Name, what the request has, the codes that will do, the field that the message names, required.
_CASES: tuple[tuple[str, dict[str, Any], tuple[str, ...], str, bool], ...] = (
    ("messages_missing", {"messages": ABSENT}, ("1213",), "messages", True),
    ("model_missing", {"model": ABSENT}, ("1213", "1214"), "model", True),
    ("messages_empty", {"messages": []}, ("1213", "1214"), "messages", True),
    ("messages_type", {"messages": "你好"}, _TYPE, "messages", True),
    ("only_system", {"messages": [{"role": "system", "content": "你好"}]}, _ILLEGAL, "messages", True),
    ("role_unknown", {"messages": [{"role": "robot", "content": "你好"}]}, _TYPE, "messages", True),
    (
        "content_missing",
        {"messages": [_QUESTION, {"role": "user"}]},
        ("1213", "1214"),
        "messages[1]",
        False,
    ),
    (
        "content_type",
        {"messages": [{"role": "user", "content": [{"type": "smell", "smell": "?"}]}]},
        _TYPE,
        "content",
        True,
    ),
    ("stream_type", {"stream": "maybe"}, _TYPE, "stream", True),
    ("temperature_type", {"temperature": "hot"}, _TYPE, "temperature", True),
    ("temperature_range", {"temperature": 7}, _TYPE, "temperature", True),
    ("top_p_range", {"top_p": 3}, _TYPE, "top_p", True),
    ("max_tokens_type", {"max_tokens": "many"}, _TYPE, "max_tokens", True),
    ("max_tokens_range", {"max_tokens": 100_000_000}, _TYPE, "max_tokens", True),
    ("tools_type", {"tools": "all"}, _TYPE, "tools", True),
    ("tool_without_type", {"tools": [{"function": {"name": "f"}}]}, ("1213", "1214"), "tools", False),
    ("thinking_type", {"thinking": {"type": "perhaps"}}, _TYPE, "thinking", False),
    ("response_format_type", {"response_format": {"type": "xml"}}, _TYPE, "response_format", False),
)


def _refused(answer: Answer, codes: tuple[str, ...], field: str) -> None:
    code, message = answer.error.get("code"), answer.error.get("message")
    expect(answer.status == 400, f"{answer.status} {shown(answer.body)}")
    expect(code in codes, f"code {code!r}, where {' or '.join(codes)} belongs: {shown(answer.body)}")
    expect(isinstance(message, str) and field in message, f"{field} is not named: {shown(message)}")


def _case(name: str, fields: dict[str, Any], codes: tuple[str, ...], field: str, required: bool) -> Check:
    async def run(subject: Subject) -> None:
        _refused(await subject.chat(**{"max_tokens": 16, **fields}), codes, field)

    words = name.replace("_", " ")
    return check(
        "refusals",
        name,
        f"{words}: 400 with code {' or '.join(codes)}, and `{field}` in the message.",
        f"{words}：返回 400、错误码 {' 或 '.join(codes)}，消息中写明 `{field}`。",
        "api.md §3.2",
        required=required,
    )(run)


def _broken(name: str, body: bytes) -> Check:
    async def run(subject: Subject) -> None:
        answer = await subject.post(body)
        expect(answer.status == 400, f"{answer.status} {shown(answer.body)}")
        expect(answer.error.get("code") in _TYPE, f"no code 1210 or 1214: {shown(answer.body)}")

    return check(
        "refusals",
        name,
        f"A body that is {name.replace('_', ' ')}: 400 with code 1210 or 1214.",
        f"请求体为 {name}：返回 400 与错误码 1210 或 1214。",
        "api.md §3.2",
    )(run)


@check(
    "refusals",
    "before_a_stream",
    "A refused stream is an HTTP error, not a stream with an error in it.",
    "流式请求被拒绝时返回 HTTP 错误，而不是 200 后在流中报错。",
    "api.md §3.6",
)
async def _before_a_stream(subject: Subject) -> None:
    answer = await subject.chat(stream=True, temperature=7, max_tokens=16)
    _refused(answer, _TYPE, "temperature")
    expect("json" in answer.header("content-type"), f"content-type {answer.header('content-type')!r}")


CHECKS = (
    *(_case(*row) for row in _CASES),
    _broken("no_json", b'{"model": "'),
    _broken("no_object", encode([1, 2])),
    _before_a_stream,
)
