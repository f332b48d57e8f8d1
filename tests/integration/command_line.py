"""`bigmodel …` as a program uses it: on one data folder, with `--json`, most often without a process of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openbigmodel.cli.main import run
from tests.integration.fake_engine_thread import fake_engine
from tests.integration.server_process import ROOT, server

# Of the last model of the fake engine's settings.
PRICE = "price = { input = 10.0, output = 20.0 }\n"


class CommandLine:
    """The commands on one data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __call__(self, *words: str) -> dict[str, Any]:
        """The answer of a command that succeeds."""
        status, answer = self.say(*words)
        assert status == 0, answer
        return answer

    def error(self, *words: str) -> str:
        """The error of a command that does not."""
        status, answer = self.say(*words)
        assert status == 1, answer
        error = answer["error"]
        assert isinstance(error, str) and error
        return error

    def say(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit status, and the one object on stdout."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run([*words, "--data", str(self.data), "--json"])
        assert err.getvalue() == ""
        answer = json.loads(out.getvalue())
        assert isinstance(answer, dict)
        return status, answer

    def shown(self, *words: str) -> str:
        """What people see of a command that succeeds."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = run([*words, "--data", str(self.data)])
        assert status == 0, out.getvalue()
        return out.getvalue()

    def process(self, *words: str) -> "subprocess.Popen[str]":
        """A command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "openbigmodel", *words, "--data", str(self.data), "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
            env=_environment(),
        )


@contextlib.contextmanager
def commands(folder: Path, *, running: bool) -> Iterator[CommandLine]:
    """The commands on the data folder of a server that has started once: it runs, or it has been stopped."""
    with contextlib.ExitStack() as stack:
        config = stack.enter_context(fake_engine()).config + PRICE
        started = stack.enter_context(server(folder, config=config))
        if not running:
            started.stop()
        yield CommandLine(folder / "data")
    # Nothing of it is left but data.
    assert not (folder / "data" / "admin.sock").exists()


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIGMODEL_")}
    return inherited | {"PYTHONPATH": str(ROOT / "src")}
