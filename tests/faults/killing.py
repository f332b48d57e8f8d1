"""Processes that are forked to be killed: whoever gives birth to them, and what all harnesses of kills share."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 30.0


class Mother:
    """The process that imports once and forks a child for each line of words; `module` is what it runs.

    It says `pid 123` when a child is born and `end` when it is dead; what is in between, the child said.
    """

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("BIGMODEL_")},
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
            },
        )
        self._said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(10) == 0
        self._process.stdout.close()

    def bear(self, *words: object) -> int:
        """A new child's process id."""
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self._process.stdin.flush()
        self.hear("pid ")
        self.hear("\n")
        line, _, self._said = self._said.partition(b"\n")
        return int(line.split()[1])

    def hear(self, words: str) -> None:
        """Wait until these were said."""
        end_s = time.monotonic() + _PATIENCE_S
        while words.encode() not in self._said:
            assert self._read(end_s), f"no {words!r} in {self._said[-200:]!r}"

    def hear_for(self, seconds: float) -> None:
        """Hear whatever is said in so many seconds."""
        end_s = time.monotonic() + seconds
        while self._read(end_s):
            """Go on."""

    def kill(self, child: int) -> list[str]:
        """The end of a child, when it has come; what it said in its life."""
        os.kill(child, signal.SIGKILL)
        end_s = time.monotonic() + _PATIENCE_S
        while not self._said.endswith(b"end\n"):
            assert self._read(end_s), f"no end of {self._said[-200:]!r}"
        *said, _ = self._said.decode().splitlines()
        self._said = b""
        return said

    def _read(self, end_s: float) -> bool:
        """Whether something was said before that time."""
        assert self._process.stdout is not None
        output, left_s = self._process.stdout.fileno(), max(end_s - time.monotonic(), 0)
        if not select.select([output], [], [], left_s)[0]:
            return False
        self._said += os.read(output, 65536)
        return True


class Killing:
    """One process after the other on one data folder. `found` says what went wrong."""

    def __init__(self, mother: Mother, seed: int, planted: str) -> None:
        self.mother = mother
        self.dice = random.Random(seed)
        self.planted = planted
        self.cycles = 0
        self.found: list[str] = []
