"""Errors in the words of the Responses surface."""

import json

import pytest

from openbigmodel.engines.engine_errors import RelayedError
from openbigmodel.errors import ERROR_CODES, ApiError
from openbigmodel.inference.dialect import Asked
from openbigmodel.inference.responses.errors import header_lines, render, word_for
from openbigmodel.inference.responses.items import Item
from openbigmodel.inference.responses.read import read_responses_request


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("1000", "authentication_error"),
        ("1113", "insufficient_quota"),
        ("1211", "model_not_found"),
        ("1214", "invalid_request"),
        ("1220", "permission_denied"),
        ("1231", "invalid_request"),
        ("1234", "server_error"),
        ("1261", "context_length_exceeded"),
        ("1301", "content_filter"),
        ("1302", "rate_limit_exceeded"),
        ("1305", "overloaded"),
        ("1308", "insufficient_quota"),
        ("500", "server_error"),
    ],
)
def test_words(code: str, word: str) -> None:
    assert word_for(ApiError(code)) == word
    error = json.loads(render(ApiError(code), "en"))["error"]
    assert (error["code"], error["type"], error["param"]) == (word, word, None)


def test_every_code_has_a_word_that_fits_its_status() -> None:
    for row in ERROR_CODES.values():
        word = word_for(ApiError(row.code))
        assert (word == "server_error") == (row.status >= 500), row
        if row.status == 429:
            assert word not in {"invalid_request", "server_error"} or row.code in {"1100", "1120"}, row
    assert word_for(ApiError("1214", status=404)) == "not_found"


def test_the_field_is_the_caller_s() -> None:
    body = json.dumps(
        {"model": "m", "instructions": "s", "input": [{"role": "user", "content": "a"}]}
    ).encode()

    def nothing(response_id: str) -> list[Item]:
        raise AssertionError

    asked = Asked(*read_responses_request(body, "account", nothing))
    error = ApiError("1214", field="messages[1].content", detail_en="No.", detail_zh="不。")
    told = json.loads(render(error, "en", asked))["error"]
    assert told["param"] == "input[0].content"
    assert "input[0].content" in told["message"] and "messages" not in told["message"]
    assert json.loads(render(error, "zh"))["error"]["param"] == "input"
    assert json.loads(render(error, "zh", Asked(asked.request, b"", None)))["error"]["param"] == "input"


def test_clients_hear_whether_to_ask_again() -> None:
    assert header_lines(ApiError("1113")) == b"x-should-retry: false\r\n"
    assert header_lines(ApiError("1305", retry_after_s=7)) == b"x-should-retry: true\r\nretry-after: 7\r\n"
    assert header_lines(ApiError("1214", field="x")) == b""


@pytest.mark.parametrize(("status", "word"), [(400, "invalid_request"), (429, "rate_limit_exceeded")])
def test_what_only_an_upstream_knows_is_told_in_its_words(status: int, word: str) -> None:
    text = "Too many messages per minute, max_tokens included"
    error = RelayedError("1999", text, status, retry=False, retry_after_s=None)
    told = json.loads(render(error, "zh"))["error"]
    assert (told["code"], told["type"], told["message"], told["param"]) == (word, word, text, None)
    assert header_lines(error) == b"x-should-retry: false\r\n"
