"""Whose fault an engine's refusal is decides what the caller hears."""

import json

import pytest

from openbigmodel.engines.engine_errors import (
    EngineFault,
    RelayedError,
    code_and_text,
    fault_of_engine,
    kind_of_body,
    kind_of_error,
    retry_after,
    status_of_event,
)
from openbigmodel.errors import ApiError, error_headers, render_error


def error_of_engine(status: int, body: bytes, error_id: str) -> ApiError:
    """The error for the caller alone."""
    return fault_of_engine(status, body, error_id).error


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


def test_an_engine_without_eyes_is_told_of_in_our_words() -> None:
    text = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    body = json.dumps({"error": {"code": 500, "message": text, "type": "server_error"}}).encode()
    fault = fault_of_engine(500, body, "id-1")

    assert (fault.error.code, fault.retry, fault.blames) == ("1210", "never", "caller")
    assert "该模型背后的引擎不支持其中的图片" in fault.error.message("zh")
    assert "takes no" not in fault.error.message("en") and "does not take the images" in fault.error.message(
        "en"
    )
    assert "mmproj" not in fault.error.message("zh") + fault.error.message("en")


def test_a_model_without_tools_is_told_of_in_the_engines_words() -> None:
    text = "registry.ollama.ai/library/glm4:latest does not support tools"
    error = error_of_engine(400, json.dumps({"error": {"message": text}}).encode(), "id-1")

    assert error.message("en") == f"Invalid API parameter: {text}"


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
        (b'{"code": 1113, "msg": "the prompt was: secret"}', "1113"),
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


@pytest.mark.parametrize(
    "body", [b'{"error": {"code": 1113, "message": "x"}}', b'{"code": 1113, "msg": "x"}']
)
def test_of_a_platform_that_speaks_glm_it_is_one(body: bytes) -> None:
    fault = fault_of_engine(429, body, "id", relays=True)

    assert (judged(fault), fault.error.message("en")) == (("1113", "never", "operator"), "x")
    assert code_and_text(429, body) == ("1113", "x")
    assert status_of_event(body, relays=True) == 429


def test_a_status_where_glm_has_a_code_is_none() -> None:
    for code in (401, "401"):
        body = json.dumps({"code": code, "msg": "令牌已过期或验证不正确"}).encode()
        assert code_and_text(401, body)[0] == "1000"
        assert status_of_event(body, relays=True) == (401 if code == 401 else 500)
        assert judged(fault_of_engine(401, body, "id", relays=True)) == ("1234", "elsewhere", "operator")


def judged(fault: EngineFault) -> tuple[str, str, str]:
    return fault.error.code, fault.retry, fault.blames


def body_of(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "judgement"),
    [
        (400, body_of(message="stop is odd"), ("1210", "never", "caller")),
        (400, body_of(message="no", param="temperature", code=400), ("1214", "never", "caller")),
        (422, b'{"detail": [{"loc": ["body", "top_p"], "msg": "no"}]}', ("1214", "never", "caller")),
        (400, body_of(message="no", param="stream_options"), ("1234", "elsewhere", "operator")),
        (
            400,
            body_of(
                message="Unrecognized request argument supplied: chat_template_kwargs",
                type="invalid_request_error",
                param=None,
                code=None,
            ),
            ("1234", "elsewhere", "operator"),
        ),
        (405, b"", ("1234", "elsewhere", "operator")),
        (415, b"", ("1234", "elsewhere", "operator")),
        (400, body_of(message="tools param requires --jinja flag"), ("1234", "elsewhere", "operator")),
        (400, body_of(message="maximum context length is 1"), ("1261", "never", "caller")),
        # Some engines take too long a prompt for a fault of their own.
        (500, body_of(message="the request exceeds the available context size"), ("1261", "never", "caller")),
        (500, body_of(message="image input is not supported"), ("1210", "never", "caller")),
        (401, body_of(message="no"), ("1234", "elsewhere", "operator")),
        (403, body_of(message="maximum context length is 1"), ("1234", "elsewhere", "operator")),
        (404, body_of(message="The model `x` does not exist."), ("1234", "elsewhere", "operator")),
        (429, b"", ("1305", "elsewhere", "load")),
        (429, body_of(message="x", type="insufficient_quota"), ("1234", "elsewhere", "operator")),
        (503, body_of(message="The request queue is full."), ("1305", "elsewhere", "load")),
        (503, b"", ("1234", "elsewhere", "engine")),
        (500, b"", ("1234", "elsewhere", "engine")),
        (502, b"<html>", ("1234", "elsewhere", "engine")),
    ],
)
def test_whose_fault_it_is_and_who_may_be_asked_next(
    status: int, body: bytes, judgement: tuple[str, str, str]
) -> None:
    assert judged(fault_of_engine(status, body, "id")) == judgement


def test_a_field_is_named_with_its_index_and_the_engines_words() -> None:
    error = error_of_engine(400, body_of(message="must be text", param="messages.2.content"), "id")

    assert error.field == "messages[2].content"
    assert "must be text" in error.message("en") and "messages[2].content" in error.message("zh")


def relayed(status: int, code: str, text: str = "words", **headers: str) -> EngineFault:
    found = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return fault_of_engine(status, body_of(code=code, message=text), "id", found, relays=True)


@pytest.mark.parametrize(
    ("status", "code", "retry", "blames"),
    [
        (429, "1113", "never", "operator"),
        (429, "1308", "never", "operator"),
        (429, "1321", "never", "operator"),
        (400, "1301", "never", "caller"),
        (400, "1210", "never", "caller"),
        (429, "1302", "elsewhere", "load"),
        (429, "1303", "elsewhere", "load"),
        (429, "1305", "elsewhere", "load"),
    ],
)
def test_an_upstream_of_kind_glm_is_heard_in_its_own_words(
    status: int, code: str, retry: str, blames: str
) -> None:
    fault = relayed(status, code, "余额不足 1113", retry_after="7")

    assert judged(fault) == (code, retry, blames)
    assert (fault.error.status, fault.error.message("en")) == (status, "余额不足 1113")
    assert json.loads(render_error(fault.error, "en")) == {
        "error": {"code": code, "message": "余额不足 1113"}
    }
    if blames != "caller":
        assert (b"retry-after", b"7") in error_headers(fault.error)
        assert fault.retry_after_s == 7


def test_whether_to_ask_again_is_said_of_a_relayed_error_too() -> None:
    assert (b"x-should-retry", b"false") in error_headers(relayed(429, "1113").error)
    assert (b"x-should-retry", b"true") in error_headers(relayed(429, "1302").error)


def test_what_moderation_upstream_found_comes_along() -> None:
    body = json.dumps(
        {"contentFilter": [{"level": 1, "role": "user"}], "error": {"code": "1301", "message": "x"}}
    ).encode()
    error = fault_of_engine(400, body, "id", relays=True).error

    assert json.loads(render_error(error, "zh"))["contentFilter"] == [{"level": 1, "role": "user"}]


@pytest.mark.parametrize(
    ("status", "code"), [(401, "1000"), (401, "1003"), (400, "1211"), (403, "1220"), (400, "1222")]
)
def test_our_credential_and_names_upstream_are_the_operators(status: int, code: str) -> None:
    assert judged(relayed(status, code)) == ("1234", "elsewhere", "operator")


def test_an_upstream_of_kind_glm_that_fails_is_an_engine_that_fails() -> None:
    assert judged(relayed(500, "1234")) == ("1234", "elsewhere", "engine")
    assert judged(relayed(500, "500")) == ("1234", "elsewhere", "engine")


def test_a_code_that_is_newer_than_our_table() -> None:
    refused, busy = relayed(400, "1399", "new"), relayed(429, "1398", "newer", retry_after="3")

    assert judged(refused) == ("1399", "never", "caller")
    assert isinstance(refused.error, RelayedError)
    assert judged(busy) == ("1398", "elsewhere", "load")
    assert error_headers(refused.error) == [(b"x-should-retry", b"false")]


def test_a_code_without_words_has_ours() -> None:
    assert relayed(429, "1113", "").error.message("en") == ApiError("1113").message("en")


def test_without_relaying_an_upstreams_account_stays_its_own_business() -> None:
    fault = fault_of_engine(429, body_of(code="1113", message="no money"), "id")

    assert judged(fault) == ("1234", "elsewhere", "operator")


def test_a_number_of_five_digits_or_a_word_is_no_code_of_glms() -> None:
    for code in ("100013", "12", "0123", "invalid_api_key"):
        assert judged(relayed(400, code)) == ("1210", "never", "caller")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (b"", None),
        (b"5", 5),
        (b"0", None),
        (b"1.2", 2),
        (b"-5", None),
        (b"999999999", 86400),
        (b"9" * 400, None),
        (b"soon", None),
        (b"\xff", None),
        (b"Thu, 01 Jan 1970 00:00:30 GMT", 21),
        (b"Thu, 01 Jan 1970 00:00:05 GMT", None),
        (b"Thu, 99 Jan 1970 00:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes | None, seconds: int | None) -> None:
    assert retry_after(value, now_s=10.0) == seconds


def test_an_overloaded_engines_wish_is_carried_on() -> None:
    fault = fault_of_engine(429, b"", "id", {b"retry-after": b"12"})

    assert (fault.retry_after_s, fault.error.retry_after_s) == (12, 12)


def test_what_is_no_content_filter_is_left_out() -> None:
    body = json.dumps({"contentFilter": "x", "error": {"code": "1301", "message": "x"}}).encode()

    assert fault_of_engine(400, body, "id").error.content_filter == ()


@pytest.mark.parametrize("detail", [[], [{"loc": "x"}], [{}], ["x"]])
def test_a_list_of_details_of_another_shape_names_no_field(detail: object) -> None:
    assert error_of_engine(422, json.dumps({"detail": detail}).encode(), "id").field is None


@pytest.mark.parametrize(("code", "status"), [("1210", 400), ("1302", 429), ("1399", 500)])
def test_a_status_of_some_proxys_own_is_none_that_a_caller_gets(code: str, status: int) -> None:
    body = json.dumps({"error": {"code": code, "message": "odd"}}).encode()
    for odd in (520, 599, 444):
        fault = fault_of_engine(odd, body, "id-1", relays=True)
        assert fault.error.status in (status, 500), odd


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (b'{"error":{"code":"1301","message":"x"}}', 400),
        (b'{"error":{"code":"1302","message":"x"}}', 429),
        (b'{"error":{"code":400,"message":"too long"}}', 400),
        (b'{"error":{"code":"x","status":503}}', 503),
        (b'{"error":{"code":7}}', 500),
        (b'{"error":{"code":true}}', 500),
        (b'{"error":"x"}', 500),
        (b"\xff", 500),
    ],
)
def test_the_status_that_an_error_in_mid_answer_would_have_had(event: bytes, status: int) -> None:
    assert status_of_event(event) == status
