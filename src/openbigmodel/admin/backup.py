"""Writes a backup: one tar with the database, the master key and a manifest, of a running or a stopped server.

Rule: the file that has been named is complete and proved, or it is not there; one that is there is never replaced.
It opens every API key, so it is for its owner alone (mode 0600). Downloaded models are not in it.

    manifest.json    what is in the tar, with sizes and SHA-256, and the schema of the database
    bigmodel.db      the database as it was at one moment, though a server went on writing
    master.key       from which the secrets of the API keys derive
"""

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import apsw
import msgspec

from openbigmodel import __version__
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.auth.master_key import MASTER_VERSION, MasterKeyError, read_master_key
from openbigmodel.auth.store import MASTER_KEY_FILE
from openbigmodel.billing.periods import moment_name
from openbigmodel.db.data_folder import DATABASE_FILE, sync_folder
from openbigmodel.db.migrations import MIGRATIONS, schema_version
from openbigmodel.db.queries import QUERIES

MANIFEST_FILE = "manifest.json"
FORM = 1

_BUSY_MS = 5000
# 16 MiB at a time, so that Ctrl-C is heard.
_PAGES_AT_ONCE = 4096
_CHECK_QUICKLY = QUERIES["check_quickly"]
_FINGERPRINT = QUERIES["fetch_master_fingerprint"]


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in a backup."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup says of itself. `made` is a moment in UTC, `schema` the database's last migration."""

    form: int
    release: str
    made: str
    schema: int
    files: dict[str, Contents]


def write_backup(data: Path, file: Path, *, now_ms: Callable[[], int]) -> Answer:
    """Back up the data folder to `file`. Raises AdminError, and OSError where it cannot be written."""
    if os.path.lexists(file):
        raise AdminError("exists", f"{file} is there already; a backup replaces nothing.")
    try:
        drafts = Path(tempfile.mkdtemp(prefix=".bigmodel-backup-", dir=file.parent))
    except OSError as error:
        raise AdminError("unwritable", f"{file} cannot be written: {error.strerror}.") from error
    try:
        schema = _copy_database(data / DATABASE_FILE, drafts / DATABASE_FILE)
        _copy_master_key(data / MASTER_KEY_FILE, drafts / MASTER_KEY_FILE)
        check_copies(drafts, schema)
        names = [name for name in (DATABASE_FILE, MASTER_KEY_FILE) if (drafts / name).exists()]
        files = {name: _contents(drafts / name) for name in names}
        manifest = Manifest(FORM, __version__, moment_name(now_ms()), schema, files)
        _write_tar(drafts / "tar", manifest, drafts, made_s=now_ms() // 1000)
        _give_name(drafts / "tar", file)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return {"file": str(file), "bytes": file.stat().st_size, **msgspec.to_builtins(manifest)}


def _copy_database(source: Path, target: Path) -> int:
    """A copy of one moment; returns its schema."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with _open(str(source), apsw.SQLITE_OPEN_READONLY) as reader:
            reader.set_busy_timeout(_BUSY_MS)
            # From here to the end the copy sees this moment, whatever is written meanwhile.
            reader.execute("BEGIN")
            schema = schema_version(reader)
            if schema > len(MIGRATIONS):
                raise AdminError("too_new", f"{source} was written by a newer release; use that one.")
            # The folder of the backup may be on a file system without locks; nobody else knows this file.
            with _open(str(target), apsw.SQLITE_OPEN_READWRITE, vfs="unix-none") as writer:
                writer.pragma("journal_mode", "OFF")
                writer.pragma("synchronous", "OFF")
                with writer.backup("main", reader, "main") as copy:
                    while not copy.done:
                        copy.step(_PAGES_AT_ONCE)
    except apsw.Error as error:
        raise AdminError("database", f"The database {source} cannot be copied: {_reason(error)}.") from error
    return schema


def check_copies(folder: Path, schema: int, suffix: str = "") -> None:
    """Raise AdminError unless the copies in a folder, of database and master key, are sound and belong together.

    Nobody else may have them. Names end in `suffix`.
    """
    database = folder / (DATABASE_FILE + suffix)
    try:
        key = read_master_key(folder / (MASTER_KEY_FILE + suffix))
        # Immutable: it shall be read as it is, and have no companions.
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        with _open(f"{database.as_uri()}?immutable=1", flags) as connection:
            damage = connection.execute(_CHECK_QUICKLY).fetchall()
            if damage != [("ok",)]:
                raise AdminError("damaged", f"The database is damaged: {damage[0][0]}.")
            if schema_version(connection) != schema:
                raise AdminError("damaged", "The database is not of the schema that it should be.")
            known = connection.execute(_FINGERPRINT, (MASTER_VERSION,)).fetchall() if schema else []
    except MasterKeyError as error:
        raise AdminError("master_key", str(error)) from error
    except apsw.Error as error:
        raise AdminError("damaged", f"The database cannot be read: {error}.") from error
    if known and key is None:
        raise AdminError("master_key", "The master key is missing, and without it no API key works.")
    if known and key is not None and known[0][0] != key.fingerprint():
        raise AdminError("master_key", "The master key belongs to another database; no API key would work.")


def _reason(error: apsw.Error) -> str:
    # What fails on the copy's side has no text of its own, and SQLite then says "not an error".
    return "the disk is full" if isinstance(error, apsw.FullError) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _open(name: str, flags: int, vfs: str | None = None) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(name, flags=flags, vfs=vfs)
    try:
        yield connection
    finally:
        connection.close(force=True)


def _copy_master_key(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source, target)
        target.chmod(0o600)


def _contents(path: Path) -> Contents:
    with path.open("rb") as file:
        return Contents(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _write_tar(path: Path, manifest: Manifest, drafts: Path, *, made_s: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
            _add(tar, MANIFEST_FILE, made_s, len(text), io.BytesIO(text))
            for name, contents in manifest.files.items():
                with (drafts / name).open("rb") as source:
                    _add(tar, name, made_s, contents.bytes, source)
        file.flush()
        os.fsync(file.fileno())


def _add(tar: tarfile.TarFile, name: str, made_s: int, size: int, file: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mtime = made_s
    member.mode = 0o600
    tar.addfile(member, file)


def _give_name(draft: Path, file: Path) -> None:
    """Name a finished file, unless the name has been taken meanwhile."""
    try:
        # Unlike a rename, a link fails if the name is taken.
        os.link(draft, file)
    except FileExistsError as error:
        raise AdminError("exists", f"{file} is there already; a backup replaces nothing.") from error
    except OSError:
        # A file system without links, as on memory sticks.
        if os.path.lexists(file):
            raise AdminError("exists", f"{file} is there already; a backup replaces nothing.") from None
        draft.rename(file)
    sync_folder(file.parent)
