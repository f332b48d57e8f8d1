import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from openbigmodel.db.data_folder import DataFolder, DataFolderBusy, DataFolderError, sync_folder

_HOLDER = """
import sys, time
from pathlib import Path
from openbigmodel.db.data_folder import DataFolder
folder = DataFolder.open(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_makes_a_private_folder(tmp_path: Path) -> None:
    with DataFolder.open(tmp_path / "a" / "data") as folder:
        assert folder.path == tmp_path / "a" / "data"
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder.path / "lock").stat().st_mode) == 0o600
        assert (folder.path / "lock").read_text() == f"{os.getpid()}\n"


def test_is_for_one_at_a_time(tmp_path: Path) -> None:
    first = DataFolder.open(tmp_path)
    with pytest.raises(
        DataFolderBusy, match=rf"{tmp_path} is in use by process {os.getpid()}\. Stop it first"
    ):
        DataFolder.open(tmp_path)
    first.close()
    first.close()
    DataFolder.open(tmp_path).close()


def test_does_not_believe_a_lock_file_without_a_number(tmp_path: Path) -> None:
    with DataFolder.open(tmp_path) as folder:
        (folder.path / "lock").write_bytes(b"\xff rubbish")
        with pytest.raises(DataFolderBusy, match="in use by another process"):
            DataFolder.open(tmp_path)


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataFolderBusy, match=f"process {holder.pid}"):
            DataFolder.open(tmp_path)
        holder.send_signal(signal.SIGKILL)
    DataFolder.open(tmp_path).close()


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataFolderError, match="data is a file, not a folder"):
        DataFolder.open(tmp_path / "data")


def test_a_link_in_place_of_the_lock_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataFolderError, match="cannot be used"):
        DataFolder.open(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("number", "text"), [(errno.ENOLCK, "file system without locks"), (errno.EIO, "Input/output error")]
)
def test_a_file_system_that_cannot_lock_is_an_error(tmp_path: Path, number: int, text: str) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DataFolderError, match=text) as caught:
        DataFolder.open(tmp_path, flock=flock)
    assert not isinstance(caught.value, DataFolderBusy)


def test_syncing_a_missing_folder_fails(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "missing")
