"""The data folder: everything the platform keeps, owned by one process at a time.

Rule: whoever holds the lock on `<data>/lock` may touch the folder, nobody else. The kernel drops the lock when the
process ends in whatever way, so a lock is never stale; the number written in the file is for people.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

DATABASE_FILE = "bigmodel.db"


class DataFolderError(Exception):
    """The data folder cannot be used; the text tells the operator why."""


class DataFolderBusy(DataFolderError):  # noqa: N818 - nothing is wrong with the folder itself.
    """Another process is using the data folder."""


class DataFolder:
    """An open, locked data folder. `path` is absolute."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path, *, flock: Callable[[int, int], None] = fcntl.flock) -> Self:
        """Creates the folder if it is missing (mode 0700) and takes its lock with `flock`.

        Raises DataFolderBusy with the number of the process that has it, DataFolderError if the folder or its
        file system will not do.
        """
        path = path.expanduser().absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not truncated: until the lock is ours, the text in the file belongs to its holder.
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if path.is_file():
                raise DataFolderError(f"The data folder {path} is a file, not a folder.") from error
            raise DataFolderError(f"The data folder {path} cannot be used: {error.strerror}.") from error
        try:
            _take(lock, path, flock)
            os.ftruncate(lock, 0)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            os.close(lock)
            raise DataFolderError(f"The data folder {path} cannot be used: {error.strerror}.") from error
        except DataFolderError:
            os.close(lock)
            raise
        return cls(path, lock)

    def close(self) -> None:
        """Gives the folder back. Harmless when repeated."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sync_folder(folder: Path) -> None:
    """Makes the names of new files durable, not just their contents. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(lock: int, path: Path, flock: Callable[[int, int], None]) -> None:
    try:
        flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        who = f"process {holder}" if holder.isdigit() else "another process"
        raise DataFolderBusy(
            f"The data folder {path} is in use by {who}. Stop it first, or choose another folder with --data."
        ) from None
    except OSError as error:
        if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise DataFolderError(
                f"The data folder {path} is on a file system without locks. Choose a folder on a local disk."
            ) from error
        raise
