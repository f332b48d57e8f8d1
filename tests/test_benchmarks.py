"""The benchmarks still run: each is started as a person would start it, but for moments only."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What makes each of them brief, and a word of what it then prints.
BRIEFLY = {
    "in_process.py": (("--rounds", "1"), "charged and limited"),
    "ledger.py": (("--requests", "640"), "verify"),
    "statements.py": (("--lines", "2000", "--repetitions", "1"), "explain a charge"),
}


@pytest.mark.parametrize("name", BRIEFLY)
def test_a_benchmark_runs(name: str) -> None:
    options, word = BRIEFLY[name]
    command = [sys.executable, str(ROOT / "benchmarks" / name), *options]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src")},
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert word in done.stdout


def test_every_benchmark_is_run() -> None:
    assert {path.name for path in (ROOT / "benchmarks").glob("*.py")} == set(BRIEFLY)
