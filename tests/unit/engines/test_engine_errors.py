"""Whose fault an engine's refusal is decides what the caller hears."""

import json

import pytest

from openbigmodel.engines.engine_errors import error_of_engine, kind_of_body, kind_of_error
from openbigmodel.errors import ApiError


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_mistake_of_the_caller_is_told_in_the_engines_words(status: int) -> None:
    body = json.dumps({"error": {"message": "stop must be short", "type": "invalid_request_error"}}).encode()
    error = error_of_engine(status, body, "id-1")

    assert (error.code, error.status) == ("1210", 400)
    assert error.message("en") == "Invalid API parameter: stop must be short invalid_request_error"
    assert error.message("zh") == "API 调用参数有误：stop must be short invalid_request_error"


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000.",
        "the request exceeds the available context size, try increasing it",
        "The input (5000 tokens) is longer than the maximum of 4096 tokens",
        "Prompt too long",
    ],
)
def test_a_prompt_that_is_too_long(text: str) -> None:
    assert error_of_engine(400, json.dumps({"error": {"message": text}}).encode(), "id-1").code == "1261"


def test_llama_server_says_so_in_the_type() -> None:
    body = {"error": {"code": 400, "message": "no", "type": "exceed_context_size_error", "n_ctx": 512}}

    assert error_of_engine(400, json.dumps(body).encode(), "id-1").code == "1261"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "plain"}', "plain"),
        (b'{"detail": "of FastAPI"}', "of FastAPI"),
        (b'{"message": "of SGLang", "type": "BadRequest"}', "of SGLang BadRequest"),
        (b'{"error": {"message": null}}', ""),
        (b'{"error": null}', "None"),
        (b"", ""),
        (b"<html>", ""),
        (b"[1]", ""),
        (b"\xff\xfe", ""),
        (b"[" * 100_000, ""),
        (b'{"error": "' + b"x" * 5000 + b'"}', "x" * 300),
    ],
)
def test_error_bodies_of_all_shapes(body: bytes, text: str) -> None:
    assert error_of_engine(400, body, "id-1").message("en") == f"Invalid API parameter: {text}"


def test_a_busy_engine_is_a_busy_platform() -> None:
    error = error_of_engine(429, b"", "id-1")

    assert (error.code, error.status, error.row.retry) == ("1305", 429, True)


@pytest.mark.parametrize("status", [100, 204, 301, 401, 403, 404, 418, 500, 502, 503, 504, 599])
def test_everything_else_is_the_operators_business(status: int) -> None:
    error = error_of_engine(status, b'{"error": {"message": "key sk-secret is wrong"}}', "id-1")

    assert (error.code, error.status) == ("1234", 500)
    assert "id-1" in error.message("en") and "secret" not in error.message("en")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error": {"type": "server_error", "message": "the prompt was: secret"}}', "server_error"),
        (b'{"error": {"code": "model_not_found"}}', "model_not_found"),
        (b'{"type": "BadRequest"}', "BadRequest"),
        (b'{"error": {"code": 500}}', "no type"),
        (b'{"error": {"type": "the prompt was: secret"}}', "no type"),
        (b'{"error": null}', "no type"),
        (b"[1]", "no type"),
        (b"secret", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"", "no JSON"),
    ],
)
def test_what_the_log_says_of_an_error_quotes_no_prompt(body: bytes, kind: str) -> None:
    assert kind_of_body(body) == kind


@pytest.mark.parametrize("error", [None, 5, [], {"type": None, "code": None}, {"type": "x" * 61}])
def test_an_error_without_a_name(error: object) -> None:
    assert kind_of_error(error) == "no type"


def glm(status: int, code: str, message: str = "words of the upstream") -> ApiError:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return error_of_engine(status, body, "id")


@pytest.mark.parametrize("code", ["1261", "1300", "1301", "1302", "1303", "1305", "1312"])
def test_what_another_glm_platform_says_of_a_request_is_passed_on(code: str) -> None:
    assert glm(400 if code < "1302" else 429, code).code == code


@pytest.mark.parametrize("code", ["1210", "1214"])
def test_a_faulty_field_is_named_in_the_upstreams_words(code: str) -> None:
    error = glm(400, code, "messages 参数非法。请检查文档。")

    assert (error.code, error.message("zh")) == ("1210", "messages 参数非法。请检查文档。")


@pytest.mark.parametrize("code", ["1113", "1211", "1308", "1309", "1310", "1311"])
def test_an_upstreams_trouble_with_our_account_is_the_operators(code: str) -> None:
    assert glm(429, code).code == "1234"


def test_a_number_where_glm_has_a_code_is_no_code() -> None:
    body = b'{"error": {"code": 1302, "message": "x"}}'

    assert error_of_engine(500, body, "id").code == "1234"
