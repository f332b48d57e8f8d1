"""What this computer can give a worker: threads and memory, as the kernel and a container limit it.

Rule: pure functions over the text of /proc and /sys files; `Machine` reads those files and nothing else here does.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
# A container limit at or above this is the kernel's way to say "none".
_UNLIMITED_BYTES = 1 << 60


def usable_threads(cores: int, cpu_max: str | None) -> int:
    """Threads for a worker: one core fewer than we may use, because the platform needs one too (engine.md §5).

    `cpu_max` is the text of cgroup v2's cpu.max: "quota period" in microseconds, or "max period".
    """
    quota, _, period = (cpu_max or "max").strip().partition(" ")
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        cores = min(cores, max(1, int(quota) // int(period)))
    return max(1, cores - 1)


def memory_available(meminfo: str | None, cgroup: dict[str, str]) -> int | None:
    """Bytes that can be allocated without swapping or being killed, or None if nothing tells.

    `cgroup` has the texts of memory.max, memory.current and memory.stat (cgroup v2).
    """
    candidates = [_available_on_host(meminfo or ""), _available_in_container(cgroup)]
    known = [bytes_ for bytes_ in candidates if bytes_ is not None]
    return min(known) if known else None


def _available_on_host(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * _KIB
    return None


def _available_in_container(cgroup: dict[str, str]) -> int | None:
    limit, current = cgroup.get("memory.max", "").strip(), cgroup.get("memory.current", "").strip()
    if not limit.isdigit() or not current.isdigit() or int(limit) >= _UNLIMITED_BYTES:
        return None
    reclaimable = 0
    for line in cgroup.get("memory.stat", "").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            reclaimable = int(value)
    return max(0, int(limit) - int(current) + reclaimable)


def _allowed_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Machine:
    """This computer. `root` stands for / in tests."""

    root: Path = Path("/")
    cores: Callable[[], int] = _allowed_cores

    def threads(self) -> int:
        """Threads for one worker."""
        return usable_threads(self.cores(), self._read("sys/fs/cgroup/cpu.max"))

    def memory_available(self) -> int | None:
        """Bytes; None where the system does not tell (other than Linux)."""
        names = ("memory.max", "memory.current", "memory.stat")
        texts = {name: self._read(f"sys/fs/cgroup/{name}") for name in names}
        return memory_available(
            self._read("proc/meminfo"), {name: text for name, text in texts.items() if text is not None}
        )

    def _read(self, name: str) -> str | None:
        try:
            return (self.root / name).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
