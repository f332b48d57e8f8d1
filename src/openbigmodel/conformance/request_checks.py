"""What a request may contain: each documented field, nulls, and fields that nobody has heard of, are no error.

Rule: one field a check, so that the table names it. What a field does is another file's business.
"""

from typing import Any

from openbigmodel.conformance.checks import Check, check, expect, shown
from openbigmodel.conformance.subject import ABSENT, CALL, WEATHER, Subject

_TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "你是一个助手。"},
    {"role": "user", "content": CALL},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "需要查询天气。",
        "tool_calls": [
            {
                "id": "call_-7263702910662343394",
                "index": 0,
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "北京"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_-7263702910662343394", "content": "晴，25度"},
]
_SEARCH = {
    "type": "web_search",
    "web_search": {"enable": True, "search_engine": "search_std", "search_result": True},
}
_RETRIEVAL = {
    "type": "retrieval",
    "retrieval": {"knowledge_id": "1", "prompt_template": "{{knowledge}} {{question}}"},
}
_MCP = {
    "type": "mcp",
    "mcp": {"server_label": "none", "server_url": "https://mcp.invalid/sse", "transport_type": "sse"},
}
_NAMED = {"type": "function", "function": {"name": "get_weather"}}
_NULLS = dict.fromkeys(
    (
        *(
            "request_id",
            "user_id",
            "do_sample",
            "stream",
            "temperature",
            "top_p",
            "max_tokens",
            "seed",
            "stop",
        ),
        *("sensitive_word_check", "tools", "tool_choice", "meta", "extra", "response_format", "thinking"),
        *("watermark_enabled", "tool_stream", "reasoning_effort", "stream_options"),
    )
)
_UNKNOWN = {
    "store": True,
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "logprobs": False,
    "n": 1,
    "presence_penalty": 0.0,
    "unheard_of": {"deep": [[{}]], "big": 2**63, "text": "\u2028"},
}
_FIELDS_SOURCE = "api.md §3.1"

# Name, what the request has, required, source.
_FIELDS: tuple[tuple[str, dict[str, Any], bool, str], ...] = (
    ("thinking", {"thinking": {"type": "enabled", "clear_thinking": True}}, True, "api.md §3.5"),
    ("reasoning_effort", {"reasoning_effort": "high"}, True, "api.md §3.5"),
    ("do_sample", {"do_sample": False}, True, _FIELDS_SOURCE),
    ("temperature", {"temperature": 0.6}, True, _FIELDS_SOURCE),
    ("top_p", {"top_p": 0.7}, True, _FIELDS_SOURCE),
    ("max_tokens", {"max_tokens": 16}, True, _FIELDS_SOURCE),
    ("max_completion_tokens", {"max_tokens": ABSENT, "max_completion_tokens": 16}, False, _FIELDS_SOURCE),
    ("stop", {"stop": ["\n\n\n"]}, True, _FIELDS_SOURCE),
    ("stop_text", {"stop": "\n\n\n"}, True, _FIELDS_SOURCE),
    ("tools_function", {"tools": [WEATHER], "tool_choice": "auto"}, True, "api.md §3.4"),
    ("tools_web_search", {"tools": [_SEARCH]}, True, "api.md §3.4"),
    ("tools_retrieval", {"tools": [_RETRIEVAL]}, False, "api.md §3.4"),
    ("tools_mcp", {"tools": [_MCP]}, False, "api.md §3.4"),
    ("tools_mixed", {"tools": [WEATHER, _SEARCH]}, True, "api.md §3.4"),
    ("tool_choice_none", {"tools": [WEATHER], "tool_choice": "none"}, True, "api.md §14"),
    ("tool_choice_required", {"tools": [WEATHER], "tool_choice": "required"}, False, "api.md §14"),
    ("tool_choice_named", {"tools": [WEATHER], "tool_choice": _NAMED}, False, "api.md §14"),
    ("tool_stream", {"tools": [WEATHER], "tool_stream": True, "stream": True}, True, _FIELDS_SOURCE),
    ("response_format_text", {"response_format": {"type": "text"}}, True, _FIELDS_SOURCE),
    ("response_format_json", {"response_format": {"type": "json_object"}}, True, _FIELDS_SOURCE),
    (
        "response_format_schema",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": "object"}},
            }
        },
        True,
        "api.md §14",
    ),
    ("user_id", {"user_id": "conformance-user"}, True, _FIELDS_SOURCE),
    ("seed", {"seed": 7}, True, _FIELDS_SOURCE),
    (
        "meta",
        {"meta": {"user_info": "u", "bot_info": "b", "bot_name": "n", "user_name": "m"}},
        True,
        _FIELDS_SOURCE,
    ),
    (
        "sensitive_word_check",
        {"sensitive_word_check": {"type": "ALL", "status": "ENABLE"}},
        True,
        _FIELDS_SOURCE,
    ),
    ("watermark_enabled", {"watermark_enabled": True}, True, _FIELDS_SOURCE),
    ("stream_options", {"stream": True, "stream_options": {"include_usage": True}}, True, _FIELDS_SOURCE),
    ("history", {"messages": _TURNS, "tools": [WEATHER]}, True, _FIELDS_SOURCE),
    (
        "text_parts",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "打个招呼"}]}]},
        True,
        _FIELDS_SOURCE,
    ),
    ("nulls", _NULLS, True, _FIELDS_SOURCE),
    ("unknown_fields", _UNKNOWN, True, _FIELDS_SOURCE),
)


def _accepted(name: str, fields: dict[str, Any], required: bool, source: str) -> Check:
    async def run(subject: Subject) -> None:
        answer = await subject.chat(**{"max_tokens": 16, **fields})
        expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")

    return check("requests", name, f"`{name}` is accepted.", f"接受 `{name}`。", source, required=required)(
        run
    )


@check(
    "requests",
    "request_id_number",
    "A number as `request_id`, as the SDK's own tests send it, is accepted.",
    "接受数字形式的 `request_id`（官方 SDK 的测试即如此发送）。",
    "api.md §3.1",
)
async def _request_id_number(subject: Subject) -> None:
    answer = await subject.chat(max_tokens=16, request_id=subject.now_ms() / 1000)
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")


@check(
    "requests",
    "model_case",
    "A model is known in any letter case.",
    "模型名不区分大小写。",
    "api.md §3.1",
    required=False,
)
async def _model_case(subject: Subject) -> None:
    answer = await subject.chat(max_tokens=16, model=subject.model.swapcase())
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")


CHECKS = (*(_accepted(*row) for row in _FIELDS), _request_id_number, _model_case)
