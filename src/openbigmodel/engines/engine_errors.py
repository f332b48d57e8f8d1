"""An engine's HTTP error in GLM's codes: whose fault it was decides.

A caller's mistake is theirs to mend and is told in the engine's words; a wrong credential, path or model name
towards an engine is the operator's, so the caller only learns that it failed (1234).
"""

import re

import msgspec

from openbigmodel.errors import ApiError

_CONTEXT_LENGTH = re.compile(
    r"context (?:length|size|window)|maximum context|exceed_context_size|too long|longer than the maximum", re.IGNORECASE
)
_KIND = re.compile(r"[A-Za-z0-9_]{1,60}")
_CALLERS_FAULT = frozenset((400, 413, 422))
_MAX_TEXT_CHARACTERS = 300


def error_of_engine(status: int, body: bytes, error_id: str) -> ApiError:
    """The error for the caller. `error_id` is what an operator finds in the log."""
    if status in _CALLERS_FAULT:
        text = _text_of(body)
        if _CONTEXT_LENGTH.search(text):
            return ApiError("1261")
        return ApiError(
            "1210", detail_zh=f"API 调用参数有误：{text}", detail_en=f"Invalid API parameter: {text}"
        )
    if status == 429:
        return ApiError("1305")
    return ApiError("1234", error_id=error_id)


def kind_of_error(error: object) -> str:
    """What an engine calls its error, for the log: its type or code, never its message, which quotes prompts."""
    if isinstance(error, dict):
        error = error.get("type") or error.get("code")
    return error if isinstance(error, str) and _KIND.fullmatch(error) else "no type"


def kind_of_body(body: bytes) -> str:
    """The same for a whole error body."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "no JSON"
    return kind_of_error(decoded.get("error", decoded) if isinstance(decoded, dict) else None)


def _text_of(body: bytes) -> str:
    """The message in an engine's error body, whichever of the usual shapes it has."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    if not isinstance(decoded, dict):
        return ""
    error = decoded.get("error", decoded)
    if isinstance(error, dict):
        error = f"{error.get('message') or error.get('detail') or ''} {error.get('type') or ''}"
    return str(error).strip()[:_MAX_TEXT_CHARACTERS]
