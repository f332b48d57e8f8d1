import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openbigmodel.media.confinement import is_public, python_folders

SCRIPT = """
import json, os, sys
from openbigmodel.media.confinement import confine
done = confine()
def tries(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return 0
print(json.dumps([
    done,
    tries(lambda: open(sys.argv[1]).close()),
    tries(lambda: open(sys.argv[1] + ".new", "w").close()),
    tries(lambda: open("/etc/passwd").close()),
    tries(lambda: open(f"/proc/{os.getppid()}/environ").close()),
    tries(lambda: os.listdir("/")),
    __import__("wave").__name__,
]))
"""


def test_only_the_system_and_python_can_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    command = [sys.executable, "-c", SCRIPT, str(secret)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if not found[0]:
        pytest.skip("this kernel has no Landlock")
    assert found == [True, 13, 13, 0, 13, 13, "wave"]


def test_python_lies_in_some_folders() -> None:
    folders = python_folders()
    assert str(Path(os.__file__).parent) in folders
    assert all(Path(folder).is_dir() for folder in folders)


def test_a_folder_is_public_when_all_above_it_are(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "a", below):
        folder.chmod(0o755)
    readable = is_public(tmp_path)
    assert is_public(below) is readable
    (tmp_path / "a").chmod(0o700)
    assert not is_public(below)
    (tmp_path / "a").chmod(0o711)
    below.chmod(0o711)
    assert not is_public(below)
    assert not is_public(tmp_path / "missing")
    assert is_public(Path("/usr"))


DROP = """
import os
from openbigmodel.media import confinement
confinement.python_folders = lambda: ["/usr"]
print(confinement.stop_being_root(), os.geteuid(), os.getegid())
confinement.python_folders = lambda: ["/nowhere"]
print(confinement.stop_being_root())
"""


def test_root_becomes_nobody() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")
    result = subprocess.run([sys.executable, "-c", DROP], check=True, capture_output=True, text=True)
    assert result.stdout.split() in (["True", "65534", "65534", "False"], ["False", "0", "0", "False"])
