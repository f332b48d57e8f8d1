"""Downloads one large file so that nothing is lost and nothing wrong is kept.

Rule: the final name exists only with checked content (size, and SHA-256 where the hub tells it). Until then the
bytes are in `<name>.part`, with `<name>.part.json` saying of what; an interrupted download goes on from there,
unless the remote file has changed meanwhile. `<name>.lock` keeps two processes from writing one file.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from openbigmodel.engines.hub_http import TransientError, WeightsError, check_status, request

# Left free on the disk, for the database next to the models.
DISK_RESERVE_BYTES = 512 << 20
# Enough to make a hand-over to a thread cheap, little enough to lose little.
_BLOCK_BYTES = 4 << 20
# Less than this between two failures does not count as getting on.
_PROGRESS_BYTES = 1 << 20
_RETRY_AFTER_S_MAX = 60.0

_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+|\*)$")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a hub. `headers` (credentials) go to the host of `url` and nowhere else."""

    url: str
    size: int
    sha256: str = ""
    """Lower-case hexadecimal; empty if the hub does not tell."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is."""

    file: str
    part: int
    """From 1."""
    parts: int
    done_bytes: int
    total_bytes: int


def free_disk_bytes(folder: Path) -> int:
    """Bytes that may be written to the disk of `folder`."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. `attempts_max` counts failures without progress in between."""

    attempts_max: int = 6
    backoff_s: float = 1.0
    backoff_s_max: float = 30.0
    connect_timeout_s: float = 15.0
    silence_timeout_s: float = 60.0
    lock_poll_s: float = 0.5

    def client(self) -> httpx.AsyncClient:
        """An HTTP client with these timeouts. Redirects are followed here, by `request`."""
        timeout = httpx.Timeout(self.silence_timeout_s, connect=self.connect_timeout_s)
        return httpx.AsyncClient(
            timeout=timeout, follow_redirects=False, headers={"accept-encoding": "identity"}
        )


class _PartNote(msgspec.Struct, frozen=True):
    """What `<name>.part` is a part of."""

    size: int
    sha256: str
    etag: str = ""


class _Part:
    """The bytes so far, on disk, with their running checksum."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.note_path = target.with_name(target.name + ".part.json")
        self.size = 0
        self.etag = ""
        self.resumed = False
        self._digest = hashlib.sha256()

    def open(self, remote: RemoteFile) -> None:
        """Take up what is there, if it is of this very file; else begin anew."""
        note = self._read_note()
        if (
            note is None
            or (note.size, note.sha256) != (remote.size, remote.sha256)
            or self._length() > remote.size
        ):
            self.restart()
            return
        # Without a checksum to prove the result, only the server's own tag can say that both halves belong together.
        if not remote.sha256 and not note.etag:
            self.restart()
            return
        self.etag = note.etag
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                self._digest.update(block)
                self.size += len(block)
        self.resumed = self.size > 0

    def restart(self) -> None:
        self.size = 0
        self.etag = ""
        self.resumed = False
        self._digest = hashlib.sha256()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")

    def note(self, remote: RemoteFile, etag: str) -> None:
        self.etag = etag
        self.note_path.write_bytes(msgspec.json.encode(_PartNote(remote.size, remote.sha256, etag)))

    def append(self, block: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(block)
        self._digest.update(block)
        self.size += len(block)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Give the file its name. After a power loss there is either all of it or only the part."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.note_path.unlink(missing_ok=True)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def _length(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def _read_note(self) -> _PartNote | None:
        try:
            note = msgspec.json.decode(self.note_path.read_bytes(), type=_PartNote)
        except (OSError, msgspec.MsgspecError):
            return None
        return note if self.path.is_file() else None


async def download(
    client: httpx.AsyncClient,
    remote: RemoteFile,
    target: Path,
    *,
    patience: Patience,
    report: Callable[[int], None],
    free_bytes: Callable[[Path], int] = free_disk_bytes,
) -> None:
    """Bring `remote` to `target`, going on with an earlier attempt. `report` hears the bytes that are there.

    Raises WeightsError. Cancelling keeps the part for the next time.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        async with _locked(target, patience.lock_poll_s) as already_there:
            if not already_there:
                await _download_locked(client, remote, target, patience, report, free_bytes)
        report(remote.size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(
                f"The disk of {target.parent} is full. Free some space and start again: the download goes on."
            ) from error
        raise WeightsError(f"{target} cannot be written: {error.strerror}.") from error


async def _download_locked(
    client: httpx.AsyncClient,
    remote: RemoteFile,
    target: Path,
    patience: Patience,
    report: Callable[[int], None],
    free_bytes: Callable[[Path], int],
) -> None:
    part = _Part(target)
    await asyncio.to_thread(part.open, remote)
    _check_disk(target.parent, remote.size - part.size, free_bytes)
    while True:
        await _fill(client, remote, part, patience, report)
        if not remote.sha256 or part.sha256 == remote.sha256:
            await asyncio.to_thread(part.finish)
            return
        resumed = part.resumed
        part.discard()
        if not resumed:
            raise WeightsError(
                f"{target.name} arrived damaged: its checksum is {part.sha256} instead of {remote.sha256}. "
                "The server or something on the way to it alters the file."
            )
        # Perhaps only the old half was wrong.
        part.restart()


async def _fill(
    client: httpx.AsyncClient,
    remote: RemoteFile,
    part: _Part,
    patience: Patience,
    report: Callable[[int], None],
) -> None:
    """Fetch until the part has the whole size; failures are retried a bounded number of times."""
    failures = 0
    report(part.size)
    while part.size < remote.size:
        before = part.size
        try:
            await _fetch_rest(client, remote, part, report)
        except TransientError as error:
            failures = 1 if part.size - before >= _PROGRESS_BYTES else failures + 1
            if failures >= patience.attempts_max:
                raise WeightsError(
                    f"{error} Gave up after {failures} attempts; start again to go on from here."
                ) from error
            await asyncio.sleep(backoff_s(patience, failures, error))


def backoff_s(patience: Patience, failures: int, error: TransientError) -> float:
    """Seconds before the next attempt: doubling, or as long as the server asks, within reason."""
    doubling = patience.backoff_s * 2.0 ** (failures - 1)
    return max(min(doubling, patience.backoff_s_max), min(error.retry_after_s, _RETRY_AFTER_S_MAX))


async def _fetch_rest(
    client: httpx.AsyncClient, remote: RemoteFile, part: _Part, report: Callable[[int], None]
) -> None:
    headers = dict(remote.headers)
    if part.size:
        headers["range"] = f"bytes={part.size}-"
        if part.etag:
            headers["if-range"] = part.etag
    async with request(client, "GET", remote.url, headers) as response:
        await _agree_on_start(response, remote, part)
        block = bytearray()
        try:
            async for chunk in _body(response):
                block += chunk
                if part.size + len(block) > remote.size:
                    raise WeightsError(
                        f"{remote.url} sends more than the {remote.size:,} bytes that the hub announced."
                    )
                if len(block) >= _BLOCK_BYTES:
                    full, block = bytes(block), bytearray()
                    await _finished(asyncio.to_thread(part.append, full))
                    report(part.size)
        finally:
            # Also when the line breaks or Ctrl-C cancels: what has arrived need not arrive again.
            if part.size + len(block) <= remote.size:
                part.append(bytes(block))
                report(part.size)
    if part.size < remote.size:
        raise TransientError(f"The connection to {urlsplit(remote.url).hostname} ended early.")


async def _finished(work: Coroutine[None, None, None]) -> None:
    """Await work in a thread; if cancelled, not before it is done, or two threads would write one file."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _agree_on_start(response: httpx.Response, remote: RemoteFile, part: _Part) -> None:
    """Make the part end where the response begins."""
    etag = response.headers.get("etag", "")
    if etag.startswith("W/"):
        etag = ""
    if response.status_code == 416:
        await asyncio.to_thread(part.restart)
        raise TransientError(f"{response.url.host} cannot go on from where the download stopped.")
    check_status(response, urlsplit(remote.url).path.rsplit("/", 1)[-1])
    match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    goes_on = response.status_code == 206 and match is not None and int(match[1]) == part.size
    if response.status_code == 206 and not goes_on:
        raise WeightsError(
            f"{urlsplit(remote.url).hostname} answered with another part of the file than was asked for."
        )
    if not goes_on and part.size:
        await asyncio.to_thread(part.restart)
    length = response.headers.get("content-length", "")
    if length.isdigit() and part.size + int(length) != remote.size:
        raise WeightsError(
            f"{response.url.host} has a file of {part.size + int(length):,} bytes instead of the {remote.size:,} "
            "that the hub announced."
        )
    part.note(remote, etag)


async def _body(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.TransportError as error:
        raise TransientError(
            f"The connection to {response.url.host} broke ({type(error).__name__})."
        ) from error


def _check_disk(folder: Path, missing_bytes: int, free_bytes: Callable[[Path], int]) -> None:
    free = free_bytes(folder)
    if free < missing_bytes + DISK_RESERVE_BYTES:
        raise WeightsError(
            f"The download needs {missing_bytes / 1e9:.1f} GB more in {folder}, and {free / 1e9:.1f} GB are free "
            f"({DISK_RESERVE_BYTES / 1e9:.1f} GB of them are kept free)."
        )


@contextlib.asynccontextmanager
async def _locked(target: Path, poll_s: float) -> AsyncIterator[bool]:
    """Wait until no other process downloads `target`; True if one has done so. A dead holder's lock is free."""
    path = target.with_name(target.name + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(poll_s)
        yield await asyncio.to_thread(target.exists)
        # Only after success. Whoever still waits for this lock finds the file complete, so it does not matter that
        # a later one gets a lock of its own.
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
