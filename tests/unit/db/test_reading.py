"""A file can be read wherever it lies: beside a server, after a kill, on a read-only mount, on a full disk."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from openbigmodel.db.reading import open_read_only

READ = """
import os, resource, signal, sys
from pathlib import Path
import apsw
from openbigmodel.db.reading import open_read_only

path, circumstances = sys.argv[1:]
if circumstances == "read_only":
    # As somebody who may not write, which root always may: nobody.
    if os.getuid() == 0:
        os.setuid(65534)
else:
    # No file can grow.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    connection = open_read_only(Path(path))
    print(connection.execute("SELECT count(*) FROM t").fetchall()[0][0])
    connection.execute("INSERT INTO t VALUES (0)")
except apsw.Error as error:
    print(type(error).__name__)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody can look into: pytest's own are for one user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o700)


def database(folder: Path) -> apsw.Connection:
    """With a log that has two rows of three in it."""
    connection = apsw.Connection(str(folder / "x.db"))
    connection.pragma("journal_mode", "WAL")
    connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.execute("INSERT INTO t VALUES (2), (3)")
    return connection


def left_behind(folder: Path, *endings: str) -> Path:
    """The files as a killed server leaves them, or as they were copied."""
    connection = database(folder)
    left = folder / "left"
    left.mkdir()
    for ending in ("", *endings):
        shutil.copy(folder / f"x.db{ending}", left / f"x.db{ending}")
    connection.close()
    return left


def said_by(path: Path, circumstances: str) -> list[str]:
    reader = subprocess.run(
        [sys.executable, "-c", READ, str(path), circumstances],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return reader.stdout.split()


@pytest.mark.parametrize("circumstances", ["read_only", "disk_full"])
@pytest.mark.parametrize(
    ("endings", "rows"), [((), "1"), (("-wal",), "3"), (("-wal", "-shm"), "3")], ids=["alone", "log", "index"]
)
def test_what_is_left_of_a_server_can_be_read_where_nothing_can_be_written(
    folder: Path, endings: tuple[str, ...], rows: str, circumstances: str
) -> None:
    left = left_behind(folder, *endings)
    before = {file.name: file.read_bytes() for file in left.iterdir() if file.name != "x.db-shm"}
    if circumstances == "read_only":
        for file in left.iterdir():
            file.chmod(0o444)
        left.chmod(0o555)
        folder.chmod(0o755)

    assert said_by(left / "x.db", circumstances) == [rows, "ReadOnlyError"]
    left.chmod(0o755)
    assert {name: (left / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("circumstances", ["read_only", "disk_full"])
def test_a_running_servers_file_is_read_as_it_is_now(folder: Path, circumstances: str) -> None:
    running = database(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    folder.chmod(0o755)

    assert said_by(folder / "x.db", circumstances) == ["3", "ReadOnlyError"]
    running.execute("INSERT INTO t VALUES (4)")
    assert said_by(folder / "x.db", circumstances) == ["4", "ReadOnlyError"]
    running.close()


def test_a_file_in_use_is_never_read_past_its_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = database(folder)

    def fails(*_: object, **__: object) -> None:
        raise apsw.IOError("no index")

    with monkeypatch.context() as broken:
        broken.setattr("openbigmodel.db.reading._FIRST_READ", "SELECT fails()")
        broken.setattr(
            apsw, "connection_hooks", [lambda connection: connection.create_scalar_function("fails", fails)]
        )
        with pytest.raises(apsw.IOError, match="no index"):
            open_read_only(folder / "x.db")
    running.close()


def test_what_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        open_read_only(folder / "x.db")
