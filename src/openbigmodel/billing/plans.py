"""Coding Plan subscriptions: who has one, what is left in its windows, and what a request takes (api.md §9.3).

Rule: a request is admitted while both windows have something left that no request under way may use up. It reserves
the most that it can take, but no more than what is left, and takes no more than it reserved: a window is never
overdrawn, and the last request in it gets the rest for nothing. Nothing is ever taken from the balance instead.

    nothing left in the week 1310, in the hours 1308; something left, but reserved 1302; the plan has ended 1309;
    the model is in no plan 1311

What was used survives a restart: each usage row has its credits, and each window a row that was written before the
first of them (`plan_windows`). Owned by the event loop.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, get_args

import apsw
import msgspec

from openbigmodel.billing.periods import HOUR_MS, WEEK_MS, clock_name
from openbigmodel.billing.plan_windows import (
    CreditTerms,
    SteadyClock,
    Window,
    credits_of,
    most_credits,
    percent_at,
    rates_of,
    terms_at,
    week_of,
)
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Catalog, CreditRates, PlanLevel
from openbigmodel.db.connection import Database, DatabaseError
from openbigmodel.db.queries import QUERIES
from openbigmodel.errors import ApiError

Level = Literal["lite", "pro", "max"]
LEVELS: tuple[Level, ...] = get_args(Level)

_LIST = QUERIES["list_plans"]
_INSERT = QUERIES["insert_plan"]
_END = QUERIES["end_plan"]
_INSERT_WINDOW = QUERIES["insert_plan_window"]
_LAST_WINDOW = QUERIES["last_plan_window"]

_Kind = Literal["hours", "week"]


class PlanRecord(msgspec.Struct, frozen=True):
    """A subscription, valid from `from_ms` up to, not including, `until_ms`."""

    id: int
    account_id: str
    level: Level
    from_ms: int
    to_ms: int
    created_ms: int
    ended_ms: int | None = None

    @property
    def until_ms(self) -> int:
        """When it really ends."""
        return self.to_ms if self.ended_ms is None else self.ended_ms


class WindowState(msgspec.Struct, frozen=True):
    """What a window gives and what was used of it, in millionths of a credit; when it begins anew (None: unused)."""

    limit: int
    used: int
    reset_ms: int | None


class Quota(msgspec.Struct, frozen=True):
    """Where an account stands with its plan."""

    level: Level
    hours: WindowState
    week: WindowState


class PlanHold:
    """What one request has reserved, in millionths of a credit. `credits` is what it took in the end."""

    __slots__ = ("credits", "open", "percent", "rates", "reserved", "standing", "windows")

    def __init__(self, standing: "_Standing", rates: CreditRates, percent: int, reserved: int) -> None:
        self.standing = standing
        self.rates = rates
        self.percent = percent
        self.reserved = reserved
        self.credits = 0
        self.open = True
        self.windows: tuple[Window, ...] = ()


class _Standing:
    """One account's subscriptions, the windows of the one that holds, and what is reserved."""

    __slots__ = ("held", "hours", "plan", "plans", "week")

    def __init__(self) -> None:
        self.plans: list[PlanRecord] = []
        self.plan: PlanRecord | None = None
        self.hours: Window | None = None
        self.week: Window | None = None
        self.held = 0


class Plans:
    """All subscriptions. Reads them once, at the start; windows when an account first asks."""

    def __init__(self, database: Database, catalog: Catalog, *, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._catalog = catalog
        self._rules = catalog.plan
        self._now_ms = now_ms
        self._clock = SteadyClock()
        self._accounts: dict[str, _Standing] = {}
        for row in database.read(_LIST):
            self._standing(row[1]).plans.append(PlanRecord(*row))

    # what operators do

    async def subscribe(self, account_id: str, level: str, from_ms: int, to_ms: int) -> PlanRecord:
        """A new subscription. Raises ValueError with a sentence for one that cannot be."""
        if level not in LEVELS:
            raise ValueError(f"a Coding Plan is {', '.join(LEVELS[:-1])} or {LEVELS[-1]}, not {level}")
        if not 0 <= from_ms < to_ms:
            raise ValueError("a plan must end after it begins")
        if any(plan.from_ms < to_ms and from_ms < plan.until_ms for plan in self.list(account_id)):
            raise ValueError("this account has a plan at that time; end that one first")
        created_ms = self._now_ms()

        def insert(connection: apsw.Connection) -> int:
            connection.execute(_INSERT, (account_id, level, from_ms, to_ms, created_ms))
            return connection.last_insert_rowid()

        try:
            plan_id = await self._database.write(insert)
        except apsw.ConstraintError as error:
            raise ValueError(f"there is no account {account_id}, or it has a plan at that time") from error
        plan = PlanRecord(plan_id, account_id, level, from_ms, to_ms, created_ms)
        plans = self._standing(account_id).plans
        plans.append(plan)
        plans.sort(key=lambda each: each.from_ms)
        return plan

    async def end(self, plan_id: int, at_ms: int | None = None) -> PlanRecord:
        """End a subscription, now or at a time within it. Raises ValueError for one that has ended or never was."""
        when_ms = self._now_ms() if at_ms is None else at_ms
        found = next((plan for plan in self.list() if plan.id == plan_id), None)
        if found is None:
            raise ValueError(f"there is no plan {plan_id}")
        when_ms = max(when_ms, found.from_ms)

        def end(connection: apsw.Connection) -> bool:
            connection.execute(_END, (plan_id, when_ms))
            return connection.changes() == 1

        if not await self._database.write(end):
            raise ValueError(f"plan {plan_id} has ended already")
        ended = msgspec.structs.replace(found, ended_ms=when_ms)
        standing = self._standing(found.account_id)
        standing.plans[standing.plans.index(found)] = ended
        if standing.plan == found:
            standing.plan = ended
        return ended

    def list(self, account_id: str | None = None) -> Sequence[PlanRecord]:
        """Subscriptions of an account or of all, earliest first."""
        if account_id is not None:
            standing = self._accounts.get(account_id)
            return [] if standing is None else list(standing.plans)
        return sorted(
            (plan for standing in self._accounts.values() for plan in standing.plans),
            key=lambda plan: (plan.from_ms, plan.id),
        )

    # what requests do

    def hold(
        self, account_id: str, model_id: str, prompt_bound: int, completion_bound: int, now_ms: int
    ) -> PlanHold | None:
        """Reserve credits, to be given up with `post` or `void`; None for an account that never had a plan.

        Such an account's coding keys are paid for like others. Raises ApiError 1302, 1308, 1309, 1310, 1311.
        """
        standing = self._accounts.get(account_id)
        if standing is None or not standing.plans:
            return None
        at_ms = self._clock.at(now_ms)
        plan = self._roll(standing, at_ms)
        if plan is None:
            if at_ms < standing.plans[0].from_ms:
                return None
            raise ApiError("1309")
        rates = self._rates(model_id)
        percent = percent_at(self._rules, now_ms)
        most = most_credits(rates, prompt_bound, completion_bound, percent)
        reserved = min(most, self._left(standing, plan, at_ms)) if most else 0
        standing.held += reserved
        return PlanHold(standing, rates, percent, reserved)

    def post(self, hold: PlanHold, usage: Usage, now_ms: int) -> int:
        """Take what a request used.

        Returns the millionths of a credit for its usage row, which is written after this.
        """
        self.void(hold)
        taken = min(credits_of(hold.rates, usage, hold.percent), hold.reserved)
        standing, at_ms = hold.standing, self._clock.at(now_ms)
        plan = self._roll(standing, at_ms)
        if taken and plan is not None:
            hold.windows = (self._hours(standing, plan, at_ms), self._week(standing, plan, at_ms))
            for window in hold.windows:
                window.used += taken
        hold.credits = taken
        return taken

    def void(self, hold: PlanHold) -> None:
        """Give up what was reserved; nothing was used."""
        assert hold.open, "a hold is given up once"
        hold.open = False
        hold.standing.held -= hold.reserved
        assert hold.standing.held >= 0

    def take_back(self, hold: PlanHold) -> None:
        """The usage row of a post will never be written: as if nothing had been used."""
        assert not hold.open
        for window in hold.windows:
            window.used -= hold.credits
        hold.windows = ()
        hold.credits = 0

    def quota(self, account_id: str, now_ms: int) -> Quota | None:
        """Where an account stands; None without a plan that holds now."""
        standing = self._accounts.get(account_id)
        plan = None if standing is None else self._roll(standing, self._clock.at(now_ms))
        if standing is None or plan is None:
            return None
        limits, behind_ms = self._rules.levels[plan.level], self._clock.behind_ms
        hours, week = standing.hours, standing.week
        week_end_ms = week.until_ms if week else week_of(plan.from_ms, now_ms + behind_ms)[1]
        return Quota(
            level=plan.level,
            hours=WindowState(
                limits.hours, hours.used if hours else 0, hours.until_ms - behind_ms if hours else None
            ),
            week=WindowState(limits.week, week.used if week else 0, week_end_ms - behind_ms),
        )

    def terms(self, model_id: str, at_ms: int) -> CreditTerms:
        """By what a request for a model takes credits at this time of day."""
        return terms_at(self._catalog, model_id, at_ms)

    def held(self, account_id: str) -> int:
        """What requests under way have reserved, in millionths of a credit."""
        standing = self._accounts.get(account_id)
        return 0 if standing is None else standing.held

    def _standing(self, account_id: str) -> _Standing:
        return self._accounts.setdefault(account_id, _Standing())

    def _rates(self, model_id: str) -> CreditRates:
        rates = rates_of(self._catalog, model_id)
        if rates is None:
            raise ApiError("1311", model_name=model_id)
        return rates

    def _left(self, standing: _Standing, plan: PlanRecord, at_ms: int) -> int:
        """What a request may reserve at most. Raises ApiError when that is nothing."""
        limits: PlanLevel = self._rules.levels[plan.level]
        hours, week, behind_ms = standing.hours, standing.week, self._clock.behind_ms
        left_week = limits.week - (week.used if week else 0)
        left_hours = limits.hours - (hours.used if hours else 0)
        if left_week <= 0:
            assert week is not None
            raise ApiError("1310", next_flush_time=clock_name(week.until_ms - behind_ms))
        if left_hours <= 0:
            assert hours is not None
            raise ApiError(
                "1308",
                number=self._rules.window_hours,
                unit={"zh": "小时", "en": "hour"},
                next_flush_time=clock_name(hours.until_ms - behind_ms),
            )
        left = min(left_hours, left_week) - standing.held
        if left <= 0:
            # Not 1308: once those under way are done, most of it may be there again.
            raise ApiError(
                "1302",
                detail_zh="进行中的请求可能用完套餐的剩余额度，请等待其完成。",
                detail_en="The requests under way may use up what is left of your plan; wait for one of them.",
            )
        return left

    def _roll(self, standing: _Standing, at_ms: int) -> PlanRecord | None:
        """The plan that holds now, with windows that are over put away."""
        plan = standing.plan
        if plan is None or not plan.from_ms <= at_ms < plan.until_ms:
            plan = next((each for each in standing.plans if each.from_ms <= at_ms < each.until_ms), None)
            hours = week = None
            if plan is not None:
                # Before anything changes: a read that fails must not leave the plan with windows that look unused.
                hours = self._restore(plan, "hours", self._rules.window_hours * HOUR_MS, at_ms)
                week = self._restore(plan, "week", WEEK_MS, at_ms)
            standing.plan, standing.hours, standing.week = plan, hours, week
        if standing.hours is not None and at_ms >= standing.hours.until_ms:
            standing.hours = None
        if standing.week is not None and at_ms >= standing.week.until_ms:
            standing.week = None
        return plan

    def _restore(self, plan: PlanRecord, kind: _Kind, length_ms: int, at_ms: int) -> Window | None:
        """The window that was last open, as the disk has it."""
        rows = self._database.read(_LAST_WINDOW, (plan.id, kind, plan.account_id))
        if not rows:
            return None
        from_ms, used = rows[0]
        # One that begins in the future is from a clock that was ahead; it must not last for ever because of that.
        return Window(from_ms, min(from_ms, at_ms) + length_ms, used, noted=True)

    def _hours(self, standing: _Standing, plan: PlanRecord, at_ms: int) -> Window:
        if standing.hours is None:
            standing.hours = Window(at_ms, at_ms + self._rules.window_hours * HOUR_MS)
        self._note(plan, "hours", standing.hours)
        return standing.hours

    def _week(self, standing: _Standing, plan: PlanRecord, at_ms: int) -> Window:
        if standing.week is None:
            standing.week = Window(*week_of(plan.from_ms, at_ms))
        self._note(plan, "week", standing.week)
        return standing.week

    def _note(self, plan: PlanRecord, kind: _Kind, window: Window) -> None:
        """Have a new window's row written, before the usage row that is about to be queued.

        Before each of them until it is known to be on disk: those that are queued by then do not wait for one that
        fails. Written twice it is there once.
        """
        if not window.noted:
            if window.begun_ms is None:
                # By the time of day: whatever steps the clock took, the next server reads that one.
                window.begun_ms = window.from_ms - self._clock.behind_ms
            self._submit(window, (plan.id, kind, window.begun_ms), again=True)

    def _submit(self, window: Window, row: tuple[int, _Kind, int], *, again: bool) -> None:
        def written(error: BaseException | None) -> None:
            if error is None:
                window.noted = True
            elif again:
                # At once: the usage rows of the same commit are written once more, too, and must come after it.
                self._submit(window, row, again=False)

        # Where there is no room for it there is none for the usage row; the next one tries again.
        with suppress(DatabaseError):
            self._database.submit(_INSERT_WINDOW, row, written)
