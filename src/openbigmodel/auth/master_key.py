"""The master key, from which the secrets of all issued API keys are derived.

Rule: the database never holds a secret. A JWT is signed with the raw secret, so a hash of it would not do; it is
computed anew from the master key, the key's id and its version. A stolen database opens nothing; a stolen master
key without the database opens everything whose id is known. So the file is for its owner alone (mode 0600), and so is a
backup, which holds both.
"""

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from openbigmodel.credentials import secret_of_digest
from openbigmodel.db.data_folder import sync_folder

# Keys say from which version their secrets derive; there has been one.
MASTER_VERSION = 1
_KEY_BYTES = 32
# "1" is the version of the file's form.
_FILE_TEXT = re.compile(rb"openbigmodel-master-key-1 ([0-9a-f]{64})\n")


class MasterKeyError(Exception):
    """The master key cannot be used; the text tells the operator what to do."""


class MasterKey:
    """The master key in memory."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == _KEY_BYTES
        self._key = key

    def secret(self, key_id: str, version: int) -> str:
        """The secret of an API key: 43 base62 characters, 256 bits."""
        return secret_of_digest(self._digest(f"api key|{key_id}|{version}"))

    def fingerprint(self) -> str:
        """Tells one master key from another and gives nothing away: 32 hex digits."""
        return self._digest("fingerprint").hex()[:32]

    def _digest(self, purpose: str) -> bytes:
        return hmac.digest(self._key, purpose.encode(), hashlib.sha256)


def create_master_key(path: Path, random_bytes: Callable[[int], bytes]) -> MasterKey:
    """Writes a new master key: complete and on disk, or not at all. Raises MasterKeyError; never replaces a file."""
    draft = path.with_name(path.name + ".new")
    key = random_bytes(_KEY_BYTES)
    try:
        # Left over if an earlier start was cut off: that key was never used.
        with suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"openbigmodel-master-key-1 %s\n" % key.hex().encode())
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link fails if the name is taken.
        os.link(draft, path)
        draft.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise MasterKeyError(f"The master key {path} cannot be created: {error.strerror}.") from error
    return MasterKey(key)


def read_master_key(path: Path, *, fchmod: Callable[[int, int], None] = os.fchmod) -> MasterKey | None:
    """Reads the master key; None if there is no such file.

    A file that others may read is closed to them first, with `fchmod`. Raises MasterKeyError if that fails, if it
    is no file, or if its content is no master key.
    """
    try:
        # Not blocking, in case it is a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MasterKeyError(f"The master key {path} cannot be read: {error.strerror}.") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise MasterKeyError(f"The master key {path} is not a file.")
        if stat.S_IMODE(mode) & 0o077:
            fchmod(descriptor, 0o600)
        match = _FILE_TEXT.fullmatch(os.read(descriptor, 256))
    except OSError as error:
        raise MasterKeyError(
            f"The master key {path} cannot be used or closed to other users: {error.strerror}. Give it to the user "
            "that runs the platform, with mode 0600."
        ) from error
    finally:
        os.close(descriptor)
    if match is None:
        raise MasterKeyError(f"The file {path} does not hold a master key. Restore it from a backup.")
    return MasterKey(bytes.fromhex(match[1].decode()))
