"""Every error of the platform in Anthropic's shape."""

import json
from typing import Any

import pytest

from openbigmodel.engines.engine_errors import RelayedError
from openbigmodel.errors import ERROR_CODES, ApiError
from openbigmodel.inference.anthropic.errors import anthropic_headers, error_status, render_error

ID = "202608251214490e6fd0dcd71b467f"


def rendered(error: ApiError, language: Any = "en") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_error(error, language, ID))
    return found


def test_the_recorded_error() -> None:
    error = ApiError("1302")
    assert rendered(error) == {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "code": "1302",
            "message": f"[1302][Rate limit reached for requests][{ID}]",
        },
        "request_id": ID,
    }
    assert (
        rendered(ApiError("1211"), "zh")["error"]["message"] == f"[1211][模型不存在，请检查模型代码。][{ID}]"
    )


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ApiError("1000"), 401, "authentication_error"),
        (ApiError("1002"), 401, "authentication_error"),
        (ApiError("1113"), 429, "rate_limit_error"),
        (ApiError("1211"), 400, "invalid_request_error"),
        (ApiError("1211", status=404), 404, "not_found_error"),
        (ApiError("1214", field="messages"), 400, "invalid_request_error"),
        (ApiError("1210", status=413), 413, "request_too_large"),
        (ApiError("1210", status=431), 431, "invalid_request_error"),
        (ApiError("1220", api_name="x"), 403, "permission_error"),
        (ApiError("1234", error_id=ID), 500, "api_error"),
        (ApiError("500"), 500, "api_error"),
        (ApiError("1301"), 400, "invalid_request_error"),
        (ApiError("1303"), 429, "rate_limit_error"),
        (ApiError("1305"), 529, "overloaded_error"),
        (ApiError("1312"), 529, "overloaded_error"),
    ],
)
def test_status_and_type(error: ApiError, status: int, kind: str) -> None:
    assert error_status(error) == status
    assert rendered(error)["error"]["type"] == kind


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_code_has_a_type_that_fits_its_status(code: str) -> None:
    error = ApiError(code)
    kind = rendered(error)["error"]["type"]
    status = error_status(error)
    assert (kind in {"api_error", "overloaded_error"}) == (status >= 500)
    assert rendered(error)["error"]["code"] == code


@pytest.mark.parametrize(
    ("error", "again", "after"),
    [
        (ApiError("1113"), b"false", None),
        (ApiError("1302", retry_after_s=7), b"true", b"7"),
        (ApiError("1305"), b"true", b"1"),
        (ApiError("1214", field="x"), None, None),
    ],
)
def test_whether_to_ask_again(error: ApiError, again: bytes | None, after: bytes | None) -> None:
    headers = dict(anthropic_headers(error, ID))
    assert headers[b"request-id"] == ID.encode()
    assert (headers.get(b"x-should-retry"), headers.get(b"retry-after")) == (again, after)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_prompt_that_is_too_long_is_called_so_in_anthropics_words(language: str) -> None:
    assert "prompt is too long" in rendered(ApiError("1261"), language)["error"]["message"]


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (429, "rate_limit_error")])
def test_what_only_an_upstream_knows_is_told_in_its_words(status: int, kind: str) -> None:
    error = RelayedError("1999", "套餐已变更", status, retry=False, retry_after_s=None)
    told = rendered(error)["error"]
    assert (error_status(error), told["type"], told["code"]) == (status, kind, "1999")
    assert told["message"] == f"[1999][套餐已变更][{ID}]"
    assert (b"x-should-retry", b"false") in anthropic_headers(error, ID)
