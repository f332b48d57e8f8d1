"""Errors in Anthropic's shape, with GLM's code in them as bigmodel.cn has it (api.md §6)."""

from collections.abc import Mapping

import msgspec

from openbigmodel.errors import ApiError, Language, error_headers

OVERLOADED_STATUS = 529
# The model or the platform has too much to do, which Anthropic tells from a caller who asks too much.
_OVERLOADED = frozenset(("1305", "1312"))
# By these words, in this language, Claude Code knows that it has to make the conversation shorter.
_TOO_LONG, _ANTHROPICS_TOO_LONG = "1261", "prompt is too long"
_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    OVERLOADED_STATUS: "overloaded_error",
}


def error_status(error: ApiError) -> int:
    """The HTTP status; overload has one of its own, which clients wait for longer."""
    return OVERLOADED_STATUS if error.code in _OVERLOADED else error.status


def render_error(error: ApiError, language: Language, log_id: str) -> bytes:
    """The body. The message repeats code and id, because that is all that most programs show of it."""
    status = error_status(error)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    text = error.message(language)
    if error.code == _TOO_LONG:
        text = f"{_ANTHROPICS_TOO_LONG}: {text}"
    message = f"[{error.code}][{text}][{log_id}]"
    body = {
        "type": "error",
        "error": {"type": kind, "code": error.code, "message": message},
        "request_id": log_id,
    }
    return msgspec.json.encode(body)


def anthropic_headers(error: ApiError, log_id: str) -> list[tuple[bytes, bytes]]:
    """Whether to ask again and when, which Anthropic's SDKs obey as those of GLM do, and the id where they look."""
    return [(b"request-id", log_id.encode()), *error_headers(error)]
