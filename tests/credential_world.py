"""The world of the credential catalogue: a server's keys and time, and tokens put together by hand."""

import base64
import hmac
import json
from dataclasses import dataclass

from openbigmodel.credentials import ApiKey

Headers = list[tuple[bytes, bytes]]
# What it is, the token, and the codes that may refuse it (api.md §8.2).
Token = tuple[str, str, frozenset[str]]

UNKNOWN = frozenset({"1000"})
ABSENT = frozenset({"1001"})
MALFORMED = frozenset({"1002"})
EXPIRED = frozenset({"1003"})
FORGED = frozenset({"1004"})

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

GOOD_HEADER = {"alg": "HS256", "sign_type": "SIGN"}


@dataclass(frozen=True)
class World:
    """The keys of a server under test, and its time. Times here keep a minute's distance from every limit."""

    now_ms: int
    key: ApiKey
    other: ApiKey
    disabled: ApiKey
    previous_secret: str

    def claims(self, **changes: object) -> dict[str, object]:
        """The payload of a good token; a change to `...` leaves a claim out."""
        payload: dict[str, object] = {
            "api_key": self.key.id,
            "exp": self.now_ms + HOUR_MS,
            "timestamp": self.now_ms,
        }
        payload.update(changes)
        return {name: value for name, value in payload.items() if value is not ...}

    def token(self, **changes: object) -> str:
        """A token with a good header and signature."""
        return sign(GOOD_HEADER, self.claims(**changes), self.key.secret)


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def mac(secret: str | bytes, signed: str, algorithm: str = "sha256") -> str:
    key = secret.encode() if isinstance(secret, str) else secret
    return base64url(hmac.new(key, signed.encode(), algorithm).digest())


def sign(header: object, payload: object, secret: str | bytes, algorithm: str = "sha256") -> str:
    """Bytes are taken as they are, anything else becomes JSON."""
    parts = [part if isinstance(part, bytes) else to_json(part) for part in (header, payload)]
    signed = ".".join(base64url(part) for part in parts)
    return f"{signed}.{mac(secret, signed, algorithm)}"


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def token_of_size(world: World, size: int) -> str:
    """A token that is good but for its size; not every size can be had (base64)."""
    rest = len(world.token(pad=""))
    for filler in range((size - rest) * 3 // 4 - 4, size):
        token = world.token(pad="x" * filler)
        if len(token) >= size:
            return token
    raise AssertionError(size)


def nested_token(world: World, depth: int) -> str:
    body = to_json(world.claims())[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    return sign(GOOD_HEADER, body, world.key.secret)
