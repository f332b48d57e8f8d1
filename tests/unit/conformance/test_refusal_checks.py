"""A server that swallows what is wrong, or refuses it in other words, is found."""

import pytest

from openbigmodel.conformance.refusal_checks import CHECKS
from openbigmodel.errors import ApiError
from tests.planted_gateway import Members, Mistake, caught, judge


def swallow(request: Members) -> None:
    """No judgement but on the model."""
    if not isinstance(request.get("model"), str) or not isinstance(request.get("messages"), list):
        raise ApiError("1210")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_server_that_gives_another_code_is_found(check: object) -> None:
    def other_code(request: Members) -> None:
        try:
            judge(request)
        except ApiError as error:
            raise ApiError("1215", field1="a", field2="b") from error

    def error(body: Members) -> Members:
        return {"error": {**body["error"], "code": "1215"}}

    caught(Mistake(judge=other_code, error=error), check.id)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name",
    ["only_system", "role_unknown", "temperature_range", "top_p_range", "tools_type", "max_tokens_range"],
)
def test_a_server_that_swallows_it_is_found(name: str) -> None:
    caught(Mistake(judge=swallow), f"refusals.{name}")


def test_a_server_that_does_not_name_the_field_is_found() -> None:
    nameless = Mistake(error=lambda body: {"error": {**body["error"], "message": "参数非法"}})
    caught(nameless, "refusals.temperature_type")
    caught(nameless, "refusals.messages_missing")


def test_a_server_that_answers_with_another_status_is_found() -> None:
    caught(Mistake(status=lambda status: 422 if status == 400 else status), "refusals.no_json")
    caught(Mistake(status=lambda status: 500 if status == 400 else status), "refusals.before_a_stream")
