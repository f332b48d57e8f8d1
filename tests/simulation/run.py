"""Runs seeds. Whatever fails says which seed it was and how to see it again."""

from collections import Counter
from collections.abc import Iterable

from tests.simulation import planted, planted_platform
from tests.simulation.cashier_world import CashierWorld
from tests.simulation.judge import Wrong
from tests.simulation.platform_world import PlatformWorld
from tests.simulation.requests import Log
from tests.simulation.world import Parts, World

PLANTS = planted.PLANTS | planted_platform.PLANTS


def kind_of(seed: int) -> type[World]:
    """Of 20 seeds, 18 are for the platform itself, one for its cashier and one for the ledger alone."""
    return {3: World, 7: CashierWorld}.get(seed % 20, PlatformWorld)


def replay(seed: int, bug: str | None = None, *, verbose: bool = False) -> Log:
    """One seed, with a planted bug or without. Raises Wrong, whatever went wrong."""
    log = Log(verbose=verbose)
    world = kind_of(seed)(seed, Parts(), log) if bug is None else PLANTS[bug](seed, log)
    try:
        world.run()
    except (AssertionError, ValueError, LookupError) as error:
        again = f"python -m tests.simulation --seed {seed}" + (f" --planted {bug}" if bug else "")
        sentence = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
        raise Wrong(f"seed {seed}: {sentence}\n    {again} --verbose") from error
    return log


def search(seeds: Iterable[int], bug: str | None = None) -> Counter[str]:
    """Many seeds, until one fails. Returns how often what happened."""
    totals: Counter[str] = Counter()
    for seed in seeds:
        totals.update(replay(seed, bug).counts)
    return totals
