"""Silence is measured by what an engine is used to, and is no verdict: one word ends it."""

import pytest

from openbigmodel.engines.pulse import (
    OVERDUE_MIN_S,
    PROVEN_FOR_RETRIES_S,
    PROVEN_S,
    RETRIES_UNPROVEN_MAX,
    SILENT_MIN_S,
    TRIAL_EVERY_S,
    UNPROVEN_MAX,
    Pulse,
    Slowest,
)

PROMPT = 4096


def used_to(
    first_word_s: float, *, prompt_bytes: int = PROMPT, times: int = 40, limit_s: float = 1e9
) -> Pulse:
    """An engine that has said its first word after so long, again and again, until second 1000."""
    pulse = Pulse(limit_s)
    for number in range(times):
        asked_s = 1000.0 - (times - number) * first_word_s
        pulse.asked(asked_s, prompt_bytes)
        pulse.answered(asked_s + first_word_s, first_word_s, prompt_bytes)
    return pulse


def test_who_is_not_asked_is_not_silent() -> None:
    pulse = used_to(0.1)
    assert not pulse.silent(99_999.0)
    pulse.asked(99_999.0, PROMPT)
    assert not pulse.silent(99_999.1)


@pytest.mark.parametrize(("usual_s", "bound_s"), [(0.01, SILENT_MIN_S), (0.5, 2.0), (20.0, 80.0)])
def test_four_times_the_usual_is_silence(usual_s: float, bound_s: float) -> None:
    pulse = used_to(usual_s)
    pulse.asked(1000.0, PROMPT)
    assert not pulse.silent(1000.0 + 0.99 * bound_s)
    assert pulse.silent(1000.0 + 1.01 * bound_s)


def test_a_word_to_anybody_ends_it() -> None:
    for pulse in (used_to(0.1), used_to(0.1)):
        pulse.asked(1000.0, PROMPT)
        pulse.asked(1000.0, PROMPT)
        assert pulse.silent(1002.0)
    pulse.answered(1002.0, 2.0, PROMPT)
    assert not pulse.silent(1002.1)
    pulse.spoke(1005.0)
    assert not pulse.silent(1005.1)
    assert pulse.silent(1015.0)


def test_who_has_left_does_not_wait() -> None:
    pulse = used_to(0.1)
    pulse.asked(1000.0, PROMPT)
    pulse.asked(1000.0, 0)
    assert pulse.silent(1002.0)
    pulse.left(PROMPT)
    pulse.left(0)
    assert not pulse.silent(1002.0)


def test_a_whole_answer_may_take_longer() -> None:
    pulse = used_to(0.1)
    pulse.asked(1000.0, 0)
    assert not pulse.silent(1030.0)
    assert pulse.silent(1061.0)
    # Beside it, somebody waits for a word.
    pulse.asked(1030.0, PROMPT)
    assert not pulse.silent(1030.3)
    assert pulse.silent(1030.5)


def test_short_answers_say_nothing_of_a_long_one() -> None:
    pulse = Pulse()
    for second in range(20):
        pulse.asked(1000.0 + second, 0)
        pulse.answered(1000.3 + second, 0.3, 0)
    pulse.asked(1100.0, 0)
    assert not pulse.silent(1129.9)
    assert pulse.silent(1130.1)


def test_somebody_tries_it_every_ten_seconds() -> None:
    pulse = used_to(0.1)
    pulse.asked(1000.0, PROMPT)
    assert pulse.silent(1000.4 + 0.9 * TRIAL_EVERY_S)
    after_s = 1000.5 + TRIAL_EVERY_S
    assert not pulse.silent(after_s)
    pulse.asked(after_s, PROMPT)
    assert pulse.silent(after_s + 0.1)
    assert not pulse.silent(after_s + TRIAL_EVERY_S)


def test_who_may_be_gone_gets_a_few_until_it_speaks() -> None:
    pulse = used_to(0.1)
    now_s = 1000.1 + PROVEN_S
    for _ in range(UNPROVEN_MAX):
        assert not pulse.silent(now_s)
        pulse.asked(now_s, PROMPT)
    assert pulse.silent(now_s)
    pulse.answered(now_s, 0.0, PROMPT)
    assert not pulse.silent(now_s)


def test_who_was_failed_by_another_is_more_careful() -> None:
    pulse = used_to(0.1)
    now_s = 1000.1 + PROVEN_FOR_RETRIES_S
    for _ in range(RETRIES_UNPROVEN_MAX):
        assert pulse.trusted(now_s)
        pulse.asked(now_s, PROMPT)
    assert not pulse.trusted(now_s)
    pulse.answered(now_s, 0.0, PROMPT)
    pulse.asked(now_s, PROMPT)
    assert pulse.trusted(now_s)


def overdue_after_s(pulse: Pulse, prompt_bytes: int = PROMPT) -> float:
    asked_s = 1000.0
    return next(
        seconds for seconds in range(100_000) if pulse.overdue(asked_s + seconds, asked_s, prompt_bytes)
    )


def test_a_long_prompt_may_take_longer_by_its_length() -> None:
    # A thousand tokens in half a second, as much as a GPU that has others to serve.
    pulse = used_to(0.5)
    assert overdue_after_s(pulse) == OVERDUE_MIN_S
    assert overdue_after_s(pulse, 400_000) > 180


def test_a_slow_engine_is_given_its_time() -> None:
    assert overdue_after_s(used_to(20.0)) == 80


def test_where_nothing_is_known_patience_is_that_for_a_slow_engine() -> None:
    assert 10 <= overdue_after_s(Pulse()) <= 20


def test_a_limit_of_the_settings_is_not_waited_for() -> None:
    pulse = used_to(20.0, limit_s=8.0)
    assert overdue_after_s(pulse) == 4
    pulse.asked(1000.0, PROMPT)
    assert pulse.silent(1002.1)


def test_nobody_is_overdue_while_the_engine_speaks_to_others() -> None:
    pulse = used_to(0.1)
    pulse.asked(1000.0, PROMPT)
    pulse.spoke(1099.0)
    assert not pulse.overdue(1100.0, 1000.0, PROMPT)
    assert pulse.overdue(1105.0, 1000.0, PROMPT)


def test_who_was_moved_in_vain_waits_longer_next_time() -> None:
    pulse = used_to(0.1)
    for expected in (5, 10, 20, 20):
        assert overdue_after_s(pulse) == expected
        pulse.moved()
    pulse.asked(999.9, PROMPT)
    pulse.answered(1000.0, 0.1, PROMPT)
    assert overdue_after_s(pulse) == OVERDUE_MIN_S


def test_the_largest_of_late() -> None:
    slowest = Slowest(5.0)
    for _ in range(15):
        slowest.note(1.0, 0.0)
    assert slowest.value == 5.0
    slowest.note(1.0, 0.0)
    assert slowest.value == 1.0
    slowest.note(3.0, 1.0)
    assert slowest.value == 3.0
    for second in range(2, 100):
        slowest.note(0.5, float(second))
    assert slowest.value == 0.5


def test_what_was_far_too_long_is_believed_in_steps() -> None:
    slowest = Slowest(1.0)
    slowest.note(600.0, 0.0)
    assert slowest.value == 4.0
