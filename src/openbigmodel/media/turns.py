"""Who of those who wait may work next: so many at once, shared between owners, and a quarter at most on one host.

Rule: whoever holds less than a quarter of the turns gets any that is free; more than a quarter only while more than a
quarter is left, so an owner alone has three quarters and the next one never waits for it. A turn that becomes free goes
to whoever waits with the fewest. Owned by the event loop.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openbigmodel.room import Room


class NoTurn(Exception):  # noqa: N818  it is a state
    """Too many wait already. The text is for the operator."""


class Turns:
    """`at_once` turns, and `waiting_max` who may wait for one, shared between owners as in Room."""

    def __init__(self, at_once: int, waiting_max: int) -> None:
        self._free = at_once
        self._few = max(1, at_once // 4)
        self._held: Counter[str] = Counter()
        self._on_host: Counter[str] = Counter()
        # By owner and host, who was served longest ago first.
        self._waiting: dict[str, dict[str, deque[asyncio.Future[None]]]] = {}
        self._room = Room(waiting_max)

    @property
    def idle(self) -> bool:
        """Nobody has a turn, nobody waits for one, and nothing is left of those who did."""
        return not (self._held or self._on_host or self._waiting or self._room.taken)

    @asynccontextmanager
    async def turn(self, owner: str, host: str = "") -> AsyncIterator[None]:
        """Wait for a turn; it ends with the context. Turns with no host are bounded by owner alone. Raises NoTurn."""
        if self._may(owner) and self._has_room(host):
            self._begin(owner, host)
        else:
            await self._wait(owner, host)
        try:
            yield
        finally:
            self._end(owner, host)

    def _may(self, owner: str) -> bool:
        return self._free > (0 if self._held[owner] < self._few else self._few)

    def _has_room(self, host: str) -> bool:
        return not host or self._on_host[host] < self._few

    def _begin(self, owner: str, host: str) -> None:
        self._free -= 1
        self._held[owner] += 1
        if host:
            self._on_host[host] += 1

    def _end(self, owner: str, host: str) -> None:
        self._free += 1
        for counts, name in ((self._held, owner), (self._on_host, host)):
            counts[name] -= 1
            if counts[name] <= 0:
                del counts[name]
        self._give()

    async def _wait(self, owner: str, host: str) -> None:
        if not self._room.take(owner, 1):
            raise NoTurn(f"{self._room.taken} images, videos and files are waiting already")
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, {}).setdefault(host, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                # It was given a turn, and left before it heard of it.
                self._end(owner, host)
            elif mine in self._waiting.get(owner, {}).get(host, ()):
                self._leave(owner, host, mine)
            raise
        finally:
            self._room.give_back(owner, 1)

    def _leave(self, owner: str, host: str, one: asyncio.Future[None]) -> None:
        """Nobody waits here any more."""
        hosts = self._waiting[owner]
        hosts[host].remove(one)
        if not hosts[host]:
            del hosts[host]
        if not hosts:
            del self._waiting[owner]

    def _give(self) -> None:
        """To all who can be given one."""
        while True:
            could = {owner: host for owner in self._waiting if (host := self._next(owner)) is not None}
            if not could:
                return
            owner = min(could, key=self._held.__getitem__)
            host = could[owner]
            one = self._waiting[owner][host][0]
            self._leave(owner, host, one)
            # Owner and host go behind all others who wait.
            hosts = self._waiting.get(owner, {})
            if host in hosts:
                hosts[host] = hosts.pop(host)
            if hosts:
                self._waiting[owner] = self._waiting.pop(owner)
            # Who was cancelled has not run since, and waits no more.
            if not one.cancelled():
                self._begin(owner, host)
                one.set_result(None)

    def _next(self, owner: str) -> str | None:
        """The host that the owner's next turn is on."""
        if not self._may(owner):
            return None
        return next((host for host in self._waiting[owner] if self._has_room(host)), None)
