"""Every error that a caller can see: one table of codes, one exception, one way to render it.

The table is data (api.md §8.2): business code, HTTP status, Chinese and English text, and whether asking
again can help. `${name}` in a text is filled from the error. Nothing else in the package writes error text
for callers, so a message in two languages and the retry headers can never be forgotten.

    ApiError                 whose code says who is to blame:
        1000-1005            the caller's credential                       401
        1110-1121            the caller's account                          429
        1210-1261            the caller's request                          400, 403
        1300-1321            the caller's content, limits and plan         400, 429
        1200, 1230-1235      the platform or its engine                    500
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

Language = Literal["zh", "en"]

# A retry of these in a few seconds has a chance; the caller may be told for how long to wait.
_DEFAULT_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table. `retry`: None leaves the decision to the client's own rule for the status."""

    code: str
    status: int
    zh: str
    en: str
    retry: bool | None = None


_ROWS = (
    ErrorCode("500", 500, "内部错误", "Internal error"),
    ErrorCode("1000", 401, "身份验证失败。", "Authentication Failed"),
    ErrorCode(
        "1001",
        401,
        "Header中未收到Authorization参数，无法进行身份验证。",
        "Authentication parameter not received in Header, unable to authenticate",
    ),
    ErrorCode(
        "1002",
        401,
        "Authorization Token非法，请确认Authorization Token正确传递。",
        "Authentication Token is invalid, please confirm it is passed correctly",
    ),
    ErrorCode(
        "1003",
        401,
        "Authorization Token已过期，请重新生成/获取。",
        "Authentication Token has expired, please generate a new one",
    ),
    ErrorCode(
        "1004",
        401,
        "通过 Authentication Token 的验证失败",
        "Verification with the provided Authentication Token failed",
    ),
    ErrorCode("1005", 401, "已开启二次认证保护，需要二次认证登录。", "Two-factor sign-in is required"),
    ErrorCode("1100", 429, "账户读写", "Account read or write failed", True),
    ErrorCode(
        "1110",
        429,
        "您的账户当前处于非活动状态，请检查账户信息",
        "Your account is inactive. Please check your account information",
        False,
    ),
    ErrorCode("1111", 429, "您的账户不存在", "Your account does not exist", False),
    ErrorCode(
        "1112",
        429,
        "您的账户已被锁定，请联系客服解锁",
        "Your account is locked. Please contact support to unlock it",
        False,
    ),
    ErrorCode(
        "1113",
        429,
        "余额不足或无可用资源包,请充值。",
        "Insufficient balance or no resource package. Please recharge.",
        False,
    ),
    ErrorCode(
        "1120",
        429,
        "无法成功访问您的账户，请稍后重试",
        "Your account cannot be reached right now, please retry later",
        True,
    ),
    ErrorCode(
        "1121",
        429,
        "账户存违规行为，账号已被锁定",
        "Your account is locked because of a violation of the rules",
        False,
    ),
    ErrorCode("1200", 500, "API 调用失败", "API call failed"),
    ErrorCode(
        "1210",
        400,
        "API 调用参数有误，请检查文档。",
        "Invalid API parameter, please check the documentation.",
    ),
    ErrorCode("1211", 400, "模型不存在，请检查模型代码。", "Unknown Model, please check the model code."),
    ErrorCode(
        "1212",
        400,
        "当前模型不支持${method}调用方式。",
        "The current model does not support the ${method} calling method.",
    ),
    ErrorCode("1213", 400, "未正常接收到${field}参数。", "The parameter ${field} was not received properly."),
    ErrorCode(
        "1214",
        400,
        "${field} 参数非法。请检查文档。",
        "The parameter ${field} is invalid. Please check the documentation.",
    ),
    ErrorCode(
        "1215",
        400,
        "${field1}与${field2}不能同时设置，请检查文档",
        "${field1} and ${field2} cannot be set at the same time, please check the documentation",
    ),
    ErrorCode("1220", 403, "您无权访问${api_name}。", "You do not have permission to access ${api_name}."),
    ErrorCode("1221", 400, "API ${api_name} 已下线", "API ${api_name} has been taken offline"),
    ErrorCode("1222", 400, "API ${api_name} 不存在", "API ${api_name} does not exist"),
    ErrorCode("1230", 500, "API 调用流程出错", "API call process error"),
    ErrorCode("1231", 400, "您已有请求：${request_id}", "You already have a request: ${request_id}", False),
    ErrorCode(
        "1232",
        400,
        "获取异步请求结果时，请使用task_id",
        "Please use task_id to fetch the result of an asynchronous request",
    ),
    ErrorCode("1233", 400, "任务：${id}不存在。", "Task ${id} does not exist."),
    ErrorCode(
        "1234",
        500,
        "网络错误，错误id：${error_id}，请联系客服",
        "Network error, error id: ${error_id}, please try again later",
    ),
    ErrorCode(
        "1235",
        500,
        "网络错误，错误id：${error_id}，请联系客服",
        "Network error, error id: ${error_id}, please contact support",
    ),
    ErrorCode("1260", 500, "API 运行时错误", "API runtime error"),
    ErrorCode("1261", 400, "Prompt 超长", "Prompt exceeds max length"),
    ErrorCode("1300", 400, "API 调用被策略阻止", "API call blocked by policy"),
    ErrorCode(
        "1301",
        400,
        "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。",
        "System detected potentially unsafe or sensitive content in input or generation. Please avoid prompts that "
        "may generate sensitive content. Thank you for your cooperation.",
    ),
    ErrorCode(
        "1302", 429, "您的账户已达到速率限制，请您控制请求频率", "Rate limit reached for requests", True
    ),
    ErrorCode(
        "1303",
        429,
        "您当前使用该API的频率过高，请降低频率，或联系客服增加限额",
        "Your request frequency for this API is too high. Please slow down or ask for a higher limit",
        True,
    ),
    ErrorCode(
        "1304",
        429,
        "该API已达今日调用次数限额，如有更多需求，请联系客服购买",
        "The daily call limit of this API has been reached. Please contact support for more",
        False,
    ),
    ErrorCode(
        "1305",
        429,
        "该模型当前访问量过大，请您稍后再试",
        "The service may be temporarily overloaded, please try again later",
        True,
    ),
    ErrorCode(
        "1308",
        429,
        "已达到 ${number} ${unit} 的使用上限。您的限额将在 ${next_flush_time} 重置。",
        "Usage limit reached for ${number} ${unit}. Your limit will reset at ${next_flush_time}",
        False,
    ),
    ErrorCode(
        "1309",
        429,
        "您的 GLM Coding Plan 套餐已到期，暂无法使用，请续订后恢复",
        "Your GLM Coding Plan package has expired. Please renew it to continue",
        False,
    ),
    ErrorCode(
        "1310",
        429,
        "您已达到每周/每月使用上限，您的限额将在 ${next_flush_time} 重置",
        "Weekly or monthly usage limit reached. Your limit will reset at ${next_flush_time}",
        False,
    ),
    ErrorCode(
        "1311",
        429,
        "当前订阅套餐暂未开放${model_name}权限",
        "Your current subscription does not include access to ${model_name}",
        False,
    ),
    ErrorCode(
        "1312",
        429,
        "该模型访问量过大，您可使用备用模型",
        "This model is overloaded, you may use an alternative model",
        True,
    ),
    ErrorCode(
        "1313",
        429,
        "您的账户当前使用模式不符合公平使用策略，请求频率已受到限制",
        "Your usage does not follow the fair use policy, and the request rate is limited",
        True,
    ),
    ErrorCode("1314", 429, "企业套餐已失效", "The enterprise package is no longer valid", False),
    ErrorCode(
        "1315",
        429,
        "该 API Key 仅限企业编程套餐场景使用",
        "This API key is only for the enterprise coding package",
        False,
    ),
    ErrorCode(
        "1316",
        429,
        "已达到 5 小时使用上限，主账号余额不足",
        "5-hour limit reached and the main account's balance is insufficient",
        False,
    ),
    ErrorCode(
        "1317",
        429,
        "已达到 5 小时使用上限，子账号已达月消费上限",
        "5-hour limit reached and the sub-account's monthly spending limit is used up",
        False,
    ),
    ErrorCode(
        "1318",
        429,
        "已达到 5 小时使用上限，企业已达月消费上限",
        "5-hour limit reached and the enterprise's monthly spending limit is used up",
        False,
    ),
    ErrorCode(
        "1319",
        429,
        "已达到 7 天使用上限，主账号余额不足",
        "7-day limit reached and the main account's balance is insufficient",
        False,
    ),
    ErrorCode(
        "1320",
        429,
        "已达到 7 天使用上限，子账号已达月消费上限",
        "7-day limit reached and the sub-account's monthly spending limit is used up",
        False,
    ),
    ErrorCode(
        "1321",
        429,
        "已达到 7 天使用上限，企业已达月消费上限",
        "7-day limit reached and the enterprise's monthly spending limit is used up",
        False,
    ),
    ErrorCode(
        "1701",
        429,
        "网络搜索并发数超限，请稍后再试",
        "Too many web searches at once, please try again later",
        True,
    ),
    ErrorCode("1702", 500, "没有可用的网络搜索引擎", "No web search engine is available"),
    ErrorCode("1703", 500, "网络搜索没有有效结果", "The web search found no valid result"),
)

ERROR_CODES: Mapping[str, ErrorCode] = {row.code: row for row in _ROWS}

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class ApiError(Exception):
    """A refusal or failure that the caller is told about.

    `field` names the part of the request at fault, with its index (`messages[3].role`). `detail_zh` and
    `detail_en` replace or complete the table's text: codes 1210 and 1214 cover a hundred different mistakes,
    and a caller who is not told which one has to guess. `retry_after_s` is whole seconds.
    `status` overrides the table's HTTP status where HTTP itself has a better word (413, 431).
    `content_filter` is what 1301 says of the content, level and role (api.md §8.3).
    Other names fill the text's placeholders; a mapping has a word for each language.
    """

    def __init__(
        self,
        code: str,
        *,
        field: str | None = None,
        detail_zh: str | None = None,
        detail_en: str | None = None,
        retry_after_s: int | None = None,
        status: int | None = None,
        content_filter: Sequence[object] = (),
        **params: object,
    ) -> None:
        self.row = ERROR_CODES[code]
        self.code = code
        self.status = status or self.row.status
        self.field = field
        self.detail_zh = detail_zh
        self.detail_en = detail_en
        self.retry_after_s = retry_after_s
        self.content_filter = content_filter
        self.params = params if field is None else {"field": field, **params}
        super().__init__(f"{code}: {self.message('en')}")

    def message(self, language: Language) -> str:
        """The text for the caller: the table's sentence, then what exactly was wrong."""
        text = self.row.zh if language == "zh" else self.row.en
        text = _PLACEHOLDER.sub(lambda match: self._param(match[1], language), text)
        detail = self.detail_zh if language == "zh" else self.detail_en
        if detail is None:
            return text
        if self.code == "1210":
            return detail
        stop, space = ("。", "") if language == "zh" else (".", " ")
        return f"{text}{'' if text[-1] in '。.）)' else stop}{space}{detail}"

    def _param(self, name: str, language: Language) -> str:
        value = self.params.get(name, "")
        return str(value[language] if isinstance(value, Mapping) else value)


def render_error(error: ApiError, language: Language) -> bytes:
    """The GLM error body (api.md §8.1); `code` is a string."""
    body: dict[str, object] = {"error": {"code": error.code, "message": error.message(language)}}
    if error.content_filter:
        body = {"contentFilter": error.content_filter, **body}
    return msgspec.json.encode(body)


def error_headers(error: ApiError) -> list[tuple[bytes, bytes]]:
    """Headers that tell a client whether asking again helps, and when.

    The official SDKs obey `x-should-retry` and otherwise retry every 429 and 5xx three times (api.md §2), so a
    permanent refusal without it becomes four requests.
    """
    headers: list[tuple[bytes, bytes]] = []
    if error.row.retry is not None:
        headers.append((b"x-should-retry", b"true" if error.row.retry else b"false"))
    if error.retry_after_s is not None or error.row.retry:
        headers.append((b"retry-after", str(error.retry_after_s or _DEFAULT_RETRY_AFTER_S).encode()))
    return headers


def language_of(accept_language: bytes | None, default: Language = "zh") -> Language:
    """The first of Chinese and English that `Accept-Language` names with the highest weight."""
    if not accept_language:
        return default
    best: Language = default
    best_weight = 0.0
    for part in accept_language.decode("latin-1").split(",")[:16]:
        tag, _, parameter = part.strip().partition(";")
        primary = tag.strip().lower().split("-")[0]
        if primary not in ("zh", "en"):
            continue
        match = re.fullmatch(r"\s*q=([01](?:\.[0-9]{1,3})?)\s*", parameter) if parameter else None
        weight = float(match[1]) if match else 0.0 if parameter else 1.0
        if weight > best_weight:
            best, best_weight = ("zh" if primary == "zh" else "en"), weight
    return best
