"""Callers: they ask, leave, repeat themselves after every trouble, and remember what they were told."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from tests.simulation.faults import Faults
from tests.simulation.requests import Ask, Log
from tests.simulation.virtual_time import SECOND_US, Scope

TRIES_MAX = 4
# Of a request; the same when it is sent again.
SAID = (
    "request_id",
    "body",
    "model",
    "prompt",
    "cached",
    "prompt_bound",
    "prompt_estimate",
    "max_tokens",
    "stream",
    "coding",
    "file",
)


class Exchange(Protocol):
    """A request under way, as a caller sees it."""

    def client_left(self) -> None: ...


Accept = Callable[[Ask, "Connection"], Exchange | None]


class Connection:
    """One request of a caller, on its way. The platform talks to it; after the caller has left nobody listens."""

    def __init__(self, caller: "Caller", ask: Ask, tries: int) -> None:
        self._caller = caller
        self._tries = tries
        self.ask = ask
        self.exchange: Exchange | None = None
        self.closed = False

    def refused(self, code: str) -> None:
        if self._close():
            self.ask.refused = code
            self._caller.log.add(f"refused {code}")
            if code in {"1302", "1303", "1305", "1231"}:
                self._caller.try_again(self.ask, self._tries)

    def chunk(self) -> None:
        if not self.closed:
            self.ask.delivered += 1

    def ended(self, reply: bytes, chunks: int, *, replayed: bool = False) -> None:
        """The answer is complete; `chunks` of it come only now."""
        if self._close():
            self.ask.ended, self.ask.replayed = True, replayed
            self.ask.ended_us = self._caller.scope.schedule.now_us
            self.ask.reply = reply
            if not replayed:
                self.ask.delivered += chunks
            self._caller.log.add("replayed" if replayed else "answered")

    def broken(self) -> None:
        """An error, or a stream that ends without its end."""
        if self._close():
            self.ask.broken = True
            self._caller.log.add("broken")
            self._caller.try_again(self.ask, self._tries)

    def leave(self) -> None:
        if self._close():
            self.ask.left_us = self._caller.scope.schedule.now_us
            self._caller.log.add("left")
            if self.exchange is not None:
                self.exchange.client_left()

    def _close(self) -> bool:
        was_open, self.closed = not self.closed, True
        self._caller.connections.pop(self, None)
        return was_open


class Caller:
    """Sends requests of one account. `accept` is None while the platform is down."""

    def __init__(
        self,
        account: str,
        scope: Scope,
        random: Random,
        faults: Faults,
        log: Log,
        new_ask: Callable[[str], Ask],
    ) -> None:
        self.account = account
        self.scope = scope
        self.log = log
        self.accept: Accept | None = None
        self.asks: list[Ask] = []
        # In the order in which they were made, which a set would not keep.
        self.connections: dict[Connection, None] = {}
        self._random = random
        self._faults = faults
        self._new_ask = new_ask

    def start(self, requests: int, pause_us: int) -> None:
        at_us = 0
        for _ in range(requests):
            at_us += self._random.randrange(2 * pause_us)
            self.scope.after(at_us, self._send_new)

    def _send_new(self) -> None:
        ask = self._new_ask(self.account)
        self._send(ask, 1)
        if ask.request_id is not None and self._random.random() < self._faults.caller_repeats:
            # The same again, with or without waiting for the answer; now and then with another body.
            delay_us = self._random.choice((0, 1_000, 100_000, 5 * SECOND_US))
            self.scope.after(delay_us, self._send, self._again(ask, self._random.random() < 0.2), 1)

    def try_again(self, ask: Ask, tries: int) -> None:
        if tries < TRIES_MAX and self._random.random() < self._faults.caller_repeats:
            delay_us = self._random.randrange(1, 2 * SECOND_US)
            self.scope.after(delay_us, self._send, self._again(ask, changed=False), tries + 1)

    def _again(self, ask: Ask, changed: bool) -> Ask:
        again = self._new_ask(self.account)
        for name in SAID:
            setattr(again, name, getattr(ask, name))
        if changed:
            again.body = again.number
        return again

    def _send(self, ask: Ask, tries: int) -> None:
        self.asks.append(ask)
        ask.sent_us = self.scope.schedule.now_us
        connection = Connection(self, ask, tries)
        if self.accept is None:
            connection.broken()
            return
        self.connections[connection] = None
        self.log.add("asked")
        connection.exchange = self.accept(ask, connection)
        if not connection.closed and self._random.random() < self._faults.caller_leaves:
            delay_us = self._random.choice((0, 1_000, 50_000, SECOND_US, 10 * SECOND_US))
            self.scope.after(delay_us, connection.leave)

    def lose_connections(self) -> None:
        """The platform crashed."""
        for connection in list(self.connections):
            connection.broken()
