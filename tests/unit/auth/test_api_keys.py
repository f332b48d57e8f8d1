import os
from collections.abc import Callable

import pytest

from openbigmodel.auth.api_keys import Authenticator, KnownKey, Principal, unix_ms
from openbigmodel.credentials import ApiKey, new_api_key, sign_jwt
from openbigmodel.errors import ApiError

KEY = new_api_key(os.urandom)
NOW_MS = 1_795_000_000_000


class Keys:
    """Keys in memory; counts the look-ups."""

    def __init__(self, *keys: KnownKey) -> None:
        self.keys = {key.principal.api_key_id: key for key in keys}
        self.looked_up: list[str] = []
        self.listeners: list[Callable[[str], None]] = []

    def find_key(self, key_id: str) -> KnownKey | None:
        self.looked_up.append(key_id)
        return self.keys.get(key_id)

    def on_change(self, listener: Callable[[str], None]) -> None:
        self.listeners.append(listener)


class Clock:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


def known(key: ApiKey = KEY, *, active: bool = True, expires_ms: int | None = None) -> KnownKey:
    return KnownKey(Principal("account", key.id), key.secret, active, expires_ms)


def code_of(authenticator: Authenticator, authorization: bytes | None) -> str | None:
    try:
        who = authenticator.authenticate(authorization)
    except ApiError as error:
        return error.code
    return None if who == Principal("account", KEY.id) else "somebody else"


def bearer(credential: ApiKey | str) -> bytes:
    return f"Bearer {credential}".encode()


def test_tells_who_is_calling() -> None:
    who = Principal("account", KEY.id, "coding", operator=True)
    authenticator = Authenticator(Keys(KnownKey(who, KEY.secret, active=True)))
    assert authenticator.authenticate(bearer(KEY)) == who
    assert authenticator.authenticate(bearer(sign_jwt(KEY, unix_ms(), 1000))) == who


def test_a_known_key_does_not_show_its_secret() -> None:
    assert KEY.secret not in repr(known())


def test_no_credential_and_an_empty_one_are_the_same() -> None:
    authenticator = Authenticator(Keys())
    assert code_of(authenticator, None) == "1001"
    assert code_of(authenticator, b"") == "1001"


def test_wrong_unknown_and_disabled_are_one_answer() -> None:
    disabled = new_api_key(os.urandom)
    keys = Keys(known(), known(disabled, active=False))
    authenticator = Authenticator(keys)
    for text in (f"{KEY.id}.wrong", f"nobody.{KEY.secret}", str(disabled), f"{disabled.id}.wrong"):
        assert code_of(authenticator, bearer(text)) == "1000"


def test_a_cached_credential_is_not_looked_up_again() -> None:
    keys = Keys(known())
    authenticator = Authenticator(keys, now_ms=lambda: NOW_MS)
    for credential in (str(KEY), sign_jwt(KEY, NOW_MS, 1000)):
        keys.looked_up.clear()
        # The same credential in any of its forms is one entry.
        for value in (bearer(credential), credential.encode(), b"bearer " + credential.encode()):
            assert code_of(authenticator, value) is None
        assert len(keys.looked_up) == 1


def test_a_refusal_is_not_cached() -> None:
    keys = Keys()
    authenticator = Authenticator(keys)
    assert code_of(authenticator, bearer(KEY)) == "1000"
    keys.keys[KEY.id] = known()
    assert code_of(authenticator, bearer(KEY)) is None


def test_a_refusal_is_a_401_that_carries_no_reason() -> None:
    with pytest.raises(ApiError) as caught:
        Authenticator(Keys()).authenticate(bearer(sign_jwt(KEY, NOW_MS, 1000)))
    assert caught.value.status == 401
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_no_number_of_failures_locks_a_key_out() -> None:
    authenticator = Authenticator(Keys(known()))
    for number in range(1000):
        assert code_of(authenticator, bearer(f"{KEY.id}.wrong{number}")) == "1000"
    assert code_of(authenticator, bearer(KEY)) is None


def test_the_whole_credential_is_the_cache_key() -> None:
    clock = Clock()
    authenticator = Authenticator(Keys(known()), now_ms=clock)
    token = sign_jwt(KEY, NOW_MS, 1000)
    assert code_of(authenticator, bearer(token)) is None
    for index in range(len(token) - 43, len(token)):
        other = "A" if token[index] != "A" else "B"
        assert code_of(authenticator, bearer(token[:index] + other + token[index + 1 :])) in {"1002", "1004"}
    assert code_of(authenticator, bearer(token + "A")) == "1002"


def test_a_cached_token_expires_to_the_millisecond() -> None:
    clock = Clock()
    authenticator = Authenticator(Keys(known()), now_ms=clock)
    token = bearer(sign_jwt(KEY, NOW_MS, 1000))
    assert code_of(authenticator, token) is None
    clock.ms += 999
    assert code_of(authenticator, token) is None
    clock.ms += 1
    assert code_of(authenticator, token) == "1003"
    assert len(authenticator._cache) == 0


def test_a_key_expires_for_all_its_credentials() -> None:
    clock = Clock()
    authenticator = Authenticator(Keys(known(expires_ms=NOW_MS + 500)), now_ms=clock)
    token = sign_jwt(KEY, NOW_MS, 1000)
    for credential in (str(KEY), token):
        assert code_of(authenticator, bearer(credential)) is None
    clock.ms += 500
    for credential in (str(KEY), token):
        assert code_of(authenticator, bearer(credential)) == "1003"
    # Only who knows the secret is told.
    assert code_of(authenticator, bearer(f"{KEY.id}.wrong")) == "1000"


def test_a_change_to_a_key_empties_its_part_of_the_cache() -> None:
    other = new_api_key(os.urandom)
    keys = Keys(known(), KnownKey(Principal("account", other.id), other.secret, active=True))
    authenticator = Authenticator(keys, now_ms=lambda: NOW_MS)
    tokens = [bearer(KEY), bearer(sign_jwt(KEY, NOW_MS, 1000)), bearer(sign_jwt(KEY, NOW_MS, 2000))]
    for value in [*tokens, bearer(other)]:
        authenticator.authenticate(value)
    keys.keys[KEY.id] = known(active=False)
    (listener,) = keys.listeners
    listener(KEY.id)
    assert [code_of(authenticator, value) for value in tokens] == ["1000"] * 3
    keys.looked_up.clear()
    authenticator.authenticate(bearer(other))
    assert keys.looked_up == []


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    keys = Keys(known())
    authenticator = Authenticator(keys, now_ms=lambda: NOW_MS, cache_entries_max=3)
    for number in range(1, 20):
        assert code_of(authenticator, bearer(KEY)) is None
        assert code_of(authenticator, bearer(sign_jwt(KEY, NOW_MS, number))) is None
    assert len(authenticator._cache) == 3
    assert len(keys.looked_up) == 20


def test_a_claim_that_cannot_be_a_key_id_is_not_looked_up() -> None:
    keys = Keys(known())
    authenticator = Authenticator(keys, now_ms=lambda: NOW_MS)
    for key_id in ("' OR 1=1 --", "", "x" * 300, "\0"):
        assert code_of(authenticator, bearer(sign_jwt(ApiKey(key_id, KEY.secret), NOW_MS, 1000))) == "1000"
    assert keys.looked_up == []


@pytest.mark.parametrize(
    "value", [b"eyJhbGciOiJIUzI1NiJ9.eyJ4IjoxfQ", b"\xff.\xff", b"a.b.c", b"a", b"Bearer"]
)
def test_what_cannot_be_read_is_not_looked_up(value: bytes) -> None:
    keys = Keys(known())
    assert code_of(Authenticator(keys), value) == "1002"
    assert keys.looked_up == []
