"""Opens a database file to read it, beside a server or without one, also where nothing can be written.

Rule: it changes nothing that counts. SQLite reads a log through an index in a file beside it, which it would make if it
is not there; on a read-only mount or a full disk it cannot. But where there is no index nobody has the file open, and
then it can be read without one: alone, if there is no log, or else with an index in memory.
"""

from pathlib import Path
from urllib.parse import quote

import apsw

_LOG, _INDEX = "-wal", "-shm"
# What somebody who has it open needs at least. Whoever opens it first empties what was left over.
_INDEX_BYTES_MIN = 32 * 1024
# A lock for writing, which the index in memory asks for, cannot be had on a file that is only read.
_NO_LOCKS = "unix-none"
_FIRST_READ = "SELECT count(*) FROM sqlite_schema"


def open_read_only(path: Path) -> apsw.Connection:
    """A connection that cannot write.

    Raises apsw.Error, such as ReadOnlyError for a first write that must be undone.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.execute(_FIRST_READ).fetchall()
    except (apsw.CantOpenError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
        connection.close(force=True)
        if isinstance(error, apsw.ReadOnlyError) and _extended(error) != apsw.SQLITE_READONLY_DIRECTORY:
            raise
        if _size(path, _INDEX) >= _INDEX_BYTES_MIN or not path.exists():
            raise
        return _open_unwatched(path)
    except BaseException:
        connection.close(force=True)
        raise
    return connection


def _open_unwatched(path: Path) -> apsw.Connection:
    """For a file that nobody else has open."""
    alone = not _size(path, _LOG)
    connection = apsw.Connection(
        f"file:{quote(str(path.absolute()))}?mode=ro&immutable={alone:d}",
        flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        vfs=_NO_LOCKS,
    )
    try:
        # Before the first read: then the index of the log is kept in memory.
        connection.pragma("locking_mode", "EXCLUSIVE")
        connection.execute(_FIRST_READ).fetchall()
    except BaseException:
        connection.close(force=True)
        raise
    return connection


def _extended(error: apsw.Error) -> int:
    """SQLite's finer code, which apsw's types do not declare."""
    code: int = getattr(error, "extendedresult", 0)
    return code


def _size(path: Path, ending: str) -> int:
    beside = path.with_name(path.name + ending)
    return beside.stat().st_size if beside.exists() else 0
