"""The server as a process that a test may ill-treat: starts it, signals it, kills it and its worker, reads its log.

Where a test only wants a platform to talk to, `running_platform` is enough.
"""

import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

START_TIMEOUT_S = 60.0
ROOT = Path(__file__).parents[2]


class ServerProcess:
    """`bigmodel serve` on a free port, or on `port`, with `folder` for everything it stores."""

    def __init__(
        self, folder: Path, *options: str, config: str = "", port: int = 0, **environment: str
    ) -> None:
        self.folder = folder
        command = [
            sys.executable,
            "-m",
            "openbigmodel",
            "serve",
            "--port",
            str(port),
            "--data",
            str(folder / "data"),
        ]
        if config:
            (folder / "bigmodel.toml").write_text(config, encoding="utf-8")
            command += ["--config", str(folder / "bigmodel.toml")]
        self.process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=_environment() | environment,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.out: list[str] = []
        self.log: list[str] = []
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out, self._said)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.log, None)),
        ]
        for reader in self._readers:
            reader.start()
        self.port = port
        self._chats: list[Chat] = []

    @staticmethod
    def _read(stream: IO[str], lines: list[str], said: "queue.SimpleQueue[str | None] | None") -> None:
        with stream:
            for line in stream:
                lines.append(line.rstrip("\n"))
                if said is not None:
                    said.put(lines[-1])
        if said is not None:
            said.put(None)

    def started(self, *, ready: bool = True) -> "ServerProcess":
        """Wait for the banner, and until it can answer."""
        while not any("/api/paas/v4" in line for line in self.out):
            assert self._said.get(timeout=START_TIMEOUT_S) is not None, "\n".join(self.log)
        line = next(line for line in self.out if "/api/paas/v4" in line)
        self.port = int(line.split("/api/")[0].rpartition(":")[2])
        if ready:
            wait_until(lambda: self.get("/health").status == 200, START_TIMEOUT_S)
        return self

    @property
    def key(self) -> str:
        """The key that was printed."""
        wait_until(lambda: bool(self.keys))
        return self.keys[0]

    @property
    def keys(self) -> list[str]:
        return [line.removeprefix("API key: ") for line in self.out if line.startswith("API key: ")]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log's lines that are JSON."""
        return [json.loads(line) for line in list(self.log) if line.startswith("{")]

    @property
    def workers(self) -> list[int]:
        """The process ids of its children."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def wait_exit(self, timeout_s: float) -> int:
        """The exit status; all that it wrote has been read then."""
        status = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(5)
        return status

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that is not enough. Chats that a failed test left open are closed."""
        for chat in self._chats:
            chat.leave()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.wait_exit(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.wait_exit(5)

    def get(self, path: str, key: str = "") -> "Reply":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())

    def ask(self, key: str, **fields: Any) -> "Chat":
        """Send a chat request."""
        self._chats.append(Chat(self.port, key, fields))
        return self._chats[-1]


class Reply:
    """A response that is whole."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Chat:
    """One chat request under way, read at leisure."""

    def __init__(self, port: int, key: str, fields: dict[str, Any]) -> None:
        body = {"model": "glm-4.6", "messages": [{"role": "user", "content": "你好"}], **fields}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        self._connection.request("POST", "/api/paas/v4/chat/completions", json.dumps(body).encode(), headers)
        self._response: http.client.HTTPResponse | None = None
        self.chunks: list[dict[str, Any]] = []
        self.done = False

    @property
    def response(self) -> http.client.HTTPResponse:
        """With its head read."""
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    def reply(self) -> Reply:
        with contextlib.closing(self._connection):
            return Reply(self.response.status, dict(self.response.getheaders()), self.response.read())

    def events(self) -> Iterator[dict[str, Any]]:
        """Chunks as they come; `done` afterwards if there was a `[DONE]`."""
        for line in self.response:
            if line == b"data: [DONE]\n":
                self.done = True
            elif line.startswith(b"data: "):
                self.chunks.append(json.loads(line[6:]))
                yield self.chunks[-1]

    def read(self, chunks: int | None = None) -> "Chat":
        """Read so many chunks, or all."""
        for count, _ in enumerate(self.events(), 1):
            if count == chunks:
                break
        return self

    @property
    def finish_reason(self) -> str | None:
        reason = self.chunks[-1]["choices"][0].get("finish_reason") if self.chunks else None
        assert reason is None or isinstance(reason, str)
        return reason

    @property
    def text(self) -> str:
        return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in self.chunks)

    def leave(self) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()


@contextlib.contextmanager
def server(folder: Path, *options: str, config: str = "", **more: Any) -> Iterator[ServerProcess]:
    """A server that is ready, and stopped at the end whatever happened."""
    process = ServerProcess(folder, *options, config=config, **more)
    try:
        yield process.started()
    finally:
        process.stop()


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIGMODEL_")}
    return inherited | {"PYTHONPATH": str(ROOT / "src")}


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or between that and reading
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> float:
    """How long it took, in seconds."""
    start_s = time.monotonic()
    while not condition():
        assert time.monotonic() - start_s < timeout_s, "it did not come to pass"
        time.sleep(0.01)
    return time.monotonic() - start_s
