"""The platform as a process of its own, as people run it: `with running_platform(folder) as platform: …`."""

import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningPlatform:
    """`url` is scheme, host and port; `log` is what it writes to stderr."""

    url: str
    key: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def running_platform(folder: Path, *options: str, config: str = "") -> Iterator[RunningPlatform]:
    """Start `bigmodel serve` on a free port with `folder` for its data; `config` is the text of a settings file."""
    command = [
        sys.executable,
        "-m",
        "openbigmodel",
        "serve",
        "--port",
        "0",
        "--data",
        str(folder / "data"),
        *options,
    ]
    if config:
        (folder / "bigmodel.toml").write_text(config, encoding="utf-8")
        command += ["--config", str(folder / "bigmodel.toml")]
    log = folder / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIGMODEL_")}
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment | {"PYTHONPATH": str(ROOT / "src")},
        ) as process,
    ):
        try:
            url, key = _first_words(process, log)
            _wait_until_ready(url, log)
            yield RunningPlatform(url, key, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_words(process: "subprocess.Popen[str]", log: Path) -> tuple[str, str]:
    assert process.stdout is not None
    url = ""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    for line in process.stdout:
        if line.startswith("Open BigModel"):
            url = line.split()[-1].removesuffix("/api/paas/v4")
        if line.startswith("API key: "):
            return url, line.split()[-1]
        assert time.monotonic() < deadline_s
    raise AssertionError(f"the platform ended before it had told its key: {log.read_text(encoding='utf-8')}")


def _wait_until_ready(url: str, log: Path) -> None:
    # Whom the certificate names is not the question here.
    context = ssl._create_unverified_context() if url.startswith("https") else None
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5, context=context).close()
        except OSError:  # which HTTPError is, too
            assert time.monotonic() < deadline_s, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        else:
            return
