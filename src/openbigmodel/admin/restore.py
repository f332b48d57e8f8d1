"""Puts a backup into a folder that is missing or empty.

Rule: before the folder is touched, the backup has been read from end to end, and every size, checksum and version in
it fits; the database gets its name last. What a tar says about paths, owners and links is never followed: three names
are known, and whatever else is in there is a reason to refuse.
"""

import contextlib
import hashlib
import os
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from openbigmodel.admin.backup import (
    FORM,
    MANIFEST_FILE,
    Contents,
    Manifest,
    check_copies,
)
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.auth.store import MASTER_KEY_FILE
from openbigmodel.db.data_folder import DATABASE_FILE, DataFolder, DataFolderError, sync_folder
from openbigmodel.db.migrations import MIGRATIONS

_MANIFEST_BYTES_MAX = 1 << 20
_READ_BYTES = 1 << 20
# The master key first: a database without it would be taken for a loss, a master key without one is used by the next.
_FILES = (MASTER_KEY_FILE, DATABASE_FILE)
# Bytes 60 to 63 of a database, big-endian (sqlite.org/fileformat.html).
_SCHEMA_AT = 60
_SCHEMA = struct.Struct(">I")
# Made with the lock of a folder that was tried before.
_NO_DATA = {"lock"}
_DRAFT = ".restored"


def restore_backup(file: Path, data: Path) -> Answer:
    """Restore `file` into the folder `data`. Raises AdminError, and OSError where the folder cannot be written."""
    manifest = _prove(file)
    _check_empty(data)
    made = not data.exists()
    try:
        folder = DataFolder.open(data)
    except DataFolderError as error:
        raise AdminError("folder", str(error)) from error
    with folder:
        # Once more, now that nobody else can come first.
        _check_empty(data)
        try:
            _extract(file, manifest, data)
        except BaseException:
            _clear(data, folder_too=made)
            raise
    sync_folder(data.parent)
    return {"data": str(data), **msgspec.to_builtins(manifest)}


def _prove(file: Path) -> Manifest:
    """Read everything, compare everything; the manifest."""
    with _open(file) as tar:
        manifest = _read_manifest(tar, file)
        for name, contents, stream in _members(tar, manifest, file):
            head = stream.read(_SCHEMA_AT + _SCHEMA.size)
            digest = hashlib.sha256(head)
            while part := stream.read(_READ_BYTES):
                digest.update(part)
            if digest.hexdigest() != contents.sha256:
                raise AdminError("damaged", f"{file} is damaged: the checksum of {name} is another.")
            if (
                name == DATABASE_FILE
                and _SCHEMA.unpack_from(head.ljust(64), _SCHEMA_AT)[0] != manifest.schema
            ):
                raise AdminError(
                    "damaged", f"{file} is damaged: its database is not of the schema that it says."
                )
    return manifest


@contextlib.contextmanager
def _open(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:") as tar:
            yield tar
    except FileNotFoundError as error:
        raise AdminError("no_backup", f"There is no file {file}.") from error
    except (tarfile.TarError, EOFError) as error:
        raise AdminError("no_backup", f"{file} is no backup, or not a whole one: {error}.") from error


def _read_manifest(tar: tarfile.TarFile, file: Path) -> Manifest:
    member = tar.next()
    stream = None if member is None or member.name != MANIFEST_FILE else tar.extractfile(member)
    if member is None or stream is None or member.size > _MANIFEST_BYTES_MAX:
        raise AdminError("no_backup", f"{file} is no backup: it does not begin with {MANIFEST_FILE}.")
    try:
        manifest = msgspec.json.decode(stream.read(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AdminError(
            "no_backup", f"{file} is no backup: {MANIFEST_FILE} cannot be read: {error}."
        ) from error
    if manifest.form != FORM or manifest.schema > len(MIGRATIONS):
        raise AdminError(
            "too_new",
            f"{file} was written by a newer release of Open BigModel ({manifest.release}, schema {manifest.schema}; "
            f"this release knows up to {len(MIGRATIONS)}). Restore it with that one.",
        )
    if DATABASE_FILE not in manifest.files or not set(manifest.files) <= set(_FILES):
        raise AdminError("no_backup", f"{file} is no backup: its manifest lists other files.")
    return manifest


def _members(
    tar: tarfile.TarFile, manifest: Manifest, file: Path
) -> Iterator[tuple[str, Contents, IO[bytes]]]:
    """The files of the manifest, each once, and nothing else."""
    missing = dict(manifest.files)
    while (member := tar.next()) is not None:
        contents = missing.pop(member.name, None)
        stream = tar.extractfile(member) if member.isreg() else None
        if contents is None or stream is None:
            raise AdminError("damaged", f"{file} is damaged: {member.name!r} has no place in it.")
        if member.size != contents.bytes:
            raise AdminError("damaged", f"{file} is damaged: the size of {member.name} is another.")
        yield member.name, contents, stream
    if missing:
        raise AdminError("damaged", f"{file} is damaged: {', '.join(missing)} is missing.")


def _check_empty(data: Path) -> None:
    try:
        names = {entry.name for entry in data.iterdir()} - _NO_DATA
    except FileNotFoundError:
        return
    except OSError as error:
        raise AdminError("folder", f"The folder {data} cannot be read: {error.strerror}.") from error
    if names:
        raise AdminError("not_empty", f"{data} is not empty. Restore into a folder that is empty or missing.")


def _extract(file: Path, manifest: Manifest, data: Path) -> None:
    with _open(file) as tar:
        if _read_manifest(tar, file) != manifest:
            raise AdminError("damaged", f"{file} was changed while it was read.")
        for name, contents, stream in _members(tar, manifest, file):
            if _write(stream, _draft(data, name)) != contents.sha256:
                raise AdminError("damaged", f"{file} was changed while it was read.")
    check_copies(data, manifest.schema, _DRAFT)
    for name in _FILES:
        if name in manifest.files:
            _draft(data, name).rename(data / name)
            sync_folder(data)


def _write(stream: IO[bytes], path: Path) -> str:
    """Write a file that is not there yet, to the disk; its SHA-256."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        while part := stream.read(_READ_BYTES):
            digest.update(part)
            target.write(part)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def _draft(data: Path, name: str) -> Path:
    return data / (name + _DRAFT)


def _clear(data: Path, *, folder_too: bool) -> None:
    """Leave nothing behind of a restore that failed."""
    for name in _FILES:
        for path in (_draft(data, name), data / name):
            path.unlink(missing_ok=True)
    if folder_too:
        with contextlib.suppress(OSError):
            (data / "lock").unlink()
            data.rmdir()
