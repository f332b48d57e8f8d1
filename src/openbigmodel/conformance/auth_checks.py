"""Credentials: which forms open the door, and what is said to the others before all else (api.md §2)."""

import base64
import json

from openbigmodel.conformance.checks import Check, Skipped, check, expect, shown
from openbigmodel.conformance.subject import Answer, Headers, Subject, encode
from openbigmodel.credentials import ApiKey, sign_jwt

_LIFETIME_MS = 210_000
_CODES = frozenset(("1000", "1001", "1002", "1003", "1004"))
_STRANGER = ApiKey("00000000000000000000000000000000", "conformance00000")


async def _ask(subject: Subject, headers: Headers) -> Answer:
    return await subject.post(encode(subject.request(max_tokens=16)), headers=headers)


def _let_in(answer: Answer) -> None:
    expect(answer.status == 200, f"{answer.status} {shown(answer.body)}")


def _refused(answer: Answer, *codes: str) -> None:
    expect(answer.status == 401, f"{answer.status} {shown(answer.body)}")
    code = answer.error.get("code")
    expect(code in (codes or _CODES), f"code {code!r}, where {' or '.join(sorted(codes or _CODES))} belongs")


def _own_key(subject: Subject) -> ApiKey:
    key = subject.api_key
    if key is None:
        raise Skipped("the key is not of the form id.secret")
    return key


def _bearer(credential: object) -> Headers:
    return (("authorization", f"Bearer {credential}"),)


@check("auth", "key", "`Bearer id.secret` is let in.", "接受 `Bearer id.secret`。", "api.md §2")
async def _key(subject: Subject) -> None:
    _let_in(await _ask(subject, _bearer(subject.key)))


@check(
    "auth",
    "jwt",
    "A JWT signed with the secret, its times in milliseconds, is let in.",
    "接受用 secret 签名、时间为毫秒的 JWT。",
    "api.md §2",
    row="jwt",
)
async def _jwt(subject: Subject) -> None:
    _let_in(await _ask(subject, _bearer(sign_jwt(_own_key(subject), subject.now_ms(), _LIFETIME_MS))))


@check(
    "auth",
    "jwt_alone",
    "The same without `Bearer`, as LangChain sends it.",
    "不带 `Bearer` 的 JWT 亦可（LangChain 如此发送）。",
    "api.md §2",
    row="jwt",
)
async def _jwt_alone(subject: Subject) -> None:
    token = sign_jwt(_own_key(subject), subject.now_ms(), _LIFETIME_MS)
    _let_in(await _ask(subject, (("authorization", token),)))


@check(
    "auth",
    "key_alone",
    "The key without `Bearer` is let in.",
    "接受不带 `Bearer` 的 API key。",
    "api.md §2",
    required=False,
)
async def _key_alone(subject: Subject) -> None:
    _let_in(await _ask(subject, (("authorization", subject.key),)))


@check("auth", "nothing", "Without a credential: 401, code 1001.", "无凭证：401，1001。", "api.md §2")
async def _nothing(subject: Subject) -> None:
    _refused(await _ask(subject, ()), "1001")


@check("auth", "unknown_key", "A key that nobody has: 401, code 1000.", "未知 key：401，1000。", "api.md §2")
async def _unknown_key(subject: Subject) -> None:
    _refused(await _ask(subject, _bearer(_STRANGER)), "1000")


@check(
    "auth",
    "wrong_secret",
    "The right id with a wrong secret: 401, code 1000.",
    "id 正确、secret 错误：401，1000。",
    "api.md §2",
)
async def _wrong_secret(subject: Subject) -> None:
    _refused(await _ask(subject, _bearer(ApiKey(_own_key(subject).id, _STRANGER.secret))), "1000")


@check("auth", "expired_jwt", "An expired JWT: 401, code 1003.", "过期 JWT：401，1003。", "api.md §2")
async def _expired_jwt(subject: Subject) -> None:
    token = sign_jwt(_own_key(subject), subject.now_ms() - 2 * _LIFETIME_MS, _LIFETIME_MS)
    _refused(await _ask(subject, _bearer(token)), "1003")


@check(
    "auth",
    "jwt_in_seconds",
    "Times in seconds are in the year 1970: 401.",
    "以秒表示的时间视为早已过期：401。",
    "api.md §2",
)
async def _jwt_in_seconds(subject: Subject) -> None:
    token = sign_jwt(_own_key(subject), subject.now_ms() // 1000, _LIFETIME_MS // 1000)
    _refused(await _ask(subject, _bearer(token)))


@check(
    "auth", "bad_signature", "A JWT that another secret signed: 401.", "签名不符的 JWT：401。", "api.md §2"
)
async def _bad_signature(subject: Subject) -> None:
    forged = sign_jwt(ApiKey(_own_key(subject).id, _STRANGER.secret), subject.now_ms(), _LIFETIME_MS)
    _refused(await _ask(subject, _bearer(forged)), "1000", "1002", "1004")


@check("auth", "unsigned_jwt", "A JWT with `alg` none: 401.", "`alg` 为 none 的 JWT：401。", "api.md §2")
async def _unsigned_jwt(subject: Subject) -> None:
    _, payload, _ = sign_jwt(_own_key(subject), subject.now_ms(), _LIFETIME_MS).split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    _refused(await _ask(subject, _bearer(f"{header}.{payload}.")))


@check("auth", "nonsense", "Something that is no credential: 401.", "不是凭证的内容：401。", "api.md §2")
async def _nonsense(subject: Subject) -> None:
    for text in ("x", "a.b.c.d", "null", "Basic eDp5"):
        _refused(await _ask(subject, _bearer(text)))


@check(
    "auth",
    "two_credentials",
    "Two Authorization headers are refused, whichever is right: proxies pick different ones.",
    "两个 Authorization 头一律拒绝：不同代理取用的可能不是同一个。",
    "api.md §2",
    required=False,
)
async def _two_credentials(subject: Subject) -> None:
    _refused(await _ask(subject, (*_bearer(subject.key), *_bearer(_STRANGER))))
    _refused(await _ask(subject, (*_bearer(_STRANGER), *_bearer(subject.key))))


@check(
    "auth",
    "before_the_body",
    "The credential is judged before the body.",
    "先验凭证，再看请求体。",
    "api.md §3.2",
)
async def _before_the_body(subject: Subject) -> None:
    for body in (b'{"model": "', encode({}), encode(subject.request(model="no-such-model"))):
        _refused(await subject.post(body, headers=_bearer(_STRANGER)), "1000")


CHECKS: tuple[Check, ...] = (
    *(
        _key,
        _jwt,
        _jwt_alone,
        _key_alone,
        _nothing,
        _unknown_key,
        _wrong_secret,
        _expired_jwt,
        _jwt_in_seconds,
    ),
    *(_bad_signature, _unsigned_jwt, _nonsense, _two_credentials, _before_the_body),
)
