"""What reaches the engine: a GLM upstream gets all of it as it came, any other gets it translated and nothing else.

Rule: a field of GLM's that an engine of another kind is sent by its GLM name is a leak: strict ones refuse it.
"""

import base64
from collections.abc import Callable
from typing import Any

from openbigmodel.conformance.checks import Check, Skipped, check, expect, shown
from openbigmodel.conformance.engine_shapes import Reply, Upstream
from openbigmodel.conformance.subject import ABSENT, WEATHER, Answer, Subject

_SOURCE = "api.md §3.1"
# What OpenAI's protocol does not have.
_GLM_ONLY = frozenset(
    (
        *(
            "thinking",
            "do_sample",
            "request_id",
            "user_id",
            "meta",
            "sensitive_word_check",
            "watermark_enabled",
        ),
        *("tool_stream", "extra"),
    )
)
_META = {"user_info": "u", "bot_info": "b", "bot_name": "n", "user_name": "m"}
_PLATFORM_TOOLS: dict[str, dict[str, Any]] = {
    "web_search": {"type": "web_search", "web_search": {"enable": True, "search_engine": "search_std"}},
    "retrieval": {"type": "retrieval", "retrieval": {"knowledge_id": "1"}},
    "code_interpreter": {"type": "code_interpreter", "code_interpreter": {"sandbox": "auto"}},
    "mcp": {"type": "mcp", "mcp": {"server_label": "s", "server_url": "https://mcp.invalid/sse"}},
}
_PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABXvMqOgAAAABJRU5ErkJggg=="
_NOTE = "conformance: the colour is teal"
_REPLY = Reply(content=("ok",))

# What is to be true of the body that the engine got, after the request had these fields.
_Seen = Callable[[dict[str, Any]], bool]


def _upstream(subject: Subject) -> Upstream:
    assert subject.upstream is not None
    return subject.upstream


async def _sent(subject: Subject, **fields: Any) -> tuple[Answer, dict[str, Any]]:
    """Ask with these fields: what came back, and the body that the engine got. Raises Failed."""
    answer, asked = await subject.through(_upstream(subject).says(_REPLY), **fields)
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    expect(asked, "the engine was not asked")
    return answer, asked[0].json


def _passes(name: str, value: Any, row: str, source: str = _SOURCE) -> Check:
    """A field that a GLM upstream gets as it came."""

    async def run(subject: Subject) -> None:
        _, body = await _sent(subject, **{name: value})
        expect(body.get(name) == value, f"the engine got {name}={shown(body.get(name, 'nothing'))}")

    return check(
        "to_engine",
        name,
        f"`{name}` reaches the upstream as it came.",
        f"`{name}` 原样到达上游。",
        source,
        only="glm",
        row=row,
    )(run)


def _becomes(
    name: str, value: Any, row: str, seen: _Seen, what: str, what_zh: str, source: str = _SOURCE
) -> Check:
    """A field that another engine gets in its own words."""

    async def run(subject: Subject) -> None:
        if name == "thinking" and subject.always_thinks:
            raise Skipped("this model always thinks")
        _, body = await _sent(subject, **{name: value})
        expect(name not in _GLM_ONLY or name not in body, f"the engine got {name}={shown(body.get(name))}")
        expect(seen(body), f"the engine got {shown(body, 400)}")

    return check(
        "to_engine",
        f"{name}_translated",
        f"`{name}`: {what}.",
        f"`{name}`：{what_zh}。",
        source,
        only="openai",
        row=row,
    )(run)


def _arguments(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("chat_template_kwargs")
    return given if isinstance(given, dict) else {}


def _told_not_to_think(body: dict[str, Any]) -> bool:
    said = (_arguments(body).get("enable_thinking"), body.get("enable_thinking"))
    return False in said or body.get("reasoning_effort") == "none"


def _told_effort(body: dict[str, Any]) -> bool:
    return bool(_arguments(body).get("reasoning_effort") or body.get("reasoning_effort"))


@check(
    "to_engine",
    "reasoning_effort_translated",
    "`reasoning_effort` reaches the engine, by itself or among the template's arguments.",
    "`reasoning_effort` 到达引擎（直接或经由模板参数）。",
    "api.md §3.5",
    only="openai",
    row="reasoning_effort",
)
async def _effort(subject: Subject) -> None:
    if not subject.model.lower().startswith(("glm-5.2", "glm-5.3")):
        raise Skipped("this model ignores it")
    _, body = await _sent(subject, reasoning_effort="high", thinking={"type": "enabled"})
    expect(_told_effort(body), f"the engine got {shown(body, 400)}")


@check(
    "to_engine",
    "no_leaks",
    "No field that only GLM has, and none that nobody has heard of, reaches the engine.",
    "GLM 专有字段与未知字段都不会到达引擎。",
    _SOURCE,
    only="openai",
    row="identity",
)
async def _no_leaks(subject: Subject) -> None:
    fields: dict[str, Any] = {
        "do_sample": False,
        "request_id": f"conformance-{subject.new_mark()}",
        "user_id": "conformance-user",
        "meta": _META,
        "sensitive_word_check": {"type": "ALL", "status": "ENABLE"},
        "watermark_enabled": True,
        "tool_stream": True,
        "stream": True,
        "unheard_of": {"a": 1},
    }
    _, body = await _sent(subject, **fields)
    leaked = body.keys() & (_GLM_ONLY | {"unheard_of"})
    expect(not leaked, f"the engine got {', '.join(sorted(leaked))}")


@check(
    "to_engine",
    "unknown_fields",
    "Fields that nobody has heard of, and whole numbers beyond 2^53, reach the upstream as they came.",
    "未知字段与大于 2^53 的整数原样到达上游。",
    _SOURCE,
    only="glm",
    row="identity",
)
async def _unknown_fields(subject: Subject) -> None:
    unheard_of = {"exact": 2**60 + 1, "deep": [[{}]], "text": "\u2028"}
    _, body = await _sent(subject, unheard_of=unheard_of)
    expect(
        body.get("unheard_of") == unheard_of, f"the upstream got {shown(body.get('unheard_of', 'nothing'))}"
    )


@check(
    "to_engine",
    "nothing_added",
    "The upstream gets the caller's fields and no other.",
    "上游只收到调用方的字段，没有添加。",
    _SOURCE,
    only="glm",
    row="stream_usage",
)
async def _nothing_added(subject: Subject) -> None:
    given = subject.request(stream=True)
    _, body = await _sent(subject, stream=True)
    more = body.keys() - given.keys()
    expect(not more, f"added: {', '.join(sorted(more))}")


@check(
    "to_engine",
    "platform_tools",
    "web_search, retrieval, code_interpreter and mcp reach the upstream as they came.",
    "web_search、retrieval、code_interpreter、mcp 原样到达上游。",
    "api.md §3.4",
    only="glm",
    row="platform_tools",
)
async def _platform_tools(subject: Subject) -> None:
    for name, tool in _PLATFORM_TOOLS.items():
        _, body = await _sent(subject, tools=[tool])
        expect(body.get("tools") == [tool], f"{name}: the upstream got {shown(body.get('tools', 'nothing'))}")


@check(
    "to_engine",
    "platform_tools_kept",
    "Tools that the platform runs are not sent to the engine; functions in the same list are.",
    "平台工具不发给引擎，同一列表中的函数照常发送。",
    "api.md §3.4",
    only="openai",
    row="platform_tools",
)
async def _platform_tools_kept(subject: Subject) -> None:
    for name, tool in _PLATFORM_TOOLS.items():
        _, body = await _sent(subject, tools=[tool, WEATHER])
        kinds = [given.get("type") for given in body.get("tools") or ()]
        expect(kinds == ["function"], f"with {name} the engine got {shown(kinds)}")
        _, body = await _sent(subject, tools=[tool])
        expect(not body.get("tools"), f"with {name} alone the engine got {shown(body.get('tools'))}")


@check(
    "to_engine",
    "response_format_json",
    "`response_format` with json_object reaches the engine.",
    "`response_format` 的 json_object 到达引擎。",
    _SOURCE,
    row="response_format",
)
async def _response_format(subject: Subject) -> None:
    reply = Reply(content=("{}",))
    answer, asked = await subject.through(
        _upstream(subject).says(reply), response_format={"type": "json_object"}
    )
    expect(answer.status == 200 and asked, f"{answer.status} {shown(answer.body)}")
    given = asked[0].json.get("response_format")
    expect(given == {"type": "json_object"}, f"the engine got {shown(given)}")


@check(
    "to_engine",
    "history_reasoning",
    "`reasoning_content` of earlier turns reaches the engine, under the name that it reads.",
    "历史轮次的 `reasoning_content` 以引擎可读的名字到达。",
    "api.md §3.5",
    row="history_reasoning",
)
async def _history_reasoning(subject: Subject) -> None:
    upstream = _upstream(subject)
    question = {"role": "user", "content": subject.scripted(upstream.says(_REPLY))}
    earlier = {"role": "assistant", "content": "4", "reasoning_content": "二加二等于四"}
    answer = await subject.chat(
        messages=[{"role": "user", "content": "2+2=?"}, earlier, question],
        thinking=ABSENT if subject.always_thinks else {"type": "enabled", "clear_thinking": False},
    )
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    asked = subject.asked(str(question["content"]))
    expect(asked, "the engine was not asked")
    turn = asked[0].json["messages"][1]
    names = ("reasoning_content",) if upstream.kind == "glm" else ("reasoning_content", "reasoning")
    found = [turn.get(name) for name in names]
    expect("二加二等于四" in found, f"the engine got {shown(turn)}")


async def _with_parts(subject: Subject, *parts: dict[str, Any]) -> list[Any]:
    """Ask the media model with these parts: the content that the engine got."""
    text = subject.scripted(_upstream(subject).says(_REPLY))
    content = [*parts, {"type": "text", "text": text}]
    answer = await subject.chat(
        model=subject.media_model, messages=[{"role": "user", "content": content}], max_tokens=16
    )
    code = answer.error.get("code")
    if code in {"1210", "1214"} and subject.media_model == subject.model:
        raise Skipped(f"the model takes no such content; name one that does with --media-model ({code})")
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")
    asked = subject.asked(text)
    expect(asked, "the engine was not asked")
    got = asked[0].json["messages"][0]["content"]
    return got if isinstance(got, list) else [{"type": "text", "text": got}]


@check(
    "to_engine",
    "media",
    "Parts with image_url, video_url, file and file_url reach the upstream as they came, its URLs unfetched.",
    "image_url、video_url、file、file_url 原样到达上游，URL 不由网关下载。",
    _SOURCE,
    only="glm",
    row="files",
)
async def _media(subject: Subject) -> None:
    url = "https://media.invalid/a"
    for part in (
        {"type": "image_url", "image_url": {"url": f"{url}.png"}},
        {"type": "image_url", "image_url": {"url": _PICTURE}},
        {"type": "video_url", "video_url": {"url": f"{url}.mp4"}},
        {"type": "file", "file": {"file_url": f"{url}.pdf"}},
        {"type": "file_url", "file_url": {"url": f"{url}.pdf"}},
    ):
        got = await _with_parts(subject, part)
        expect(part in got, f"the upstream got {shown(got)}")


@check(
    "to_engine",
    "picture",
    "A picture reaches the engine as a data URL.",
    "图片以 data URL 到达引擎。",
    _SOURCE,
    only="openai",
    row="files",
)
async def _picture(subject: Subject) -> None:
    for given in (_PICTURE, _PICTURE.partition(",")[2]):
        got = await _with_parts(subject, {"type": "image_url", "image_url": {"url": given}})
        urls = [
            str((part.get("image_url") or {}).get("url")) for part in got if part.get("type") == "image_url"
        ]
        expect(urls and urls[0].startswith("data:image/"), f"the engine got {shown(got)}")


@check(
    "to_engine",
    "file",
    "The text of a `file` part reaches the engine as text.",
    "`file` 内容以文本形式到达引擎。",
    _SOURCE,
    only="openai",
    row="files",
)
async def _file(subject: Subject) -> None:
    data = "data:text/plain;base64," + base64.b64encode(_NOTE.encode()).decode()
    got = await _with_parts(subject, {"type": "file", "file": {"file_data": data, "filename": "note.txt"}})
    texts = [str(part.get("text")) for part in got if part.get("type") == "text"]
    expect(any(_NOTE in text for text in texts), f"the engine got {shown(got)}")
    expect(all(part.get("type") == "text" for part in got), f"the engine got {shown(got)}")


CHECKS = (
    _passes("thinking", {"type": "enabled", "clear_thinking": False}, "thinking", "api.md §3.5"),
    _becomes(
        "thinking",
        {"type": "disabled"},
        "thinking",
        _told_not_to_think,
        "disabled tells the engine not to think",
        "disabled 时告知引擎不思考",
        "api.md §3.5",
    ),
    _passes("reasoning_effort", "high", "reasoning_effort", "api.md §3.5"),
    _effort,
    *(
        _passes(name, value, "identity")
        for name, value in (
            ("do_sample", False),
            ("user_id", "conformance-user"),
            ("meta", _META),
            ("sensitive_word_check", {"type": "ALL", "status": "ENABLE"}),
            ("watermark_enabled", True),
        )
    ),
    _passes("request_id", "conformance-request-id", "identity"),
    _becomes(
        "do_sample",
        False,
        "identity",
        lambda body: body.get("temperature") == 0,
        "false means temperature 0",
        "false 即 temperature 为 0",
    ),
    _no_leaks,
    _unknown_fields,
    _nothing_added,
    _passes("tool_stream", True, "tool_stream"),
    _platform_tools,
    _platform_tools_kept,
    _response_format,
    _history_reasoning,
    _media,
    _picture,
    _file,
)
