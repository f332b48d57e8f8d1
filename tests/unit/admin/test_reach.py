import os
import socket
import threading
from pathlib import Path

import pytest

from openbigmodel.admin.protocol import SOCKET_FILE, AdminError
from openbigmodel.admin.reach import check_folder, perform
from openbigmodel.db.data_folder import DataFolder
from openbigmodel.settings import Settings
from tests.unit.admin.data_folders import account_names, make_folder
from tests.unit.admin.folder_server import FolderServer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_folder(tmp_path / "data")
    return tmp_path / "data"


def names(data: Path) -> list[str]:
    return [account["name"] for account in perform(Settings(data=data), "accounts.list", {})["accounts"]]


def refusal(data: Path, **options: float) -> AdminError:
    with pytest.raises(AdminError) as caught:
        perform(Settings(data=data), "accounts.list", {}, **options)  # type: ignore[arg-type]
    return caught.value


def test_a_stopped_folder_is_opened_and_closed(data: Path) -> None:
    assert names(data) == ["team"]
    assert names(data) == ["team"]
    DataFolder.open(data).close()


def test_what_was_done_is_kept(data: Path) -> None:
    perform(Settings(data=data), "accounts.create", {"name": "another"})

    assert names(data) == ["team", "another"]


def test_a_refusal_leaves_the_folder_closed(data: Path) -> None:
    with pytest.raises(AdminError, match="There is no account x"):
        perform(Settings(data=data), "accounts.show", {"account": "x"})
    DataFolder.open(data).close()


def test_a_running_server_is_asked(data: Path) -> None:
    with FolderServer(data):
        assert perform(Settings(data=data), "echo", {"text": "you"}) == {"text": "you"}


def test_what_a_killed_server_left_does_not_matter(data: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(data / SOCKET_FILE))

    assert names(data) == ["team"]


def test_a_server_that_starts_is_waited_for(data: Path) -> None:
    with FolderServer(data, listens=False) as server:
        pauses: list[float] = []

        def sleep(pause_s: float) -> None:
            pauses.append(pause_s)
            if len(pauses) == 3:
                server.listen()

        answer = perform(Settings(data=data), "echo", {"text": "you"}, sleep=sleep)

    assert answer == {"text": "you"}
    assert len(pauses) == 3


def test_a_server_that_ends_is_waited_for(data: Path) -> None:
    folder = DataFolder.open(data)

    answer = perform(Settings(data=data), "accounts.list", {}, sleep=lambda _: folder.close())

    assert len(answer["accounts"]) == 1


def test_who_has_the_lock_for_long_is_named(data: Path) -> None:
    now_s = iter(range(100))
    with DataFolder.open(data), pytest.raises(AdminError) as caught:
        perform(
            Settings(data=data),
            "accounts.list",
            {},
            patience_s=3,
            now_s=lambda: float(next(now_s)),
            sleep=lambda _: None,
        )

    assert caught.value.code == "busy"
    assert f"process {os.getpid()}" in caught.value.message
    assert next(now_s) == 4


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nowhere")

    assert error.code == "no_folder"
    assert str(tmp_path / "nowhere") in error.message
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", [None, "note"])
def test_a_folder_of_somebody_else_is_left_alone(name: str | None, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).touch()

    assert refusal(tmp_path).code == "no_folder"
    assert [path.name for path in tmp_path.iterdir()] == ([name] if name else [])


def test_a_folder_with_a_lock_and_nothing_else_is_no_data_folder(tmp_path: Path) -> None:
    DataFolder.open(tmp_path).close()

    assert refusal(tmp_path).code == "no_folder"
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    assert refusal(tmp_path / "data").code == "folder"


def test_a_folder_that_may_not_be_written(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)

    error = refusal(data)
    assert error.code == "folder"
    assert "may not be written" in error.message


def test_a_folder_whose_lock_cannot_be_had(data: Path) -> None:
    (data / "lock").unlink(missing_ok=True)
    (data / "lock").mkdir()

    assert refusal(data).code == "folder"


def test_a_database_that_is_none(data: Path) -> None:
    (data / "bigmodel.db").write_bytes(b"not a database" * 1000)

    assert refusal(data).code == "database"
    DataFolder.open(data).close()


def test_a_missing_master_key(data: Path) -> None:
    (data / "master.key").unlink()

    assert refusal(data).code == "master_key"
    DataFolder.open(data).close()


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_folder_is_made_where_that_is_wanted(exists: bool, tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    if exists:
        data.mkdir(parents=True)
    perform(Settings(data=data), "accounts.create", {"name": "first"}, new_folder=True)

    assert account_names(data) == ["first"]
    assert (data / "master.key").exists()


def test_a_new_folder_is_not_made_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    with pytest.raises(AdminError, match="holds no data"):
        perform(Settings(data=tmp_path), "accounts.create", {"name": "first"}, new_folder=True)
    with pytest.raises(AdminError, match="holds no data"):
        check_folder(tmp_path, new_folder=True)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_many_at_once_take_turns(data: Path) -> None:
    failures: list[Exception] = []

    def create(number: int) -> None:
        try:
            perform(Settings(data=data), "accounts.create", {"name": f"n{number}"})
        except Exception as error:  # noqa: BLE001 - the edge of a thread
            failures.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(names(data)) == sorted(["team", *(f"n{number}" for number in range(8))])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    for to_read in (True, False):
        with pytest.raises(AdminError, match="afile is a file, not a folder"):
            check_folder(tmp_path / "afile", to_read=to_read)
