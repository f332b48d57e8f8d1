import asyncio
import json
import os
import stat
import tarfile
import threading
from pathlib import Path

import apsw
import pytest

from openbigmodel.admin import backup as backup_module
from openbigmodel.admin.backup import write_backup
from openbigmodel.admin.protocol import AdminError
from openbigmodel.admin.restore import restore_backup
from openbigmodel.auth.store import AuthStore
from openbigmodel.db.connection import Database
from openbigmodel.db.migrations import MIGRATIONS
from tests.unit.admin.data_folders import account_names, make_folder
from tests.unit.auth.store_bench import create_account

NOW_MS = 1_795_000_000_123


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_folder(tmp_path / "data")
    return tmp_path / "data"


def back_up(data: Path, file: Path) -> dict[str, object]:
    return write_backup(data, file, now_ms=lambda: NOW_MS)


def refusal(data: Path, file: Path) -> AdminError:
    before = set(file.parent.iterdir()) if file.parent.exists() else set()
    with pytest.raises(AdminError) as caught:
        back_up(data, file)
    # Nothing is left of the attempt.
    assert (set(file.parent.iterdir()) if file.parent.exists() else set()) == before
    return caught.value


def test_a_backup_is_one_tar_that_says_what_is_in_it(data: Path, tmp_path: Path) -> None:
    answer = back_up(data, tmp_path / "b.tar")

    with tarfile.open(tmp_path / "b.tar") as tar:
        assert tar.getnames() == ["manifest.json", "bigmodel.db", "master.key"]
        assert {member.mode for member in tar} == {0o600}
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        manifest = json.load(stream)
    assert manifest["schema"] == len(MIGRATIONS)
    assert manifest["made"] == "2026-11-18T11:06:40.123Z"
    assert manifest["files"]["master.key"]["bytes"] == (data / "master.key").stat().st_size
    assert answer == {
        "file": str(tmp_path / "b.tar"),
        "bytes": (tmp_path / "b.tar").stat().st_size,
        **manifest,
    }


def test_it_is_for_its_owner_alone(data: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        back_up(data, tmp_path / "b.tar")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"data", "b.tar"}


def test_what_is_there_is_not_replaced(data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("precious")

    assert refusal(data, tmp_path / "b.tar").code == "exists"
    assert (tmp_path / "b.tar").read_text() == "precious"


def test_a_link_to_nowhere_is_not_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tar").symlink_to(tmp_path / "elsewhere")

    assert refusal(data, tmp_path / "b.tar").code == "exists"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("linked", [True, False], ids=["links", "no links"])
def test_a_name_that_is_taken_meanwhile_is_left_alone(
    linked: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        Path(target).write_text("precious")
        raise FileExistsError if linked else PermissionError

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(AdminError, match="replaces nothing"):
        back_up(data, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "b.tar"}


def test_a_file_system_without_links_will_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    back_up(data, tmp_path / "b.tar")

    assert restore_backup(tmp_path / "b.tar", tmp_path / "new")["schema"] == len(MIGRATIONS)


def test_a_folder_that_is_not_there(data: Path, tmp_path: Path) -> None:
    error = refusal(data, tmp_path / "nowhere" / "b.tar")

    assert error.code == "unwritable"
    assert "No such file or directory" in error.message


def test_a_database_that_is_none(data: Path, tmp_path: Path) -> None:
    (data / "bigmodel.db").write_bytes(b"not a database" * 1000)

    assert refusal(data, tmp_path / "b.tar").code == "database"


def test_a_damaged_database_is_no_backup(data: Path, tmp_path: Path) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.pragma("journal_mode", "DELETE")
    (root,) = next(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'accounts'"))
    connection.close()
    with (data / "bigmodel.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    assert refusal(data, tmp_path / "b.tar").code == "damaged"


def test_a_missing_master_key_is_told(data: Path, tmp_path: Path) -> None:
    (data / "master.key").unlink()

    assert refusal(data, tmp_path / "b.tar").code == "master_key"


def test_a_foreign_master_key_is_told(data: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "other")
    (data / "master.key").write_bytes((tmp_path / "other" / "master.key").read_bytes())

    error = refusal(data, tmp_path / "b.tar")
    assert error.code == "master_key"
    assert "another database" in error.message


def test_a_master_key_that_is_none_is_told(data: Path, tmp_path: Path) -> None:
    (data / "master.key").write_text("nonsense")

    assert refusal(data, tmp_path / "b.tar").code == "master_key"


def test_a_newer_release_is_told(data: Path, tmp_path: Path) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()

    assert refusal(data, tmp_path / "b.tar").code == "too_new"


def test_a_database_of_an_older_release_can_be_kept(tmp_path: Path) -> None:
    """A backup before an upgrade is taken with either release."""
    (tmp_path / "data").mkdir()
    connection = apsw.Connection(str(tmp_path / "data" / "bigmodel.db"))
    connection.execute(MIGRATIONS[0].sql)
    connection.pragma("user_version", 1)
    connection.close()

    assert back_up(tmp_path / "data", tmp_path / "b.tar")["schema"] == 1
    assert restore_backup(tmp_path / "b.tar", tmp_path / "new")["schema"] == 1


def test_it_is_of_one_moment_though_others_write(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tables that always grow together are of one length in every backup."""
    monkeypatch.setattr(backup_module, "_PAGES_AT_ONCE", 1)
    ready, stop = threading.Event(), threading.Event()
    writer = threading.Thread(target=_write_pairs, args=(data, ready, stop))
    writer.start()
    try:
        assert ready.wait(5)
        lengths = []
        for number in range(5):
            back_up(data, tmp_path / f"{number}.tar")
            restore_backup(tmp_path / f"{number}.tar", tmp_path / str(number))
            lengths.append(_pairs(tmp_path / str(number)))
    finally:
        stop.set()
        writer.join()

    assert all(left == right for left, right in lengths)
    # It did write meanwhile.
    assert lengths[0][0] < lengths[-1][0]


def _write_pairs(data: Path, ready: threading.Event, stop: threading.Event) -> None:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    connection.set_busy_timeout(5000)
    connection.execute("CREATE TABLE a (x); CREATE TABLE b (x);")
    while not stop.is_set():
        with connection:
            connection.execute("INSERT INTO a VALUES (zeroblob(3000))")
            connection.execute("INSERT INTO b VALUES (zeroblob(3000))")
        ready.set()
    connection.close()


def _pairs(data: Path) -> tuple[int, int]:
    connection = apsw.Connection(str(data / "bigmodel.db"))
    left, right = next(connection.execute("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)"))
    connection.close()
    return left, right


def test_a_backup_beside_an_open_database_has_what_was_acknowledged(data: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        database = Database.open(data / "bigmodel.db")
        try:
            await create_account(AuthStore(database, data), "just now")
            back_up(data, tmp_path / "b.tar")
        finally:
            database.close()

    asyncio.run(scenario())
    restore_backup(tmp_path / "b.tar", tmp_path / "new")

    assert account_names(tmp_path / "new") == ["team", "just now"]


def test_a_backup_on_a_full_disk_says_so(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> int:
        raise apsw.FullError("not an error")

    monkeypatch.setattr("openbigmodel.admin.backup.schema_version", full)
    with pytest.raises(AdminError, match="the disk is full"):
        back_up(data, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
