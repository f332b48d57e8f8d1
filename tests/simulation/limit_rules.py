"""Limits on one model of the simulated worlds, and what must be true of them."""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from openbigmodel.catalog import ModelLimits
from openbigmodel.limits import Limits
from tests.simulation.judge import check
from tests.simulation.requests import Ask

if TYPE_CHECKING:
    from tests.simulation.platform_world import PlatformWorld

LIMITED = "glm-4.6"
MINUTE_US = 60_000_000
# Clocks of floating point: a microsecond more or less.
_SLACK_US = 5


def choose(random: Random) -> ModelLimits | None:
    """What one account may ask of the model, if that is limited at all."""
    if random.random() < 0.5:
        return None
    return ModelLimits(
        in_flight=random.choice((0, 2, 4)),
        rpm=random.choice((0, 6, 60)),
        tpm=random.choice((0, 600, 6_000)),
        daily=random.choice((0, 0, 5, 15)),
    )


class Taken(NamedTuple):
    """What an account has taken of the model, and everybody together; what is missing in the buckets in their units.

    `counted`: the requests of the day before this process are among those of today.
    """

    total: int
    in_flight: int = 0
    today: int = 0
    missing_requests: int = 0
    missing_tokens: int = 0
    counted: bool = False


def taken(limits: Limits, account: str, model: str, now_us: int) -> Taken:
    standing = limits._standings.get((account, model))
    if standing is None:
        return Taken(limits.total)
    requests, tokens = (
        0 if bucket is None else max(bucket._full_at - now_us * bucket._rate, 0)
        for bucket in (standing.requests, standing.tokens)
    )
    return Taken(limits.total, standing.in_flight, standing.today, requests, tokens, standing.day > 0)


def refusal(rules: ModelLimits | None, before: Taken, code: str, name: str) -> None:
    """No refusal of what a limit has room for. A plan's 1302 is judged elsewhere."""
    if code in {"1302", "1303", "1304"}:
        check(rules is not None, f"{name} got {code} without limits")
    if rules is None:
        return
    if code == "1303":
        full = (
            rules.rpm and before.missing_requests + MINUTE_US > rules.rpm * MINUTE_US - _SLACK_US * rules.rpm
        )
        check(bool(full or rules.tpm), f"{name} got 1303, and there is room")
    if code == "1304":
        check(
            before.today >= rules.daily > 0, f"{name} got 1304 as number {before.today + 1} of {rules.daily}"
        )


def meanwhile(world: "PlatformWorld", limits: Limits) -> None:
    """Whoever has a place is there, and they are not too many."""
    exchanges = list(world.pipeline.exchanges)
    check(limits.total == len(exchanges), f"{limits.total} places are taken by {len(exchanges)} requests")
    rules = world.limits
    if rules is None:
        return
    there = Counter(
        each._caller.principal.account_id for each in exchanges if each._wish.route.model.id == LIMITED
    )
    for (account, model), standing in limits._standings.items():
        known = there[account]
        check(
            standing.in_flight == known,
            f"{account} has {standing.in_flight} places at {model} for {known} requests",
        )
        if rules.in_flight:
            check(known <= rules.in_flight, f"{account} has {known} requests at once at {model}")


def at_the_end(world: "PlatformWorld", asks: list[Ask], exempt: frozenset[str]) -> None:
    """No account had more requests in any time, and on the one day that there is, than it may have."""
    rules = world.limits
    if rules is None:
        return
    levels: dict[tuple[str, int], tuple[int, int]] = {}
    days: Counter[str] = Counter()
    let_in = [ask for ask in asks if ask.asked and ask.model == LIMITED and ask.account not in exempt]
    for ask in sorted(let_in, key=lambda each: each.sent_us):
        days[ask.account] += ask.log_id in world.disk.bills
        if rules.rpm:
            whole = rules.rpm * MINUTE_US
            missing, last_us = levels.get((ask.account, ask.process), (0, 0))
            missing = max(missing - (ask.sent_us - last_us) * rules.rpm, 0) + MINUTE_US
            check(
                missing <= whole + _SLACK_US * rules.rpm,
                f"{ask.log_id} was let in beyond {rules.rpm} a minute",
            )
            levels[ask.account, ask.process] = missing, ask.sent_us
    for account, times in days.items():
        check(
            not rules.daily or times <= rules.daily, f"{account} had {times} requests of {rules.daily} a day"
        )
