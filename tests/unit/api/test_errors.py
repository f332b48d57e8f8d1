import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from openbigmodel.api.errors import error_response, not_found, respond_error
from openbigmodel.errors import ApiError
from openbigmodel.inference.glm_dialect import GLM
from tests.unit.inference.pipeline_bench import RecordingSink


def request(path: str = "/", language: bytes = b"") -> Request:
    headers = [(b"accept-language", language)] if language else []
    return Request({"type": "http", "path": path, "headers": headers, "query_string": b""})


def test_an_error_is_the_same_at_both_doors() -> None:
    error = ApiError("1305", retry_after_s=7)
    sink = RecordingSink([], "sink")
    respond_error(sink, error, "en", "2026", GLM)
    response = error_response(error, "en")

    assert sink.status == response.status_code == 429
    assert bytes(sink.body) == response.body
    for name in ("content-type", "retry-after", "x-should-retry"):
        assert sink.headers[name] == response.headers[name]
    assert sink.headers["x-log-id"] == "2026"
    assert sink.headers["content-type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/api/paas/v4/nothing", "/v4/nothing"),
        ("/api/coding/paas/v4/nothing", "/v4/nothing"),
        ("/v1/nothing", "/v1/nothing"),
        ("/", "/"),
        ("/api/paasv4", "/api/paasv4"),
    ],
)
def test_an_unknown_path(path: str, named: str) -> None:
    response = not_found(request(path), HTTPException(404))

    assert response.status_code == 404
    assert json.loads(bytes(response.body)) == {"status": 404, "error": "Not Found", "path": named}


def test_a_wrong_method() -> None:
    response = not_found(request("/health"), HTTPException(405, headers={"Allow": "GET"}))

    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert json.loads(bytes(response.body))["error"] == "Method Not Allowed"
