"""What requests take from a Coding Plan."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from openbigmodel.billing.periods import HOUR_MS, WEEK_MS
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import MICRO
from openbigmodel.db.connection import DatabaseClosed
from openbigmodel.errors import ApiError
from tests.faulty_disk import FaultyDisk
from tests.unit.billing.plans_bench import DAY_MS, LITE_HOURS, VERY_MUCH, WEDNESDAY, Bench, run


def test_a_request_takes_credits_from_both_windows(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        usage = Usage(prompt_tokens=10_000, cached_tokens=4_000, completion_tokens=1_000)
        hold = bench.hold(5_000, prompt=20_000)
        # The most that it can take: (20000 x 6.9 + 5000 x 24) / 10000.
        assert bench.plans.held("a") == hold.reserved == 25_800_000
        assert bench.used() == (0, 0)
        assert await bench.post(hold, usage) == 7_220_000
        assert bench.used() == (7_220_000, 7_220_000)
        assert bench.plans.held("a") == 0

    run(tmp_path, test)


def test_credits_are_half_as_dear_at_night(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        bench.now_ms += 8 * HOUR_MS
        # Far more than it takes in the end, so that nothing but the rates says what that is.
        hold = bench.hold(100_000)
        # What was true when it was asked counts, however long it takes.
        bench.now_ms += 14 * HOUR_MS
        assert await bench.post(hold, Usage(completion_tokens=1000)) == 1_200_000

    run(tmp_path, test)


def test_the_hours_run_out_with_1308(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.use(Usage(completion_tokens=1000))
        await bench.fill()
        assert bench.used() == (LITE_HOURS, LITE_HOURS)
        error = bench.refusal()
        assert (error.code, error.status) == ("1308", 429)
        assert error.message("en") == (
            "Usage limit reached for 5 hour. Your limit will reset at 2026-09-09 20:00:00"
        )
        assert error.message("zh") == "已达到 5 小时 的使用上限。您的限额将在 2026-09-09 20:00:00 重置。"

        bench.now_ms += 5 * HOUR_MS - 1
        assert bench.refusal().code == "1308"
        bench.now_ms += 1
        bench.hold()

    run(tmp_path, test)


def test_a_new_window_has_no_more_than_the_week_has_left(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        for _ in range(4):
            bench.now_ms += 5 * HOUR_MS
            await bench.fill()
        bench.now_ms += 5 * HOUR_MS
        taken = await bench.use(Usage(completion_tokens=700_000))
        assert 0 < taken < LITE_HOURS
        bench.now_ms += 5 * HOUR_MS
        hold = bench.hold(VERY_MUCH.completion_tokens)
        assert hold.reserved == LITE_HOURS - taken
        assert bench.refusal().code == "1302"
        assert await bench.post(hold, VERY_MUCH) == LITE_HOURS - taken
        assert bench.used() == (LITE_HOURS - taken, 5 * LITE_HOURS)
        assert bench.refusal().code == "1310"

    run(tmp_path, test)


def test_the_week_runs_out_with_1310(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        for _ in range(5):
            bench.now_ms += 5 * HOUR_MS
            await bench.fill()
        error = bench.refusal()
        assert error.code == "1310"
        # Seven days after the moment of the order.
        assert "2026-09-15 15:00:00" in error.message("en")
        bench.now_ms = WEDNESDAY + 6 * DAY_MS
        bench.hold()

    run(tmp_path, test)


def test_the_week_is_named_when_both_have_run_out(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        for _ in range(4):
            bench.now_ms += 5 * HOUR_MS
            await bench.fill()
            assert bench.refusal().code == "1308"
        bench.now_ms += 5 * HOUR_MS
        await bench.fill()
        # The hours alone would be over sooner, and waiting for that would be for nothing.
        assert bench.refusal().code == "1310"

    run(tmp_path, test)


def test_no_plan_at_all_is_none(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account(level=None)
        assert bench.plans.hold("a", "glm-5.3", 1, 1, bench.now_ms) is None
        assert bench.plans.hold("nobody", "glm-5.3", 1, 1, bench.now_ms) is None
        assert bench.plans.quota("a", bench.now_ms) is None
        assert bench.plans.quota("nobody", bench.now_ms) is None
        assert bench.plans.held("nobody") == 0

    run(tmp_path, test)


def test_a_plan_that_has_not_begun_is_as_none(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account(level=None)
        await bench.plans.subscribe("a", "pro", WEDNESDAY + 10, WEDNESDAY + DAY_MS)
        assert bench.plans.hold("a", "glm-5.3", 1, 1, bench.now_ms) is None
        bench.now_ms += 10
        bench.hold()

    run(tmp_path, test)


def test_a_plan_that_has_ended_is_1309_and_stays_so_when_the_clock_steps_back(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account(days=2)
        bench.now_ms += DAY_MS - 1
        bench.hold()
        bench.now_ms += 1
        assert bench.refusal().code == "1309"
        assert bench.plans.quota("a", bench.now_ms) is None
        bench.now_ms -= DAY_MS
        assert bench.refusal().code == "1309"
        assert bench.refusal().message("zh").startswith("您的 GLM Coding Plan 套餐已到期")

    run(tmp_path, test)


@pytest.mark.parametrize("model", ["glm-4-plus", "house-model", "embedding-3", "glm-5"])
def test_a_model_that_no_plan_includes_is_1311(model: str, tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        error = bench.refusal(model=model)
        assert (error.code, error.message("zh")) == ("1311", f"当前订阅套餐暂未开放{model}权限")

    run(tmp_path, test)


def test_an_older_model_costs_what_its_successor_does(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        assert await bench.use(Usage(completion_tokens=10_000), model="GLM-5.1") == 24 * MICRO
        assert await bench.use(Usage(completion_tokens=10_000), model="glm-4.6") == 8 * MICRO

    run(tmp_path, test)


def test_a_free_model_works_when_nothing_is_left(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.fill()
        assert bench.refusal().code == "1308"
        assert await bench.use(Usage(completion_tokens=10_000), model="glm-4.7-flash") == 0

    run(tmp_path, test)


def test_requests_under_way_share_what_is_left(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        greedy = bench.hold(VERY_MUCH.completion_tokens)
        # More than is left is not reserved, and nothing is left for others: that passes, so it is no 1308.
        assert greedy.reserved == LITE_HOURS
        error = bench.refusal()
        assert (error.code, error.row.retry) == ("1302", True)
        assert await bench.post(greedy, Usage(completion_tokens=100)) == 240_000
        bench.plans.void(bench.hold())
        assert bench.plans.held("a") == 0

    run(tmp_path, test)


def test_nobody_takes_more_than_is_left(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        holds = []
        while True:
            try:
                holds.append(bench.hold(100_000))
            except ApiError as error:
                assert error.code == "1302"
                break
        # 240 credits each: eight whole ones and the rest.
        assert len(holds) == 9
        for hold in holds:
            await bench.post(hold, Usage(completion_tokens=100_000))
        assert bench.used() == (LITE_HOURS, LITE_HOURS)
        assert bench.refusal().code == "1308"

    run(tmp_path, test)


def test_a_void_costs_nothing_and_happens_once(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        hold = bench.hold()
        bench.plans.void(hold)
        assert bench.used() == (0, 0)
        with pytest.raises(AssertionError):
            bench.plans.void(hold)
        with pytest.raises(AssertionError):
            bench.plans.post(hold, Usage(), bench.now_ms)
        bench.plans.take_back(hold)
        assert bench.used() == (0, 0)

    run(tmp_path, test)


def test_a_post_that_was_not_written_is_taken_back_once(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.use(Usage(completion_tokens=100))
        hold = bench.hold()
        bench.plans.post(hold, Usage(completion_tokens=1000), bench.now_ms)
        bench.plans.take_back(hold)
        bench.plans.take_back(hold)
        assert bench.used() == (240_000, 240_000)

    run(tmp_path, test)


def test_windows_survive_a_restart(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.use(Usage(completion_tokens=1000))
        bench.now_ms += HOUR_MS
        await bench.use(Usage(completion_tokens=1000))
        before = bench.plans.quota("a", bench.now_ms)
        bench.restart()
        assert bench.plans.quota("a", bench.now_ms) == before
        bench.now_ms += 4 * HOUR_MS
        await bench.use(Usage(completion_tokens=500))
        before = bench.plans.quota("a", bench.now_ms)
        assert before is not None
        assert (before.hours.used, before.week.used) == (600_000, 2 * 2_400_000 + 600_000)
        bench.restart()
        assert bench.plans.quota("a", bench.now_ms) == before

    run(tmp_path, test)


def test_windows_stay_shut_when_the_clock_steps_back(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.fill()
        for step_ms in (HOUR_MS, DAY_MS, 365 * DAY_MS):
            bench.now_ms -= step_ms
            assert bench.refusal().code == "1308"
        # It goes on from there: five hours after it began it is over, not a year later.
        bench.now_ms += 5 * HOUR_MS
        bench.plans.void(bench.hold())

    run(tmp_path, test)


def test_a_step_forward_gives_no_second_window_when_it_is_taken_back(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        bench.now_ms += 6 * HOUR_MS
        await bench.fill()
        bench.now_ms -= 6 * HOUR_MS
        assert bench.refusal().code == "1308"
        bench.restart()
        # Its row says that it began in what is now the future: it lasts for its length from now, not until then.
        assert bench.refusal().code == "1308"
        bench.now_ms += 5 * HOUR_MS
        bench.hold()

    run(tmp_path, test)


def test_a_new_plan_has_new_windows(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        number = await bench.account()
        await bench.use(Usage(completion_tokens=5000))
        late = bench.hold()
        bench.now_ms += HOUR_MS
        ended = await bench.plans.end(number)
        assert ended.until_ms == bench.now_ms
        assert bench.refusal().code == "1309"
        await bench.plans.subscribe("a", "max", bench.now_ms, bench.now_ms + DAY_MS)
        assert bench.used() == (0, 0)
        # What began under the old one counts in the new one, in memory as on disk.
        await bench.post(late, Usage(completion_tokens=1000))
        assert bench.used() == (2_400_000, 2_400_000)
        quota = bench.plans.quota("a", bench.now_ms)
        bench.restart()
        assert bench.plans.quota("a", bench.now_ms) == quota

    run(tmp_path, test)


def test_credits_after_the_last_plan_count_nowhere(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        number = await bench.account()
        late = bench.hold()
        await bench.plans.end(number)
        assert await bench.post(late, Usage(completion_tokens=1000)) == 2_400_000
        assert bench.plans.held("a") == 0

    run(tmp_path, test)


def test_accounts_do_not_share_windows(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account("a")
        await bench.account("b")
        await bench.fill("a")
        assert bench.used("b") == (0, 0)
        bench.restart()
        assert bench.used("b") == (0, 0)
        assert bench.used("a")[0] > 0

    run(tmp_path, test)


def test_quota_of_an_unused_plan_has_no_end_of_the_hours(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account(level="pro")
        quota = bench.plans.quota("a", bench.now_ms)
        assert quota is not None
        assert (quota.level, quota.hours.limit, quota.hours.reset_ms) == ("pro", 12000 * MICRO, None)
        assert quota.week.reset_ms == WEDNESDAY - DAY_MS + WEEK_MS

    run(tmp_path, test)


def test_a_window_whose_row_was_lost_is_written_with_the_next_request(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        hold = bench.hold()
        bench.database.close()
        # The database refuses both the window's row and the usage row.
        bench.plans.post(hold, Usage(completion_tokens=1000), bench.now_ms)
        bench.plans.take_back(hold)
        kept, bench.database = bench.plans, bench.open()
        kept._database = bench.database
        await bench.use(Usage(completion_tokens=500))
        assert bench.used() == (1_200_000, 1_200_000)
        bench.restart()
        assert bench.used() == (1_200_000, 1_200_000)

    run(tmp_path, test)


def test_a_read_that_fails_does_not_make_a_window_look_unused(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.account()
        await bench.fill()
        bench.restart()
        bench.database.close()
        with pytest.raises(DatabaseClosed):
            bench.hold()
        bench.database = bench.open()
        bench.plans._database = bench.database
        assert bench.refusal().code == "1308"

    run(tmp_path, test)


def test_a_commit_that_fails_loses_neither_the_window_nor_what_was_used(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def test(bench: Bench) -> None:
        await bench.account()
        failures = iter([True])

        def fail(operation: str, file: str) -> None:
            if operation == "sync" and next(failures, False):
                raise apsw.FullError("no room")

        disk.fail = fail
        await bench.use(Usage(completion_tokens=1000))
        assert next(failures, None) is None
        before = bench.plans.quota("a", bench.now_ms)
        bench.restart()
        assert bench.plans.quota("a", bench.now_ms) == before
        assert bench.used() == (2_400_000, 2_400_000)

    run(tmp_path, test, disk)


def test_a_request_that_was_queued_behind_a_commit_that_fails_counts_in_the_window(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def test(bench: Bench) -> None:
        await bench.account()
        first_is_being_written, second_is_queued = threading.Event(), threading.Event()
        failures = iter([True])

        def fail(operation: str, file: str) -> None:
            if operation == "sync" and next(failures, False):
                first_is_being_written.set()
                assert second_is_queued.wait(10)
                raise apsw.FullError("no room")

        disk.fail = fail
        first = asyncio.create_task(bench.use(Usage(completion_tokens=1000)))
        await asyncio.to_thread(first_is_being_written.wait, 10)
        second = asyncio.create_task(bench.use(Usage(completion_tokens=500)))
        await asyncio.sleep(0)
        second_is_queued.set()
        await asyncio.gather(first, second)
        assert bench.used() == (3_600_000, 3_600_000)
        bench.restart()
        assert bench.used() == (3_600_000, 3_600_000)

    run(tmp_path, test, disk)


def test_a_disk_that_keeps_failing_is_not_asked_for_ever(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def test(bench: Bench) -> None:
        await bench.account()
        broken = True
        tries = 0

        def fail(operation: str, file: str) -> None:
            nonlocal tries
            if operation == "sync" and broken:
                tries += 1
                raise apsw.FullError("no room")

        disk.fail = fail
        hold = bench.hold()
        bench.plans.post(hold, Usage(completion_tokens=1000), bench.now_ms)
        await asyncio.sleep(0.1)
        bench.plans.take_back(hold)
        assert 1 <= tries <= 4
        broken = False
        await bench.use(Usage(completion_tokens=500))
        bench.restart()
        assert bench.used() == (1_200_000, 1_200_000)

    run(tmp_path, test, disk)
