"""Tiers from spending, on a real database with the sums that statements keep."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from openbigmodel.billing.tiers import Tiers, next_look_ms, spans_of, tier_of
from openbigmodel.db.connection import Database

YUAN = 1_000_000_000
INSERT_ACCOUNT = "INSERT INTO accounts (id, name, created_ms) VALUES (?1, ?1, 0)"
ZEROS = (
    "requests failed free prompt_tokens cached_tokens completion_tokens reasoning_tokens saved pack_tokens pack_calls "
    "plan_credits"
).split()
INSERT_SUM = (
    f"INSERT INTO usage_sums (account_id, span, from_ms, charge, model, api_key_id, {', '.join(ZEROS)}) "
    f"VALUES (?1, ?2, ?3, ?4, 'm', 'k', {', '.join('0' * len(ZEROS))})"
)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+08:00").timestamp() * 1000)


class Account(msgspec.Struct, frozen=True):
    id: str
    tier: str = "V0"


class Bench:
    """Accounts in a dictionary, the rest in a database."""

    def __init__(self, database: Database, now: str = "2026-11-21T06:00:00") -> None:
        self.database = database
        self.now_ms = moment(now)
        self.accounts: dict[str, Account] = {}
        self.tiers = Tiers(database, self, now_ms=lambda: self.now_ms)
        self.fails = False

    def pages_of_accounts(self) -> Iterator[list[Account]]:
        accounts = list(self.accounts.values())
        # The smallest pages of all.
        return iter([[account] for account in accounts])

    async def update_account(self, account_id: str, *, tier: str) -> None:
        if self.fails:
            raise RuntimeError("cut off")
        self.accounts[account_id] = Account(account_id, tier)

    async def account(self, account_id: str = "a", tier: str = "V0") -> None:
        self.accounts[account_id] = Account(account_id, tier)
        await self.database.write(lambda connection: connection.execute(INSERT_ACCOUNT, (account_id,)))

    async def spend(self, yuan: int, day: str, account_id: str = "a", span: str = "day") -> None:
        row = (account_id, span, moment(f"{day}T00:00:00"), yuan * YUAN)
        await self.database.write(lambda connection: connection.execute(INSERT_SUM, row))

    async def tier(self, account_id: str = "a") -> str:
        await self.tiers.recalculate()
        return self.accounts[account_id].tier


def run(folder: Path, test: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database.open(folder / "a.db")
        try:
            await test(Bench(database))
        finally:
            database.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("yuan", "tier"),
    [(0, "V0"), (1999, "V0"), (2000, "V1"), (9999, "V1"), (10000, "V2"), (49999, "V2"), (50000, "V3")],
)
def test_tiers_begin_at_these_points(yuan: int, tier: str) -> None:
    assert tier_of(yuan * YUAN) == tier
    # A point is a whole yuan.
    assert tier_of(yuan * YUAN + YUAN - 1) == tier


@pytest.mark.parametrize(
    ("now", "following"),
    [
        ("2026-11-21T05:59:59", "2026-11-21T06:00:00"),
        ("2026-11-21T06:00:00", "2026-11-22T06:00:00"),
        ("2026-11-21T23:00:00", "2026-11-22T06:00:00"),
        ("2026-12-31T07:00:00", "2027-01-01T06:00:00"),
    ],
)
def test_the_next_look_is_at_six_in_beijing(now: str, following: str) -> None:
    assert next_look_ms(moment(now)) == moment(following)


def test_three_months_count_up_to_the_last_midnight() -> None:
    assert spans_of(moment("2026-01-21T06:00:00")) == [
        (moment("2026-01-01T00:00:00"), moment("2026-01-21T00:00:00")),
        (moment("2025-12-01T00:00:00"), moment("2026-01-01T00:00:00")),
        (moment("2025-11-01T00:00:00"), moment("2025-12-01T00:00:00")),
    ]
    # On the first of a month, yesterday's month is the latest.
    assert spans_of(moment("2026-03-01T06:00:00"))[0] == (
        moment("2026-02-01T00:00:00"),
        moment("2026-03-01T00:00:00"),
    )


def test_the_best_month_decides(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.account("poor")
        await bench.spend(1500, "2026-11-03")
        await bench.spend(1500, "2026-10-31")
        # Not 3000 in three months: 1500 in the best.
        assert await bench.tier() == "V0"
        await bench.spend(600, "2026-10-01")
        assert await bench.tier() == "V1"
        await bench.spend(50_000, "2026-08-31")
        assert await bench.tier() == "V1"
        await bench.spend(50_000, "2026-09-01")
        assert await bench.tier() == "V3"
        assert bench.accounts["poor"].tier == "V0"

    run(tmp_path, test)


def test_today_does_not_count_yet_and_hours_not_twice(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.spend(1500, "2026-11-20")
        await bench.spend(1500, "2026-11-20", span="hour")
        await bench.spend(5000, "2026-11-21")
        assert await bench.tier() == "V0"
        bench.now_ms = moment("2026-11-22T06:00:00")
        assert await bench.tier() == "V1"

    run(tmp_path, test)


def test_a_tier_falls_when_the_month_is_too_long_ago(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.spend(2000, "2026-09-15")
        assert await bench.tier() == "V1"
        bench.now_ms = moment("2026-12-02T06:00:00")
        assert await bench.tier() == "V0"

    run(tmp_path, test)


def test_what_an_operator_chose_stays_until_it_is_what_spending_gives(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account("a", "V3")
        assert await bench.tier() == "V3"
        await bench.spend(2000, "2026-11-01")
        assert await bench.tier() == "V3"
        # Set to what spending gives, it follows it again.
        bench.accounts["a"] = Account("a", "V1")
        assert await bench.tier() == "V1"
        await bench.spend(10_000, "2026-11-02")
        assert await bench.tier() == "V2"
        bench.accounts["a"] = Account("a", "V0")
        assert await bench.tier() == "V0"

    run(tmp_path, test)


def test_it_tells_whose_tier_changed(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for number in range(50):
            await bench.account(f"a{number:02}")
        await bench.spend(2000, "2026-11-01", "a07")
        assert await bench.tiers.recalculate() == {"a07": "V1"}
        assert await bench.tiers.recalculate() == {}

    run(tmp_path, test)


def test_one_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.spend(2000, "2026-11-01")
        bench.fails = True
        with pytest.raises(RuntimeError):
            await bench.tiers.recalculate()
        # Or after the account was changed, and before that was noted.
        bench.fails = False
        bench.accounts["a"] = Account("a", "V1")
        assert await bench.tier() == "V1"
        await bench.spend(10_000, "2026-11-02")
        assert await bench.tier() == "V2"

    run(tmp_path, test)


def test_it_looks_at_once_and_each_morning_and_outlives_a_failure(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.spend(2000, "2026-11-01")
        notes: list[str] = []
        task = asyncio.create_task(bench.tiers.run(notes.append, pause_s=0.001))
        await until(lambda: len(notes) == 1)
        await bench.spend(10_000, "2026-11-02")
        bench.fails = True
        bench.now_ms = moment("2026-11-22T05:59:59")
        await asyncio.sleep(0.02)
        assert notes == ["account a is now in tier V1"]
        bench.now_ms = moment("2026-11-22T06:00:00")
        await until(lambda: len(notes) == 2)
        assert notes[1] == "tiers could not be looked at, and will be tomorrow: cut off"
        bench.fails = False
        bench.now_ms = moment("2026-11-23T06:00:00")
        await until(lambda: len(notes) == 3)
        assert bench.accounts["a"].tier == "V2"
        # When the server stops, so does this.
        bench.database.close()
        bench.now_ms = moment("2026-11-24T06:00:00")
        await asyncio.wait_for(task, 3)

    run(tmp_path, test)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to pass")
