"""Replay or search: `python -m tests.simulation --seed 7 --verbose`, `python -m tests.simulation --seeds 10000`."""

import argparse
import sys
import time

from tests.simulation.judge import Wrong
from tests.simulation.run import PLANTS, replay, search


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, default=1000, help="try so many, until one fails")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--planted", choices=sorted(PLANTS), help="with this bug planted")
    parser.add_argument("--verbose", action="store_true", help="tell what happens")
    options = parser.parse_args()
    started_s = time.perf_counter()
    try:
        if options.seed is not None:
            log = replay(options.seed, options.planted, verbose=options.verbose)
            print(f"seed {options.seed} is fine: {log.counts} digest {log.digest:08x}")
            return 0
        totals = search(range(options.start, options.start + options.seeds), options.planted)
    except Wrong as wrong:
        print(wrong)
        return 1
    print(f"{options.seeds} seeds in {time.perf_counter() - started_s:.1f} s: {totals}")
    return 0


sys.exit(main())
