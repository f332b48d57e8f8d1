import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from openbigmodel.admin.backup import write_backup
from openbigmodel.admin.protocol import AdminError
from openbigmodel.admin.restore import restore_backup
from openbigmodel.db.data_folder import DataFolder
from openbigmodel.db.migrations import MIGRATIONS
from tests.unit.admin.data_folders import account_names, make_folder

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_folder(tmp_path / "data")
    write_backup(tmp_path / "data", tmp_path / "b.tar", now_ms=lambda: 0)
    return tmp_path / "b.tar"


def members(file: Path) -> list[Member]:
    with tarfile.open(file) as tar:
        found = []
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            found.append((member, stream.read()))
        return found


def write(file: Path, found: list[Member]) -> None:
    with tarfile.open(file, "w") as tar:
        for member, content in found:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def refusal(file: Path, data: Path) -> AdminError:
    there = data.exists()
    with pytest.raises(AdminError) as caught:
        restore_backup(file, data)
    # The folder is as it was.
    assert data.exists() == there
    return caught.value


def test_a_backup_comes_back(file: Path, tmp_path: Path) -> None:
    answer = restore_backup(file, tmp_path / "new")

    assert answer["data"] == str(tmp_path / "new")
    assert account_names(tmp_path / "new") == ["team"]
    assert (tmp_path / "new" / "master.key").read_bytes() == (tmp_path / "data" / "master.key").read_bytes()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    for name in ("bigmodel.db", "master.key"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600


def test_an_empty_folder_will_do(file: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    restore_backup(file, tmp_path / "new")

    assert account_names(tmp_path / "new") == ["team"]


def test_a_folder_that_was_tried_before_will_do(file: Path, tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "new").close()
    restore_backup(file, tmp_path / "new")

    assert account_names(tmp_path / "new") == ["team"]


def test_a_folder_with_anything_in_it_is_left_alone(file: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "note").write_text("mine")

    assert refusal(file, tmp_path / "new").code == "not_empty"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["note"]


def test_a_folder_that_is_a_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("mine")

    assert refusal(file, tmp_path / "new").code == "folder"


def test_a_folder_that_is_in_use(file: Path, tmp_path: Path) -> None:
    with DataFolder.open(tmp_path / "new"):
        assert refusal(file, tmp_path / "new").code == "folder"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "b.tar", tmp_path / "new").code == "no_backup"


@pytest.mark.parametrize("content", [b"", b"not a tar" * 1000, b"\x1f\x8b" + b"x" * 1000])
def test_a_file_that_is_no_tar(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(content)

    assert refusal(tmp_path / "b.tar", tmp_path / "new").code == "no_backup"


@pytest.mark.parametrize("end", [b"", b"manifest.json", b'"sha256"', b"SQLite format 3", b"key-1 "])
def test_half_a_backup(end: bytes, file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: content.index(end) + len(end)])

    assert refusal(file, tmp_path / "new").code in ("no_backup", "damaged")


def flip(found: list[Member], index: int, at: int) -> None:
    member, content = found[index]
    found[index] = (member, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def edit(found: list[Member], change: Callable[[dict[str, object]], None]) -> None:
    manifest = json.loads(found[0][1])
    change(manifest)
    found[0] = (found[0][0], json.dumps(manifest).encode())


def named(name: str, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


CHANGES: dict[str, tuple[Callable[[list[Member]], None], str]] = {
    "a bit of the database": (lambda found: flip(found, 1, 5000), "checksum of bigmodel.db"),
    "a bit of its head": (lambda found: flip(found, 1, 63), "checksum of bigmodel.db"),
    "a bit of the master key": (lambda found: flip(found, 2, 60), "checksum of master.key"),
    "a byte more": (lambda found: found.append((found.pop()[0], b"x" * 92)), "size of master.key"),
    "no master key": (lambda found: found.__delitem__(2), "master.key is missing"),
    "no database": (lambda found: found.__delitem__(1), "bigmodel.db is missing"),
    "no manifest": (lambda found: found.__delitem__(0), "does not begin with"),
    "twice": (lambda found: found.append(found[2]), "'master.key' has no place"),
    "another file": (lambda found: found.append((named("x"), b"")), "'x' has no place"),
    "a way out": (lambda found: found.append((named("../../x"), b"y")), "has no place"),
    "a link": (
        lambda found: found.insert(
            1, (named("bigmodel.db", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")
        ),
        "'bigmodel.db' has no place",
    ),
    "a manifest that is a folder": (
        lambda found: found.insert(0, (named("manifest.json", type=tarfile.DIRTYPE), b"")),
        "does not begin with",
    ),
    "a manifest that is none": (
        lambda found: found.insert(0, (named("manifest.json"), b"[")),
        "cannot be read",
    ),
    "a manifest of a novel": (
        lambda found: found.insert(0, (named("manifest.json"), b" " * ((1 << 20) + 1))),
        "does not begin with",
    ),
    "a file unheard of": (
        lambda found: edit(found, lambda all_: all_["files"].update(x={"bytes": 0, "sha256": ""})),  # type: ignore[attr-defined]
        "other files",
    ),
    "no files": (lambda found: edit(found, lambda all_: all_.update(files={})), "other files"),
    "another schema": (lambda found: edit(found, lambda all_: all_.update(schema=1)), "not of the schema"),
    "a schema to come": (lambda found: edit(found, lambda all_: all_.update(schema=99)), "newer release"),
    "a form to come": (lambda found: edit(found, lambda all_: all_.update(form=2)), "newer release"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_backup_that_was_changed_is_refused(name: str, file: Path, tmp_path: Path) -> None:
    change, words = CHANGES[name]
    found = members(file)
    change(found)
    write(file, found)

    assert words in refusal(file, tmp_path / "new").message


def remade(file: Path, database: Path | None = None, master_key: Path | None = None) -> None:
    """The backup with other files and checksums that fit them."""
    found = members(file)
    contents = {
        "bigmodel.db": found[1][1] if database is None else database.read_bytes(),
        "master.key": found[2][1] if master_key is None else master_key.read_bytes(),
    }
    files = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    edit(found, lambda manifest: manifest.update(files=files))
    write(file, [found[0], *((named(name), content) for name, content in contents.items())])


def test_a_master_key_of_another_database_is_refused(file: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "other")
    remade(file, master_key=tmp_path / "other" / "master.key")

    assert refusal(file, tmp_path / "new").code == "master_key"


def test_a_database_that_is_none_is_refused(file: Path, tmp_path: Path) -> None:
    head = members(file)[1][1][:100]
    (tmp_path / "x.db").write_bytes(head + b"nonsense" * 1000)
    remade(file, database=tmp_path / "x.db")

    assert refusal(file, tmp_path / "new").code == "damaged"


def test_a_backup_that_changes_while_it_is_read_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = DataFolder.open

    def exchange(path: Path) -> DataFolder:
        found = members(file)
        flip(found, 2, 60)
        write(file, found)
        return opening(path)

    monkeypatch.setattr(DataFolder, "open", exchange)

    assert "was changed" in refusal(file, tmp_path / "new").message


def test_a_manifest_that_changes_while_it_is_read_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = DataFolder.open

    def exchange(path: Path) -> DataFolder:
        found = members(file)
        edit(found, lambda manifest: manifest.update(release="9"))
        write(file, found)
        return opening(path)

    monkeypatch.setattr(DataFolder, "open", exchange)

    assert "was changed" in refusal(file, tmp_path / "new").message


def test_what_fails_leaves_an_empty_folder_empty(file: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    make_folder(tmp_path / "other")
    remade(file, master_key=tmp_path / "other" / "master.key")
    refusal(file, tmp_path / "new")

    assert {path.name for path in (tmp_path / "new").iterdir()} <= {"lock"}


def test_an_older_database_is_brought_up_to_date_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    connection = apsw.Connection(str(tmp_path / "data" / "bigmodel.db"))
    connection.execute(MIGRATIONS[0].sql)
    connection.pragma("user_version", 1)
    connection.close()
    write_backup(tmp_path / "data", tmp_path / "b.tar", now_ms=lambda: 0)
    restore_backup(tmp_path / "b.tar", tmp_path / "new")

    assert not (tmp_path / "new" / "master.key").exists()
    assert account_names(tmp_path / "new") == []
