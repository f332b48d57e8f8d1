"""A disk for SQLite that can say what a power loss at this moment would leave of it.

What was written since a file's last sync is kept apart. A loss may keep all of that or none, or any of its 512-byte
sectors, in any order, some of them torn: SQLite promises to survive all of it, if it synced when it should have.
"""

import random
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path

import apsw

SECTOR = 512
_numbers = count(1)

Image = dict[str, bytes]
# An offset and what was written there; a size and None for a file cut off at that size.
_Write = tuple[int, bytes | None]


class PowerDisk(apsw.VFS):
    """Files in `folder`, and what of them is safe. `notice` is called before every write, sync, cut and deletion."""

    def __init__(self, folder: Path, image: Image) -> None:
        self.name = f"power-{next(_numbers)}"
        self.notice: Callable[[], None] = lambda: None
        self.folder = folder
        self._safe = {name: bytearray(content) for name, content in image.items()}
        self._unsafe: dict[str, list[_Write]] = {name: [] for name in image}
        # Deleted, but the folder was not synced.
        self._ghosts: Image = {}
        for name, content in image.items():
            (folder / name).write_bytes(content)
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if flags[0] & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL):
            return _File(self, name, flags)
        # Temporary: nobody looks for it afterwards.
        return apsw.VFSFile("", name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.notice()
        super().xDelete(filename, syncdir)
        name = Path(filename).name
        content = bytes(self._safe.pop(name, b""))
        self._unsafe.pop(name, None)
        if not syncdir:
            self._ghosts[name] = content

    def created(self, name: str) -> None:
        """A file was opened; nothing of a new one is safe."""
        if name not in self._safe:
            self._ghosts.pop(name, None)
            self._safe[name] = bytearray()
            self._unsafe[name] = []

    def written(self, name: str, offset: int, data: bytes | None) -> None:
        """Something is being written, or cut off at `offset`."""
        self.notice()
        self._unsafe[name].append((offset, data))

    def synced(self, name: str) -> None:
        """All of the file is being made safe."""
        self.notice()
        safe = self._safe[name]
        for write in self._unsafe[name]:
            _apply(safe, write)
        self._unsafe[name].clear()

    def folder_synced(self) -> None:
        """Deletions are being made safe."""
        self.notice()
        self._ghosts.clear()

    def lose_power(self, dice: random.Random) -> Image:
        """What is left of all files if the power fails now."""
        image = {name: content for name, content in self._ghosts.items() if dice.random() < 0.5}
        # What is lost of one file and kept of another is what SQLite's order of syncs is for.
        for name, safe in self._safe.items():
            image[name] = _survivor(safe, self._unsafe[name], dice)
        return image


class _File(apsw.VFSFile):
    def __init__(self, disk: PowerDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk
        self._name = Path(path).name
        super().__init__("", name, flags)
        disk.created(self._name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.written(self._name, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.written(self._name, newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        # Not really synced: the process lives, and only what `safe` says counts.
        self._disk.synced(self._name)


def _survivor(safe: bytearray, unsafe: list[_Write], dice: random.Random) -> bytes:
    fate = dice.random()
    if not unsafe or fate < 0.2:
        return bytes(safe)
    content = bytearray(safe)
    if fate < 0.3:
        for write in unsafe:
            _apply(content, write)
        return bytes(content)
    # Up to some moment everything, then only some sectors.
    moment = dice.randrange(len(unsafe) + 1) if fate < 0.6 else 0
    for write in unsafe[:moment]:
        _apply(content, write)
    sectors = [sector for write in unsafe[moment:] for sector in _sectors(write)]
    kept = dice.random()
    sectors = [sector for sector in sectors if dice.random() < kept]
    if fate > 0.8:
        dice.shuffle(sectors)
    for sector in sectors:
        _apply(content, _torn(sector, dice) if fate > 0.9 and dice.random() < 0.1 else sector)
    return bytes(content)


def _sectors(write: _Write) -> list[_Write]:
    offset, data = write
    if data is None:
        return [write]
    first = SECTOR - offset % SECTOR
    cuts = [0, *range(first, len(data), SECTOR), len(data)]
    return [(offset + start, data[start:end]) for start, end in pairwise(cuts) if start < end]


def _torn(write: _Write, dice: random.Random) -> _Write:
    offset, data = write
    return write if data is None else (offset, data[: dice.randrange(len(data))])


def _apply(content: bytearray, write: _Write) -> None:
    offset, data = write
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
