import os
from pathlib import Path

import pytest

from openbigmodel.engines.llamacpp.machine import Machine, memory_available, usable_threads

MEMINFO = "MemTotal:  8000 kB\nMemFree:  100 kB\nMemAvailable:   4000 kB\n"


@pytest.mark.parametrize(
    ("cores", "cpu_max", "threads"),
    [
        (8, None, 7),
        (2, None, 1),
        (1, None, 1),
        (8, "max 100000\n", 7),
        (8, "400000 100000\n", 3),
        (8, "50000 100000\n", 1),
        (2, "800000 100000\n", 1),
        (4, "nonsense", 3),
        (4, "100000 0", 3),
    ],
)
def test_one_core_is_left_to_the_platform(cores: int, cpu_max: str | None, threads: int) -> None:
    assert usable_threads(cores, cpu_max) == threads


def test_memory_of_the_host() -> None:
    assert memory_available(MEMINFO, {}) == 4000 * 1024
    assert memory_available("nonsense\n", {}) is None
    assert memory_available(None, {}) is None


def test_a_container_may_have_less() -> None:
    cgroup = {
        "memory.max": "3000000\n",
        "memory.current": "2500000\n",
        "memory.stat": "anon 5\ninactive_file 400000\n",
    }
    # What the container holds only as a cache of files can be had again.
    assert memory_available(MEMINFO, cgroup) == 900_000
    assert memory_available(None, cgroup) == 900_000


@pytest.mark.parametrize(
    "cgroup",
    [
        {"memory.max": "max\n", "memory.current": "5\n"},
        {"memory.max": str(1 << 62), "memory.current": "5\n"},
        {"memory.max": "3000000\n"},
    ],
)
def test_a_container_without_a_limit(cgroup: dict[str, str]) -> None:
    assert memory_available(MEMINFO, cgroup) == 4000 * 1024


def test_a_container_over_its_limit_has_nothing() -> None:
    assert memory_available(None, {"memory.max": "10", "memory.current": "20"}) == 0


def test_reads_the_kernels_files(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("300000 100000\n")
    machine = Machine(tmp_path, cores=lambda: 16)
    assert machine.threads() == 2
    assert machine.memory_available() == 4000 * 1024


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, cores=lambda: 4)
    assert machine.threads() == 3
    assert machine.memory_available() is None


def test_this_machine() -> None:
    assert 1 <= Machine().threads() <= max(1, len(os.sched_getaffinity(0)) - 1)
