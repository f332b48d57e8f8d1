"""Each credential that must be let in or kept out has a server that does the other, and a check that notices."""

import pytest

from openbigmodel.conformance.auth_checks import CHECKS
from openbigmodel.credentials import parse_api_key
from tests.planted_gateway import KEY, Mistake, caught, every_check_has_a_mistake

RIGHT = f"Bearer {KEY}"


def lets_in_jwts(value: str) -> bool:
    return value.count(".") == 2


def coded(code: str) -> Mistake:
    return Mistake(error=lambda body: {"error": {**body["error"], "code": code}})


PLANTED: list[tuple[str, Mistake]] = [
    ("auth.nothing", coded("1000")),
    ("auth.unknown_key", coded("1001")),
    ("auth.unknown_key", Mistake(status=lambda status: 403 if status == 401 else status)),
    ("auth.wrong_secret", Mistake(lets_in=lambda value: KEY.id in value)),
    ("auth.expired_jwt", Mistake(lets_in=lets_in_jwts)),
    ("auth.jwt_in_seconds", Mistake(lets_in=lets_in_jwts)),
    ("auth.bad_signature", Mistake(lets_in=lets_in_jwts)),
    ("auth.unsigned_jwt", Mistake(lets_in=lets_in_jwts)),
    ("auth.nonsense", Mistake(lets_in=lambda value: parse_api_key(value.removeprefix("Bearer ")) is None)),
    ("auth.nonsense", coded("invalid_api_key")),
    ("auth.two_credentials", Mistake(lets_in=lambda value: value == RIGHT)),
    ("auth.before_the_body", Mistake(body_first=True)),
    ("auth.key_alone", Mistake(turns_away=lambda value: value == str(KEY))),
    ("auth.jwt", Mistake(turns_away=lambda value: value.startswith("Bearer ") and lets_in_jwts(value))),
    (
        "auth.jwt_alone",
        Mistake(turns_away=lambda value: not value.startswith("Bearer ") and lets_in_jwts(value)),
    ),
]


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_server_that_gets_it_wrong_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake_but_for_the_key_without_which_nothing_is_measured() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but={"auth.key"})
