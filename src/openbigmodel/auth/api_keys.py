"""Decides who is calling, from the credential in the request's headers (api.md §2).

Rule: a credential that was proved is remembered under the SHA-256 of all of it, until it expires or any fact about
its key or account changes; a refused one is judged anew every time. Nothing that a refusal says depends on anything
but the table in `credentials.py`: unknown, disabled and wrong are one answer for `id.secret`, and cost the same work.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from openbigmodel.auth.restrictions import ApiEndpoint, Restrictions
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
    """Who is calling, and what their key is for.

    `operator`: the platform's own account. `exempt`: without limits and price. `tier`: by which limits are chosen
    (api.md §9.1). `restricted`: whether the checks below can refuse anything; computed, so that a request with an
    ordinary key asks no more than this.
    """

    account_id: str
    api_key_id: str
    kind: KeyKind = "standard"
    operator: bool = False
    exempt: bool = False
    tier: str = "V0"
    restrictions: Restrictions | None = None
    restricted: bool = False

    def __post_init__(self) -> None:
        restricted = self.kind != "standard" or self.restrictions is not None
        msgspec.structs.force_setattr(self, "restricted", restricted)

    def check_endpoint(self, endpoint: ApiEndpoint) -> None:
        """Raises ApiError 1113 where a Coding Plan is of no use, 1220 where this key is not allowed."""
        if self.restrictions is not None:
            self.restrictions.check_endpoint(endpoint.name)
        if self.kind == "coding" and not endpoint.coding_keys:
            raise ApiError("1113")

    def check_model(self, model_id: str, *, listed: bool = True) -> None:
        """Raises ApiError 1220 for a model that this key may not use, 1113 for one that no Coding Plan includes.

        `listed`: whether the list of models has it; a Coding Plan includes no other (api.md §9.4).
        """
        if not self.allows_model(model_id):
            raise ApiError("1220", api_name=model_id)
        if self.kind == "coding" and not listed:
            raise ApiError("1113")

    def allows_model(self, model_id: str) -> bool:
        """Whether this key's list of models has it, in any letter case, or there is no list."""
        return self.restrictions is None or self.restrictions.allows_model(model_id)


class KnownKey(msgspec.Struct, frozen=True):
    """What a look-up tells about a key: whom it stands for, how to prove it, and until when (None: for ever).

    `locked`: its account is. `leaked`: it was seen where no key belongs, and what its account wants done then is done.
    """

    principal: Principal
    secret: str
    active: bool
    expires_ms: int | None = None
    locked: bool = False
    leaked: bool = False

    def __repr__(self) -> str:
        return f"KnownKey(principal={self.principal!r}, active={self.active})"


class KeySource(Protocol):
    """Where keys are kept."""

    def find_key(self, key_id: str) -> KnownKey | None:
        """Looks a key up by its id."""

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Calls `listener` with a key's id after each change to that key."""

    def on_account_change(self, listener: Callable[[str], None]) -> None:
        """Calls `listener` with an account's id after each change to that account."""


def unix_ms() -> int:
    """The time of day in whole milliseconds."""
    return time.time_ns() // 1_000_000


def credential_digest(authorization: bytes) -> bytes:
    """What the credential in this value of the header `Authorization` is remembered under."""
    return hashlib.sha256(_credential(authorization)).digest()


def _credential(authorization: bytes) -> bytes:
    return authorization[7:] if authorization[:7].lower() == b"bearer " else authorization


class _Proof:
    """A credential that was proved. `until_ms`: from then on it is judged anew; `used_ms`: 0 once that is noted."""

    __slots__ = ("principal", "until_ms", "used_ms")

    def __init__(self, principal: Principal, until_ms: int, used_ms: int) -> None:
        self.principal = principal
        self.until_ms = until_ms
        self.used_ms = used_ms


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
        # By the credential's digest.
        self._cache: OrderedDict[bytes, _Proof] = OrderedDict()
        # When keys were used whose proofs are gone: key id -> Unix milliseconds.
        self._used: dict[str, int] = {}
        # How often something about a key or an account has changed: what was judged before may be judged again.
        self.changes = 0
        keys.on_change(self.forget)
        keys.on_account_change(self.forget_account)

    def authenticate(self, authorization: bytes | None, digest: bytes | None = None) -> Principal:
        """Who sent this value of the header `Authorization`; None if there was no such header.

        `digest` is its `credential_digest`, if that is known already. Takes `Bearer <key or JWT>` (the scheme in any
        case, one space) and the bare key or JWT. Raises ApiError 1001 without a credential, 1002 unparsable, 1000
        unknown key or wrong secret, 1003 expired, 1004 wrong signature, 1112 account locked.
        """
        if not authorization:
            raise ApiError("1001")
        if digest is None:
            digest = credential_digest(authorization)
        known = self.still_proved(digest)
        if known is not None:
            return known
        try:
            principal, until_ms = self._prove(_credential(authorization))
        except CredentialError as error:
            # Without a cause: its text is for tests, and a log of this exception must not add to what it says.
            raise ApiError(error.code) from None
        cache = self._cache
        cache[digest] = _Proof(principal, until_ms, self._now_ms())
        if len(cache) > self._cache_entries_max:
            self._drop(next(iter(cache)))
        return principal

    def still_proved(self, digest: bytes) -> Principal | None:
        """Who showed a credential that was proved before and is good now, which counts as its use; else None."""
        cache, clock = self._cache, self._now_ms
        proof = cache.get(digest)
        if proof is None:
            return None
        now_ms = clock()
        if now_ms >= proof.until_ms:
            self._drop(digest)
            return None
        # An attribute of what is at hand anyway costs 10 ns, a table of its own 60.
        proof.used_ms = now_ms
        cache.move_to_end(digest)
        return proof.principal

    def forget(self, key_id: str) -> None:
        """To be called after any change to a key: its credentials are judged anew."""
        self.changes += 1
        for digest in [each for each, proof in self._cache.items() if proof.principal.api_key_id == key_id]:
            self._drop(digest)

    def forget_account(self, account_id: str) -> None:
        """The same after any change to an account."""
        self.changes += 1
        for digest in [
            each for each, proof in self._cache.items() if proof.principal.account_id == account_id
        ]:
            self._drop(digest)

    def take_used(self) -> dict[str, int]:
        """When keys were last used (Unix ms by key id), as far as that was not taken before."""
        for proof in self._cache.values():
            self._note_used(proof)
        used, self._used = self._used, {}
        return used

    def give_back_used(self, used: Mapping[str, int]) -> None:
        """What was taken could not be written down; it is taken again next time."""
        for key_id, used_ms in used.items():
            self._used[key_id] = max(used_ms, self._used.get(key_id, 0))

    def _drop(self, digest: bytes) -> None:
        self._note_used(self._cache.pop(digest))

    def _note_used(self, proof: _Proof) -> None:
        if proof.used_ms:
            self.give_back_used({proof.principal.api_key_id: proof.used_ms})
            proof.used_ms = 0

    def _prove(self, credential: bytes) -> tuple[Principal, int]:
        try:
            text = credential.decode("ascii")
        except UnicodeDecodeError:
            raise CredentialError("1002", "not ASCII") from None
        # A cut-off JWT has one dot, too; what it starts with is `{"` in base64.
        if text.count(".") == 1 and not text.startswith("eyJ"):
            found, until_ms = self._prove_api_key(text), _NEVER_MS
        else:
            found, until_ms = self._prove_jwt(text)
        if found.expires_ms is not None:
            if self._now_ms() >= found.expires_ms:
                raise CredentialError("1003", "the key has expired")
            # With the credential or with its key, whichever ends first.
            until_ms = min(until_ms, found.expires_ms)
        if found.locked:
            raise ApiError("1112")
        return found.principal, until_ms

    def _prove_api_key(self, text: str) -> KnownKey:
        key = parse_api_key(text)
        if key is None:
            raise CredentialError("1002", "not id.secret")
        found = self._find_key(key.id)
        # Before anything else is looked at, so that every refusal has done the same work.
        same = same_secret(key.secret, found.secret if found is not None else None)
        if found is None or not found.active or not same:
            raise CredentialError("1000", "unknown or disabled key, or wrong secret")
        return found

    def _prove_jwt(self, text: str) -> tuple[KnownKey, int]:
        jwt = read_jwt(text)
        found = self._find_key(jwt.key_id) if is_key_id(jwt.key_id) else None
        secret = found.secret if found is not None and found.active else None
        verify_jwt(jwt, secret, self._now_ms())
        # verify_jwt refuses what has no secret.
        assert found is not None
        return found, jwt.exp_ms
