"""Turns of several owners and hosts: who gets the next one, and that nothing is left of who stops waiting."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from openbigmodel.media.turns import NoTurn, Turns


class Work:
    """Takes turns, and ends each when it is told to. `at_work` has who has a turn, in the order they came by it."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.at_work: list[str] = []
        self._ends: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, owner: str, *hosts: str) -> None:
        for host in hosts:
            self.tasks.append(asyncio.ensure_future(self._work(owner, host)))
        await settled()

    async def _work(self, owner: str, host: str) -> None:
        async with self.turns.turn(owner, host):
            self.at_work.append(owner)
            end = (owner, asyncio.Event())
            self._ends.append(end)
            try:
                await end[1].wait()
            finally:
                self.at_work.remove(owner)
                self._ends.remove(end)

    async def end(self, owner: str) -> None:
        """The oldest of the owner's."""
        next(event for name, event in self._ends if name == owner).set()
        await settled()

    async def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def with_work(use: Callable[[Work], Awaitable[None]], at_once: int = 16, waiting_max: int = 300) -> None:
    async def run() -> None:
        work = Work(Turns(at_once, waiting_max))
        await use(work)
        await work.cancel()
        assert work.turns.idle

    asyncio.run(run())


def hosts(count: int) -> list[str]:
    return [f"{number}.example" for number in range(count)]


def test_an_owner_alone_has_most_turns_and_another_waits_for_none() -> None:
    async def use(work: Work) -> None:
        await work.begin("a", *hosts(40))
        assert work.at_work == ["a"] * 12
        await work.begin("b", *hosts(5))
        assert work.at_work == ["a"] * 12 + ["b"] * 4

    with_work(use)


def test_what_becomes_free_goes_to_who_has_the_fewest() -> None:
    async def use(work: Work) -> None:
        await work.begin("a", *hosts(40))
        await work.begin("b", *hosts(4))
        await work.begin("c", *hosts(3))
        assert "c" not in work.at_work
        for turns in range(1, 4):
            await work.end("a")
            assert work.at_work.count("c") == turns
        # Nobody has less than a quarter and waits: the last quarter is kept for who comes next.
        await work.end("a")
        assert sorted(work.at_work) == ["a"] * 8 + ["b"] * 4 + ["c"] * 3
        await work.begin("d", "d.example")
        assert work.at_work[-1] == "d"

    with_work(use)


def test_a_host_has_a_quarter_of_the_turns_whoever_asks() -> None:
    async def use(work: Work) -> None:
        await work.begin("a", *["slow.example"] * 6)
        await work.begin("b", "slow.example")
        assert work.at_work == ["a"] * 4
        await work.begin("a", "other.example")
        assert work.at_work == ["a"] * 5
        await work.end("a")
        assert work.at_work == ["a"] * 4 + ["b"]

    with_work(use)


def test_with_one_turn_owners_and_hosts_take_it_in_turn() -> None:
    order: list[str] = []

    async def work(turns: Turns, owner: str, host: str) -> None:
        async with turns.turn(owner, host):
            order.append(owner + host)
            await asyncio.sleep(0)

    async def run() -> None:
        turns = Turns(1, 300)
        await asyncio.gather(
            *(work(turns, "a", host) for host in "11123"), work(turns, "b", "1"), work(turns, "b", "")
        )
        assert turns.idle

    asyncio.run(run())
    assert order == ["a1", "a1", "b1", "a2", "b", "a3", "a1"]


def test_who_may_wait_is_shared_between_owners() -> None:
    async def use(work: Work) -> None:
        await work.begin("a", *hosts(12 + 10))
        with pytest.raises(NoTurn, match="10 images"):
            async with work.turns.turn("a", "one more"):
                raise AssertionError
        await work.begin("b", *hosts(4 + 5))
        assert all(not task.done() for task in work.tasks)

    with_work(use, waiting_max=30)


def test_who_leaves_with_a_turn_it_has_not_heard_of_passes_it_on() -> None:
    async def use(work: Work) -> None:
        await work.begin("a", "")
        await work.begin("b", "")
        await work.begin("c", "")
        first, second, _ = work.tasks
        # In one step of the loop: b is given the turn, and is cancelled before it runs.
        first.cancel()
        second.cancel()
        await settled()
        assert work.at_work == ["c"]

    with_work(use, at_once=1)


def test_a_turn_that_was_given_and_not_taken_is_given_again() -> None:
    async def run() -> None:
        turns = Turns(1, 300)
        holds = turns.turn("a")
        await holds.__aenter__()
        waits = asyncio.ensure_future(turns.turn("b").__aenter__())
        await settled()
        await holds.__aexit__(None, None, None)
        waits.cancel()
        await asyncio.wait({waits})
        assert waits.cancelled() and turns.idle

    asyncio.run(run())
