"""One process of the platform as the money sees it: admit, ask the engine, relay, settle.

It decides what each way of ending is billed (`docs/money.md`), in as few words as that can be said.
"""

from typing import Protocol

from openbigmodel.billing.ledger import Hold
from openbigmodel.billing.usage import Usage
from openbigmodel.db.connection import DatabaseError
from openbigmodel.errors import ApiError
from tests.simulation.bank import Money
from tests.simulation.engine import Call, Engine, EngineAway
from tests.simulation.requests import Ask
from tests.simulation.virtual_time import SECOND_US, Scope

SILENCE_US_MAX = 30 * SECOND_US


class Client(Protocol):
    """The connection to a caller."""

    def refused(self, code: str) -> None: ...
    def chunk(self) -> None: ...
    def ended(self, reply: bytes, chunks: int, *, replayed: bool = False) -> None: ...
    def broken(self) -> None: ...


class Desk:
    """Takes requests. Everything in it is gone after a crash."""

    def __init__(self, bank: Money, engine: Engine, scope: Scope, process: int) -> None:
        self.bank = bank
        self.engine = engine
        self.scope = scope
        self.running: set[tuple[str, str]] = set()
        self._process = process
        self._number = 0

    def accept(self, ask: Ask, client: Client) -> "Exchange | None":
        """Begin a request, or refuse it."""
        self._number += 1
        ask.log_id = f"{self._process}-{self._number}"
        ask.digest = b"%d" % ask.body
        if ask.request_id is not None and self._answers_again(ask, client):
            return None
        try:
            hold = self.bank.hold(ask)
        except ApiError as error:
            client.refused(error.code)
            return None
        if ask.request_id is not None:
            self.running.add(ask.key())
        exchange = self.exchange(ask, client, hold)
        exchange.begin()
        return exchange

    def exchange(self, ask: Ask, client: Client, hold: Hold) -> "Exchange":
        return Exchange(self, ask, client, hold)

    def hold_of(self, exchange: object) -> Hold:
        """What is set aside for it."""
        assert isinstance(exchange, Exchange)
        return exchange.hold

    def _answers_again(self, ask: Ask, client: Client) -> bool:
        """A request id that is being worked on, or was: no second answer is made."""
        if ask.key() in self.running:
            client.refused("1231")
            return True
        earlier = self.bank.find(ask)
        if earlier is None:
            return False
        if earlier.reply is not None and earlier.reply[0] == ask.digest and not ask.stream:
            client.ended(earlier.reply[1], 0, replayed=True)
        else:
            client.refused("1231")
        return True


class Exchange:
    """One request under way."""

    def __init__(self, desk: Desk, ask: Ask, client: Client, hold: Hold) -> None:
        self.desk = desk
        self.ask = ask
        self.client = client
        self.hold = hold
        self.call: Call | None = None
        self.counted = 0
        self.usage: Usage | None = None
        self.over = False
        self.heard_us = 0

    def begin(self) -> None:
        try:
            self.call = self.desk.engine.ask(self.ask, self)
        except EngineAway:
            self.never_asked()
            return
        self.heard_us = self.desk.scope.schedule.now_us
        self.desk.scope.after(SILENCE_US_MAX, self._check_silence)

    def never_asked(self) -> None:
        """Nothing was asked of an engine, so nothing is written."""
        self.over = True
        self.desk.bank.void(self.hold)
        self._leave()
        self.client.refused("1305")

    # what the engine says

    def engine_chunk(self) -> None:
        if self.over:
            return
        self.heard_us = self.desk.scope.schedule.now_us
        self.counted += 1
        if self.ask.stream:
            self.client.chunk()

    def engine_usage(self, usage: Usage, *, final: bool) -> None:
        if not self.over:
            self.usage = usage

    def engine_ended(self) -> None:
        if not self.over:
            self._settle(self.fair_usage(), complete=True)

    def engine_failed(self) -> None:
        """The engine died, or fell silent: free if the caller has seen nothing."""
        if not self.over:
            self._settle(self.fair_usage() if self.ask.stream and self.counted else None)

    def _check_silence(self) -> None:
        if self.over:
            return
        silent_us = self.desk.scope.schedule.now_us - self.heard_us
        if silent_us >= SILENCE_US_MAX:
            self.engine_failed()
        else:
            self.desk.scope.after(SILENCE_US_MAX - silent_us, self._check_silence)

    # what the caller does

    def client_left(self) -> None:
        """Free if nothing was made; else what was made by now."""
        if not self.over:
            self._settle(self.fair_usage() if self.counted else None)

    # how it ends

    def fair_usage(self) -> Usage:
        """What the engine says, but no answer that was not asked for; else what was counted.

        A prompt that is longer than what was held for is told as it is; the ledger charges no more than it holds.
        """
        ask, said = self.ask, self.usage
        if said is None:
            assert ask.prompt_estimate is not None
            prompt = min(ask.prompt_estimate, ask.prompt_bound)
            return Usage(prompt_tokens=prompt, completion_tokens=self.counted)
        prompt = said.prompt_tokens
        completion = min(max(said.completion_tokens, self.counted), ask.max_tokens)
        return Usage(prompt, min(said.cached_tokens, prompt), completion, measured=True)

    def _settle(self, usage: Usage | None, *, complete: bool = False) -> None:
        self.over = True
        if self.call is not None:
            self.call.cancel()
        reply = b"%d" % self.counted if complete and not self.ask.stream else None

        def settled(error: BaseException | None) -> None:
            self.settled(error, complete=complete)

        try:
            self.desk.bank.settle(self.hold, self.ask, usage, reply, settled)
        except DatabaseError as error:
            settled(error)

    def settled(self, error: BaseException | None, *, complete: bool) -> None:
        """Only now may the end be seen."""
        self._leave()
        if error is None and complete:
            self.client.ended(b"%d" % self.counted, 0 if self.ask.stream else self.counted)
        else:
            self.client.broken()

    def _leave(self) -> None:
        if self.ask.request_id is not None:
            self.desk.running.discard(self.ask.key())
