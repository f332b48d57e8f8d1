"""What an error looks like, whatever it says: one envelope, codes as texts, in the caller's language (api.md §8)."""

import re
from urllib.parse import urlsplit

from openbigmodel.conformance.checks import check, expect, shown
from openbigmodel.conformance.subject import Answer, Subject, encode
from openbigmodel.errors import ERROR_CODES

_HAN = re.compile(r"[\u4e00-\u9fff]")
_NO_MODEL = "no-such-model-as-this"


async def _unknown_model(subject: Subject, language: str = "") -> Answer:
    return await subject.post(encode(subject.request(model=_NO_MODEL)), language=language)


@check(
    "errors",
    "shape",
    'An error is {"error": {"code", "message"}} in JSON, both of them texts.',
    '错误体为 {"error": {"code", "message"}}，两者均为字符串。',
    "api.md §8.1",
)
async def _shape(subject: Subject) -> None:
    for answer in (
        await _unknown_model(subject),
        await subject.post(b"{}"),
        await subject.post(b"", headers=()),
    ):
        body = answer.json
        expect(isinstance(body, dict) and set(body) == {"error"}, f"the body is {shown(answer.body)}")
        expect(answer.error.keys() == {"code", "message"}, f"error is {shown(answer.error)}")
        for name, value in answer.error.items():
            expect(isinstance(value, str) and value, f"{name} is {value!r}")
        given = answer.header("content-type")
        expect(given.lower().startswith("application/json"), f"content-type {given!r}")


@check(
    "errors",
    "known_code",
    "Codes are of GLM's table, with the HTTP status that belongs to them.",
    "错误码取自 GLM 错误码表，HTTP 状态与之对应。",
    "api.md §8.2",
)
async def _known_code(subject: Subject) -> None:
    for answer in (
        await _unknown_model(subject),
        await subject.post(b"{}"),
        await subject.post(b"", headers=()),
    ):
        row = ERROR_CODES.get(str(answer.error.get("code")))
        expect(row is not None, f"code {answer.error.get('code')!r}")
        assert row is not None
        expect(answer.status == row.status, f"code {row.code} with status {answer.status}")


@check("errors", "unknown_model", "An unknown model: 400, code 1211.", "未知模型：400，1211。", "api.md §3.2")
async def _model(subject: Subject) -> None:
    answer = await _unknown_model(subject)
    expect(
        answer.status == 400 and answer.error.get("code") == "1211", f"{answer.status} {shown(answer.body)}"
    )


@check(
    "errors",
    "chinese",
    "Who asks for Chinese is told in Chinese.",
    "Accept-Language 为中文时返回中文消息。",
    "api.md §2",
)
async def _chinese(subject: Subject) -> None:
    message = (await _unknown_model(subject, "zh-CN,zh")).error.get("message")
    expect(_HAN.search(str(message)), f"the message is {shown(message)}")


@check(
    "errors",
    "english",
    "Who asks for English is told in English.",
    "Accept-Language 为英文时返回英文消息。",
    "api.md §2",
)
async def _english(subject: Subject) -> None:
    message = (await _unknown_model(subject, "en-US,en")).error.get("message")
    expect(message and not _HAN.search(str(message)), f"the message is {shown(message)}")


@check(
    "errors",
    "not_found",
    "An unknown path below the base: 404 with status, error and path.",
    "基址下的未知路径：404，含 status、error、path。",
    "api.md §1",
)
async def _not_found(subject: Subject) -> None:
    answer = await subject.post(encode({}), path="/no/such/path")
    body = answer.json
    expect(answer.status == 404, f"{answer.status} {shown(answer.body)}")
    expect(isinstance(body, dict), f"the body is {shown(answer.body)}")
    expect(body.get("status") == 404 and body.get("error") == "Not Found", f"the body is {shown(body)}")
    path = str(body.get("path"))
    whole = urlsplit(subject.url).path + "/no/such/path"
    expect(path.endswith("/no/such/path") and whole.endswith(path), f"path is {path!r}")


@check(
    "errors",
    "log_id",
    "Errors have the header x-log-id too.",
    "错误响应也带 x-log-id。",
    "api.md §1",
    required=False,
)
async def _log_id(subject: Subject) -> None:
    expect((await _unknown_model(subject)).header("x-log-id"), "there is none")


CHECKS = (_shape, _known_code, _model, _chinese, _english, _not_found, _log_id)
