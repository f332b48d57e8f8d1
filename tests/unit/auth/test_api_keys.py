import hashlib
import os
from collections.abc import Callable

import pytest

from openbigmodel.auth.api_keys import Authenticator, KeyKind, KnownKey, Principal, credential_digest, unix_ms
from openbigmodel.auth.restrictions import ApiEndpoint, read_restrictions
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
        self.account_listeners: list[Callable[[str], None]] = []

    def find_key(self, key_id: str) -> KnownKey | None:
        self.looked_up.append(key_id)
        return self.keys.get(key_id)

    def on_change(self, listener: Callable[[str], None]) -> None:
        self.listeners.append(listener)

    def on_account_change(self, listener: Callable[[str], None]) -> None:
        self.account_listeners.append(listener)


class Clock:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


def known(
    key: ApiKey = KEY, *, active: bool = True, expires_ms: int | None = None, locked: bool = False
) -> KnownKey:
    return KnownKey(Principal("account", key.id), key.secret, active, expires_ms, locked)


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


def test_a_locked_account_is_told_so_once_its_key_is_proved() -> None:
    keys = Keys(known(locked=True))
    authenticator = Authenticator(keys, now_ms=lambda: NOW_MS)
    token = sign_jwt(KEY, NOW_MS, 1000)
    for credential in (str(KEY), token):
        assert code_of(authenticator, bearer(credential)) == "1112"
    assert code_of(authenticator, bearer(f"{KEY.id}.wrong")) == "1000"
    assert code_of(authenticator, bearer(sign_jwt(KEY, NOW_MS - 2000, 1000))) == "1003"
    keys.keys[KEY.id] = known()
    assert code_of(authenticator, bearer(token)) is None


def test_a_locked_account_is_a_429_that_nobody_need_repeat() -> None:
    with pytest.raises(ApiError) as caught:
        Authenticator(Keys(known(locked=True))).authenticate(bearer(KEY))
    assert caught.value.status == 429
    assert caught.value.row.retry is False


def test_a_change_to_an_account_empties_its_part_of_the_cache() -> None:
    other = new_api_key(os.urandom)
    keys = Keys(known(), KnownKey(Principal("other", other.id), other.secret, active=True))
    authenticator = Authenticator(keys, now_ms=lambda: NOW_MS)
    token = bearer(sign_jwt(KEY, NOW_MS, 1000))
    for value in (bearer(KEY), token, bearer(other)):
        authenticator.authenticate(value)
    keys.keys[KEY.id] = known(locked=True)
    (listener,) = keys.account_listeners
    listener("account")
    assert [code_of(authenticator, value) for value in (bearer(KEY), token)] == ["1112"] * 2
    keys.looked_up.clear()
    authenticator.authenticate(bearer(other))
    assert keys.looked_up == []


def test_the_last_use_of_a_key_is_noted_whatever_becomes_of_its_proofs() -> None:
    clock = Clock()
    other = new_api_key(os.urandom)
    keys = Keys(known(), KnownKey(Principal("account", other.id), other.secret, active=True))
    authenticator = Authenticator(keys, now_ms=clock, cache_entries_max=2)
    assert authenticator.take_used() == {}
    assert code_of(authenticator, bearer(f"{KEY.id}.wrong")) == "1000"
    assert authenticator.take_used() == {}

    authenticator.authenticate(bearer(KEY))
    assert authenticator.take_used() == {KEY.id: NOW_MS}
    assert authenticator.take_used() == {}

    clock.ms += 5
    authenticator.authenticate(bearer(KEY))
    clock.ms += 5
    authenticator.authenticate(bearer(sign_jwt(KEY, clock.ms, 1000)))
    clock.ms += 5
    # Crowds out the first, and then one after the other is forgotten.
    authenticator.authenticate(bearer(other))
    authenticator.forget(KEY.id)
    authenticator.forget_account("account")
    used = authenticator.take_used()
    assert used == {KEY.id: NOW_MS + 10, other.id: NOW_MS + 15}

    authenticator.authenticate(bearer(other))
    clock.ms += 5
    authenticator.give_back_used({KEY.id: NOW_MS, other.id: NOW_MS + 20})
    authenticator.give_back_used({other.id: 1})
    assert authenticator.take_used() == {KEY.id: NOW_MS, other.id: NOW_MS + 20}


def test_what_was_proved_is_so_until_it_expires_or_its_key_changes() -> None:
    clock = Clock()
    keys = Keys(known())
    authenticator = Authenticator(keys, now_ms=clock)
    lasting, token = bearer(KEY), bearer(sign_jwt(KEY, NOW_MS, 1000))
    digests = [credential_digest(lasting), credential_digest(token)]
    assert [authenticator.still_proved(digest) for digest in digests] == [None, None]

    who = authenticator.authenticate(lasting)
    assert authenticator.authenticate(token) == who
    authenticator.take_used()
    clock.ms += 999
    assert [authenticator.still_proved(digest) for digest in digests] == [who, who]
    assert authenticator.take_used() == {KEY.id: NOW_MS + 999}

    clock.ms += 1
    assert [authenticator.still_proved(digest) for digest in digests] == [who, None]
    authenticator.forget(KEY.id)
    assert [authenticator.still_proved(digest) for digest in digests] == [None, None]


def test_an_expired_token_still_counts_as_a_use() -> None:
    clock = Clock()
    authenticator = Authenticator(Keys(known()), now_ms=clock)
    token = bearer(sign_jwt(KEY, NOW_MS, 1000))
    assert code_of(authenticator, token) is None
    clock.ms += 1000
    assert code_of(authenticator, token) == "1003"
    assert authenticator.take_used() == {KEY.id: NOW_MS}


def test_an_ordinary_key_asks_for_no_checks() -> None:
    assert not Principal("account", "key").restricted
    assert not Principal("account", "key", operator=True, exempt=True, tier="V3").restricted
    assert Principal("account", "key", "coding").restricted
    assert Principal("account", "key", restrictions=read_restrictions(models=["glm-5"])).restricted
    # Nobody can say otherwise.
    assert Principal("account", "key", "coding", restricted=False).restricted


def code_at(principal: Principal, endpoint: ApiEndpoint) -> str | None:
    try:
        principal.check_endpoint(endpoint)
    except ApiError as error:
        return f"{error.code} {error.status}"
    return None


@pytest.mark.parametrize(
    ("kind", "endpoint", "code"),
    [
        ("standard", ApiEndpoint("chat", coding_keys=False), None),
        ("standard", ApiEndpoint("chat", coding_keys=True), None),
        ("coding", ApiEndpoint("chat", coding_keys=True), None),
        ("coding", ApiEndpoint("models", coding_keys=True), None),
        ("coding", ApiEndpoint("chat", coding_keys=False), "1113 429"),
    ],
)
def test_where_the_kinds_of_keys_are_of_use(kind: KeyKind, endpoint: ApiEndpoint, code: str | None) -> None:
    assert code_at(Principal("account", "key", kind), endpoint) == code


def test_a_key_for_some_endpoints_is_refused_at_others() -> None:
    only_models = read_restrictions(endpoints=["models"])
    standard = Principal("account", "key", restrictions=only_models)
    coding = Principal("account", "key", "coding", restrictions=only_models)
    chat, models = ApiEndpoint("chat", coding_keys=True), ApiEndpoint("models", coding_keys=True)
    assert [code_at(who, chat) for who in (standard, coding)] == ["1220 403"] * 2
    assert [code_at(who, models) for who in (standard, coding)] == [None] * 2


def test_which_models_a_key_may_ask_for() -> None:
    def code(principal: Principal, model_id: str, *, listed: bool = True) -> str | None:
        try:
            principal.check_model(model_id, listed=listed)
        except ApiError as error:
            return f"{error.code} {error.status}"
        return None

    some = read_restrictions(models=["GLM-5"])
    standard, coding = Principal("account", "key"), Principal("account", "key", "coding")
    assert code(standard, "glm-4", listed=False) is None
    assert code(coding, "glm-4") is None
    assert code(coding, "glm-4", listed=False) == "1113 429"
    restricted = Principal("account", "key", restrictions=some)
    assert code(restricted, "glm-5", listed=False) is None
    assert code(restricted, "Glm-5") is None
    assert code(restricted, "glm-5-air") == "1220 403"
    assert code(Principal("account", "key", "coding", restrictions=some), "glm-4", listed=False) == "1220 403"


def test_only_a_digest_of_a_credential_is_kept() -> None:
    authenticator = Authenticator(Keys(known()), now_ms=lambda: NOW_MS)
    authenticator.authenticate(bearer(KEY))
    assert list(authenticator._cache) == [hashlib.sha256(str(KEY).encode()).digest()]


@pytest.mark.parametrize(
    "authorization",
    [bearer(KEY), b"bEARER " + str(KEY).encode(), str(KEY).encode()],
    ids=["Bearer", "bEARER", "bare"],
)
def test_a_digest_that_is_known_already_stands_for_its_credential(authorization: bytes) -> None:
    digest = credential_digest(authorization)
    authenticator = Authenticator(Keys(known()))

    assert digest == hashlib.sha256(str(KEY).encode()).digest()
    for _ in range(2):
        assert authenticator.authenticate(authorization, digest).api_key_id == KEY.id
