"""What a person, or a program that reads a pipe, sees while the platform starts."""

import contextlib
import os
import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from openbigmodel.credentials import ApiKey
from openbigmodel.engines.weights import Progress as DownloadProgress
from openbigmodel.settings import Settings

# Where nobody watches a bar move, a line for each tenth is enough.
_STEP = 0.1


class ServeTerminal:
    """The terminal of `bigmodel serve`: the banner on stdout, downloads on stderr."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}

    def announce(self, url: str, first_key: ApiKey | None) -> None:
        """Print the banner. The line `API key: …` is a contract with other programs, so it stands alone."""
        lines = [f"Open BigModel  {url}/api/paas/v4"]
        if self._settings.try_out:
            lines += [
                "Try-out mode: no engine is configured, so the built-in demo model glm-demo answers for every GLM model id.",
                "试用模式：未配置引擎，由内置的 glm-demo 演示模型代答所有 GLM 模型。",
            ]
        if first_key is not None:
            lines += [
                "",
                f"API key: {first_key}",
                "",
                "This key is shown only now. Try it:",
                "",
                _curl(url, first_key, self._settings.models[0].id if self._settings.models else "glm-4.6"),
                "",
            ]
        try:
            print("\n".join(lines))
            sys.stdout.flush()
        except OSError:
            # Nobody reads it; the platform serves all the same, and its end must not fail on what is left unwritten.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if first_key is not None:
                with contextlib.suppress(OSError):
                    print(f"stdout cannot be written. API key: {first_key}", file=sys.stderr, flush=True)

    def download(self, engine: str, progress: DownloadProgress) -> str | None:
        """Draw a bar, or return a line now and then."""
        parts = f" ({progress.part}/{progress.parts})" if progress.parts > 1 else ""
        label = f"{engine}: {progress.file}{parts}"
        if not sys.stderr.isatty():
            return self._line(label, progress)
        if self._bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._bars.start()
            self._tasks.clear()
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=progress.total_bytes)
        self._bars.update(self._tasks[label], completed=progress.done_bytes)
        if self._bars.finished:
            self._bars.stop()
            self._bars = None
        return None

    def _line(self, label: str, progress: DownloadProgress) -> str | None:
        share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
        if share < 1.0 and share - self._told.get(label, -1.0) < _STEP:
            return None
        self._told[label] = share
        return f"downloading {label}: {share:.0%} of {progress.total_bytes:,} bytes"


def _curl(url: str, key: ApiKey, model: str) -> str:
    insecure = " -k" if url.startswith("https") else ""
    return (
        f"curl -N{insecure} {url}/api/paas/v4/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "你好"}}]}}'"""
    )
