"""Decides who is calling, from the credential in the request's headers (api.md §2).

Rule: a credential that was proved is remembered under the SHA-256 of all of it, until it expires or any fact about
its key changes; a refused one is judged anew every time. Nothing that a refusal says depends on anything but the
table in `credentials.py`: unknown, disabled and wrong are one answer for `id.secret`, and cost the same work.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from openbigmodel.credentials import (
    CredentialError,
    is_key_id,
    parse_api_key,
    read_jwt,
    same_secret,
    verify_jwt,
)
from openbigmodel.errors import ApiError

CACHE_ENTRIES_MAX = 10_000

KeyKind = Literal["standard", "coding"]

_NEVER_MS = 1 << 62


class Principal(msgspec.Struct, frozen=True):
    """Who is calling, and what their key is for. What restricts a key hangs here.

    `operator`: the platform's own account, without limits or price until somebody sets them.
    """

    account_id: str
    api_key_id: str
    kind: KeyKind = "standard"
    operator: bool = False


class KnownKey(msgspec.Struct, frozen=True):
    """What a look-up tells about a key: whom it stands for, how to prove it, and until when (None: for ever)."""

    principal: Principal
    secret: str
    active: bool
    expires_ms: int | None = None

    def __repr__(self) -> str:
        return f"KnownKey(principal={self.principal!r}, active={self.active})"


class KeySource(Protocol):
    """Where keys are kept."""

    def find_key(self, key_id: str) -> KnownKey | None:
        """Looks a key up by its id."""

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Calls `listener` with a key's id after each change to that key."""


def unix_ms() -> int:
    """The time of day in whole milliseconds."""
    return time.time_ns() // 1_000_000


class Authenticator:
    """Checks credentials; for the event loop's thread."""

    def __init__(
        self,
        keys: KeySource,
        *,
        now_ms: Callable[[], int] = unix_ms,
        cache_entries_max: int = CACHE_ENTRIES_MAX,
    ) -> None:
        self._find_key = keys.find_key
        self._now_ms = now_ms
        self._cache_entries_max = cache_entries_max
        # Digest of the credential -> who it is, and the millisecond from which that must be judged anew.
        self._cache: OrderedDict[bytes, tuple[Principal, int]] = OrderedDict()
        keys.on_change(self.forget)

    def authenticate(self, authorization: bytes | None) -> Principal:
        """Who sent this value of the header `Authorization`; None if there was no such header.

        Takes `Bearer <key or JWT>` (the scheme in any case, one space) and the bare key or JWT. Raises ApiError
        1001 without a credential, 1002 unparsable, 1000 unknown key or wrong secret, 1003 expired, 1004 wrong
        signature.
        """
        if not authorization:
            raise ApiError("1001")
        if authorization.startswith(b"Bearer ") or authorization[:7].lower() == b"bearer ":
            credential = authorization[7:]
        else:
            credential = authorization
        digest = hashlib.sha256(credential).digest()
        cache, now_ms = self._cache, self._now_ms
        known = cache.get(digest)
        if known is not None:
            principal, until_ms = known
            if now_ms() < until_ms:
                cache.move_to_end(digest)
                return principal
            del cache[digest]
        try:
            known = self._prove(credential)
        except CredentialError as error:
            # Without a cause: its text is for tests, and a log of this exception must not add to what it says.
            raise ApiError(error.code) from None
        self._remember(digest, known)
        return known[0]

    def forget(self, key_id: str) -> None:
        """To be called after any change to a key: its credentials are judged anew."""
        for digest in [digest for digest, (who, _) in self._cache.items() if who.api_key_id == key_id]:
            del self._cache[digest]

    def _prove(self, credential: bytes) -> tuple[Principal, int]:
        try:
            text = credential.decode("ascii")
        except UnicodeDecodeError:
            raise CredentialError("1002", "not ASCII") from None
        # A cut-off JWT has one dot, too; what it starts with is `{"` in base64.
        if text.count(".") == 1 and not text.startswith("eyJ"):
            return self._prove_api_key(text)
        return self._prove_jwt(text)

    def _prove_api_key(self, text: str) -> tuple[Principal, int]:
        key = parse_api_key(text)
        if key is None:
            raise CredentialError("1002", "not id.secret")
        found = self._find_key(key.id)
        # Before anything else is looked at, so that every refusal has done the same work.
        same = same_secret(key.secret, found.secret if found is not None else None)
        if found is None or not found.active or not same:
            raise CredentialError("1000", "unknown or disabled key, or wrong secret")
        return found.principal, self._expiry(found, _NEVER_MS)

    def _prove_jwt(self, text: str) -> tuple[Principal, int]:
        jwt = read_jwt(text)
        found = self._find_key(jwt.key_id) if is_key_id(jwt.key_id) else None
        secret = found.secret if found is not None and found.active else None
        verify_jwt(jwt, secret, self._now_ms())
        # verify_jwt refuses what has no secret.
        assert found is not None
        return found.principal, self._expiry(found, jwt.exp_ms)

    def _expiry(self, key: KnownKey, until_ms: int) -> int:
        """When this proof ends: with the credential or with its key, whichever is first."""
        if key.expires_ms is None:
            return until_ms
        if self._now_ms() >= key.expires_ms:
            raise CredentialError("1003", "the key has expired")
        return min(until_ms, key.expires_ms)

    def _remember(self, digest: bytes, known: tuple[Principal, int]) -> None:
        self._cache[digest] = known
        if len(self._cache) > self._cache_entries_max:
            self._cache.popitem(last=False)
