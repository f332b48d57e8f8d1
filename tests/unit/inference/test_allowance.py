"""So much a second for each account, a burst at first, and no debt that is longer than a burst."""

import pytest

from openbigmodel.inference.allowance import Allowance


class World:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.allowance = Allowance(10, 40, lambda: self.now_s)


def test_a_burst_passes_and_the_debt_is_waited_for() -> None:
    world = World()
    world.allowance.take("a", 40)
    assert world.allowance.wait_s("a") == 0
    world.allowance.take("a", 15)
    assert (world.allowance.wait_s("a"), world.allowance.wait_s("b")) == (2, 0)
    world.now_s += 1.5
    assert world.allowance.wait_s("a") == 0


@pytest.mark.parametrize("amount", [80, 1_000_000])
def test_no_debt_is_longer_than_a_burst(amount: int) -> None:
    world = World()
    world.allowance.take("a", amount)
    assert world.allowance.wait_s("a") == 4


def test_who_uses_nothing_is_forgotten_by_the_next_one() -> None:
    world = World()
    world.allowance.take("a", 1)
    world.now_s += 4.0
    world.allowance.take("b", 1)
    assert len(world.allowance) == 1
    world.now_s += 0.2
    world.allowance.forget_idle()
    assert len(world.allowance) == 0
