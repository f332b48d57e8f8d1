"""A server as a person starts it: `bigmodel serve` in a process of its own, its banner and its log as they come."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LogLine = dict[str, Any]
START_TIMEOUT_S = 120.0
_KEY_LINE = re.compile(r"^API key: (\S+)$", re.MULTILINE)
_URL = re.compile(r"(http://127\.0\.0\.1:\d+)/api/paas/v4")


class LiveServer:
    """`root` is the URL without a path, `key` the first key, `banner` all that stdout had when it was ready."""

    def __init__(self, data: Path, *, config: Path | None = None) -> None:
        self.data = data
        arguments = ["serve", "--port", "0", "--data", str(data)]
        if config is not None:
            arguments += ["--config", str(config)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BIGMODEL_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "openbigmodel", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._changed = threading.Condition()
        self._log: list[LogLine] = []
        self._said = ""
        threads = (
            threading.Thread(target=self._read_log, daemon=True),
            threading.Thread(target=self._read_banner, daemon=True),
        )
        for thread in threads:
            thread.start()
        self._threads = threads
        try:
            self._become_ready()
        except BaseException:
            self.stop()
            raise

    def _become_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        self.key = self._wait(lambda: _KEY_LINE.search(self._said), deadline)[1]
        self.root = self._wait(lambda: _URL.search(self._said), deadline)[1]
        self.host, self.port = urlsplit(self.root).hostname or "", urlsplit(self.root).port or 0
        while True:
            try:
                with urllib.request.urlopen(self.root + "/health", timeout=10):
                    break
            except OSError:
                assert time.monotonic() < deadline, "not ready in time"
                time.sleep(0.1)
        self._wait(self._engines_ready, deadline)
        self.banner = self._said

    def _engines_ready(self) -> bool:
        with urllib.request.urlopen(self.root + "/health", timeout=10) as response:
            states = json.load(response)["engines"]
        return all(state == "ready" for state in states.values())

    def _wait(self, look: Callable[[], Any], deadline: float) -> Any:
        with self._changed:
            while not (found := look()):
                left = deadline - time.monotonic()
                assert left > 0, f"nothing came; the last lines of the log: {self._log[-3:]}"
                assert self._process.poll() is None, f"the server has ended: {self._log[-5:]}"
                self._changed.wait(min(left, 0.1))
        return found

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for text in self._process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"text": text.rstrip("\n")}
            with self._changed:
                self._log.append(line)
                self._changed.notify_all()

    def _read_banner(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._changed:
                self._said += text
                self._changed.notify_all()

    @property
    def log(self) -> list[LogLine]:
        """All lines so far."""
        with self._changed:
            return list(self._log)

    def logged(self, matches: Callable[[LogLine], bool], timeout_s: float = 20.0) -> LogLine:
        """The first line that matches, waited for."""
        found: LogLine = self._wait(
            lambda: next((line for line in self._log if matches(line)), None), time.monotonic() + timeout_s
        )
        return found

    def logged_after(self, count: int, matches: Callable[[LogLine], bool]) -> LogLine:
        """The first line that matches after `count` others, waited for; a line is out within 50 ms."""
        found: LogLine = self._wait(
            lambda: next((line for line in self._log[count:] if matches(line)), None), time.monotonic() + 10
        )
        return found

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self._process.terminate()
        try:
            status = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return status
