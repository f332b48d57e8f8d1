"""A whole world from one number: callers, a platform that crashes, engines, an operator, clocks; and its judges."""

from random import Random

import msgspec

from openbigmodel.billing.ledger import Ledger, Pack
from openbigmodel.billing.packs import Unit
from openbigmodel.billing.pricing import Band, Price
from tests.simulation import judge
from tests.simulation.bank import Bank, Money
from tests.simulation.caller import Caller, Connection, Exchange
from tests.simulation.desk import Desk
from tests.simulation.engine import Engine
from tests.simulation.faults import Faults, choose
from tests.simulation.journal import Disk, Journal
from tests.simulation.requests import Ask, Log
from tests.simulation.virtual_time import SECOND_US, Schedule, Scope, WallClock

EXEMPT = frozenset({"own"})
ACCOUNTS = ("ann", "bob", "own")
MODELS = ("glm-4.6", "glm-4.7", "glm-free", "web_search")
REQUESTS = 40  # of each account, before they are repeated
OPERATIONS = 12
# No text of theirs comes to so many tokens, with a file it may.
LONG = 250
QUIET_US = 200 * SECOND_US  # after the last new request; then nothing fails any more
QUIET_TICK_US = 5 * SECOND_US
TICKS = 100 + 2 * QUIET_US // SECOND_US
EVENTS_BETWEEN_AUDITS = 16


class Parts(msgspec.Struct, frozen=True):
    """What the platform is made of; a planted bug replaces one of them."""

    bank: type[Bank] = Bank
    desk: type[Desk] = Desk
    journal: type[Journal] = Journal


class World:
    """Everything, for one seed. `run` raises judge.Wrong.

    This one's platform is the real ledger between a plain desk and a plain journal.
    """

    def __init__(self, seed: int, parts: Parts, log: Log) -> None:
        self.random = Random(seed)
        self.faults = choose(self.random)
        self.log = log
        self.parts = parts
        self.schedule = Schedule(self.random)
        log.now_us = lambda: self.schedule.now_us
        self.clock = WallClock(self.schedule)
        self.outside = Scope(self.schedule)
        self.disk = Disk()
        self.engine = Engine(self.outside, self.random, self.faults, log)
        self.prices: dict[str, Price] = {}
        self.versions: dict[int, Price] = {0: Price("")}
        # As they were granted.
        self.packs: dict[str, Pack] = {}
        # Entries that an operator was told are done: account and nano-yuan.
        self.acknowledged: dict[str, tuple[str, int]] = {}
        self.callers = [
            Caller(account, self.outside, self.random, self.faults, log, self.new_ask) for account in ACCOUNTS
        ]
        self.crashed: set[int] = set()
        self.process = 0
        self.numbers = 0
        # Of the process that runs, if one does.
        self.scope = self.outside
        self.money: Money | None = None
        self.journal: Journal | None = None
        self.until_audit = EVENTS_BETWEEN_AUDITS
        self.asked_until_us = 0

    def run(self) -> None:
        """Some seconds or minutes of traffic and trouble, then quiet, then the last judgement."""
        random, faults = self.random, self.faults
        for model in MODELS:
            self.set_price(model)
        self.start_platform()
        length_us = self.asked_until_us = random.choice((1, 10, 100)) * SECOND_US
        for account in ("ann", "bob"):
            self.top_up(account)
            if random.random() < faults.packs:
                self.grant(account)
        for caller in self.callers:
            caller.start(REQUESTS, length_us // REQUESTS)
        for _ in range(OPERATIONS):
            self.outside.after(random.randrange(length_us), self.operate)
        if random.random() < faults.crashes:
            for _ in range(random.randrange(1, 5)):
                self.outside.after(random.randrange(length_us), self.crash)
        self.outside.after(length_us + QUIET_US, self.calm_down)
        try:
            self.schedule.run(length_us + 2 * QUIET_US, self.after_each)
            self.finish()
            judge.at_the_end(self)
        finally:
            self.close()

    # the platform: what another kind of world replaces

    def open_money(self) -> Money:
        """The money side of a new process."""
        self.journal = self.parts.journal(self.disk, self.scope, self.random, self.faults)
        return self.parts.bank(self.journal, self.clock, self.prices, EXEMPT, self.packs, self.new_id)

    def open_desk(self, money: Money) -> Desk:
        """Where its requests come in."""
        return self.parts.desk(money, self.engine, self.scope, self.process)

    def crash_disk(self) -> None:
        """The process that writes is gone."""
        assert self.journal is not None
        self.journal.crash()

    def finish(self) -> None:
        """All is quiet: bring what is on disk into `disk`."""

    def close(self) -> None:
        """Leave nothing behind."""

    def after_each(self) -> None:
        """After everything that happens."""
        self.until_audit -= 1
        if not self.until_audit:
            self.until_audit = EVENTS_BETWEEN_AUDITS
            self.look()

    def look(self) -> None:
        """Now and then: what must be true at any moment."""
        judge.meanwhile(self)

    # its life

    def start_platform(self) -> None:
        self.process += 1
        self.log.add("started", str(self.process))
        self.scope = Scope(self.schedule)
        money = self.money = self.open_money()
        desk = self.open_desk(money)

        def accept(ask: Ask, connection: Connection) -> Exchange | None:
            return self.accept(money, desk, ask, connection)

        for caller in self.callers:
            caller.accept = accept
        self.scope.after(SECOND_US, self.tick, money)

    def tick(self, money: Money) -> None:
        """Once a second, as long as something may still happen; less often when nobody asks any more."""
        money.expire()
        now_us = self.schedule.now_us
        if now_us < TICKS * SECOND_US:
            self.scope.after(SECOND_US if now_us < self.asked_until_us else QUIET_TICK_US, self.tick, money)

    def accept(self, money: Money, desk: Desk, ask: Ask, connection: Connection) -> Exchange | None:
        ask.process = self.process
        ask.price_version = 0 if ask.account in EXEMPT else self.prices[ask.model].version
        before = self.before(money.ledger, ask.account)
        exchange = desk.accept(ask, connection)
        self.log.add("accepted" if exchange else "not accepted", f"{ask.account} {ask.number} {ask.log_id}")
        hold = None if exchange is None else desk.hold_of(exchange)
        ask.held = 0 if hold is None else hold.cash
        judge.admission(self, ask, before, hold, ask.refused)
        return exchange

    def before(self, ledger: Ledger, account: str) -> judge.Before:
        """What an account has now."""
        packs = [(self.packs[pack.id], pack.left) for pack in ledger.packs(account)]
        return judge.Before(ledger.balance(account), packs, self.clock.now_ms())

    def crash(self) -> None:
        if self.money is None:
            return
        self.log.add("crashed", str(self.process))
        self.crashed.add(self.process)
        self.money = None
        self.scope.alive = False
        self.crash_disk()
        self.engine.lose_connections()
        for caller in self.callers:
            caller.accept = None
            caller.lose_connections()
        self.outside.after(self.random.randrange(3 * SECOND_US), self.start_platform)

    def calm_down(self) -> None:
        """From now on nothing fails."""
        for name in Faults.__slots__:
            if name != "commit_us_max":
                setattr(self.faults, name, 0)

    # the operator

    def operate(self) -> None:
        random, faults = self.random, self.faults
        chosen = random.randrange(6)
        if chosen == 0 and random.random() < faults.prices_change:
            self.set_price(random.choice(MODELS))
        elif chosen == 1 and random.random() < faults.clock_steps:
            self.log.add("clock stepped")
            self.clock.step(random.choice((-3_600_000, -5_000, -1, 1, 5_000, 60_000)))
        elif self.money is None:
            return
        elif chosen == 2 and random.random() < faults.packs:
            self.grant(random.choice(("ann", "bob")))
        elif chosen == 3:
            self.adjust(random.choice(("ann", "bob")))
        else:
            self.top_up(random.choice(("ann", "bob")))

    def set_price(self, model: str) -> None:
        random = self.random
        version = len(self.versions)

        def rate() -> int:
            return random.choice((1, 300_000, 500_000, 1_700_001, 8_000_000_000))

        bands = [Band(rate(), rate(), random.choice((None, 100_000, 1_000_000)))]
        if model == "glm-4.7":
            if random.random() < 0.3:
                bands = [Band(0, 0)]
            bands.append(Band(rate(), rate(), None, input_from=random.choice((10, LONG))))
            bands.append(Band(rate(), rate(), 250_000, output_from=6))
        per_call = random.randrange(1, 30) if model == "web_search" else 0
        price = (
            Price(model, version) if model == "glm-free" else Price(model, version, tuple(bands), per_call)
        )
        self.prices[model] = self.versions[version] = price
        self.log.add("price set", model)

    def acknowledge(self, entry_id: str, account: str, nano: int) -> "judge.Done":
        """What the operator hears."""

        def told(error: BaseException | None) -> None:
            self.log.add("done" if error is None else "failed", entry_id)
            if error is None:
                self.acknowledged[entry_id] = (account, nano)

        return told

    def top_up(self, account: str) -> None:
        assert self.money is not None
        entry_id = self.new_id()
        scarce = self.random.random() < self.faults.scarce
        nano = self.random.randrange(1, 200 if scarce else 10_000_000)
        self.money.top_up(entry_id, account, nano, self.acknowledge(entry_id, account, nano))

    def adjust(self, account: str) -> None:
        assert self.money is not None
        entry_id = self.new_id()
        balance = self.money.ledger.balance(account)
        nano = self.random.randrange(1, 2 * max(balance, 1) + 1)
        try:
            self.money.adjust(entry_id, account, nano, self.acknowledge(entry_id, account, -nano))
        except ValueError:
            judge.check(nano > balance, "an adjustment was refused that the balance covers")

    def grant(self, account: str) -> None:
        assert self.money is not None
        random = self.random
        now_ms = self.clock.now_ms()
        units: tuple[Unit, ...] = ("tokens", "tokens", "calls")
        unit = random.choice(units)
        models = random.choice((None, None, frozenset({"glm-4.6"}), frozenset({"glm-4.7", "web_search"})))
        pack = Pack(
            self.new_id(),
            account,
            unit,
            models,
            gift=random.random() < 0.5,
            from_ms=now_ms + random.choice((0, 0, 0, 500, 5_000)),
            to_ms=now_ms + random.choice((5_001, 10_000, 20_000, 10_000_000)),
            left=random.randrange(1, 200 if unit == "tokens" else 5),
        )
        self.packs[pack.id] = msgspec.structs.replace(pack)
        self.money.grant(pack, self.acknowledge(pack.id, account, 0))

    # what callers ask for

    def new_id(self) -> str:
        self.numbers += 1
        return f"id-{self.numbers:05}"

    def new_ask(self, account: str) -> Ask:
        self.numbers += 1
        random = self.random
        prompt = random.randrange(25)
        bound = prompt + random.randrange(10)
        return Ask(
            number=self.numbers,
            account=account,
            request_id=f"r{self.numbers}" if random.random() < self.faults.caller_names_requests else None,
            body=self.numbers,
            model=random.choice(MODELS),
            prompt=prompt,
            cached=random.randrange(prompt + 1),
            prompt_bound=bound,
            prompt_estimate=random.randrange(bound + 5),
            max_tokens=random.randrange(1, 40),
            stream=random.random() < 0.6,
        )
