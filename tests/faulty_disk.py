"""A disk for SQLite that fails when told to, and remembers what would survive a power loss."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import apsw

_numbers = count(1)


class FaultyDisk(apsw.VFS):
    """`fail` is called before each write, sync and read with (operation, file name); what it raises happens.

    `synced` holds each file's content at its last sync: all that a power loss would leave.
    """

    def __init__(self) -> None:
        self.name = f"faulty-{next(_numbers)}"
        self.fail: Callable[[str, str], None] = lambda operation, file: None
        self.synced: dict[str, bytes] = {}
        self.syncs = 0
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802
        return _File(self, name, flags)

    def lose_power(self, folder: Path) -> None:
        """Writes what survives into another folder."""
        folder.mkdir()
        for name, content in self.synced.items():
            (folder / name).write_bytes(content)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk
        self._name = Path(path).name
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.fail("read", self._name)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.fail("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.fail("sync", self._name)
        super().xSync(flags)
        self._disk.syncs += 1
        self._disk.synced[self._name] = super().xRead(self.xFileSize(), 0)
