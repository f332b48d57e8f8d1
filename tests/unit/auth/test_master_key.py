import errno
import os
import stat
from pathlib import Path

import pytest

from openbigmodel.auth.master_key import MasterKey, MasterKeyError, create_master_key, read_master_key
from openbigmodel.credentials import parse_api_key


def test_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    made = create_master_key(path, os.urandom)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
    read = read_master_key(path)
    assert read is not None
    assert read.fingerprint() == made.fingerprint()
    assert read.secret("id", 1) == made.secret("id", 1)


def test_secrets_depend_on_everything() -> None:
    one, two = MasterKey(b"1" * 32), MasterKey(b"2" * 32)
    secrets = [
        key.secret(key_id, version) for key in (one, two) for key_id in ("a", "b") for version in (1, 2)
    ]
    assert len(set(secrets)) == 8
    assert all(parse_api_key(f"id.{secret}") is not None and len(secret) == 43 for secret in secrets)
    assert one.secret("a|1", 1) != one.secret("a", 1)
    assert one.fingerprint() != two.fingerprint()


def test_the_derivation_never_changes() -> None:
    # Every key that was ever issued depends on it.
    assert MasterKey(bytes(range(32))).secret("1f" * 16, 1) == "AJRskY7duH3RygqCDOoVWi2rxmwCBQD6NTkBQ0mASyH"


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_master_key(tmp_path / "master.key") is None


def test_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_text("precious")
    with pytest.raises(MasterKeyError, match="cannot be created: File exists"):
        create_master_key(path, os.urandom)
    assert path.read_text() == "precious"


def test_a_draft_of_an_interrupted_start_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "master.key.new").write_text("half")
    create_master_key(tmp_path / "master.key", os.urandom)
    assert read_master_key(tmp_path / "master.key") is not None


def test_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="cannot be created: No such file"):
        create_master_key(tmp_path / "missing" / "master.key", os.urandom)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o604])
def test_a_file_that_others_may_read_is_closed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    create_master_key(path, os.urandom)
    path.chmod(mode)
    assert read_master_key(path) is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_closed_is_refused(tmp_path: Path) -> None:
    def fchmod(_descriptor: int, _mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path = tmp_path / "master.key"
    create_master_key(path, os.urandom)
    assert read_master_key(path, fchmod=fchmod) is not None
    path.chmod(0o644)
    with pytest.raises(MasterKeyError, match="closed to other users: Operation not permitted"):
        read_master_key(path, fchmod=fchmod)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"openbigmodel-master-key-1 abc\n",
        b"openbigmodel-master-key-2 " + b"0" * 64 + b"\n",
        b"0" * 64,
    ],
)
def test_another_content_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    with pytest.raises(MasterKeyError, match="does not hold a master key"):
        read_master_key(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    create_master_key(tmp_path / "real", os.urandom)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(MasterKeyError, match="cannot be read"):
        read_master_key(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(MasterKeyError, match="is not a file"):
            read_master_key(tmp_path / name)
