"""The money path in simulated worlds: none goes wrong, and with a bug planted one does.

400 worlds on a desk, 10,000 with TEST_SCALE=5, as in CI. A failure prints its seed and the command that shows it again.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.conftest import SCALE
from tests.simulation.judge import Wrong
from tests.simulation.run import PLANTS, kind_of, replay, search

ROOT = Path(__file__).parents[2]
SEEDS = max(100, round(400 * SCALE * SCALE))
PARTS = 10
# What must have happened in so many worlds, or nothing was looked at; for each two thousand of them.
HAPPENS = {
    "accepted": 50_000,
    "answered": 30_000,
    "broken": 10_000,
    "left": 3_000,
    "replayed": 300,
    "refused 1113": 3_000,
    "refused 1231": 3_000,
    "refused 1210": 200,
    "refused 1301": 800,
    "refused 1302": 500,
    "refused 1303": 200,
    "refused 1304": 200,
    "refused 1305": 2_000,
    "refused 1308": 80,
    "refused 1309": 500,
    "refused 1310": 250,
    "refused 1311": 800,
    "file": 3_000,
    "engine lied": 3_000,
    "crashed": 150,
    "clock stepped": 150,
    "price set": 1_000,
    "done": 3_000,
    "failed": 100,
}
SEEDS_UNTIL_FOUND = 2000
PROCESSES = os.cpu_count() or 1


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """One for each processor: worlds have nothing to do with each other."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        yield pool


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_world_goes_wrong(processes: ProcessPoolExecutor, part: int) -> None:
    seeds = range(SEEDS * part // PARTS, SEEDS * (part + 1) // PARTS)
    # Of neighbours each takes one: what kind of world it is goes by the seed.
    shares = [seeds[number::PROCESSES] for number in range(PROCESSES)]
    totals = sum(processes.map(search, shares), Counter[str]())
    if len(seeds) >= 100:
        short = {
            what: totals[what] for what, often in HAPPENS.items() if totals[what] < often * len(seeds) / 2000
        }
        assert not short, "the worlds have become too calm"


def test_a_world_is_the_same_each_time() -> None:
    by_kind: Counter[str] = Counter()
    for seed in range(max(40, SEEDS // 100)):
        assert replay(seed).digest == replay(seed).digest
        by_kind[kind_of(seed).__name__] += 1
    assert len(by_kind) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", sorted(PLANTS))
def test_a_planted_bug_is_found(bug: str) -> None:
    with pytest.raises(Wrong, match=r"^seed \d+: "):
        search(range(SEEDS_UNTIL_FOUND), bug)


def test_a_failure_can_be_seen_again() -> None:
    with pytest.raises(Wrong) as found:
        search(range(SEEDS_UNTIL_FOUND), "LeavingIsFree")
    sentence, command = str(found.value).splitlines()
    words = command.split()
    assert words[:3] == ["python", "-m", "tests.simulation"]

    again = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert again.returncode == 1, again.stderr
    assert sentence in again.stdout
    assert "crashed" in again.stdout or "accepted" in again.stdout


def test_the_command_line_counts_what_it_saw() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", "25", "--start", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("25 seeds in ")
    assert "answered" in run.stdout
