"""How bad a world is. Each seed has its own: some faults often, some rarely, many not at all."""

from dataclasses import dataclass
from random import Random


@dataclass(slots=True)
class Faults:
    """Probabilities for each occasion, except `*_us_max`, which are microseconds.

    `more_commits_fail` is how many commits will fail because one did: trouble with a disk comes in bursts.
    """

    commit_fails: float = 0
    item_refused: float = 0
    commit_us_max: int = 2_000
    engine_away: float = 0
    engine_dies: float = 0
    engine_stalls: float = 0
    engine_says_no_usage: float = 0
    engine_lies: float = 0
    engine_tells_usage_early: float = 0
    caller_leaves: float = 0
    caller_repeats: float = 0
    caller_names_requests: float = 0.5
    crashes: float = 0
    clock_steps: float = 0
    prices_change: float = 0
    packs: float = 0
    scarce: float = 0
    more_commits_fail: int = 0

    def commit_goes_wrong(self, random: Random) -> bool:
        """Whether this one does."""
        if self.more_commits_fail:
            self.more_commits_fail -= 1
            return True
        if random.random() >= self.commit_fails:
            return False
        self.more_commits_fail = random.choice((0, 0, 0, 1, 2, 5))
        return True


def choose(random: Random) -> Faults:
    """Each fault is off in half of the worlds: what only happens without another fault must be met, too."""

    def chance(most: float) -> float:
        return random.random() * most if random.random() < 0.5 else 0.0

    return Faults(
        commit_fails=chance(0.2),
        item_refused=chance(0.05),
        commit_us_max=random.choice((200, 2_000, 50_000, 2_000_000)),
        engine_away=chance(0.3),
        engine_dies=chance(0.5),
        engine_stalls=chance(0.2),
        engine_says_no_usage=chance(0.7),
        engine_lies=chance(0.7),
        engine_tells_usage_early=chance(1.0),
        caller_leaves=chance(0.7),
        caller_repeats=chance(0.7),
        caller_names_requests=random.random(),
        crashes=chance(1.0),
        clock_steps=chance(1.0),
        prices_change=chance(1.0),
        packs=chance(1.0),
        scarce=chance(1.0),
    )
