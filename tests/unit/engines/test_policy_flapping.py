"""Ten engines come and go for a minute, in worlds made from one number; and planted mistakes are found there.

48 worlds, and 240 with TEST_SCALE=5, as in CI.
"""

import random
from collections import Counter
from dataclasses import replace

import pytest

from openbigmodel.engines import pulse
from openbigmodel.engines.candidate import Candidate, Seat
from openbigmodel.engines.circuit_breaker import CircuitBreaker
from openbigmodel.engines.engine_load import EngineLoad
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.policy import Balancer
from openbigmodel.engines.pulse import Pulse
from openbigmodel.engines.retry_budget import RetryBudget
from tests.conftest import SCALE
from tests.unit.engines import flapping_world
from tests.unit.engines.flapping_world import (
    Weather,
    World,
    Wrong,
    attempts_share,
    outcome_of_status,
    served_share,
    too_many_attempts,
)

SEEDS = max(6, round(6 * SCALE))
BALANCES = ["failover", "least-load", "prefix", "weighted"]
# Of each world, however unlucky, with whatever policy; what the project promises.
SERVED_MIN = 0.995
# Where no limit is set for silence, in which a minute of hanging engines must not show either.
PATIENT = 600.0
# Nothing works well: what matters is that it does not get worse.
STORM = Weather(failing=0.4, up_s=3.0, down_s=3.0, rough=True)
# Engines that work, and all that is no reason to think that they do not.
PATIENT_FAILOVER = Weather(balance="failover", first_token_s=PATIENT)
REFUSALS = Weather(up_s=1e9, refused_429=0.3, bad_requests=0.5, leaving=0.4, busy_every_s=5.0, rough=True)


def worlds(weather: Weather, seeds: int = SEEDS) -> Counter[str]:
    """All that was seen in them. Raises Wrong."""
    served_min = 0.0 if weather.rough else SERVED_MIN
    totals: Counter[str] = Counter()
    for seed in range(seeds):
        seen = World(seed, weather).run()
        if too_many_attempts(seen):
            raise Wrong(f"world {seed}: {attempts_share(seen):.3f} attempts for each request")
        if served_share(seen) < served_min:
            raise Wrong(f"world {seed}: only {served_share(seen):.4f} are served")
        totals += seen
    return totals


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first_token_s", [1.0, PATIENT])
@pytest.mark.parametrize("balance", BALANCES)
def test_with_engines_that_come_and_go_nearly_all_requests_are_served(
    balance: str, first_token_s: float
) -> None:
    totals = worlds(Weather(balance=balance, first_token_s=first_token_s))
    assert totals["moved"] > 0 or balance != "failover"
    # Not at the end of ten minutes, but soon.
    assert totals["served late"] < 0.002 * totals["served"]
    assert totals["requests"] > 10_000 * SEEDS
    assert totals["open"] > 20 * SEEDS, "too calm"
    assert totals["closed"] > 10 * SEEDS, "engines come back"
    assert totals["left"] > 100 * SEEDS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("balance", BALANCES)
def test_in_a_storm_retries_do_not_become_one_too(balance: str) -> None:
    totals = worlds(replace(STORM, balance=balance), max(2, SEEDS // 3))
    assert totals["lost"] > 1000, "too calm"


@pytest.mark.parametrize("balance", BALANCES)
def test_refusals_alone_never_open_a_breaker(balance: str) -> None:
    calm = Weather(
        balance=balance, up_s=1e9, bad_requests=0.5, refused_429=0.3, busy_every_s=5.0, leaving=0.3
    )
    seen = World(1, calm).run()
    assert seen["open"] == 0
    assert seen["requests"] > 10_000


def blame_for_429(status: int) -> Outcome:
    return Outcome.FAILED if status == 429 else outcome_of_status(status)


def blame_for_400(status: int) -> Outcome:
    return Outcome.FAILED if status == 400 else outcome_of_status(status)


def everybody_tries(breaker: CircuitBreaker, now_s: float) -> bool:
    return breaker.state == "half-open" or ready(breaker, now_s)


def never_opens(breaker: CircuitBreaker, number: int, now_s: float, why: str = "") -> None:
    pass


def seats_are_kept(load: EngineLoad, now_s: float) -> None:
    pass


def never_silent(of: Pulse, now_s: float) -> bool:
    return False


def leaving_is_a_failure(seat: Seat[object], came_to: Outcome, now_s: float, *, why: str = "") -> None:
    leave(seat, Outcome.FAILED if came_to is Outcome.LEFT else came_to, now_s, why=why)


ready = CircuitBreaker.ready
leave = Seat.leave
BUGS: dict[str, tuple[object, str, object, Weather]] = {
    "429 counts as a failure": (flapping_world, "outcome_of_status", blame_for_429, REFUSALS),
    "400 counts as a failure": (flapping_world, "outcome_of_status", blame_for_400, REFUSALS),
    "leaving counts as a failure": (Seat, "leave", leaving_is_a_failure, REFUSALS),
    "half-open lets everybody in": (CircuitBreaker, "ready", everybody_tries, Weather()),
    "no budget for retries": (RetryBudget, "spend", lambda budget, now_s: True, STORM),
    "no retries": (RetryBudget, "spend", lambda budget, now_s: False, Weather()),
    "no circuit breaker": (CircuitBreaker, "failed", never_opens, Weather()),
    "silence is not noticed": (Pulse, "silent", never_silent, PATIENT_FAILOVER),
    "seats are kept": (EngineLoad, "give_back", seats_are_kept, Weather()),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, planted, weather = BUGS[bug]
    worlds(weather, 1)
    monkeypatch.setattr(owner, name, planted)
    with pytest.raises(Wrong):
        worlds(weather, 10)


@pytest.mark.parametrize(("bound", "seed"), [("UNPROVEN_MAX", 34), ("RETRIES_UNPROVEN_MAX", 19)])
def test_without_it_too_many_come_to_an_engine_that_is_gone(
    bound: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served_share(World(seed, PATIENT_FAILOVER).run()) >= SERVED_MIN
    monkeypatch.setattr(pulse, bound, 10**9)
    assert served_share(World(seed, PATIENT_FAILOVER).run()) < SERVED_MIN


def moved_beyond_need(balancer: Balancer[str], candidates: list[Candidate[str]]) -> int:
    """Conversations that move although their engine is still there when the first engine goes."""
    chance = random.Random(1)
    keys = [chance.getrandbits(64) for _ in range(1000)]
    before = {key: balancer.choose(key, 0.0) for key in keys}
    candidates[0].aside_until_s = 1.0
    return sum(
        before[key] is not candidates[0] and balancer.choose(key, 0.0) is not before[key] for key in keys
    )


def test_stickiness_that_is_lost_when_one_engine_leaves_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def new() -> tuple[Balancer[str], list[Candidate[str]]]:
        candidates = [
            Candidate(f"e{number}", EngineLoad(f"e{number}"), CircuitBreaker("e", lambda: 0.5))
            for number in range(5)
        ]
        return Balancer("prefix", candidates, lambda: 0.5, 0.0), candidates

    assert moved_beyond_need(*new()) == 0

    def by_position(self: Balancer[str], able: list[Candidate[str]], key: int | None) -> Candidate[str]:
        assert key is not None
        return able[key % len(able)]

    monkeypatch.setattr(Balancer, "_sticky", by_position)
    assert moved_beyond_need(*new()) > 500
