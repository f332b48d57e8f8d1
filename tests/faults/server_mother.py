"""Gives birth to whole servers that are to be killed: `bigmodel serve` in a process that was forked, not started anew.

A new interpreter imports for a second; these are there in a quarter of one. Each line on standard input (settings file,
data folder, port, what is planted) has it fork one, whose output goes to `server.log` beside the folder. On standard
output:

    pid 123          a server was born
    end              it is dead
"""

import gc
import os
import sys
from pathlib import Path

from openbigmodel import app
from openbigmodel.cli import main as command_line
from openbigmodel.cli import terminal
from openbigmodel.db import writer as writer_module
from tests.faults.planted import reports_too_early

# Imported by `serve` when it is called; here, once for all children.
IMPORTED = (app, terminal)
# So that kills also meet copies of the log.
_CHECKPOINT_PAGES = 100


def _live(config: str, data: str, port: str, planted: str) -> None:
    log = os.open(Path(data).parent / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    writer_module.CHECKPOINT_PAGES = _CHECKPOINT_PAGES
    if planted == "early":
        writer_module.Writer._finish_batch = reports_too_early()  # type: ignore[method-assign, assignment]
    words = ["serve", "--config", config, "--data", data, "--port", port]
    os._exit(command_line.run(words))


def main() -> None:
    """Forks a server for each line until standard input ends."""
    gc.freeze()
    for line in sys.stdin:
        words = line.split()
        child = os.fork()
        if not child:
            try:
                _live(*words)
            finally:
                os._exit(1)
        os.write(1, f"pid {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"end\n")


if __name__ == "__main__":
    main()
