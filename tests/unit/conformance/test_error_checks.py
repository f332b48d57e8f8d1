"""Each rule of an error has a server that breaks it, and a check that notices."""

import pytest

from openbigmodel.conformance.error_checks import CHECKS
from openbigmodel.errors import ApiError
from tests.planted_gateway import Members, Mistake, caught, dropped, every_check_has_a_mistake


def as_number(body: Members) -> Members:
    return {"error": {**body["error"], "code": int(body["error"]["code"])}}


def unknown(request: Members) -> None:
    if request.get("model") != "glm-5.2":
        raise ApiError("1214", field="modelCode")


PLANTED: list[tuple[str, Mistake]] = [
    ("errors.shape", Mistake(error=as_number)),
    (
        "errors.shape",
        Mistake(error=lambda body: {"error": {**body["error"], "type": "invalid_request_error"}}),
    ),
    ("errors.shape", Mistake(error=lambda body: {"detail": body["error"]})),
    ("errors.shape", Mistake(error=lambda body: {**body, "success": False})),
    ("errors.shape", Mistake(headers=lambda given: {**given, "content-type": "text/html"})),
    (
        "errors.known_code",
        Mistake(error=lambda body: {"error": {**body["error"], "code": "model_not_found"}}),
    ),
    ("errors.known_code", Mistake(status=lambda status: 404 if status == 400 else status)),
    ("errors.unknown_model", Mistake(judge=unknown)),
    ("errors.chinese", Mistake(language="en")),
    ("errors.english", Mistake(language="zh")),
    ("errors.not_found", Mistake(not_found=lambda _: b'{"error":{"code":"404","message":"no"}}')),
    ("errors.not_found", Mistake(not_found=lambda _: b'{"detail":"Not Found"}')),
    ("errors.not_found", Mistake(not_found=lambda _: b'{"status":404,"error":"Not Found","path":"/"}')),
    ("errors.log_id", Mistake(headers=dropped("x-log-id"))),
]


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_server_that_breaks_it_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but=set())
