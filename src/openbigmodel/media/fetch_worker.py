"""The fetch worker: the process that touches URLs and files of strangers, so that the platform does not.

    platform ⇄ worker (this process: starts, ends and counts; touches nothing foreign)
                 └─ fork per task: resolves, connects, reads, answers on a socket of its own, ends

Rule: a task's process is limited before it sees a byte of its task (memory, CPU, no files), and is killed at its
deadline or when the platform says so; then the kernel closes what it had open. The worker has no environment, no
database and no secret, and ends with the platform: by the kernel's hand, and at the end of its control socket.
"""

import binascii
import contextlib
import ctypes
import fcntl
import gc
import os
import resource
import select
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from types import FrameType

import certifi
import msgspec

from openbigmodel.media.confinement import confine, stop_being_root
from openbigmodel.media.documents import read_document
from openbigmodel.media.download import Download, Net, SystemNet, download
from openbigmodel.media.images import read_image
from openbigmodel.media.recordings import read_audio, read_video
from openbigmodel.media.task import LINE_BYTES_MAX, Outcome, Refused, Task

# Seconds beyond what a task's own limits allow, before it is killed.
_GRACE_S = 3.0
_PACKET_BYTES_MAX = 256
# Twice what the largest `concurrency` may fetch and read; whoever starts more has lost count.
TASKS_MAX = 512
_WHITESPACE = b" \t\r\n"
_DECODE_TASK = msgspec.json.Decoder(Task, float_hook=float).decode
_ENCODE = msgspec.json.Encoder().encode

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


class _TooSlow(Exception):  # noqa: N818  it is raised by the clock
    """The time for fetching is over."""


def main(net: Net | None = None, tls: ssl.SSLContext | None = None) -> int:
    """Serve the control socket, which is stdin, until its end."""
    control = socket.socket(fileno=os.dup(0))
    tls = tls or _trusting()
    _confine_process(os.getppid())
    # Objects that never change again: a task's process then shares their pages for good.
    gc.collect()
    gc.freeze()
    _Worker(control, net or SystemNet(), tls).serve()
    return 0


def _trusting() -> ssl.SSLContext:
    """The system's certificates and the usual ones; a slim container has none of its own."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


def _confine_process(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(5)
    confine()
    stop_being_root()
    # After the change of user, which would undo both.
    _prctl(_PR_SET_DUMPABLE, 0)
    die_with(parent)


def die_with(parent: int) -> None:
    """Have the kernel end this process with its parent; end at once if that is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class _Worker:
    """Starts a process for each task that comes with a packet, and ends it in time."""

    def __init__(self, control: socket.socket, net: Net, tls: ssl.SSLContext) -> None:
        self._control = control
        self._net = net
        self._tls = tls
        self._children: dict[int, tuple[int, float]] = {}  # pid → task, deadline
        self._wake, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Until the platform closes its end."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore_signal)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._pause_ms()))
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            self._reap()
            self._end_late()
            if self._control.fileno() in ready and not self._obey():
                break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _pause_ms(self) -> int | None:
        if not self._children:
            return None
        first = min(deadline for _, deadline in self._children.values())
        return max(1, int((first - time.monotonic()) * 1000) + 1)

    def _obey(self) -> bool:
        """Take one packet: `task ID SECONDS` with the task's socket, or `end ID`. False at the end."""
        packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES_MAX, 1)
        if not packet:
            return False
        words = packet.split()
        if words[0] == b"task" and descriptors:
            self._start(int(words[1]), float(words[2]), descriptors[0])
        elif words[0] == b"end":
            for pid, (task, _) in self._children.items():
                if task == int(words[1]):
                    os.kill(pid, signal.SIGKILL)
        return True

    def _start(self, task: int, seconds: float, descriptor: int) -> None:
        if len(self._children) >= TASKS_MAX:
            os.close(descriptor)
            self._tell(task, 1)
            return
        worker = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._control.close()
            _be_task(worker, descriptor, self._net, self._tls)
        os.close(descriptor)
        self._children[pid] = (task, time.monotonic() + seconds + _GRACE_S)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            task, _ = self._children.pop(pid)
            self._tell(task, status)

    def _end_late(self) -> None:
        now_s = time.monotonic()
        for pid, (_, deadline) in self._children.items():
            if deadline <= now_s:
                os.kill(pid, signal.SIGKILL)

    def _tell(self, task: int, status: int) -> None:
        with contextlib.suppress(OSError):
            self._control.send(b"ended %d %d" % (task, status))


def _ignore_signal(number: int, frame: FrameType | None) -> None:
    """Its byte in the wake-up pipe is all that is wanted."""


def _be_task(worker: int, descriptor: int, net: Net, tls: ssl.SSLContext) -> None:
    """The whole life of a task's process; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with(worker)
        os.close(0)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        with socket.socket(fileno=descriptor) as connection:
            serve_task(connection, net, tls)
        status = 0
    except Exception as error:  # noqa: BLE001  the edge of a process: what it says is all that anybody learns
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace")[:1000])
    finally:
        os._exit(status)


def serve_task(connection: socket.socket, net: Net, tls: ssl.SSLContext) -> None:
    """Read a task from its socket, do it, answer."""
    with connection.makefile("rb") as stream:
        task = _DECODE_TASK(stream.readline(LINE_BYTES_MAX))
        _limit(task)
        payload = stream.read(task.size)
    if len(payload) != task.size:
        return  # the platform left
    result = b""
    try:
        outcome, result = perform(task, payload, net, tls)
    except Refused as refused:
        outcome = refused.outcome
    except MemoryError:
        outcome = Outcome(refusal="damaged", detail="more memory than allowed")
    except RecursionError:
        outcome = Outcome(refusal="damaged", detail="nested too deeply")
    connection.sendall(_ENCODE(outcome) + b"\n" + result)


def _limit(task: Task) -> None:
    """Bound this process. Past the soft limit on CPU the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(used.ru_utime + used.ru_stime) + 1 + task.cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def perform(task: Task, payload: bytes, net: Net, tls: ssl.SSLContext) -> tuple[Outcome, bytes]:
    """Get the bytes, judge them, and turn them into what goes to an engine. Raises Refused."""
    canonical = False
    if task.form == "url":
        found = _in_time(task.policy.timeout_s, lambda: _fetch(task, payload, net, tls))
        data, name = found.data, task.name or found.name
        encoded = b""
    else:
        data, canonical = decode_base64(payload)
        name, encoded = task.name, payload if canonical else b""
    if len(data) > task.bytes_max:
        raise Refused("too_large")
    if not data:
        raise Refused("damaged", "empty")
    if task.kind == "file":
        text = read_document(data, name).encode("utf-8", "replace")
        return Outcome(media_type="text/plain", size=len(text)), text
    outcome = _judge(task, data)
    if canonical:
        return msgspec.structs.replace(outcome, kept=True), b""
    encoded = binascii.b2a_base64(data, newline=False)
    return msgspec.structs.replace(outcome, size=len(encoded)), encoded


def _fetch(task: Task, payload: bytes, net: Net, tls: ssl.SSLContext) -> Download:
    return download(payload.decode("utf-8", "replace"), task.policy, task.bytes_max, _Interruptible(net), tls)


def _judge(task: Task, data: bytes) -> Outcome:
    if task.kind == "image":
        image = read_image(data)
        _check_format(task, image.media_type)
        side, pixels = max(image.width, image.height), image.width * image.height
        if (task.side_max and side > task.side_max) or (task.pixels_max and pixels > task.pixels_max):
            raise Refused("dimensions", width=image.width, height=image.height)
        return Outcome(media_type=image.media_type, width=image.width, height=image.height)
    recording = read_video(data) if task.kind == "video" else read_audio(data)
    _check_format(task, recording.media_type)
    # A tenth of a second for encoders that round up.
    if task.seconds_max and recording.seconds > task.seconds_max + 0.1:
        raise Refused("too_long", f"{recording.seconds:.1f} s")
    return Outcome(media_type=recording.media_type)


def _check_format(task: Task, media_type: str) -> None:
    if task.formats and media_type not in task.formats:
        raise Refused("format", media_type)


def decode_base64(text: bytes) -> tuple[bytes, bool]:
    """The bytes, and whether the text was already as we would write it. Raises Refused.

    White space, missing padding and the alphabet for URLs are forgiven; other characters are not.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True), True
    except binascii.Error:
        pass
    clean = text.translate(bytes.maketrans(b"-_", b"+/"), _WHITESPACE).rstrip(b"=")
    try:
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4), strict_mode=True), False
    except binascii.Error as error:
        raise Refused("encoding", str(error)) from error


class _Interruptible:
    """The network, with a resolver that the clock can end: the C library hears of no signal before it has an answer."""

    def __init__(self, net: Net) -> None:
        self.connect = net.connect
        self.is_own = net.is_own
        self._resolve = net.resolve

    def resolve(self, host: str, port: int) -> list[str]:
        """See Net. When the time is over meanwhile, the kernel ends this process."""
        handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
        try:
            return self._resolve(host, port)
        finally:
            signal.signal(signal.SIGALRM, handler)


def _in_time(seconds: float, work: Callable[[], Download]) -> Download:
    """Do it, or raise Refused when the time is over: by the clock, whatever each single read may take."""

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise _TooSlow

    earlier = signal.signal(signal.SIGALRM, too_slow)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work()
    except _TooSlow as error:
        raise Refused("unreachable", f"nothing complete within {seconds:g} s") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


if __name__ == "__main__":
    sys.exit(main())
