"""What a caller proves itself with: the API key `id.secret`, and the JWT signed with its secret (api.md §2).

Rule: judged here without I/O, by server and client alike. A JWT is HS256 and nothing else, its times are whole
milliseconds, and it is judged in one order: shape, key, signature, times. So a JWT with a bad signature never
tells whether it has expired.

    read_jwt     shape                          CredentialError 1002
    verify_jwt   key unknown                    CredentialError 1000
                 signature wrong                CredentialError 1004
                 expired                        CredentialError 1003
                 made in the future             CredentialError 1002
"""

import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Literal

import msgspec

API_KEY_BYTES_MAX = 256
JWT_BYTES_MAX = 4096
# A client's clock may run ahead of ours by this much (api.md §2: clients with drifting clocks exist).
TIMESTAMP_AHEAD_MS_MAX = 5 * 60 * 1000

# Later than the year 9999: microseconds, nanoseconds or nonsense, but no time in milliseconds.
_TIME_MS_MAX = 253_402_300_799_999
# Earlier than 1973: seconds where milliseconds belong. Such a time is past, never fresh.
_TIME_MS_MIN = 100_000_000_000
# Objects and arrays in a JSON part, which bounds how deep they can nest. A real JWT has one.
_JSON_CONTAINERS_MAX = 64

# Every id of ours begins with these hex digits, so that one search of a text tells whether a key can be in it.
KEY_ID_MARK = "b1690de1"

_ID_BYTES = 10
_CHECKSUM_DIGITS = 4
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62^43 is just above 2^256: the fewest characters that hold a whole digest.
_SECRET_CHARACTERS = 43

# The characters of RFC 7235's token68, less the dot that separates the two parts.
_KEY_PART = re.compile(r"[A-Za-z0-9_~+/=-]+")
_JWT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")

# Stands in for the secret of a key that does not exist, so that the same work is done for it. It is no secret:
# an answer reached with it is never "yes".
_DUMMY_SECRET = "0" * _SECRET_CHARACTERS

_HEADER_VALUES = {"alg": "HS256", "typ": "JWT", "sign_type": "SIGN"}


class ApiKey(msgspec.Struct, frozen=True):
    """An API key. `str()` is what a caller sends; `repr()`, which ends up in logs, hides the secret."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKey(id={self.id!r})"


class Jwt(msgspec.Struct, frozen=True):
    """A JWT of the right shape: nothing in it is proved yet. Times are Unix milliseconds."""

    key_id: str
    exp_ms: int
    timestamp_ms: int
    signed: bytes
    signature: bytes


class CredentialError(Exception):
    """Why a credential was refused: the GLM code that fits (api.md §8.2), and a reason for tests and logs."""

    def __init__(self, code: Literal["1000", "1002", "1003", "1004"], reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def parse_api_key(text: str) -> ApiKey | None:
    """Splits `id.secret`; None unless it has exactly one dot, two non-empty parts and at most 256 bytes.

    Keys that others issued pass too: only the characters are judged, not our own form.
    """
    if len(text) > API_KEY_BYTES_MAX:
        return None
    key_id, dot, secret = text.partition(".")
    if not dot or _KEY_PART.fullmatch(key_id) is None or _KEY_PART.fullmatch(secret) is None:
        return None
    return ApiKey(key_id, secret)


def is_key_id(text: str) -> bool:
    """Whether a text can be the id of any key at all: nothing else is worth a look-up."""
    return len(text) < API_KEY_BYTES_MAX and _KEY_PART.fullmatch(text) is not None


def new_key_id(random_bytes: Callable[[int], bytes]) -> str:
    """The mark, 80 random bits and a 16-bit checksum: 32 lower-case hex digits, like bigmodel.cn's."""
    digits = KEY_ID_MARK + random_bytes(_ID_BYTES).hex()
    return digits + _checksum(digits)


def is_own_key_id(key_id: str) -> bool:
    """Whether this can be an id that `new_key_id` made: a slip of the keyboard or a chance hit is not."""
    digits, checksum = key_id[:-_CHECKSUM_DIGITS], key_id[-_CHECKSUM_DIGITS:]
    return key_id.startswith(KEY_ID_MARK) and _checksum(digits) == checksum


def secret_of_digest(digest: bytes) -> str:
    """Writes 32 bytes as 43 base62 characters, without loss."""
    number = int.from_bytes(digest, "big")
    characters = []
    for _ in range(_SECRET_CHARACTERS):
        number, remainder = divmod(number, 62)
        characters.append(_BASE62[remainder])
    return "".join(reversed(characters))


def new_api_key(random_bytes: Callable[[int], bytes]) -> ApiKey:
    """A key with a random secret of 256 bits."""
    return ApiKey(new_key_id(random_bytes), secret_of_digest(random_bytes(32)))


def same_secret(presented: str, secret: str | None) -> bool:
    """Compares in constant time. None, the secret of a key that does not exist, takes as long and is False."""
    equal = hmac.compare_digest(presented.encode(), (secret or _DUMMY_SECRET).encode())
    return equal and bool(secret)


def sign_jwt(key: ApiKey, now_ms: int, lifetime_ms: int) -> str:
    """A JWT that stands for `key` until `now_ms + lifetime_ms`."""
    payload = {"api_key": key.id, "exp": now_ms + lifetime_ms, "timestamp": now_ms}
    parts = ({"alg": "HS256", "sign_type": "SIGN"}, payload)
    signed = ".".join(_to_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{_to_base64url(_mac(key.secret, signed.encode()))}"


def read_jwt(text: str) -> Jwt:
    """Judges the shape of a JWT and takes it apart. Raises CredentialError 1002."""
    if len(text) > JWT_BYTES_MAX:
        raise CredentialError("1002", "longer than 4 KiB")
    match = _JWT.fullmatch(text)
    if match is None:
        raise CredentialError("1002", "not three base64url parts with a SHA-256 signature")
    _check_header(_read_json(_from_base64url(match[1])))
    payload = _read_json(_from_base64url(match[2]))
    key_id = payload.get("api_key")
    if type(key_id) is not str:
        raise CredentialError("1002", "api_key is missing or no string")
    return Jwt(
        key_id=key_id,
        exp_ms=_time_ms(payload, "exp"),
        timestamp_ms=_time_ms(payload, "timestamp"),
        signed=text[: match.end(2)].encode(),
        signature=_from_base64url(match[3]),
    )


def verify_jwt(jwt: Jwt, secret: str | None, now_ms: int) -> None:
    """Judges signature and times; `secret` None means that the key is unknown or disabled.

    There is no leeway on `exp`, and no bound on how far it may lie ahead (api.md §2).
    Raises CredentialError 1000 (key), 1004 (signature), 1003 (expired), 1002 (times that no client should send).
    """
    # An empty secret is one that anybody knows: it counts as none.
    genuine = hmac.compare_digest(_mac(secret or _DUMMY_SECRET, jwt.signed), jwt.signature)
    if not secret:
        raise CredentialError("1000", "unknown or disabled key")
    if not genuine:
        raise CredentialError("1004", "wrong signature")
    if now_ms >= jwt.exp_ms:
        raise CredentialError("1003", "expired")
    if jwt.timestamp_ms < _TIME_MS_MIN:
        raise CredentialError("1003", "timestamp is not in milliseconds")
    if jwt.timestamp_ms > now_ms + TIMESTAMP_AHEAD_MS_MAX:
        raise CredentialError("1002", "timestamp lies more than 5 minutes ahead")
    if jwt.timestamp_ms > jwt.exp_ms:
        raise CredentialError("1002", "expires before its own timestamp")


def _checksum(digits: str) -> str:
    return hashlib.sha256(b"key id " + digits.encode()).hexdigest()[:_CHECKSUM_DIGITS]


def _mac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, "sha256")


def _to_base64url(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode().rstrip("=").replace("+", "-").replace("/", "_")


def _from_base64url(text: str) -> bytes:
    """Takes only the one spelling that encoding gives: a second one would be a second credential."""
    standard = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    try:
        raw = binascii.a2b_base64(standard)
    except binascii.Error:
        raise CredentialError("1002", "not base64url") from None
    # The unused bits of the last character must be zero.
    if binascii.b2a_base64(raw, newline=False).decode() != standard:
        raise CredentialError("1002", "not canonical base64url")
    return raw


def _check_header(header: dict[str, object]) -> None:
    if "alg" not in header:
        raise CredentialError("1002", "no alg")
    for name, value in header.items():
        # Whatever else a header may carry (crit, jku, jwk, kid, zip …) asks a verifier to do more than this.
        if name not in _HEADER_VALUES or value != _HEADER_VALUES[name]:
            raise CredentialError("1002", "a header that is not plain HS256")


def _time_ms(payload: dict[str, object], name: str) -> int:
    value = payload.get(name)
    # `type`, because a bool is an int.
    if type(value) is not int or value > _TIME_MS_MAX:
        raise CredentialError("1002", f"{name} is missing or not in whole milliseconds")
    return value


def _read_json(raw: bytes) -> dict[str, object]:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise CredentialError("1002", "not UTF-8") from None
    if text.count("{") + text.count("[") > _JSON_CONTAINERS_MAX:
        raise CredentialError("1002", "nested too deep")
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            # An escape can name half of a surrogate pair, which is no character.
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        # Both JSONDecodeError and UnicodeEncodeError are ValueErrors.
        raise CredentialError("1002", "not JSON") from None
    if type(value) is not dict:
        raise CredentialError("1002", "not a JSON object")
    return value


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CredentialError("1002", "a name occurs twice")
    return members


def _no_constant(text: str) -> object:
    raise CredentialError("1002", f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_names, parse_constant=_no_constant)
