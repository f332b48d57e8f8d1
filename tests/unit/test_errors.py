"""The table of codes, and what it becomes on the wire."""

import json
import re

import pytest

from openbigmodel.errors import ERROR_CODES, ApiError, Language, error_headers, language_of, render_error

# api.md §8.2: inside 429, asking again helps with these and never with those.
TRANSIENT = {"1302", "1303", "1305"}
PERMANENT = {"1113", *map(str, range(1308, 1312)), *map(str, range(1314, 1322))}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_row_speaks_both_languages() -> None:
    for code, row in ERROR_CODES.items():
        assert row.code == code
        assert row.zh and row.en and not CHINESE.search(row.en), code
        assert re.findall(r"\$\{\w+\}", row.zh) == re.findall(r"\$\{\w+\}", row.en), code


def test_the_status_follows_from_who_is_to_blame() -> None:
    for code, row in ERROR_CODES.items():
        number = int(code)
        if 1000 <= number <= 1005:
            assert row.status == 401, code
        if 1100 <= number <= 1121 or 1302 <= number <= 1321:
            assert row.status == 429, code
    assert {ERROR_CODES[code].status for code in ("1210", "1211", "1213", "1214", "1261", "1301")} == {400}
    assert {ERROR_CODES[code].status for code in ("500", "1200", "1230", "1234")} == {500}


def test_whether_asking_again_helps() -> None:
    assert all(ERROR_CODES[code].retry is True for code in TRANSIENT)
    assert all(ERROR_CODES[code].retry is False for code in PERMANENT)
    # A client must never be left to guess about a 429.
    assert all(row.retry is not None for row in ERROR_CODES.values() if row.status == 429)


@pytest.mark.parametrize("code", ERROR_CODES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_body_is_always_json_with_a_code_that_is_a_string(code: str, language: Language) -> None:
    body = json.loads(render_error(ApiError(code), language))

    assert list(body) == ["error"] and list(body["error"]) == ["code", "message"]
    assert body["error"]["code"] == code
    assert "${" not in body["error"]["message"]


def test_what_was_sensitive_stands_beside_the_error() -> None:
    """api.md §8.3, to the letter."""
    error = ApiError("1301", content_filter=[{"level": 1, "role": "user"}])

    body = render_error(error, "zh").decode()
    assert body.startswith(
        '{"contentFilter":[{"level":1,"role":"user"}],"error":{"code":"1301","message":"系统检测到'
    )


def test_placeholders() -> None:
    error = ApiError("1215", field1="a", field2="b")

    assert error.message("en") == "a and b cannot be set at the same time, please check the documentation"
    assert ApiError("1213", field="messages[3].role").message("zh") == "未正常接收到messages[3].role参数。"
    # A value that looks like a placeholder stays as it is.
    assert ApiError("1213", field="${field}").message("zh") == "未正常接收到${field}参数。"


def test_details_follow_the_text_or_stand_for_it() -> None:
    general = ApiError("1210", detail_zh="太长", detail_en="too long")
    named = ApiError("1214", field="seed", detail_zh="太大。", detail_en="Too big.")

    assert (general.message("zh"), general.message("en")) == ("太长", "too long")
    assert named.message("zh") == "seed 参数非法。请检查文档。太大。"
    assert named.message("en") == "The parameter seed is invalid. Please check the documentation. Too big."
    assert str(general) == "1210: too long"


def test_a_status_that_http_has_a_better_word_for() -> None:
    assert ApiError("1210", status=413).status == 413
    assert ApiError("1210").status == 400


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        ApiError("9999")


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (ApiError("1210"), {}),
        (ApiError("1113"), {b"x-should-retry": b"false"}),
        (ApiError("1302"), {b"x-should-retry": b"true", b"retry-after": b"1"}),
        (ApiError("1305", retry_after_s=30), {b"x-should-retry": b"true", b"retry-after": b"30"}),
        (ApiError("1308", retry_after_s=3600), {b"x-should-retry": b"false", b"retry-after": b"3600"}),
        (ApiError("1234", retry_after_s=2), {b"retry-after": b"2"}),
    ],
)
def test_headers_for_those_who_would_ask_again(error: ApiError, headers: dict[bytes, bytes]) -> None:
    assert dict(error_headers(error)) == headers


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh"),
        (b"", "zh"),
        (b"en", "en"),
        (b"en-US,en;q=0.9", "en"),
        (b"zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (b"en;q=0.8, zh;q=0.9", "zh"),
        (b"de, fr;q=0.9, en;q=0.1", "en"),
        (b"de", "zh"),
        (b"*", "zh"),
        (b"EN-gb", "en"),
        (b"en;q=0", "zh"),
        (b"en; q=0.5", "en"),
        (b"en;q=2", "zh"),
        (b"en;level=1", "zh"),
        (b"en;q=0.1234", "zh"),
        (b"english", "zh"),
        (b"\xff\xfe,en", "en"),
        (b"," * 1000 + b"en", "zh"),
        (b"en,zh", "en"),
    ],
)
def test_the_language_of_a_header(header: bytes | None, language: Language) -> None:
    assert language_of(header) == language


def test_the_default_language_is_the_operators() -> None:
    assert language_of(None, "en") == language_of(b"de", "en") == "en"


def test_a_placeholder_may_have_a_word_for_each_language() -> None:
    error = ApiError("1308", number=5, unit={"zh": "小时", "en": "hour"}, next_flush_time="later")
    assert error.message("zh") == "已达到 5 小时 的使用上限。您的限额将在 later 重置。"
    assert error.message("en") == "Usage limit reached for 5 hour. Your limit will reset at later"
