"""An engine's HTTP error in GLM's codes: whose fault it was decides.

A caller's mistake is theirs to mend and is told in the engine's words; a wrong credential, path or model name
towards an engine is the operator's, so the caller only learns that it failed (1234).
"""

import re

import msgspec

from openbigmodel.errors import ApiError

_CONTEXT_LENGTH = re.compile(
    r"context (?:length|size|window)|maximum context|exceed_context_size|too long|longer than the maximum",
    re.IGNORECASE,
)
_KIND = re.compile(r"[A-Za-z0-9_]{1,60}")
# What another GLM platform says of a request, is true of it here as well.
_CALLERS_CODES = frozenset(("1210", "1214", "1261", "1300", "1301"))
# Its limits on our account: waiting helps.
_WAITING_CODES = frozenset(("1302", "1303", "1305", "1312"))
# Its trouble with our account, and ids it does not know: the caller can do nothing about either.
_OPERATORS_CODES = frozenset(
    (
        "1110",
        "1111",
        "1112",
        "1113",
        "1121",
        "1211",
        "1304",
        "1308",
        "1309",
        "1310",
        "1311",
        "1313",
        "1314",
        "1315",
    )
)
_CALLERS_FAULT = frozenset((400, 413, 422))
_MAX_TEXT_CHARACTERS = 300


def error_of_engine(status: int, body: bytes, error_id: str) -> ApiError:
    """The error for the caller. `error_id` is what an operator finds in the log."""
    code, text = _code_and_text_of(body)
    if code in _CALLERS_CODES:
        # Another GLM platform has already said it in our words.
        if code in ("1210", "1214"):
            return ApiError("1210", detail_zh=text, detail_en=text)
        return ApiError(code)
    if code in _WAITING_CODES:
        return ApiError(code)
    if code in _OPERATORS_CODES:
        return ApiError("1234", error_id=error_id)
    if status in _CALLERS_FAULT:
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


def _code_and_text_of(body: bytes) -> tuple[str, str]:
    """The code, if it is GLM's, and the message in an engine's error body, whichever of the usual shapes it has."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    if not isinstance(decoded, dict):
        return "", ""
    error = decoded.get("error", decoded)
    code = ""
    if isinstance(error, dict):
        # GLM's codes are strings; other engines repeat the HTTP status as a number here.
        code = error["code"] if isinstance(error.get("code"), str) else ""
        error = f"{error.get('message') or error.get('detail') or ''} {error.get('type') or ''}"
    return code, str(error).strip()[:_MAX_TEXT_CHARACTERS]
