"""The usage of plans and accounts, through the real routes with a real database behind them."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from openbigmodel.api.monitor import MonitorApi
from openbigmodel.billing.plans import Plans
from openbigmodel.billing.rollup import RollUp
from openbigmodel.billing.statement import Statements
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import load_catalog
from openbigmodel.db.connection import Database
from tests.unit.api.api_bench import CODING_USER, OPERATOR, RESTRICTED_USER, USER, ApiBench
from tests.unit.api.api_bench import run as run_api

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MICRO = 1_000_000
CATALOG = load_catalog()
INSERT_ACCOUNT = "INSERT INTO accounts (id, name, created_ms) VALUES (?1, ?1, 0)"
INSERT_USAGE = (
    "INSERT INTO usage (log_id, request_id, account_id, api_key_id, model, engine, prompt_tokens, cached_tokens, "
    "completion_tokens, reasoning_tokens, started_ms, ended_ms) "
    "VALUES (?1, ?1, ?2, 'k', ?3, 'e', ?4, 0, ?5, 0, ?6, ?6)"
)
QUOTA, MODELS, TOOLS = "/quota/limit", "/model-usage", "/tool-usage"


def moment(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+08:00").timestamp() * 1000)


# A Wednesday in Beijing, in the peak.
NOW = moment("2026-09-09T15:00:00")


class Monitor:
    """The API on a database; `api` has the keys, all of one account but for who has none."""

    def __init__(self, api: ApiBench, folder: Path) -> None:
        self.api = api
        self.now_ms = NOW
        self.ids = itertools.count()
        self.database = Database.open(folder / "bigmodel.db")
        self.plans = Plans(self.database, CATALOG, now_ms=lambda: self.now_ms)
        monitor = MonitorApi(
            self.plans, api.callers, partial(Statements.open, folder), 5, now_ms=lambda: self.now_ms
        )
        self.app = api.app_with(monitor)

    async def account(self, account_id: str = "account") -> None:
        await self.database.write(lambda connection: connection.execute(INSERT_ACCOUNT, (account_id,)))

    async def subscribe(self, level: str = "pro") -> None:
        await self.account()
        await self.plans.subscribe("account", level, NOW - DAY_MS, NOW + 29 * DAY_MS)

    def use(self, tokens: int) -> None:
        hold = self.plans.hold("account", "glm-5.3", 0, tokens, self.now_ms)
        assert hold is not None
        self.plans.post(hold, Usage(completion_tokens=tokens), self.now_ms)

    async def request(
        self, at: str, prompt: int, completion: int, model: str = "glm-5.3", account_id: str = "account"
    ) -> None:
        row = (f"r{next(self.ids)}", account_id, model, prompt, completion, moment(at))
        await self.database.write(lambda connection: connection.execute(INSERT_USAGE, row))

    async def get(
        self, path: str, key: object = USER, language: str = "zh", start: str = "", end: str = ""
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        # These clients send the bare key.
        headers = {"accept-language": language, **({"authorization": str(key)} if key else {})}
        times = "&".join(
            f"{name}={quote(text)}" for name, text in (("startTime", start), ("endTime", end)) if text
        )
        async with httpx.AsyncClient(
            transport=transport, base_url="http://platform", headers=headers
        ) as client:
            return await client.get(f"/api/monitor/usage{path}?{times}")

    async def data(self, path: str, **options: Any) -> Any:
        response = await self.get(path, **options)
        body = response.json()
        assert (response.status_code, body["code"], body["success"]) == (200, 200, True), body
        assert body["msg"] == "操作成功"
        assert response.headers["content-type"] == "application/json; charset=UTF-8"
        return body["data"]


def run(folder: Path, test: Callable[[Monitor], Awaitable[None]]) -> None:
    async def with_api(api: ApiBench) -> None:
        monitor = Monitor(api, folder)
        try:
            await test(monitor)
        finally:
            monitor.database.close()

    run_api(with_api)


def test_the_quota_has_the_recorded_shape(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.subscribe()
        # 31.2 credits.
        monitor.use(13_000)
        assert await monitor.data(QUOTA) == {
            "level": "pro",
            "limits": [
                {
                    "type": "CREDIT_LIMIT",
                    "unit": 3,
                    "number": 5,
                    "usage": 12000,
                    "currentValue": 31,
                    "remaining": 11968,
                    "percentage": 1,
                    "nextResetTime": NOW + 5 * HOUR_MS,
                },
                {
                    "type": "CREDIT_LIMIT",
                    "unit": 6,
                    "number": 1,
                    "usage": 60000,
                    "currentValue": 31,
                    "remaining": 59968,
                    "percentage": 1,
                    "nextResetTime": NOW + 6 * DAY_MS,
                },
            ],
        }

    run(tmp_path, test)


def test_a_quota_that_nobody_has_used(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.subscribe("lite")
        hours, week = (await monitor.data(QUOTA))["limits"]
        assert "nextResetTime" not in hours
        assert (hours["currentValue"], hours["remaining"], hours["percentage"]) == (0, 2000, 0)
        assert week["nextResetTime"] == NOW + 6 * DAY_MS

    run(tmp_path, test)


def test_a_quota_that_is_used_up(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.subscribe("lite")
        monitor.use(10_000_000)
        hours, week = (await monitor.data(QUOTA))["limits"]
        assert (hours["currentValue"], hours["remaining"], hours["percentage"]) == (2000, 0, 100)
        assert (week["currentValue"], week["remaining"], week["percentage"]) == (2000, 8000, 20)

    run(tmp_path, test)


@pytest.mark.parametrize("key", [USER, CODING_USER, OPERATOR])
def test_every_key_of_the_account_sees_its_quota(key: object, tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.subscribe()
        assert (await monitor.data(QUOTA, key=key))["level"] == "pro"
        # With Bearer, too.
        assert (await monitor.data(QUOTA, key=f"Bearer {key}"))["level"] == "pro"

    run(tmp_path, test)


def test_without_a_plan_it_is_code_500_as_on_bigmodel_cn(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.account()
        response = await monitor.get(QUOTA, CODING_USER)
        assert response.status_code == 200
        assert response.json() == {"code": 500, "msg": "当前用户不存在coding plan", "success": False}
        response = await monitor.get(QUOTA, language="en")
        assert response.json()["msg"] == "Current user does not have a coding plan"

    run(tmp_path, test)


def test_a_plan_that_has_ended_is_none(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.subscribe()
        monitor.now_ms += 30 * DAY_MS
        assert (await monitor.get(QUOTA)).json()["code"] == 500

    run(tmp_path, test)


@pytest.mark.parametrize("path", [QUOTA, MODELS, TOOLS])
def test_nobody_is_told_without_a_key(path: str, tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        nobody = await monitor.get(path, None, language="en")
        assert nobody.status_code == 401
        assert nobody.json() == {
            "code": 1001,
            "msg": "Authentication parameter not received in Header, unable to authenticate",
            "success": False,
        }
        wrong = await monitor.get(path, "a.b")
        assert (wrong.status_code, wrong.json()["code"], wrong.json()["success"]) == (401, 1000, False)
        # Its key is for chat and models alone.
        restricted = await monitor.get(path, RESTRICTED_USER)
        assert (restricted.status_code, restricted.json()["code"]) == (403, 1220)

    run(tmp_path, test)


def test_usage_by_the_hour(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.request("2026-09-08T10:00:00", 100, 10)
        await monitor.request("2026-09-08T10:59:59.999", 200, 20)
        await monitor.request("2026-09-08T12:30:00", 1000, 0, "glm-5.3-flash")
        await monitor.request("2026-09-08T12:31:00", 2, 3, "house-model")
        # Before, after, and somebody else's.
        await monitor.request("2026-09-08T09:59:59.999", 9, 9)
        await monitor.request("2026-09-09T11:00:00", 9, 9)
        await monitor.request("2026-09-08T12:30:00", 9, 9, account_id="other")

        data = await monitor.data(MODELS, start="2026-09-08 10:00:00", end="2026-09-09 10:59:59")
        assert data["granularity"] == "hourly"
        assert data["x_time"][:2] == ["2026-09-08 10:00", "2026-09-08 11:00"]
        assert data["x_time"][-1] == "2026-09-09 10:00"
        assert len(data["x_time"]) == len(data["tokensUsage"]) == len(data["modelCallCount"]) == 25
        assert data["tokensUsage"][:4] == [330, 0, 1005, 0]
        assert data["modelCallCount"][:4] == [2, 0, 2, 0]
        summary = [
            {"modelName": "GLM-5.3-Flash", "sortOrder": 1, "totalTokens": 1000},
            {"modelName": "GLM-5.3", "sortOrder": 2, "totalTokens": 330},
            {"modelName": "house-model", "sortOrder": 3, "totalTokens": 5},
        ]
        assert data["totalUsage"] == {
            "totalModelCallCount": 4,
            "totalTokensUsage": 1335,
            "modelSummaryList": summary,
        }
        assert data["modelSummaryList"] == summary
        assert [model["totalTokens"] for model in data["modelDataList"]] == [1000, 330, 5]
        assert data["modelDataList"][1]["tokensUsage"][:3] == [330, 0, 0]

        # The same from the sums that the server keeps.
        while await RollUp(monitor.database, print).run_once():
            pass
        again = await monitor.data(MODELS, start="2026-09-08 10:00:00", end="2026-09-09 10:59:59")
        assert again == data

    run(tmp_path, test)


def test_usage_by_the_day(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.request("2026-08-31T23:59:59", 1, 1)
        await monitor.request("2026-09-01T00:00:00", 10, 10)
        await monitor.request("2026-09-09T08:00:00", 100, 100)
        data = await monitor.data(MODELS, start="2026-09-01 00:00:00", end="2026-09-09 15:00:00")
        assert data["granularity"] == "daily"
        assert data["x_time"] == [f"2026-09-0{day}" for day in range(1, 10)]
        assert data["tokensUsage"] == [20, 0, 0, 0, 0, 0, 0, 0, 200]

    run(tmp_path, test)


def test_an_hour_that_is_cut_keeps_its_name(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.request("2026-09-08T10:10:00", 1, 0)
        await monitor.request("2026-09-08T10:40:00", 10, 0)
        await monitor.request("2026-09-08T11:10:00.999", 100, 0)
        await monitor.request("2026-09-08T11:10:01", 1000, 0)
        data = await monitor.data(MODELS, start="2026-09-08 10:30:00", end="2026-09-08 11:10:00")
        assert (data["x_time"], data["tokensUsage"]) == (
            ["2026-09-08 10:00", "2026-09-08 11:00"],
            [10, 100],
        )

    run(tmp_path, test)


def test_an_account_without_usage(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        data = await monitor.data(MODELS, start="2026-09-08 10:00:00", end="2026-09-08 10:00:00")
        assert (data["tokensUsage"], data["modelDataList"]) == ([0], [])
        assert data["totalUsage"]["totalTokensUsage"] == 0

    run(tmp_path, test)


def test_tools_are_not_used_yet(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        data = await monitor.data(TOOLS, start="2026-09-08 10:00:00", end="2026-09-08 12:59:59")
        assert data["x_time"] == ["2026-09-08 10:00", "2026-09-08 11:00", "2026-09-08 12:00"]
        assert data["networkSearchCount"] == data["webReadMcpCount"] == data["zreadMcpCount"] == [0, 0, 0]
        assert data["totalUsage"] == {
            "totalNetworkSearchCount": 0,
            "totalWebReadMcpCount": 0,
            "totalZreadMcpCount": 0,
            "totalSearchMcpCount": 0,
            "toolDetails": [],
            "toolSummaryList": [],
        }
        assert (data["toolDataList"], data["toolSummaryList"], data["granularity"]) == ([], [], "hourly")

    run(tmp_path, test)


@pytest.mark.parametrize("path", [MODELS, TOOLS])
@pytest.mark.parametrize(
    ("start", "end"), [("", ""), ("2026-09-08 10:00:00", ""), ("", "2026-09-08 10:00:00")]
)
def test_without_times_the_answer_is_empty_as_on_bigmodel_cn(
    path: str, start: str, end: str, tmp_path: Path
) -> None:
    async def test(monitor: Monitor) -> None:
        response = await monitor.get(path, start=start, end=end)
        assert (response.status_code, response.content) == (200, b"")

    run(tmp_path, test)


@pytest.mark.parametrize("path", [MODELS, TOOLS])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-09-08T10:00:00", "2026-09-08 10:00:00"),
        ("2026-09-08", "2026-09-09"),
        ("2026-13-08 10:00:00", "2026-09-08 10:00:00"),
        ("2026-02-30 10:00:00", "2026-03-08 10:00:00"),
        ("2026-09-08 10:00:00", "2026-09-08 09:59:59"),
        ("2026-08-08 10:00:00", "2026-09-08 10:00:01"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        ("2026-09-08 10:00:00", "yesterday"),
        ("２026-09-08 10:00:00", "2026-09-08 10:00:00"),
    ],
)
def test_times_that_cannot_be_meant_are_code_500(path: str, start: str, end: str, tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        response = await monitor.get(path, start=start, end=end, language="en")
        assert response.status_code == 200
        assert response.json() == {
            "code": 500,
            "msg": "Parameter validation failed: incorrect time format or time range exceeds limit",
            "success": False,
        }

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("start", "steps", "granularity"),
    [
        ("2026-09-01 10:00:00", 169, "hourly"),
        ("2026-09-01 09:59:59", 8, "daily"),
        ("2026-08-08 10:00:00", 32, "daily"),
    ],
)
def test_the_longest_ranges(start: str, steps: int, granularity: str, tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        for path in (MODELS, TOOLS):
            data = await monitor.data(path, start=start, end="2026-09-08 10:00:00")
            assert (len(data["x_time"]), data["granularity"]) == (steps, granularity)

    run(tmp_path, test)


def test_the_last_second_there_is(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        last = "9999-12-31 23:59:59"
        assert (await monitor.data(MODELS, start=last, end=last))["x_time"] == ["9999-12-31 23:00"]

    run(tmp_path, test)


def test_a_database_that_is_gone_is_told_as_a_fault(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        (tmp_path / "bigmodel.db").rename(tmp_path / "elsewhere")
        response = await monitor.get(MODELS, start="2026-09-08 10:00:00", end="2026-09-08 10:00:00")
        assert response.status_code == 500

    run(tmp_path, test)


def test_many_at_once_take_turns(tmp_path: Path) -> None:
    async def test(monitor: Monitor) -> None:
        await monitor.request("2026-09-08T10:10:00", 1, 0)
        asked = [
            monitor.data(MODELS, start="2026-09-08 10:00:00", end="2026-09-08 10:59:59") for _ in range(20)
        ]
        assert {data["tokensUsage"][0] for data in await asyncio.gather(*asked)} == {1}

    run(tmp_path, test)
