import hashlib
import json
import os
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbigmodel.credentials import (
    API_KEY_BYTES_MAX,
    JWT_BYTES_MAX,
    KEY_ID_MARK,
    TIMESTAMP_AHEAD_MS_MAX,
    ApiKey,
    CredentialError,
    is_key_id,
    is_own_key_id,
    new_api_key,
    new_key_id,
    parse_api_key,
    read_jwt,
    same_secret,
    secret_of_digest,
    sign_jwt,
    verify_jwt,
)
from tests.credential_world import World, sign, token_of_size

NOW_MS = 1_795_000_000_000
KEY = ApiKey("1f" * 16, "s" * 43)
WORLD = World(NOW_MS, KEY, KEY, KEY, "")


def code_of(token: str, *, secret: str | None = KEY.secret, now_ms: int = NOW_MS) -> str | None:
    try:
        verify_jwt(read_jwt(token), secret, now_ms)
    except CredentialError as error:
        return error.code
    return None


def test_a_key_is_split_at_its_dot() -> None:
    key = parse_api_key("abc.DEF-_~+/=")
    assert key == ApiKey("abc", "DEF-_~+/=")
    assert str(key) == "abc.DEF-_~+/="


@pytest.mark.parametrize(
    "text", ["", ".", "a", "a.", ".b", "a.b.c", "a..b", "a .b", "a.b\n", "a.b\0", "ä.b", "a.б", "a,b.c"]
)
def test_anything_else_is_no_key(text: str) -> None:
    assert parse_api_key(text) is None


def test_a_key_has_a_greatest_length() -> None:
    assert parse_api_key("a." + "b" * (API_KEY_BYTES_MAX - 2)) is not None
    assert parse_api_key("a." + "b" * (API_KEY_BYTES_MAX - 1)) is None
    assert is_key_id("a" * (API_KEY_BYTES_MAX - 1))
    assert not is_key_id("a" * API_KEY_BYTES_MAX)
    assert not is_key_id("a b")


@given(st.text())
def test_reading_any_text_gives_a_key_or_none(text: str) -> None:
    key = parse_api_key(text)
    assert key is None or str(key) == text


def test_a_key_does_not_show_its_secret() -> None:
    assert KEY.secret not in repr(KEY)
    assert KEY.secret not in repr({"key": [KEY]})


def test_new_keys_have_the_usual_form() -> None:
    key = new_api_key(os.urandom)
    assert len(key.id) == 32
    assert int(key.id, 16) >= 0
    assert key.id == key.id.lower()
    assert len(key.secret) == 43
    assert key.secret.isalnum()
    assert parse_api_key(str(key)) == key
    assert new_api_key(os.urandom) != key


def test_an_id_is_random_bytes_and_their_checksum() -> None:
    key_id = new_key_id(bytes)
    assert key_id[:28] == "b1690de1" + "0" * 20
    assert key_id[28:] == hashlib.sha256(b"key id " + key_id[:28].encode()).hexdigest()[:4]


def test_an_id_of_ours_is_known_by_its_mark_and_checksum() -> None:
    key_id = new_key_id(os.urandom)
    assert len(key_id) == 32
    assert is_own_key_id(key_id)
    for index, digit in enumerate(key_id):
        other = "0" if digit != "0" else "1"
        assert not is_own_key_id(key_id[:index] + other + key_id[index + 1 :])
    assert not is_own_key_id("")
    assert not is_own_key_id(KEY_ID_MARK)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_secret_keeps_all_of_its_digest(one: bytes, two: bytes) -> None:
    assert len(secret_of_digest(one)) == 43
    assert (secret_of_digest(one) == secret_of_digest(two)) == (one == two)


def test_the_greatest_and_least_secrets() -> None:
    assert secret_of_digest(bytes(32)) == "0" * 43
    assert len(secret_of_digest(b"\xff" * 32)) == 43


def test_secrets_are_compared() -> None:
    assert same_secret("abc", "abc")
    assert not same_secret("abc", "abd")
    assert not same_secret("abc", "")
    assert not same_secret("", "")
    assert not same_secret("abc", None)
    assert not same_secret("0" * 43, None)
    assert not same_secret("0" * 43, "")


def test_a_token_of_ours_is_read_and_verified() -> None:
    token = sign_jwt(KEY, NOW_MS, 180_000)
    jwt = read_jwt(token)
    assert (jwt.key_id, jwt.timestamp_ms, jwt.exp_ms) == (KEY.id, NOW_MS, NOW_MS + 180_000)
    assert code_of(token) is None
    assert pyjwt.get_unverified_header(token) == {"alg": "HS256", "sign_type": "SIGN"}
    claims = pyjwt.decode(token, KEY.secret, algorithms=["HS256"])
    assert claims == {"api_key": KEY.id, "exp": NOW_MS + 180_000, "timestamp": NOW_MS}


@pytest.mark.parametrize(
    "headers", [None, {"alg": "HS256", "sign_type": "SIGN"}, {"sign_type": "SIGN", "typ": "JWT"}]
)
def test_a_token_made_by_pyjwt_is_taken(headers: dict[str, Any] | None) -> None:
    for lifetime_ms in (180_000, 210_000, 3_600_000, 86_400_000):
        claims = {"api_key": KEY.id, "exp": NOW_MS + lifetime_ms, "timestamp": NOW_MS}
        assert code_of(pyjwt.encode(claims, KEY.secret, algorithm="HS256", headers=headers)) is None


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_short_and_odd_secrets_work() -> None:
    claims = {"api_key": KEY.id, "exp": NOW_MS + 1000, "timestamp": NOW_MS}
    for secret in ("abcdefghijklmnop", "x", "密钥"):
        assert code_of(pyjwt.encode(claims, secret, algorithm="HS256"), secret=secret) is None


def test_an_empty_secret_verifies_nothing() -> None:
    assert code_of(sign({"alg": "HS256"}, WORLD.claims(), ""), secret="") == "1000"
    assert code_of(sign({"alg": "HS256"}, WORLD.claims(), "0" * 43), secret=None) == "1000"


def test_there_is_no_leeway_on_exp() -> None:
    for ahead_ms, code in ((1, None), (0, "1003"), (-1, "1003")):
        assert code_of(WORLD.token(exp=NOW_MS + ahead_ms, timestamp=NOW_MS - 1000)) == code


def test_a_clock_may_be_five_minutes_ahead() -> None:
    exp = NOW_MS + 3_600_000
    for ahead_ms, code in (
        (TIMESTAMP_AHEAD_MS_MAX, None),
        (TIMESTAMP_AHEAD_MS_MAX + 1, "1002"),
        (600_000, "1002"),
    ):
        assert code_of(WORLD.token(timestamp=NOW_MS + ahead_ms, exp=exp)) == code


def test_exp_may_lie_any_time_ahead() -> None:
    assert code_of(WORLD.token(exp=NOW_MS + 100 * 365 * 86_400_000)) is None


def test_exp_may_equal_the_timestamp_but_not_precede_it() -> None:
    assert code_of(WORLD.token(exp=NOW_MS + 1000, timestamp=NOW_MS + 1000)) is None
    assert code_of(WORLD.token(exp=NOW_MS + 1000, timestamp=NOW_MS + 1001)) == "1002"


def test_times_end_with_the_year_9999() -> None:
    assert code_of(WORLD.token(exp=253_402_300_799_999)) is None
    assert code_of(WORLD.token(exp=253_402_300_800_000)) == "1002"


def test_a_timestamp_on_the_seconds_scale_is_past() -> None:
    assert code_of(WORLD.token(timestamp=100_000_000_000)) is None
    assert code_of(WORLD.token(timestamp=99_999_999_999)) == "1003"


def test_a_bad_signature_never_tells_whether_the_token_has_expired() -> None:
    for exp in (NOW_MS - 1, NOW_MS + 1000, 1):
        token = sign({"alg": "HS256"}, WORLD.claims(exp=exp), "another secret")
        assert code_of(token) == "1004"
        assert code_of(token, secret=None) == "1000"


def test_a_token_has_a_greatest_length() -> None:
    assert code_of(token_of_size(WORLD, JWT_BYTES_MAX - 1)) is None
    assert code_of(token_of_size(WORLD, JWT_BYTES_MAX + 1)) == "1002"
    with pytest.raises(CredentialError, match="longer than 4 KiB"):
        read_jwt("é" * (JWT_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("header", "claim", "reason"),
    [
        (b"{}", b"1", "no alg"),
        (b'{"alg":"HS256","kid":"1"}', b"1", "not plain HS256"),
        (b'{"alg":"HS256","alg":"HS256"}', b"1", "a name occurs twice"),
        (b'{"alg":"HS256"}', b'{"a":1,"a":1}', "a name occurs twice"),
        (b'{"alg":"HS256"}', b"NaN", "NaN is not JSON"),
        (b'{"alg":"HS256"}', b'"\\ud800"', "not JSON"),
        (b'{"alg":"HS256"}', b'"\xff"', "not UTF-8"),
        (b'{"alg":"HS256"}', b"[" * 64 + b"]" * 64, "nested too deep"),
        (b'["HS256"]', b"1", "not a JSON object"),
    ],
)
def test_a_refusal_has_a_reason(header: bytes, claim: bytes, reason: str) -> None:
    payload = json.dumps(WORLD.claims()).encode()[:-1] + b',"x":' + claim + b"}"
    with pytest.raises(CredentialError, match=reason):
        read_jwt(sign(header, payload, KEY.secret))


def test_base64url_has_one_spelling() -> None:
    signed, _, signature = WORLD.token().rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(signature[-1]) + 1]
    with pytest.raises(CredentialError, match="not canonical base64url"):
        read_jwt(f"{signed}.{signature[:-1]}{other}")
    # No number of bytes takes five characters.
    with pytest.raises(CredentialError, match="not base64url"):
        read_jwt(f"AAAAA.{signed.partition('.')[2]}.{signature}")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.text().filter(lambda name: name not in {"api_key", "exp", "timestamp"}), _JSON, max_size=4
    )
)
def test_unknown_claims_are_no_matter(extra: dict[str, Any]) -> None:
    payload = json.dumps({**extra, **WORLD.claims()}, ensure_ascii=False).encode()
    assert code_of(sign({"alg": "HS256"}, payload, KEY.secret)) is None


@given(_JSON, _JSON, _JSON, _JSON)
def test_any_values_are_judged_without_an_accident(alg: Any, key_id: Any, exp: Any, timestamp: Any) -> None:
    claims = {"api_key": key_id, "exp": exp, "timestamp": timestamp}
    assert code_of(sign({"alg": alg}, claims, KEY.secret)) == "1002"
    assert code_of(sign({"alg": "HS256"}, claims, KEY.secret)) in {None, "1002", "1003"}


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_judged_without_an_accident(header: bytes, payload: bytes) -> None:
    assert code_of(sign(header, payload, KEY.secret)) == "1002"
    assert code_of(sign({"alg": "HS256"}, payload, KEY.secret)) == "1002"


@given(st.text(alphabet=st.characters(max_codepoint=0x17F), max_size=300))
def test_any_text_is_judged_without_an_accident(text: str) -> None:
    assert code_of(text) == "1002"


@settings(max_examples=300)
@given(st.data())
def test_no_change_to_a_token_leaves_it_good(data: st.DataObject) -> None:
    token = sign_jwt(KEY, NOW_MS, 180_000)
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 3)))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= +/\n"
    changed = token[:start] + data.draw(st.text(alphabet, max_size=3)) + token[end:]
    if changed != token:
        assert code_of(changed) in {"1002", "1004"}
