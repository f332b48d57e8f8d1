"""An engine's HTTP error in GLM's codes: whose fault it was decides what the caller hears and who is asked next.

| whose fault | the caller hears | another engine |
| --- | --- | --- |
| the caller's | 1261, or 1214 with the field, or 1210 with the engine's words | never: it would say the same |
| the operator's: credential, path, model's name, a missing option | 1234 | yes, it may be set up better |
| too much at once | 1305, or an upstream's own 1302, 1303, 1305, with its Retry-After | yes |
| the engine's | 1234 | yes |
| of kind glm: the upstream's words about the account there (1113, 1308 …) | the same code and text | never |
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from openbigmodel.engines.engine_faults import (
    field_of,
    is_about_setup,
    is_beyond_model,
    is_blind,
    is_overload,
    is_too_long,
)
from openbigmodel.errors import ERROR_CODES, ApiError, ErrorCode, Language

MAX_RETRY_AFTER_S = 24 * 3600
_DECODE = msgspec.json.Decoder(float_hook=float).decode
_KIND = re.compile(r"[A-Za-z0-9_]{1,60}")
# Below, a number is an HTTP status.
_CODES_MIN = 1000
_CODE = re.compile(r"[1-9][0-9]{2,4}")
# What another GLM platform says of a request, is true of it here as well.
_CALLERS_CODES = frozenset(("1210", "1212", "1213", "1214", "1215", "1231", "1261", "1300", "1301"))
# Its limits on our account: waiting helps.
_WAITING_CODES = frozenset(("1100", "1120", "1302", "1303", "1305", "1312", "1313"))
# Its trouble with our account: nobody can do anything about it in the next minute.
_ACCOUNT_CODES = frozenset(
    (
        *("1110", "1111", "1112", "1113", "1121", "1304"),
        *("1308", "1309", "1310", "1311", "1314", "1315", "1316", "1317", "1318", "1319", "1320", "1321"),
    )
)
# An id it does not know, an API it does not let us have.
_OPERATORS_CODES = frozenset(("1000", "1001", "1002", "1003", "1004", "1005", "1211", "1220", "1221", "1222"))
_CALLERS_FAULT = frozenset((400, 413, 422))
# Too slow in sending, too early, too many; 529 is what Anthropic's and bigmodel.cn's own servers say.
_BUSY = frozenset((408, 425, 429, 529))
# Credential, path, model's name, method or type: an engine that says so is set up wrongly.
OPERATORS_FAULT = frozenset((401, 402, 403, 404, 405, 415))
_MAX_TEXT_CHARACTERS = 300
_BLIND_ZH = (
    "messages 参数非法：该模型背后的引擎不支持其中的图片、视频或音频。"
    "请去掉它们，或请运营者为该模型配置支持它们的引擎。"
)
_BLIND_EN = (
    "messages is invalid: the engine behind this model does not take the images, videos or audio in it. "
    "Leave them out, or have the operator set up an engine for the model that takes them."
)
# What an error may come under.
_STATUSES = frozenset(status.value for status in HTTPStatus if status >= 400)
_STATUS_CODES = frozenset(str(status) for status in _STATUSES)

Blame = Literal["caller", "operator", "engine", "load"]


class EngineFault(msgspec.Struct, frozen=True, gc=False):
    """What an engine's refusal means. `retry`: whether another engine may be asked. `retry_after_s` as it said.

    `our_field`: it minds this one, which the platform has added.
    """

    error: ApiError
    retry: Literal["elsewhere", "never"]
    blames: Blame
    retry_after_s: int | None = None
    our_field: str = ""


class RelayedError(ApiError):
    """An error of another GLM platform in its own words, with a code that our own table need not have."""

    def __init__(
        self, code: str, text: str, status: int, *, retry: bool | None, retry_after_s: int | None
    ) -> None:
        self.text = text
        known = ERROR_CODES.get(code)
        self.row = ErrorCode(code, status, text, text, known.retry if known else retry)
        self.code = code
        self.status = status
        self.field = self.detail_zh = self.detail_en = None
        self.retry_after_s = retry_after_s
        self.content_filter = ()
        self.params = {}
        Exception.__init__(self, f"{code}: {text}")

    def message(self, language: Language) -> str:
        """The upstream's text, whatever the language: it has chosen one."""
        return self.text


class _Refusal(msgspec.Struct, gc=False):
    """What an engine's error body says. `code` is GLM's, empty where it is none; `kind` the engine's name for it."""

    code: str = ""
    text: str = ""
    kind: str = ""
    field: str = ""
    content_filter: tuple[Any, ...] = ()


def fault_of_engine(
    status: int,
    body: bytes,
    error_id: str,
    headers: Mapping[bytes, bytes] | None = None,
    *,
    now_s: float = 0.0,
    relays: bool = False,
) -> EngineFault:
    """What a refusal means. `error_id` is what an operator finds in the log; `headers` those of the response, with
    names in small letters; `now_s` is Unix time. `relays`: an engine of kind glm, whose words about the account there
    are the caller's to read.
    """
    retry_after_s = retry_after((headers or {}).get(b"retry-after"), now_s)
    said = _refusal(body, relays=relays)
    if said.code:
        fault = _of_glm(status, said, error_id, retry_after_s, relays=relays)
        if fault is not None:
            return fault
    if is_too_long(said.text) and status not in OPERATORS_FAULT and status != 429:
        return EngineFault(ApiError("1261"), "never", "caller")
    if status in _CALLERS_FAULT or is_beyond_model(said.text):
        return _of_request(said, error_id)
    if status in _BUSY and "insufficient_quota" not in said.kind:
        return _overloaded(retry_after_s)
    if status == 503 and is_overload(said.text):
        return _overloaded(retry_after_s)
    # What an engine refuses, it is well enough to refuse.
    blames: Blame = "operator" if 400 <= status < 500 else "engine"
    return EngineFault(ApiError("1234", error_id=error_id), "elsewhere", blames, retry_after_s)


def _overloaded(retry_after_s: int | None) -> EngineFault:
    return EngineFault(ApiError("1305", retry_after_s=retry_after_s), "elsewhere", "load", retry_after_s)


def _of_glm(
    status: int, said: _Refusal, error_id: str, retry_after_s: int | None, *, relays: bool
) -> EngineFault | None:
    """Another GLM platform has said it in our words; None if it has not."""
    code = said.code
    if code in _CALLERS_CODES:
        return EngineFault(_own(said, status, relays=relays), "never", "caller")
    if code in _WAITING_CODES:
        error = (
            _relayed(said, status, retry_after_s) if relays else ApiError(code, retry_after_s=retry_after_s)
        )
        return EngineFault(error, "elsewhere", "load", retry_after_s)
    if code in _ACCOUNT_CODES and relays:
        return EngineFault(_relayed(said, status, retry_after_s), "never", "operator", retry_after_s)
    if code in _ACCOUNT_CODES or code in _OPERATORS_CODES:
        return EngineFault(ApiError("1234", error_id=error_id), "elsewhere", "operator", retry_after_s)
    if relays and status in (400, 429):
        # A code that is newer than our table. That it is one of refusal shows the status; waiting, if it says so.
        again = status == 429 and retry_after_s is not None
        error = _relayed(said, status, retry_after_s, retry=again)
        return EngineFault(
            error, "elsewhere" if again else "never", "load" if again else "caller", retry_after_s
        )
    return None


def _own(said: _Refusal, status: int, *, relays: bool) -> ApiError:
    """A mistake in the request, told by another GLM platform."""
    if relays:
        error: ApiError = _relayed(said, status, None)
    elif said.code in ("1210", "1212", "1213", "1214", "1215", "1231"):
        # Its text names the field, and says all that there is to say.
        error = ApiError("1210", detail_zh=said.text, detail_en=said.text)
    else:
        error = ApiError(said.code)
    error.content_filter = said.content_filter
    return error


def _relayed(
    said: _Refusal, status: int, retry_after_s: int | None, *, retry: bool | None = None
) -> ApiError:
    known = ERROR_CODES.get(said.code)
    if status not in _STATUSES:
        # What a proxy in between has made of it, such as 520.
        status = known.status if known else 500
    if not said.text and known:
        return ApiError(said.code, retry_after_s=retry_after_s, status=status)
    return RelayedError(said.code, said.text, status, retry=retry, retry_after_s=retry_after_s)


def _of_request(said: _Refusal, error_id: str) -> EngineFault:
    """The engine finds fault with what it was sent: the caller's words, or ours."""
    if is_about_setup(said.text):
        return EngineFault(ApiError("1234", error_id=error_id), "elsewhere", "operator")
    field, is_ours = field_of(said.field, said.text)
    if is_ours:
        # It does not know what the platform has added: another profile would help.
        return EngineFault(ApiError("1234", error_id=error_id), "elsewhere", "operator", our_field=field)
    text = said.text
    if is_blind(text):
        # Its own advice is for whoever has started it.
        error = ApiError("1210", detail_zh=_BLIND_ZH, detail_en=_BLIND_EN)
    elif field:
        error = ApiError("1214", field=field, detail_zh=f"（{text}）", detail_en=f"({text})")
    else:
        error = ApiError(
            "1210", detail_zh=f"API 调用参数有误：{text}", detail_en=f"Invalid API parameter: {text}"
        )
    return EngineFault(error, "never", "caller")


def code_and_text(status: int, body: bytes) -> tuple[str, str]:
    """GLM's code for what an upstream of kind glm has said, and its words; one without codes is known by its status."""
    said = _refusal(body, relays=True)
    code = said.code if said.code not in _STATUS_CODES else ""
    return code or {401: "1000", 429: "1302"}.get(status, ""), said.text


def status_of_event(event: bytes, *, relays: bool = False) -> int:
    """The HTTP status that an error would have had which came as an event after status 200; 500 if it does not tell."""
    said = _refusal(event, relays=relays)
    if said.code in ERROR_CODES:
        return ERROR_CODES[said.code].status
    try:
        decoded = _DECODE(event)
        error = decoded.get("error", decoded)
        told = [error.get(name) for name in ("code", "status", "status_code")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError):
        told = []
    return next((status for status in told if type(status) is int and status in _STATUSES), 500)


def retry_after(value: bytes | None, now_s: float) -> int | None:
    """Whole seconds from a Retry-After header, which has seconds or a date; None without a sensible one."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        seconds = -int(-float(text) // 1)
    else:
        try:
            seconds = int(parsedate_to_datetime(text).timestamp() - now_s) + 1
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else None


def kind_of_error(error: object) -> str:
    """What an engine calls its error, for the log: its type or code, never its message, which quotes prompts."""
    if isinstance(error, dict):
        code = error.get("code")
        error = error.get("type") or (str(code) if _is_code(code) else code)
    return error if isinstance(error, str) and _KIND.fullmatch(error) else "no type"


def kind_of_body(body: bytes) -> str:
    """The same for a whole error body."""
    try:
        decoded = _DECODE(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "no JSON"
    return kind_of_error(decoded.get("error", decoded) if isinstance(decoded, dict) else None)


def _refusal(body: bytes, *, relays: bool) -> _Refusal:
    """An engine's error body, whichever of the usual shapes it has."""
    try:
        decoded = _DECODE(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Refusal()
    if not isinstance(decoded, dict):
        return _Refusal()
    error = decoded.get("error", decoded)
    if not isinstance(error, dict):
        return _Refusal(text=_cut(error))
    code = error.get("code")
    if relays and _is_code(code):
        code = str(code)
    kind = f"{error.get('type') or ''} {code or ''}"
    field = error.get("param")
    found = decoded.get("contentFilter", decoded.get("content_filter"))
    if isinstance(code, str) and _CODE.fullmatch(code):
        # GLM's codes are strings of digits, at times numbers; other engines repeat the HTTP status as a number here.
        text = _cut(error.get("message") or error.get("msg") or "")
        return _Refusal(code, text, kind, "", tuple(found) if isinstance(found, list) else ())
    detail = error.get("message") or error.get("detail") or ""
    return _Refusal("", _cut(f"{detail} {error.get('type') or ''}"), kind, _field(field, detail))


def _is_code(number: object) -> bool:
    return type(number) is int and number >= _CODES_MIN


def _field(param: object, detail: object) -> str:
    """The place of the mistake: OpenAI's `param`, or the first `loc` in FastAPI's list."""
    if isinstance(param, str) and param:
        return param
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        if isinstance(place, list):
            return ".".join(str(part) for part in place)
    return ""


def _cut(text: object) -> str:
    return str(text).strip()[:_MAX_TEXT_CHARACTERS]
