"""Coding Plans in the simulated worlds: small ones that run out, in hours that are short, and what must be true of
them.

Credits are counted anew, token by token in fractions, and windows by what they hold on disk.
"""

import math
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any

import apsw

from openbigmodel.billing import plan_windows as windows_module
from openbigmodel.billing import plans as plans_module
from openbigmodel.billing.plans import PlanHold, Plans, Quota
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import CodingPlan, CreditRates, PlanLevel
from tests.reference_ledger import round_half_up
from tests.simulation.judge import check
from tests.simulation.requests import Ask, Bill

if TYPE_CHECKING:
    from tests.simulation.platform_world import PlatformWorld

# Of 20 accounts that pay, this many have a plan.
PLANNERS_OF_20 = 6
# Where a cached token is the dearer one, that is what is reserved for. The last model is in no plan.
RATES = {
    "glm-4.6": CreditRates(input=3, cached=1, output=7),
    "glm-4.7": CreditRates(input=5, cached=6, output=11),
    "glm-free": CreditRates(input=0, cached=0, output=0),
}
OFFSET_MS = 8 * 3_600_000
_PLANS = "INSERT INTO plans (account_id, level, from_ms, to_ms, created_ms) VALUES (?, 'lite', ?, ?, 0)"
_WINDOWS = """
SELECT w.kind, sum(u.plan_credits) FROM (
    SELECT plan_id, kind, after_usage, lead(after_usage, 1, 1 << 62) OVER (PARTITION BY plan_id, kind ORDER BY id) AS until
    FROM plan_windows
) AS w JOIN plans AS p ON p.id = w.plan_id
    JOIN usage AS u ON u.account_id = p.account_id AND u.id > w.after_usage AND u.id <= w.until
GROUP BY w.plan_id, w.kind, w.after_usage
"""
_SINCE_LAST = """
SELECT coalesce(sum(plan_credits), 0) FROM usage
WHERE account_id = ?1 AND id > (
    SELECT w.after_usage FROM plan_windows AS w JOIN plans AS p ON p.id = w.plan_id
    WHERE p.account_id = ?1 AND w.kind = ?2 ORDER BY w.id DESC LIMIT 1
)
"""


class PlanWorld:
    """The rules of one world, and who has a plan. `close` gives the platform its own hours back."""

    def __init__(self, random: Random, now_ms: int) -> None:
        self.hour_ms, self.week_ms = random.choice(((2_000, 30_000), (3_600_000, 604_800_000)))
        hours = random.choice((500, 2_000, 20_000))
        week = random.choice((hours // 2, 2 * hours))
        # Of the 24 hours of a day, however long they are.
        self.peak = range(6, 15)
        self.rules = CodingPlan(
            levels={"lite": PlanLevel(hours=hours, week=week)},
            window_hours=5,
            off_peak_percent=random.choice((50, 67)),
            peak_days=(1, 2, 3, 4, 5),
            peak_from_hour=self.peak.start,
            peak_to_hour=self.peak.stop,
        )
        self.spans: dict[str, list[tuple[int, int]]] = {}
        for account in ("ann", "bob"):
            if random.randrange(20) < PLANNERS_OF_20:
                from_ms = now_ms + random.choice((-10_000, -10_000, 3_000))
                end_ms = now_ms + random.choice((8_000, 10**9, 10**9))
                self.spans[account] = [(from_ms, end_ms)]
        self._healthy = [(module, name, getattr(module, name)) for module, name in _LENGTHS]
        for module, name in _LENGTHS:
            setattr(module, name, self.hour_ms if name == "HOUR_MS" else self.week_ms)

    def subscribe(self, connection: apsw.Connection) -> None:
        """Have all of them written."""
        for account, spans in self.spans.items():
            connection.execute("INSERT INTO accounts (id, name, created_ms) VALUES (?1, ?1, 0)", (account,))
            for span in spans:
                connection.execute(_PLANS, (account, *span))

    def close(self) -> None:
        for module, name, healthy in self._healthy:
            setattr(module, name, healthy)

    def not_begun(self, account: str, at_ms: int) -> bool:
        """Whether the account pays like others, because it has no plan yet."""
        return at_ms < self.spans[account][0][0]

    def percent(self, now_ms: int) -> int:
        """Here it is always Thursday."""
        hour = (now_ms + OFFSET_MS) // self.hour_ms % 24
        return 100 if hour in self.peak else self.rules.off_peak_percent


_LENGTHS: tuple[tuple[Any, str], ...] = tuple(
    (module, name) for module in (plans_module, windows_module) for name in ("HOUR_MS", "WEEK_MS")
)


class Standing:
    """Where an account stands with its plan, just before a request came."""

    def __init__(self, plans: Plans, account: str, now_ms: int) -> None:
        self.quota: Quota | None = plans.quota(account, now_ms)
        self.held = plans.held(account)
        self.now_ms = now_ms

    def refusal(self, rates: CreditRates | None, most: int, left: int) -> str:
        """The code of it, if it must be refused."""
        quota = self.quota
        if quota is None:
            return "1309"
        if rates is None:
            return "1311"
        if not most:
            return ""
        if quota.week.used >= quota.week.limit:
            return "1310"
        if quota.hours.used >= quota.hours.limit:
            return "1308"
        return "1302" if left <= 0 else ""


def admission(world: "PlatformWorld", ask: Ask, before: Standing, hold: PlanHold | None, code: str) -> None:
    """No window is promised more than it has, and no refusal of what it has. `code` is that of a refusal."""
    assert ask.held_for is not None
    rates, ask.percent = RATES.get(ask.model), world.plans.percent(before.now_ms)
    most = 0
    if rates is not None:
        whole = ask.held_for * max(rates.input, rates.cached) + ask.max_tokens * rates.output
        most = math.ceil(Fraction(whole * ask.percent, 100))
    quota = before.quota
    left = 0
    if quota is not None:
        left = min(window.limit - window.used for window in (quota.hours, quota.week)) - before.held
    expected = before.refusal(rates, most, left)
    check(code == expected, f"{ask.log_id} got {code or 'in'} with a plan, instead of {expected or 'in'}")
    if hold is not None:
        ask.reserved = min(most, left) if most else 0
        check(hold.reserved == ask.reserved, f"{ask.log_id} reserves {hold.reserved} and not {ask.reserved}")


def bill(ask: Ask, bill: Bill, name: str) -> None:
    """To the millionth of a credit, and nothing of the balance."""
    if ask.reserved is None:
        check(bill.plan_credits == 0, f"{name} takes credits, and no plan pays")
        return
    check(not bill.nano and not bill.burns, f"{name} is paid by a plan, and charged")
    if bill.made:
        due = min(credits_due(RATES[ask.model], bill.usage, ask.percent), ask.reserved)
        check(bill.plan_credits == due, f"{name} takes {bill.plan_credits} credits instead of {due}")


def credits_due(rates: CreditRates, usage: Usage, percent: int) -> int:
    tokens = [rates.input] * (usage.prompt_tokens - usage.cached_tokens)
    tokens += [rates.cached] * usage.cached_tokens + [rates.output] * usage.completion_tokens
    return round_half_up(Fraction(sum(tokens) * percent, 100))


def meanwhile(world: "PlatformWorld", plans: Plans) -> None:
    """No window has given more than it had."""
    for account in world.plans.spans:
        quota = plans.quota(account, world.clock.now_ms())
        if quota is not None:
            for window in (quota.hours, quota.week):
                check(0 <= window.used <= window.limit, f"{account} has used {window.used} of {window.limit}")


def at_the_end(
    world: "PlatformWorld", standings: dict[str, Standing] | None, connection: apsw.Connection
) -> None:
    """All is quiet: windows on disk are not overdrawn, and memory has what the disk has."""
    level = world.plans.rules.levels["lite"]
    for kind, used in connection.execute(_WINDOWS):
        limit = level.hours if kind == "hours" else level.week
        check(used <= limit, f"a window of {kind} has {used} credits on disk, and {limit} at most")
    for account, standing in (standings or {}).items():
        check(standing.held == 0, f"{standing.held} credits of {account} are held for nobody")
        quota = standing.quota
        for kind in ("hours", "week"):
            used = 0 if quota is None else getattr(quota, kind).used
            if used:
                there = connection.execute(_SINCE_LAST, (account, kind)).fetchall()[0][0]
                check(
                    used == there, f"{account} has used {used} of its {kind} in memory, and {there} on disk"
                )
