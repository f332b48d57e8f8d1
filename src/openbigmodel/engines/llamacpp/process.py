"""One worker process seen from the platform: started, asked whether it is well, ended, and explained.

Rule: a WorkerProcess is never reused, and nobody leaves it without `end`, which returns only after the kernel
has given the process up (no zombies).
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable

# By path, not `-m`: no environment variable has to carry our import path. `-P` keeps the names of the files beside
# it out of the worker's imports.
WORKER_COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("worker.py")))

STDERR_TAIL_BYTES = 16_384
STDERR_TAIL_LINES = 50
_LINE_BYTES_MAX = 65_536
# How long to wait for the rest of stderr after the process has ended; a grandchild could hold the pipe open.
_STDERR_REST_S = 0.5

_SIGNAL_ADVICE = {
    signal.SIGILL: (
        "this CPU lacks instructions (AVX2, FMA, F16C) that the prebuilt engine library needs. "
        'Build xllamacpp on this machine, or use an engine of kind "openai" on another one'
    ),
    signal.SIGKILL: (
        "it was killed from outside, most likely by the system for want of memory. "
        "A smaller quantisation, fewer slots or a shorter context needs less"
    ),
}


class WorkerRefused(EngineUnavailable):
    """The worker said why it cannot serve this model: trying again at once would end the same way."""


class WorkerProcess:
    """A started worker. Construct with `spawn`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._tail = b""
        self._stderr_pump = asyncio.ensure_future(self._keep_stderr_tail())
        self.pid = process.pid

    @classmethod
    async def spawn(cls, command: Sequence[str], config: dict[str, object]) -> "WorkerProcess":
        """Start `command` and hand it its configuration. Raises EngineUnavailable if the system refuses.

        Must run in a thread that lives as long as the worker shall: the kernel ends the worker with that thread.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES_MAX,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineUnavailable(f"The engine's worker cannot be started: {error}.") from error
        worker = cls(process)
        assert process.stdin is not None
        try:
            # If it died already, `ready` finds out and has more to say about it.
            with contextlib.suppress(ConnectionError):
                process.stdin.write(json.dumps(config).encode() + b"\n")
                await process.stdin.drain()
        except asyncio.CancelledError:
            await worker.end()
            raise
        return worker

    async def ready(self, timeout_s: float, api_key: str) -> Endpoint:
        """Wait for the readiness line. Raises WorkerRefused or EngineUnavailable; does not end the process."""
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), timeout_s)
        except TimeoutError:
            raise EngineUnavailable(
                f"The model did not load within {timeout_s:.0f} s. From a faster disk, or in a smaller quantisation, "
                "it loads sooner.",
                self.stderr_tail,
            ) from None
        except ValueError:
            line = b"?"
        if not line:
            await self._process.wait()
            # A CPU without an instruction will not get it by trying again.
            kind = WorkerRefused if self._process.returncode == -signal.SIGILL else EngineUnavailable
            raise kind(f"The engine's worker ended while loading: {await self.epitaph()}.", self.stderr_tail)
        return self._read_answer(line, api_key)

    def _read_answer(self, line: bytes, api_key: str) -> Endpoint:
        try:
            answer = json.loads(line)
            error, url = answer.get("error"), urlsplit(answer.get("ready", ""))
            if error is None and url.hostname and url.port:
                return Endpoint(url.hostname, url.port, api_key)
        except (ValueError, AttributeError):
            error = None
        if error is None:
            raise WorkerRefused("The engine's worker answered something else than agreed.", self.stderr_tail)
        raise WorkerRefused(f"The model cannot be loaded. {error}", self.stderr_tail)

    @property
    def stderr_tail(self) -> str:
        """The last lines that the worker wrote to stderr."""
        lines = self._tail.decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-STDERR_TAIL_LINES:])

    async def wait(self) -> None:
        """Until the process has ended."""
        await self._process.wait()

    async def epitaph(self) -> str:
        """Why an ended process ended, for the middle of a sentence."""
        status = self._process.returncode
        if status is None:
            return "still running"
        await asyncio.wait({self._stderr_pump}, timeout=_STDERR_REST_S)
        if status >= 0:
            return f"exit status {status}"
        try:
            number = signal.Signals(-status)
        except ValueError:
            return f"signal {-status}"
        advice = _SIGNAL_ADVICE.get(number)
        return f"{number.name}: {advice}" if advice else number.name

    async def end(self, grace_s: float = 0.0) -> None:
        """SIGTERM, then SIGKILL after `grace_s`; returns when the process is gone."""
        if self._process.returncode is None and grace_s > 0:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._stderr_pump.cancel()
        await asyncio.wait({self._stderr_pump})

    async def _keep_stderr_tail(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(4096):
            self._tail = (self._tail + chunk)[-STDERR_TAIL_BYTES:]


async def answers_health(endpoint: Endpoint, timeout_s: float) -> bool:
    """Ask /health once. Raises ConnectionRefusedError if nobody listens any more; any other trouble is False."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            # A connection of its own, closed after use: a kept one may be closed by the server just as it is used.
            writer.write(
                f"GET /health HTTP/1.1\r\nHost: {endpoint.host}\r\nConnection: close\r\n\r\n".encode()
            )
            status_line = await reader.readline()
    except ConnectionRefusedError:
        raise
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
    return status_line.split(b" ")[1:2] == [b"200"]
