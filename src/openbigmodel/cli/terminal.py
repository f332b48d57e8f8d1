"""What a person, or a program that reads a pipe, sees while the platform starts."""

import contextlib
import os
import sys
from pathlib import Path

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

from openbigmodel.cli.config import SERVES_NOTHING_EN, SERVES_NOTHING_ZH
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
                "Try-out mode: no engine is configured; the built-in glm-demo answers for bigmodel.cn's chat models, free.",
                "试用模式：未配置引擎，由内置的演示模型 glm-demo 免费代答 bigmodel.cn 的所有对话模型。",
            ]
        if self._settings.serves_nothing:
            lines += [f"Warning: {SERVES_NOTHING_EN}", f"警告：{SERVES_NOTHING_ZH}"]
        if first_key is not None:
            shown = ["", f"API key: {first_key}", "", "This key is shown only now."]
            if not self._settings.serves_nothing:
                model = self._settings.models[0].id if self._settings.models else "glm-4.6"
                shown[-1] += " Try it:"
                shown += ["", _curl(url, first_key, model)]
            lines += [
                *shown,
                "",
                *_for_the_path(),
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


def _for_the_path() -> list[str]:
    """What makes `bigmodel` known in the next terminal, where it was called by its place, as `make serve` does."""
    called = Path(sys.argv[0])
    if called.name != "bigmodel" or called.is_absolute():
        return []
    return [
        f'The command bigmodel, in a terminal in this folder: export PATH="$PWD/{called.parent}:$PATH"',
        "",
    ]


def _curl(url: str, key: ApiKey, model: str) -> str:
    insecure = " -k" if url.startswith("https") else ""
    return (
        f"curl -N{insecure} {url}/api/paas/v4/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "你好"}}]}}'"""
    )
