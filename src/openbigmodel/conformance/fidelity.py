"""The rows of the wire-fidelity table: what gateways are known to lose, and which checks speak for each.

Rule: a row holds only if all its checks passed. What no check of the run judged has no sign at all.
"""

from collections.abc import Mapping

from openbigmodel.conformance.suite import Report

# Row, as checks name it, and what it says in both languages.
ROWS: Mapping[str, tuple[str, str]] = {
    "thinking": ("`thinking{type, clear_thinking}`", "`thinking{type, clear_thinking}`"),
    "reasoning_effort": ("`reasoning_effort`", "`reasoning_effort`"),
    "identity": (
        "`do_sample`, `request_id`, `user_id`, `meta`, `sensitive_word_check`, `watermark_enabled`, unknown fields",
        "`do_sample`、`request_id`、`user_id`、`meta`、`sensitive_word_check`、`watermark_enabled`、未知字段",
    ),
    "tool_stream": ("`tool_stream`", "`tool_stream`"),
    "platform_tools": (
        "tools `web_search`, `retrieval`, `code_interpreter`, `mcp`",
        "工具 `web_search`、`retrieval`、`code_interpreter`、`mcp`",
    ),
    "response_format": ("`response_format`", "`response_format`"),
    "history_reasoning": ("`reasoning_content` of earlier turns", "历史轮次的 `reasoning_content`"),
    "files": ("content parts: pictures, videos, files", "图片、视频、文件内容"),
    "fields": (
        "answer: `reasoning_content`, `request_id`, `cached_tokens`, `web_search`, `content_filter`, `video_result`",
        "响应：`reasoning_content`、`request_id`、`cached_tokens`、`web_search`、`content_filter`、`video_result`",
    ),
    "stream_usage": (
        "stream: usage on the last chunk without `include_usage`",
        "流：未传 `include_usage` 时最后一个 chunk 仍带 usage",
    ),
    "stream_fields": (
        "stream: top-level `web_search`, `content_filter`",
        "流：顶层 `web_search`、`content_filter`",
    ),
    "sensitive": ('`finish_reason: "sensitive"`', '`finish_reason: "sensitive"`'),
    "codes": ("error codes 1113, 1301, 1302, 1305, 1308 …", "错误码 1113、1301、1302、1305、1308 等"),
    "retry_after": ("`Retry-After` of the engine", "引擎的 `Retry-After`"),
    "jwt": ("JWT as the credential", "以 JWT 为凭证"),
    "disconnect": (
        "a client that leaves: the engine stops within a second",
        "客户端断开后，引擎一秒内停止",
    ),
    "upstream_dies": (
        "an engine that dies: `network_error`, usage, `[DONE]`",
        "引擎中断：`network_error`、usage、`[DONE]`",
    ),
    "two_429": ("two callers who get 429 block nobody", "两个调用方收到 429，不影响他人"),
    "streams": ("streams event by event", "逐事件流式返回"),
}

# Rows that mean nothing in front of engines of one kind, and why. Anywhere else a – is a row that lost its checks.
WITHOUT_MEANING: Mapping[tuple[str, str], tuple[str, str]] = {
    ("stream_fields", "openai"): (
        "what bigmodel.cn's own search and review found; an engine of kind `openai` has neither",
        "bigmodel.cn 自有搜索与审核的结果，`openai` 类引擎没有",
    ),
}
# A real model says nothing on demand. What of the rows shows from outside is judged by these checks of any run.
FROM_OUTSIDE: Mapping[str, tuple[str, ...]] = {
    "thinking": ("answers.no_reasoning",),
    "fields": ("answers.reasoning", "answers.request_id"),
    "stream_usage": ("streams.usage_last",),
    "tool_stream": ("streams.call_fragments",),
    "disconnect": ("disconnect.in_a_stream", "disconnect.before_the_answer"),
    "jwt": ("auth.jwt",),
}


def verdicts_due(kind: str) -> dict[str, str]:
    """What each row has to say of a gateway that loses nothing, in front of engines of this kind."""
    return {row: "–" if (row, kind) in WITHOUT_MEANING else "✓" for row in ROWS}


def verdict_of(report: Report, row: str) -> str:
    """✓ if all checks of the row passed, ✗ if one failed, and – if none of them judged anything."""
    verdicts = {outcome.verdict for outcome in report.outcomes if outcome.check.row == row}
    if "failed" in verdicts:
        return "✗"
    return "✓" if "passed" in verdicts else "–"
