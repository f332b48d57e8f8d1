"""The pipeline's own words."""

import json

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.glm_dialect import GLM


def test_a_request_is_read_as_it_is() -> None:
    body = b'{"model":"glm-4.6","messages":[]}'
    asked = GLM.read(body, "account")
    assert (asked.request.model, asked.body, asked.extra) == ("glm-4.6", body, None)
    with pytest.raises(ApiError):
        GLM.read(b"{", "account")


def test_an_error_has_its_code_as_a_text_and_says_whether_to_try_again() -> None:
    status, lines, body = GLM.error(ApiError("1113"), "en", "2026")
    assert status == 429
    assert b"x-should-retry: false\r\n" in lines
    assert json.loads(body)["error"]["code"] == "1113"
