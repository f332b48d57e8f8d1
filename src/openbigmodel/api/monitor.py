"""`GET /api/monitor/usage/…`: what is left of a Coding Plan, and what was used by the hour or the day (api.md §4.4).

Rule: here everything is answered in bigmodel.cn's other envelope: `code` is a number, 200 when all is well, and `msg`
and `success` stand beside it. Times are UTC+8 and do not say so. A refused credential is a 401 all the same, so that
proxies and clients see it.

    quota/limit    credits of the plan's windows; code 500 without a plan, as on bigmodel.cn
    model-usage    requests and tokens of startTime … endTime, by the hour up to 7 days, by the day up to 31
    tool-usage     the same of the plan's tools, of which this platform has none yet
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openbigmodel.api.access_log import ERROR_CODE
from openbigmodel.api.callers import Callers
from openbigmodel.api.errors import JSON
from openbigmodel.auth.api_keys import Principal
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.billing.periods import CHINA, DAY_MS, HOUR_MS, OFFSET_MS, Period
from openbigmodel.billing.plans import Quota, WindowState
from openbigmodel.billing.statement import By, Group, Statements
from openbigmodel.catalog import MICRO, display_name
from openbigmodel.errors import ApiError, Language, error_headers

_ENDPOINT = ApiEndpoint("usage", coding_keys=True)
_HOURLY_MS = 7 * DAY_MS
_LONGEST_MS = 31 * DAY_MS
# Statements that are read at once; each has a thread and the disk's attention.
_READERS_MAX = 2
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")

_FAILED = 500
_DONE: Mapping[Language, str] = {"zh": "操作成功", "en": "Operation successful"}
_NO_PLAN: Mapping[Language, str] = {
    "zh": "当前用户不存在coding plan",
    "en": "Current user does not have a coding plan",
}
_BAD_TIME: Mapping[Language, str] = {
    "zh": "参数校验失败：时间格式错误或时间范围超过限制",
    "en": "Parameter validation failed: incorrect time format or time range exceeds limit",
}
# How bigmodel.cn calls the two windows: so many of a unit, where 3 is an hour and 6 a week.
_HOUR_UNIT, _WEEK_UNIT = 3, 6


_Data = dict[str, Any] | None
_Answer = Callable[[Request, Principal], Awaitable[_Data]]


class _Refused(Exception):  # noqa: N818  it names the outcome
    """There is no answer, for a reason that a person is told; bigmodel.cn has one code for all of them."""

    def __init__(self, texts: Mapping[Language, str]) -> None:
        super().__init__(texts["en"])
        self.texts = texts


class Span(msgspec.Struct, frozen=True):
    """What is asked for: a period, cut into steps."""

    period: Period
    step_ms: int

    def starts(self) -> list[int]:
        """When each step begins, the first at or before the period."""
        first = (self.period.from_ms + OFFSET_MS) // self.step_ms * self.step_ms - OFFSET_MS
        return list(range(first, self.period.to_ms, self.step_ms))


class Quotas(Protocol):
    """Where plans are kept."""

    def quota(self, account_id: str, now_ms: int) -> Quota | None:
        """Where an account stands with its plan, None without one."""


class MonitorApi:
    """`statements` opens the account's past for one reading, in a thread."""

    def __init__(
        self,
        plans: Quotas,
        callers: Callers,
        statements: Callable[[], Statements],
        window_hours: int,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._plans = plans
        self._callers = callers
        self._statements = statements
        self._window_hours = window_hours
        self._now_ms = now_ms
        self._readers = asyncio.Semaphore(_READERS_MAX)

    async def quota(self, request: Request) -> Response:
        """Credits of the key's own account."""
        return await self._serve(request, self._quota)

    async def model_usage(self, request: Request) -> Response:
        """Requests and tokens of the key's own account, in all and by model."""
        return await self._serve(request, self._model_usage)

    async def tool_usage(self, request: Request) -> Response:
        """Calls of tools: none."""
        return await self._serve(request, self._tool_usage)

    async def _serve(self, request: Request, answer: _Answer) -> Response:
        """Who is asking, then the answer or why there is none, in this API's envelope."""
        language = self._callers.language_of_request(request)
        try:
            principal = self._callers.authenticate_request(request, _ENDPOINT)
            data = await answer(request, principal)
        except ApiError as error:
            request.scope[ERROR_CODE] = error.code
            headers = {name.decode(): value.decode() for name, value in error_headers(error)}
            return _refusal(int(error.code), error.message(language), error.status, headers)
        except _Refused as refusal:
            request.scope[ERROR_CODE] = str(_FAILED)
            return _refusal(_FAILED, refusal.texts[language])
        if data is None:
            return Response(media_type=JSON)
        body = {"code": 200, "msg": _DONE[language], "data": data, "success": True}
        return Response(msgspec.json.encode(body), media_type=JSON)

    async def _quota(self, request: Request, principal: Principal) -> _Data:
        quota = self._plans.quota(principal.account_id, self._now_ms())
        if quota is None:
            raise _Refused(_NO_PLAN)
        limits = [
            _limit(_HOUR_UNIT, self._window_hours, quota.hours),
            _limit(_WEEK_UNIT, 1, quota.week),
        ]
        return {"level": quota.level, "limits": limits}

    async def _model_usage(self, request: Request, principal: Principal) -> _Data:
        span = _span(request)
        if span is None:
            return None
        async with self._readers:
            groups = await asyncio.to_thread(self._read, principal.account_id, span)
        return model_usage(groups, span)

    async def _tool_usage(self, request: Request, principal: Principal) -> _Data:
        span = _span(request)
        return None if span is None else tool_usage(span)

    def _read(self, account_id: str, span: Span) -> list[Group]:
        with self._statements() as statements:
            return statements.groups(account_id, By(span_ms=span.step_ms, model=True), span.period)[0]


def model_usage(groups: Sequence[Group], span: Span) -> dict[str, Any]:
    """The data of model-usage: one number for each step, in all and by model, the most used first."""
    starts = span.starts()
    place = {start: index for index, start in enumerate(starts)}
    calls, tokens = [0] * len(starts), [0] * len(starts)
    by_model: dict[str, list[int]] = {}
    for group in groups:
        index = place[group.from_ms]
        used = group.used.prompt_tokens + group.used.completion_tokens
        calls[index] += group.used.requests
        tokens[index] += used
        by_model.setdefault(group.model, [0] * len(starts))[index] += used
    ranked = sorted(by_model, key=lambda model: (-sum(by_model[model]), model))
    summary, data = [], []
    for order, model in enumerate(ranked, start=1):
        named = {"modelName": display_name(model), "sortOrder": order}
        total = {"totalTokens": sum(by_model[model])}
        summary.append(named | total)
        data.append(named | {"tokensUsage": by_model[model]} | total)
    return {
        "x_time": _labels(span),
        "modelCallCount": calls,
        "tokensUsage": tokens,
        "totalUsage": {
            "totalModelCallCount": sum(calls),
            "totalTokensUsage": sum(tokens),
            "modelSummaryList": summary,
        },
        "modelDataList": data,
        "modelSummaryList": summary,
        "granularity": _granularity(span),
    }


def tool_usage(span: Span) -> dict[str, Any]:
    """The data of tool-usage."""
    nothing = [0] * len(span.starts())
    return {
        "x_time": _labels(span),
        "networkSearchCount": nothing,
        "webReadMcpCount": nothing,
        "zreadMcpCount": nothing,
        "totalUsage": {
            "totalNetworkSearchCount": 0,
            "totalWebReadMcpCount": 0,
            "totalZreadMcpCount": 0,
            "totalSearchMcpCount": 0,
            "toolDetails": [],
            "toolSummaryList": [],
        },
        "toolDataList": [],
        "toolSummaryList": [],
        "granularity": _granularity(span),
    }


def _limit(unit: int, number: int, window: WindowState) -> dict[str, Any]:
    """A window in whole credits. What is used and what remains are both rounded down, as on bigmodel.cn."""
    percentage = window.used * 100 // window.limit
    limit = {
        "type": "CREDIT_LIMIT",
        "unit": unit,
        "number": number,
        "usage": window.limit // MICRO,
        "currentValue": window.used // MICRO,
        "remaining": (window.limit - window.used) // MICRO,
        "percentage": max(percentage, 1) if window.used else 0,
    }
    # A window that nobody has used has no end yet.
    return limit if window.reset_ms is None else limit | {"nextResetTime": window.reset_ms}


def _span(request: Request) -> Span | None:
    """What startTime and endTime ask for; None without them, which is answered with nothing, as on bigmodel.cn."""
    texts = [request.query_params.get(name, "") for name in ("startTime", "endTime")]
    if not all(texts):
        return None
    try:
        start_ms, end_ms = map(_moment, texts)
    except (ValueError, OverflowError) as error:
        raise _Refused(_BAD_TIME) from error
    if start_ms < 0 or not 0 <= end_ms - start_ms <= _LONGEST_MS:
        raise _Refused(_BAD_TIME)
    # The last second counts, as clients ask up to …:59:59.
    period = Period(start_ms, end_ms + 1000)
    return Span(period, HOUR_MS if end_ms - start_ms <= _HOURLY_MS else DAY_MS)


def _moment(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise ValueError("not like 2026-11-21 08:00:00")
    return int(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp()) * 1000


def _labels(span: Span) -> list[str]:
    form = "%Y-%m-%d %H:%M" if span.step_ms == HOUR_MS else "%Y-%m-%d"
    return [
        f"{datetime.fromtimestamp(start / 1000, UTC).astimezone(CHINA):{form}}" for start in span.starts()
    ]


def _granularity(span: Span) -> str:
    return "hourly" if span.step_ms == HOUR_MS else "daily"


def _refusal(
    code: int, message: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    body = {"code": code, "msg": message, "success": False}
    return Response(msgspec.json.encode(body), status, headers, media_type=JSON)
