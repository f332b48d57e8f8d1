"""A second wall around the fetch worker: Linux's Landlock takes away all files but the system's own and Python's, and
who was root becomes nobody.

Rule: it only ever takes away. Where the kernel has no Landlock, the worker is as confined as its user is, and works the
same; docs/media.md says what an operator may add.
"""

import contextlib
import ctypes
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# What names, certificates and the libraries that resolve names are read from.
SYSTEM_FOLDERS = ("/etc", "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/nix/store", "/dev/urandom")

# From <linux/landlock.h> and <asm-generic/unistd.h>; the same on all processors.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE = 1 << 0
_READ_FILE = 1 << 2
_READ_FOLDER = 1 << 3
# Rights that the first version of Landlock handles; later ones add some, which matter less.
_ALL = (1 << 13) - 1
_NO_NEW_PRIVS = 38
_NOBODY = 65534


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def python_folders() -> list[str]:
    """Where this Python and its packages lie; some of their modules are only read when they are needed."""
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    # A package that is installed for development lies elsewhere.
    folders.update(path for path in sys.path if Path(path).is_dir())
    return sorted(folders)


def confine(folders: Iterable[str] = ()) -> bool:
    """Leave this process, and all that it starts, only reading in these folders. False where that cannot be."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG) < 1:
        return False
    rules = _Ruleset(_ALL)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if ruleset < 0:
        return False
    try:
        for folder in (*SYSTEM_FOLDERS, *python_folders(), *folders):
            _allow_reading(libc, ruleset, folder)
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        # Rights over folders make no sense for a file, and the kernel says so.
        rights = _EXECUTE | _READ_FILE | (_READ_FOLDER if Path(path).is_dir() else 0)
        rule = _PathBeneath(rights, place)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def stop_being_root() -> bool:
    """Become nobody, if Python can still be read then: it reads some of its modules only when they are needed."""
    if os.geteuid() != 0 or not all(is_public(Path(folder)) for folder in python_folders()):
        return False
    # A container may have no other user to become.
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    return os.geteuid() != 0


def is_public(folder: Path) -> bool:
    """Whether everybody may read it, by the permissions of all folders on the way."""
    try:
        place = folder.resolve(strict=True)
        ways = [parent.stat().st_mode for parent in place.parents]
        return bool(place.stat().st_mode & stat.S_IROTH) and all(mode & stat.S_IXOTH for mode in ways)
    except OSError:
        return False
