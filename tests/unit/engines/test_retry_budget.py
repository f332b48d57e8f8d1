"""Retries never become a storm, and a quiet route may still try again."""

from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.retry_budget import RETRIES_A_SECOND_MIN, RETRY_SHARE, SAVED_S, RetryBudget


def spend(budget: RetryBudget, now_s: float, wishes: int = 10_000) -> int:
    return sum(budget.spend(now_s) for _ in range(wishes))


def requests(budget: RetryBudget, count: int) -> None:
    for _ in range(count):
        budget.requested()


def test_a_quiet_route_has_a_few_each_second() -> None:
    budget = RetryBudget(0.0)
    assert spend(budget, 0.0) == RETRIES_A_SECOND_MIN
    assert spend(budget, 0.9) == 0
    assert spend(budget, 1.0) == RETRIES_A_SECOND_MIN


def test_a_busy_one_has_a_tenth_of_its_requests() -> None:
    budget = RetryBudget(0.0)
    requests(budget, 1000)
    assert spend(budget, 10.0) == 100


def test_what_good_times_save_up_is_bounded() -> None:
    budget = RetryBudget(0.0)
    requests(budget, 100 * 3600)
    assert spend(budget, 3600.0) == round(SAVED_S * 100 * RETRY_SHARE)


def test_what_was_not_spent_is_there_a_second_later() -> None:
    budget = RetryBudget(0.0)
    requests(budget, 1000)
    assert spend(budget, 10.0, wishes=30) == 30
    requests(budget, 100)
    assert spend(budget, 11.0) == 80


def test_requests_of_this_moment_count() -> None:
    budget = RetryBudget(0.0)
    spend(budget, 0.0)
    requests(budget, 100)
    assert spend(budget, 0.5) == 10 - RETRIES_A_SECOND_MIN


TRACE = st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 400), st.integers(0, 400)), max_size=40)


@given(TRACE)
def test_never_more_than_a_tenth_and_the_few_of_each_second(trace: list[tuple[float, int, int]]) -> None:
    budget, now_s, asked, retried = RetryBudget(0.0), 0.0, 0, 0
    for seconds, count, wishes in trace:
        now_s += seconds
        requests(budget, count)
        asked += count
        retried += spend(budget, now_s, wishes)
        assert retried <= RETRY_SHARE * asked + RETRIES_A_SECOND_MIN * (int(now_s) + 1)


@given(TRACE)
def test_with_many_requests_never_more_than_a_tenth(trace: list[tuple[float, int, int]]) -> None:
    budget, now_s, asked, retried = RetryBudget(0.0), 0.0, 0, 0
    for seconds, count, wishes in trace:
        now_s += seconds
        busy = count + int(seconds * 31) + 31
        requests(budget, busy)
        asked += busy
        retried += spend(budget, now_s, wishes)
        assert retried <= RETRY_SHARE * asked


@given(TRACE)
def test_there_is_always_one_in_a_second(trace: list[tuple[float, int, int]]) -> None:
    budget, now_s = RetryBudget(0.0), 0.0
    for seconds, count, wishes in trace:
        now_s += seconds
        requests(budget, count)
        spend(budget, now_s, wishes)
    assert budget.spend(now_s + 1.01)


def test_plenty_is_more_than_the_last_one() -> None:
    budget = RetryBudget(0.0)
    for _ in range(RETRIES_A_SECOND_MIN - 1):
        assert budget.plenty(0.5)
        assert budget.spend(0.5)
    assert not budget.plenty(0.5)
    assert budget.spend(0.5)
    assert budget.plenty(1.0)
