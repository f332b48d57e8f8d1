"""JWTs that stand for keys."""

import pytest

from openbigmodel.credentials import read_jwt
from openbigmodel.engines.signer import LIFETIME_MS, Signer


def test_a_jwt_is_used_for_half_its_life() -> None:
    now = [1_000_000.0]
    signer = Signer(lambda: now[0])
    first = signer.bearer("id.secret")
    now[0] += LIFETIME_MS / 2000 - 1
    assert signer.bearer("id.secret") == first
    now[0] += 2
    second = signer.bearer("id.secret")

    assert second != first
    assert "secret" not in first and read_jwt(first) is not None
    # A clock that was put back.
    now[0] -= 3600
    assert signer.bearer("id.secret") not in (first, second)


def test_each_key_has_its_own() -> None:
    signer = Signer()

    assert signer.bearer("a.secret") != signer.bearer("b.secret")


@pytest.mark.parametrize("key", ["", "no key", "a.b.c"])
def test_what_cannot_sign_is_shown_itself(key: str) -> None:
    assert Signer().bearer(key) == key
