"""An account may have much of what it stored read again, but not all the time."""

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.responses.rereading import BURST_BYTES, BYTES_PER_S, Rereading

START_MS = 1_790_000_000_000
BURST_S = BURST_BYTES // BYTES_PER_S


class Desk:
    def __init__(self) -> None:
        self.now_ms = START_MS
        self.rereading = Rereading(lambda: self.now_ms / 1000)

    def wait_s(self, account_id: str = "a") -> int:
        """For how many seconds nothing is read for the account."""
        try:
            self.rereading.check(account_id)
        except ApiError as error:
            assert error.code == "1303" and error.retry_after_s
            return error.retry_after_s
        return 0


def test_a_burst_passes_and_what_is_beyond_waits() -> None:
    desk = Desk()
    desk.rereading.note("a", BURST_BYTES - 65_536)
    assert desk.wait_s() == 0
    desk.rereading.note("a", 2 * BYTES_PER_S)
    assert desk.wait_s() == 2
    assert desk.wait_s("b") == 0
    desk.now_ms += 2000
    assert desk.wait_s() == 0


def test_in_the_long_run_so_much_a_second_is_read() -> None:
    desk, size, seconds = Desk(), 1024 * 1024, 120
    read = 0
    for _ in range(seconds * 100):
        desk.now_ms += 10
        if not desk.wait_s():
            desk.rereading.note("a", size)
            read += size
    assert 0.9 * BYTES_PER_S * seconds < read < BYTES_PER_S * seconds + BURST_BYTES + size


def test_a_row_costs_something_even_if_it_is_empty() -> None:
    desk = Desk()
    for _ in range(100_000):
        desk.rereading.note("a", 0)
    assert desk.wait_s() > 0


def test_who_has_read_nothing_for_a_while_is_forgotten() -> None:
    desk = Desk()
    desk.rereading.note("a", BURST_BYTES)
    desk.rereading.forget_idle()
    assert len(desk.rereading) == 1
    desk.now_ms += BURST_S * 1000 + 1000
    desk.rereading.forget_idle()
    assert len(desk.rereading) == 0


@pytest.mark.parametrize("size", [0, 1, BURST_BYTES, 100 * BURST_BYTES])
def test_no_debt_is_longer_than_a_bucket(size: int) -> None:
    desk = Desk()
    for _ in range(3):
        desk.rereading.note("a", size)
    assert desk.wait_s() <= BURST_S
