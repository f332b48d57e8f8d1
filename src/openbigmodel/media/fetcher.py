"""The platform's side of the fetch worker: started when first needed, started again when it dies, ended with us.

Rule: a task is either answered, or refused because its process was ended for what it did, or asked once more because
the worker as a whole died; nothing waits longer than the deadlines allow, and who stops waiting ends the process. At
most `concurrency` tasks fetch at once, shared between owners and hosts as in Turns, and as many read what needs no
network: those never wait for a server.
"""

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from openbigmodel.media.task import LINE_BYTES_MAX, Outcome, Task
from openbigmodel.media.turns import NoTurn, Turns

# Isolated: neither the environment nor the current folder can bring code into it.
WORKER_COMMAND = (sys.executable, "-I", "-m", "openbigmodel.media.fetch_worker")

# Tasks that may wait for a turn, of each kind of turn; the next are refused instead of kept in memory. An owner alone
# gets a third of them.
WAITING_MAX = 1536
_STARTS_MAX = 4
_STARTS_WINDOW_S = 30.0
# Beyond a task's own time, which the worker looks after: it must be stuck itself then.
_PATIENCE_S = 10.0
_READ_BUFFER_BYTES = 1 << 20
_STDERR_BYTES_MAX = 4096
# 0.1 ms of the event loop.
_SLICE_CHARACTERS = 262_144
_DECODE = msgspec.json.Decoder(Outcome, float_hook=float).decode
_ENCODE = msgspec.json.Encoder().encode


class FetcherUnavailable(Exception):  # noqa: N818  it is a state
    """No worker, or too many who wait for it. The text is for the operator."""


class _WorkerDied(Exception):  # noqa: N818  it is an event
    """The worker ended with the task in it."""


class _TaskEnded(Exception):  # noqa: N818  it is an event
    """The task's process ended without an answer; `status` is what waitpid said of it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _ignore_note(text: str) -> None:
    """Nobody reads the log."""


# Told how many bytes are about to come, and raises whatever it likes if they may not.
Expect = Callable[[int], None]


def _expect_anything(size: int) -> None:
    """There is always room."""


class Fetcher:
    """One worker at a time, and the tasks in it. `note` is told when a worker dies. One event loop only."""

    def __init__(
        self,
        *,
        concurrency: int = 16,
        command: Sequence[str] = WORKER_COMMAND,
        note: Callable[[str], None] = _ignore_note,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._note = note
        self._now_s = now_s
        self._fetching = Turns(concurrency, WAITING_MAX)
        self._reading = Turns(concurrency, WAITING_MAX)
        self._worker: _Worker | None = None
        self._starting: asyncio.Task[_Worker] | None = None
        self._starts_s: deque[float] = deque(maxlen=_STARTS_MAX)

    @property
    def pid(self) -> int | None:
        """Of the live worker, None before the first task."""
        return None if self._worker is None or self._worker.dead else self._worker.pid

    @property
    def idle(self) -> bool:
        """No task is under way or waits."""
        return self._fetching.idle and self._reading.idle

    async def run(
        self,
        task: Task,
        payload: str,
        host: str = "",
        expect: Expect = _expect_anything,
        owner: str = "",
    ) -> tuple[Outcome, bytes]:
        """The outcome, and the bytes that belong to it. Raises FetcherUnavailable. `payload` is a URL, or base64.

        Tasks share turns by `owner`, the account, and those with the same `host` its few. `expect` is asked before the
        bytes are read.
        """
        turns = self._fetching if task.form == "url" else self._reading
        try:
            async with turns.turn(owner, host):
                return await self._run(task, payload, expect)
        except NoTurn as error:
            raise FetcherUnavailable(str(error)) from None

    async def close(self) -> None:
        """End the worker, and with it all tasks."""
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._worker is not None:
            await self._worker.end()

    async def _run(self, task: Task, payload: str, expect: Expect) -> tuple[Outcome, bytes]:
        for _ in range(2):
            worker = await self._live_worker()
            try:
                return await worker.run(task, payload, expect)
            except _TaskEnded as ended:
                # The clock's signal ends a process that hangs in the resolver; all others mean what it has read.
                slow = ended.status == signal.SIGALRM
                return Outcome(
                    refusal="unreachable" if slow else "damaged",
                    detail=f"its process ended with status {ended.status}",
                ), b""
            except _WorkerDied:
                await worker.end()
                self._note(f"media: the fetch worker ended: {worker.last_words or 'without a word'}")
        raise FetcherUnavailable("the fetch worker died twice")

    async def _live_worker(self) -> "_Worker":
        if self._worker is not None and not self._worker.dead:
            return self._worker
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
            self._starting.add_done_callback(self._has_started)
        # Others wait for it as well: who leaves must not end it.
        return await asyncio.shield(self._starting)

    async def _start(self) -> "_Worker":
        now_s = self._now_s()
        if len(self._starts_s) == _STARTS_MAX and now_s - self._starts_s[0] < _STARTS_WINDOW_S:
            raise FetcherUnavailable("the fetch worker dies again and again")
        self._starts_s.append(now_s)
        self._worker = await _Worker.start(self._command)
        return self._worker

    def _has_started(self, starting: "asyncio.Task[_Worker]") -> None:
        self._starting = None
        if not starting.cancelled():
            # Whoever waited was told; when nobody does any more, nobody has to know.
            starting.exception()


class _Worker:
    """A started worker: its control socket, and the tasks in it by number."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._numbers = itertools.count(1)
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._stderr_pump = asyncio.ensure_future(self._keep_stderr())
        self.last_words = ""
        self.dead = False
        self.pid = process.pid
        asyncio.get_running_loop().add_reader(control.fileno(), self._hear)

    @classmethod
    async def start(cls, command: Sequence[str]) -> "_Worker":
        """Raises FetcherUnavailable. The kernel ends it with the thread that this runs in."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={"LANG": "C.UTF-8"},
                cwd="/",
                start_new_session=True,
            )
        except BaseException as error:  # the socket must not stay open, whatever it was
            ours.close()
            if isinstance(error, OSError):
                raise FetcherUnavailable(f"the fetch worker cannot be started: {error}") from error
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    async def run(self, task: Task, payload: str, expect: Expect) -> tuple[Outcome, bytes]:
        """Raises _WorkerDied or _TaskEnded."""
        number = next(self._numbers)
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ended[number] = ended
        seconds = (task.policy.timeout_s if task.form == "url" else 0.0) + 2.0 * task.cpu_s
        try:
            async with asyncio.timeout(seconds + _PATIENCE_S):
                return await self._ask(number, seconds, task, payload, expect)
        except (OSError, EOFError, asyncio.LimitOverrunError, msgspec.MsgspecError) as error:
            if not self.dead:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(ended), _PATIENCE_S)
            if self.dead or not ended.done() or ended.cancelled():
                self._give_up()
                raise _WorkerDied from error
            raise _TaskEnded(ended.result()) from error
        except TimeoutError:
            self._give_up()
            raise _WorkerDied from None
        finally:
            if not ended.done():
                self._say(b"end %d" % number)
            del self._ended[number]

    async def _ask(
        self, number: int, seconds: float, task: Task, payload: str, expect: Expect
    ) -> tuple[Outcome, bytes]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            socket.send_fds(self._control, [b"task %d %g" % (number, seconds)], [theirs.fileno()])
            theirs.close()
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_READ_BUFFER_BYTES)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            writer.write(_ENCODE(task) + b"\n")
            for start in range(0, len(payload), _SLICE_CHARACTERS):
                writer.write(payload[start : start + _SLICE_CHARACTERS].encode("utf-8", "surrogatepass"))
                await writer.drain()
            line = await reader.readuntil(b"\n")
            if len(line) > LINE_BYTES_MAX:
                raise EOFError
            outcome = _DECODE(line)
            expect(outcome.size)
            return outcome, await reader.readexactly(outcome.size)
        finally:
            writer.close()

    def _hear(self) -> None:
        """Take what the worker says: `ended TASK STATUS`, or its end."""
        try:
            packet = self._control.recv(256)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._give_up()
            return
        words = packet.split()
        ended = self._ended.get(int(words[1]))
        if ended is not None and not ended.done():
            ended.set_result(int(words[2]))

    def _say(self, packet: bytes) -> None:
        with contextlib.suppress(OSError):
            self._control.send(packet)

    def _give_up(self) -> None:
        """It is dead, or shall be."""
        if self.dead:
            return
        self.dead = True
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        for ended in self._ended.values():
            ended.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Kill it if it lives; returns when it is gone."""
        self._give_up()
        await self._process.wait()
        await asyncio.wait({self._stderr_pump}, timeout=1.0)
        self._stderr_pump.cancel()

    async def _keep_stderr(self) -> None:
        assert self._process.stderr is not None
        kept = b""
        while chunk := await self._process.stderr.read(4096):
            kept = (kept + chunk)[-_STDERR_BYTES_MAX:]
            self.last_words = kept.decode("utf-8", "replace").strip().rpartition("\n")[2]
