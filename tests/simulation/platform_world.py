"""The same world around the platform itself: pipeline, cashier, writer and database, with engines and callers on wires.

Bytes are what passes between them. Time, the disk's moods and the sockets are not real.
"""

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.cashier import Cashier, Payer
from openbigmodel.billing.daily_count import DailyCount
from openbigmodel.billing.ledger import Hold
from openbigmodel.billing.plans import PlanHold, Plans
from openbigmodel.billing.replies import StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.catalog import Catalog, Model
from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.registry import Registry, Route, Target
from openbigmodel.errors import ApiError
from openbigmodel.ids import IdSource
from openbigmodel.inference import silence as silence_module
from openbigmodel.inference.admission import Admissions, digest_of
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface, prompt_bound, read_chat_request
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.limits import Limits
from openbigmodel.moderation.moderator import Moderator
from openbigmodel.moderation.words import WordList
from openbigmodel.telemetry import Metrics, RequestLog
from tests.simulation import caller, coding_plans, judge, limit_rules
from tests.simulation.bank import Done, Money
from tests.simulation.cashier_world import CashierWorld
from tests.simulation.judge import check
from tests.simulation.requests import Ask, Log
from tests.simulation.slow_files import SIZES, WatchedMedia
from tests.simulation.wires import Socket, WiredEngine
from tests.simulation.world import EXEMPT, MODELS, Parts, World

PAAS = Surface(prefix="/api/paas/v4")
CODING = Surface(prefix="/api/coding/paas/v4", coding=True)
SILENCE_S_MAX = 30.0


class InOrder:
    """A set that keeps its order, so that a seed is the same each time."""

    def __init__(self) -> None:
        self._items: dict[ChatExchange, None] = {}

    def add(self, item: ChatExchange) -> None:
        self._items[item] = None

    def discard(self, item: ChatExchange) -> None:
        self._items.pop(item, None)

    def __iter__(self) -> Iterator[ChatExchange]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class WatchedCashier(Cashier):
    """Notes which charges could not be stored, and has every hold judged."""

    unsaved: set[str]
    world: "PlatformWorld"

    def hold(self, payer: Payer, model_id: str, prompt_bound: int, completion_bound: int) -> Hold | PlanHold:
        watch = Admitted(self.world, payer, prompt_bound)
        try:
            hold = super().hold(payer, model_id, prompt_bound, completion_bound)
        except ApiError as error:
            watch.judge(None, error.code)
            raise
        watch.judge(hold, "")
        return hold

    def settle(
        self, hold: Hold | PlanHold, line: UsageLine, done: Done, reply: StoredReply | None = None
    ) -> UsageLine:
        def told(error: BaseException | None) -> None:
            if error is not None:
                self.unsaved.add(line.log_id)
            done(error)

        return super().settle(hold, line, told, reply)


class Admitted:
    """What was there just before a hold, to judge it by."""

    def __init__(self, world: "PlatformWorld", payer: Payer, prompt_bound: int) -> None:
        ask, now_ms = world.at_work, world.clock.now_ms()
        self._world = world
        self._plan = payer.plan
        self._before = world.before(world.cashier.ledger, payer.account_id)
        self._standing = coding_plans.Standing(world.money_plans, payer.account_id, now_ms)
        ask.held_for, ask.held, ask.reserved = prompt_bound, 0, None
        ask.price_version = world.prices[ask.model].version

    def judge(self, hold: Hold | PlanHold | None, code: str) -> None:
        world, ask = self._world, self._world.at_work
        if isinstance(hold, PlanHold) or (hold is None and code not in {"1113", "1120"}):
            ask.price_version = 0
            check(self._plan, f"{ask.log_id} is paid by a plan, and its key is none of one")
            coding_plans.admission(world, ask, self._standing, hold, code)
            return
        if self._plan:
            at_ms = world.money_plans._clock.at(self._standing.now_ms)
            excused = world.plans.not_begun(ask.account, at_ms)
            check(excused, f"{ask.log_id} is to be paid by a plan, and is not")
        ask.held = 0 if hold is None else hold.cash
        judge.admission(world, ask, self._before, hold, code)


class PipelineDesk:
    """Takes the world's requests to the pipeline."""

    def __init__(self, world: "PlatformWorld", pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._world = world

    def accept(self, ask: Ask, connection: caller.Connection) -> ChatExchange | None:
        # A question to the engine is asked before `chat` returns, unless a file has to be fetched first.
        self._world.at_work = self._world.by_body[ask.body] = ask
        ask.prompt_estimate = None
        content: object = f"number {ask.body}"
        if ask.file is not None:
            file = {"file_url": f"http://files.example/{ask.file}"}
            content = [{"type": "text", "text": content}, {"type": "file", "file": file}]
        request: dict[str, object] = {
            "model": ask.model,
            "messages": [{"role": "user", "content": content}],
            "stream": ask.stream,
            "max_tokens": ask.max_tokens,
        }
        if ask.request_id is not None:
            request["request_id"] = ask.request_id
        body = msgspec.json.encode(request)
        ask.prompt_bound = prompt_bound(read_chat_request(body), body)
        ask.digest = digest_of(body)
        exempt, surface = ask.account in EXEMPT, CODING if ask.coding else PAAS
        principal = Principal(ask.account, "key", "coding" if ask.coding else "standard", exempt=exempt)
        who = Caller(principal, surface, f"{surface.prefix}/chat/completions", "en")
        whole = not (ask.stream or self._world.profile.always_stream)
        exchange = self.pipeline.chat(body, who, Socket(connection, whole=whole))
        if exchange is not None:
            ask.log_id = exchange._id
        return exchange


class PlatformWorld(CashierWorld):
    """Nothing but wires, clocks and disks is simulated."""

    cashier_type = WatchedCashier
    at_work: Ask
    money_plans: Plans
    pipeline: Pipeline

    def __init__(self, seed: int, parts: Parts, log: Log) -> None:
        super().__init__(seed, parts, log)
        random = self.random
        self.by_body: dict[int, Ask] = {}
        self.unsaved: set[str] = set()
        self.profile = Profile(
            name="any",
            always_stream=random.random() < 0.5,
            prompt_counter="input_tokens" if random.random() < 0.5 else "",
        )
        self.files = random.choice((0.0, 0.0, 0.1, 0.4))
        self.moderator = None
        if random.random() < 0.2:
            # Some prompts are blocked, and answers from a certain length on.
            words = WordList({"number 7*": 1, " ".join(["word"] * random.randrange(2, 12)): 1})
            self.moderator = Moderator(words, None)
        self.limits = limit_rules.choose(random)
        self.plans = coding_plans.PlanWorld(random, self.clock.now_ms())
        limited = {} if self.limits is None else {"*": self.limits}
        self.models = {
            model: Model(
                id=model,
                listed=True,
                inputs=("text", "file"),
                limits=limited if model == limit_rules.LIMITED else {},
                coding=model if model in coding_plans.RATES else None,
                credits=coding_plans.RATES.get(model),
            )
            for model in MODELS
        }
        if self.plans.spans:
            connection = apsw.Connection(str(self.path))
            self.plans.subscribe(connection)
            connection.close()
        self.patience = silence_module.FIRST_TOKEN_TIMEOUT_S, silence_module.BETWEEN_TOKENS_TIMEOUT_S
        silence_module.FIRST_TOKEN_TIMEOUT_S = silence_module.BETWEEN_TOKENS_TIMEOUT_S = SILENCE_S_MAX

    def open_plans(self) -> Plans:
        catalog = Catalog(self.models, self.plans.rules)
        self.money_plans = Plans(self.database.database, catalog, now_ms=self.clock.now_ms)
        return self.money_plans

    def open_desk(self, money: Money) -> Any:
        assert isinstance(self.cashier, WatchedCashier)
        self.cashier.unsaved, self.cashier.world = self.unsaved, self
        engine = WiredEngine(self.engine, self.profile, self.by_body, lambda: self.at_work)
        routes = {name: Route(model, (Target(engine, name),)) for name, model in self.models.items()}

        def now_s() -> float:
            return self.clock.now_ms() / 1000

        def monotonic_s() -> float:
            return self.schedule.now_us / 1_000_000

        earlier = DailyCount(self.database.database.read)
        limits = Limits(10_000, now_s=monotonic_s, wall_s=now_s, earlier=earlier)
        self.media = WatchedMedia(self.random, lambda: self.at_work, self.file_is_there)
        self.pipeline = Pipeline(
            registry=Registry([engine], routes),
            admissions=Admissions(limits, self.cashier),
            request_log=RequestLog(Silence(), as_json=True),
            metrics=Metrics(),
            ids=IdSource(now_s, self.random.randbytes),
            media=self.media,
            moderator=self.moderator,
            now_s=now_s,
            monotonic_s=monotonic_s,
        )
        self.pipeline.exchanges = InOrder()  # type: ignore[assignment]
        return PipelineDesk(self, self.pipeline)

    def crash(self) -> None:
        if self.money is not None:
            self.media.crash()
            self.loop.run_ready()
        super().crash()

    def file_is_there(self, ask: Ask) -> None:
        self.log.add("file", ask.log_id)
        self.at_work = ask

    def new_ask(self, account: str) -> Ask:
        ask, random = super().new_ask(account), self.random
        ask.coding = account in self.plans.spans and random.random() < 0.8
        if self.files and random.random() < self.files:
            ask.file = random.choice(SIZES)
            ask.prompt += random.randrange(ask.file + 1)
        return ask

    def accept(self, money: Money, desk: Any, ask: Ask, connection: caller.Connection) -> ChatExchange | None:
        ask.process = self.process
        ask.price_version = 0
        before = self.taken(ask)
        exchange: ChatExchange | None = desk.accept(ask, connection)
        self.log.add("accepted" if exchange else "not accepted", f"{ask.account} {ask.number} {ask.log_id}")
        if exchange is None:
            name = f"request {ask.number} of {ask.account}"
            after = self.taken(ask)
            if not before[0].counted:
                # After a start the disk is asked how many there were today.
                before = before[0]._replace(today=after[0].today, counted=after[0].counted), before[1]
            check(
                before == after, f"{name} was refused, and has left something behind: {before} became {after}"
            )
            if ask.held_for is None:
                limit_rules.refusal(self.limits, before[0], ask.refused, name)
        return exchange

    def taken(self, ask: Ask) -> tuple[limit_rules.Taken, tuple[object, ...]]:
        """Everything that a request may have taken."""
        ledger, now_ms = self.cashier.ledger, self.clock.now_ms()
        packs = [(pack.id, pack.left, pack.held) for pack in ledger.packs(ask.account) if pack.to_ms > now_ms]
        plans, limits = self.money_plans, self.pipeline.admissions.limits
        place = limit_rules.taken(limits, ask.account, ask.model, self.schedule.now_us)
        money = ledger.balance(ask.account), ledger.held(ask.account), packs
        plan = plans.held(ask.account), plans.quota(ask.account, now_ms)
        return place, (*money, *plan, len(self.pipeline.admissions.running))

    def look(self) -> None:
        super().look()
        if self.money is not None:
            coding_plans.meanwhile(self, self.money_plans)
            limit_rules.meanwhile(self, self.pipeline.admissions.limits)

    def finish(self) -> None:
        for each in self.callers:
            for ask in each.asks:
                ask.unsaved = ask.log_id in self.unsaved
        self.standings = {}
        if self.money is not None:
            now_ms = self.clock.now_ms()
            self.standings = {
                account: coding_plans.Standing(self.money_plans, account, now_ms)
                for account in self.plans.spans
            }
            check(not self.pipeline.admissions.running, "request ids are taken by nobody")
        super().finish()

    def read_disk(self, connection: apsw.Connection) -> None:
        super().read_disk(connection)
        coding_plans.at_the_end(self, self.standings, connection)
        asks = [ask for each in self.callers for ask in each.asks]
        limit_rules.at_the_end(self, asks, EXEMPT)
        for ask in asks:
            bill = self.disk.bills.get(ask.log_id)
            if bill is not None:
                coding_plans.bill(ask, bill, f"request {ask.log_id} of {ask.account}")

    def close(self) -> None:
        silence_module.FIRST_TOKEN_TIMEOUT_S, silence_module.BETWEEN_TOKENS_TIMEOUT_S = self.patience
        self.plans.close()
        super().close()


class Silence:
    """A log that nobody reads."""

    def write(self, text: str, /) -> object:
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


assert issubclass(PlatformWorld, World)
